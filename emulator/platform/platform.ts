// The platform as one object (design, sections 4 and 5): it boots, measures firmware, hypervisor and configuration, and
// owns everything that the ports act on. It knows no sockets; main.ts gives it some.

import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { hex, IdentityKey, utf8, type CanonicalMap } from '../../sdk/crypto/index.ts'
import { PalimpsestError, type Logger } from '../../sdk/rpc/index.ts'
import { Attestation } from './attestation.ts'
import { Manufacturer, type CertifiedKey } from './endorsement.ts'
import { EventFeed } from './event-feed.ts'
import { PRIVATE_MODE, PUBLIC_MODE, readFileIfPresent, replaceFile } from './files.ts'
import {
  loadFirmware,
  type MachineShape,
  measureBoot,
  signManifest,
  type Firmware,
  type UefiMachine,
} from './firmware/index.ts'
import { LaunchAuthority } from './launch-authority.ts'
import { Launches } from './launch.ts'
import { MemorySystem } from './memory-system.ts'
import type { Pair, Run } from './ownership-rows.ts'
import { openTpmStore, PlatformTpm } from './platform-tpm.ts'
import { expectConsent } from './share-consent.ts'

/** Names that the platform's ports serve under; the first is the one to expect. */
const PORT_NAMES: readonly string[] = ['palimpsest-platform', 'localhost', '127.0.0.1', '::1']

/** Security version of firmware that nobody else signed a manifest for. */
const OWN_SVN = 1

/** What of a machine its firmware measures, besides memory. */
export type UefiMachineOptions = Omit<MachineShape, 'chipset' | 'memory'>

/** How the platform boots as UEFI firmware does it (profile `uefi`). */
export interface UefiBootOptions {
  /** Flash file with the firmware's variables; default those of the image, or none. */
  readonly variablesPath?: string
  /** What the firmware finds; default one processor of QEMU's own model. Its memory is the platform's. */
  readonly machine?: UefiMachineOptions
  /** Measure the firmware as it lies in its file, whatever a machine would make of it; default false. */
  readonly asInFile?: boolean
}

/** What a platform is made of. */
export interface BootOptions {
  /** TPM state, manufacturer's keys, firmware manifests; made if missing. */
  readonly stateDirectory: string
  /** Folder of the manufacturer; default in the state folder. */
  readonly manufacturerDirectory?: string | undefined
  /** DRAM, a multiple of 4096. */
  readonly memoryBytes: number
  /** Firmware image; default the built-in one. */
  readonly firmwarePath?: string | undefined
  /** Signed manifest; default FILE.manifest beside the image, else one by the emulator's own firmware signer. */
  readonly manifestPath?: string | undefined
  /** Boot profile uefi; default profile image. */
  readonly uefi?: UefiBootOptions | undefined
  /** Integrity mode of memory; default false. */
  readonly integrity?: boolean | undefined
  /** Bytes that are measured as the hypervisor. */
  readonly hypervisorImage: Uint8Array
  /** Milliseconds that an access waits for the host; 0 means for ever. */
  readonly stallTimeoutMs: number
  readonly log: Logger
}

interface Parts {
  readonly attestation: Attestation
  readonly manufacturer: Manufacturer
  readonly port: CertifiedKey
  readonly authority: LaunchAuthority
  readonly options: BootOptions
}

/** A booted platform. */
export class EmulatedPlatform {
  readonly attestation: Attestation
  readonly memory: MemorySystem
  readonly launches: Launches
  readonly feed: EventFeed
  /** The root that policies pin. */
  readonly manufacturer: Manufacturer
  /** TLS identity of the guest port. */
  readonly port: CertifiedKey
  readonly authority: LaunchAuthority
  /** Where guests and workers find their ports; set once those listen. */
  guestPortAddress = ''
  workerPortAddress = ''

  private constructor({ attestation, manufacturer, port, authority, options }: Parts) {
    this.attestation = attestation
    this.manufacturer = manufacturer
    this.port = port
    this.authority = authority
    this.feed = new EventFeed(() => this.memory.faults.open())
    this.memory = new MemorySystem({
      memoryBytes: options.memoryBytes,
      integrity: options.integrity === true,
      stallTimeoutMs: options.stallTimeoutMs,
      onFault: (fault) => {
        this.feed.fault(fault)
      },
    })
    this.launches = new Launches({
      attestation,
      memory: this.memory,
      authority,
      feed: this.feed,
      workerPortAddress: () => this.workerPortAddress,
      log: options.log,
    })
  }

