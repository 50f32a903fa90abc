// A VM's own side of the platform: install keys, load and store memory, get a launch report. This is what software
// inside the VM does; the platform's certificate must lead to the manufacturer before any key is sent.

import type { KeyMode, Secret } from '../crypto/index.ts'
import { type ClientOf, createClient, GuestPortService } from '../rpc/index.ts'
import type { Credentials } from './credentials.ts'

/** Largest load or store of one call, in bytes. */
const CHUNK = 1 << 20

/** Name in the certificate of the platform's guest port. */
const PLATFORM_NAME = 'palimpsest-platform'

/** Keys of a VM's slot. */
export interface SlotKeys {
  /** 32 bytes. */
  readonly root: Secret
  readonly mode: KeyMode
  /** 32 bytes; for `common` and `both`, and to read frames of a share group. */
  readonly group?: Secret
}

/** A connection to the platform, for one VM. */
export class Guest {
  readonly #client: ClientOf<typeof GuestPortService>

  /** `trustAnchors` are the manufacturer's root certificates (PEM): the platform must prove to be one of theirs. */
  constructor(options: { address: string; credentials: Credentials; trustAnchors: readonly string[] }) {
    const { certificatePem, keyPem } = options.credentials.tls
    this.#client = createClient(GuestPortService, {
      address: options.address,
      tls: { certificatePem, keyPem, caPem: options.trustAnchors.join('\n'), serverName: PLATFORM_NAME },
    })
  }

  /** Installs the VM's keys; once per launch. */
  async installKeys({ root, mode, group }: SlotKeys): Promise<void> {
    const bytes = (secret: Secret | undefined) =>
      secret?.use((key) => Uint8Array.from(key)) ?? new Uint8Array()
    const rootKey = bytes(root)
    const groupKey = bytes(group)
    try {
      await this.#client.installKeys({ rootKey, mode, groupKey })
    } finally {
      rootKey.fill(0)
      groupKey.fill(0)
    }
  }

  /** This VM's launch report with 32 bytes of report data, or zeros. */
  async launchReport(reportData: Uint8Array = new Uint8Array()): Promise<Uint8Array> {
    return (await this.#client.getLaunchReport({ reportData })).report
  }

  /** Loads `length` bytes from guest physical address `gpa`. */
  async load(gpa: bigint, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const data = new Uint8Array(length)
    for (let offset = 0; offset < length; offset += CHUNK) {
      const part = await this.#client.load(
        { gpa: gpa + BigInt(offset), length: Math.min(CHUNK, length - offset) },
        callOptions(signal),
      )
      data.set(part.data, offset)
    }
    return data
  }

  /** Stores `data` at guest physical address `gpa`. */
  async store(gpa: bigint, data: Uint8Array, signal?: AbortSignal): Promise<void> {
    for (let offset = 0; offset < data.length; offset += CHUNK) {
      const part = data.subarray(offset, Math.min(data.length, offset + CHUNK))
      await this.#client.store({ gpa: gpa + BigInt(offset), data: part }, callOptions(signal))
    }
  }

  /** Adds to the 64-bit counter at `gpa` as one instruction, and returns the sum. */
  async fetchAdd(gpa: bigint, addend: bigint, signal?: AbortSignal): Promise<bigint> {
    return (await this.#client.fetchAdd({ gpa, addend }, callOptions(signal))).value
  }

  close(): void {
    this.#client.close()
  }
}

/** A guest's access may wait long for a copy; the host's stall time-out ends it, or the caller's signal. */
function callOptions(signal: AbortSignal | undefined) {
  return { deadlineMs: Infinity, ...(signal === undefined ? {} : { signal }) }
}
