/** Platforms that are booted from a firmware file, with their TPM on a socket, where tools find it. */
import path from 'node:path'
import { openTpmStore, PlatformTpm } from '../../../emulator/platform/platform-tpm.ts'
import { loadFirmware, measureBoot, type UefiMachine } from '../../../emulator/platform/firmware/index.ts'
import { tpmPort } from '../../../emulator/cli/tpm/served-tpm.ts'
import { serveTpm, type TpmServer } from '../../../emulator/tpm-server/index.ts'
import { utf8 } from '../../../sdk/crypto/index.ts'

/** One boot: its log, and its TPM as long as it runs. */
export class ServedBoot {
  readonly device: PlatformTpm
  /** crypto-agile TCG event log */
  readonly log: Uint8Array
  readonly #server: TpmServer

  private constructor(device: PlatformTpm, log: Uint8Array, server: TpmServer) {
    this.device = device
    this.log = log
    this.#server = server
  }

  /**
   * Boots with profile `image`, or with profile `uefi` on a machine; the TPM is the one whose state lies in `folder`,
   * made if there is none.
   */
  static async boot(folder: string, firmwarePath: string, uefi?: UefiMachine): Promise<ServedBoot> {
    const device = PlatformTpm.powerOn({ store: openTpmStore(path.join(folder, 'tpm-state')) })
    const { log } = measureBoot({
      device,
      firmware: await loadFirmware(firmwarePath),
      hypervisorImage: utf8('hypervisor'),
      configuration: { profile: uefi === undefined ? 'image' : 'uefi' },
      uefi,
    })
    const server = await serveTpm({ port: tpmPort(device.tpm), protocol: 'swtpm', tcpPort: 0 })
    return new ServedBoot(device, log.bytes(), server)
  }

  /** As TPM2TOOLS_TCTI wants it. */
  get tcti(): string {
    return this.#server.addresses.tcti ?? ''
  }

  /** Takes the power away. */
  async end(): Promise<void> {
    await this.#server.close()
    this.device.tpm.powerOff()
  }
}