  /**
   * Boots: loads firmware, starts the TPM, measures firmware, hypervisor, configuration and manifest as the boot profile
   * says, and opens the platform's keys. @throws FirmwareError, FormatError, RangeError, before anything is served
   */
  static async boot(options: BootOptions): Promise<EmulatedPlatform> {
    const firmware = await loadFirmware(options.firmwarePath)
    const manifest = await manifestOf(firmware, options)
    const device = PlatformTpm.powerOn({ store: openTpmStore(options.stateDirectory) })
    const { hypervisorImage } = options
    const profile = options.uefi === undefined ? 'image' : 'uefi'
    const configuration = { ...CONFIGURATION, integrity: options.integrity === true, profile }
    const uefi = await uefiMachine(options)
    const boot = measureBoot({ device, firmware, manifest, hypervisorImage, configuration, uefi })
    const folder = join(options.stateDirectory, 'keys')
    const manufacturer = Manufacturer.open(
      options.manufacturerDirectory ?? join(options.stateDirectory, 'manufacturer'),
    )
    const credentials = manufacturer.endorse({ device, folder, serverNames: PORT_NAMES })
    return new EmulatedPlatform({
      attestation: new Attestation({ device, boot, firmware, credentials }),
      manufacturer,
      port: credentials.port,
      authority: LaunchAuthority.create(PORT_NAMES),
      options,
    })
  }

  /** Adds a sharer with the owner's consent. @throws REFUSED_PEER, UNKNOWN_VM and as MemorySystem.share */
  shareFrames(owner: string, peer: string, pairs: readonly Pair[], statement: Uint8Array): readonly Run[] {
    const [from, to] = [this.memory.guest(owner), this.memory.guest(peer)]
    const wide = pairs.map(({ first, second, count }) => ({
      first: BigInt(first),
      second: BigInt(second),
      count: BigInt(count),
    }))
    const now = this.attestation.state().clock
    expectConsent({ owner: from.identity, peer: to.identity, pairs: wide, statement, now })
    return this.memory.share(from, to, pairs)
  }
}

/**
 * What of the platform's configuration bears on security. It is measured, so it must be the same on every boot that a
 * policy shall accept: neither sizes nor paths belong here.
 */
const CONFIGURATION = {
  debug: false,
  ownership: 'enforced',
  suite: 'aes-256-xts',
} satisfies CanonicalMap

/** The machine that the firmware finds: this platform's memory and processors. @throws FirmwareError */
async function uefiMachine({ uefi, memoryBytes }: BootOptions): Promise<UefiMachine | undefined> {
  if (uefi === undefined) return undefined
  const { variablesPath, machine = { cpus: 1 }, asInFile = false } = uefi
  const variables = variablesPath === undefined ? undefined : (await loadFirmware(variablesPath)).image
  const shape = { chipset: 'q35', memory: BigInt(memoryBytes), ...machine } as const
  return { variables, shape: asInFile ? 'as-in-file' : shape }
}

async function manifestOf(firmware: Firmware, options: BootOptions): Promise<Uint8Array> {
  if (options.manifestPath !== undefined) {
    try {
      return new Uint8Array(await readFile(options.manifestPath))
    } catch (cause) {
      const message = `expected a readable firmware manifest at ${options.manifestPath}`
      throw new PalimpsestError('INVALID_ARGUMENT', message, { cause })
    }
  }
  return firmware.manifest ?? ownManifest(firmware, join(options.stateDirectory, 'firmware-signer'))
}

/**
 * A manifest by the emulator's own firmware signer, who stands in for a vendor where a firmware comes without one. It is
 * made once per image and kept, because a new signature would be another measurement.
 */
function ownManifest(firmware: Firmware, folder: string): Uint8Array {
  const path = join(folder, `${hex(firmware.digest)}.manifest`)
  const kept = readFileIfPresent(path)
  if (kept !== undefined) return kept
  const keyPath = join(folder, 'signer.key')
  const pem = readFileIfPresent(keyPath)
  const key = pem === undefined ? IdentityKey.generate() : IdentityKey.fromPem(new TextDecoder().decode(pem))
  if (pem === undefined) replaceFile(keyPath, utf8(key.toPem()), PRIVATE_MODE)
  const description = `firmware ${firmware.origin}, by the emulator's own signer`
  const manifest = signManifest(firmware, key, { svn: OWN_SVN, description: description.slice(0, 200) })
  replaceFile(path, manifest, PUBLIC_MODE)
  return manifest
}
