// A VM's own side of a volume: encrypts and decrypts with the volume key in this process; the host sees ciphertext.
// The cipher is dm-crypt's aes-xts-plain64: the tweak is the sector number in 512-byte units.

import { type ReencryptEngine, type Secret, selectEngine } from '../crypto/index.ts'
import { type ClientOf, createClient, DiskPortService } from '../rpc/index.ts'
import type { Credentials } from './credentials.ts'

/** Largest read or write of one call, in bytes. */
const CHUNK = 1 << 20

/** A volume as its VM uses it. Offsets and lengths are multiples of the sector size. */
export class EncryptedDisk {
  readonly #client: ClientOf<typeof DiskPortService>
  readonly #engine: ReencryptEngine
  readonly #volume: string
  readonly #key: Secret
  readonly #sectorSize: 512 | 1024 | 2048 | 4096

  constructor(options: {
    hypervisor: string
    credentials: Credentials
    volume: string
    key: Secret
    sectorSize?: 512 | 1024 | 2048 | 4096
  }) {
    this.#client = createClient(DiskPortService, {
      address: options.hypervisor,
      tls: options.credentials.tls,
    })
    this.#engine = selectEngine()
    this.#volume = options.volume
    this.#key = options.key
    this.#sectorSize = options.sectorSize ?? 512
  }

  /** Reads plaintext. */
  async read(offset: bigint, length: number): Promise<Uint8Array> {
    this.#checkAligned(offset, length)
    const data = new Uint8Array(length)
    for (let done = 0; done < length; done += CHUNK) {
      const at = offset + BigInt(done)
      const { ciphertext } = await this.#client.readDisk(
        { volume: this.#volume, offset: at, length: Math.min(CHUNK, length - done) },
        { deadlineMs: Infinity },
      )
      this.#engine.decrypt({
        ...this.#sectors(at),
        input: ciphertext,
        output: data.subarray(done, done + ciphertext.length),
      })
    }
    return data
  }

  /** Writes plaintext; acknowledged writes survive the end of any process. */
  async write(offset: bigint, data: Uint8Array): Promise<void> {
    this.#checkAligned(offset, data.length)
    for (let done = 0; done < data.length; done += CHUNK) {
      const at = offset + BigInt(done)
      const input = data.subarray(done, Math.min(data.length, done + CHUNK))
      const ciphertext = new Uint8Array(input.length)
      this.#engine.encrypt({ ...this.#sectors(at), input, output: ciphertext })
      await this.#client.writeDisk({ volume: this.#volume, offset: at, ciphertext }, { deadlineMs: Infinity })
    }
  }

  /** Returns when everything written is on stable storage. */
  async flush(): Promise<void> {
    await this.#client.flushDisk({ volume: this.#volume })
  }

  close(): void {
    this.#client.close()
  }

  #sectors(offset: bigint) {
    const unit = this.#sectorSize
    return { key: this.#key, firstSector: offset / 512n, sectorSize: unit, tweakStep: BigInt(unit / 512) }
  }

  #checkAligned(offset: bigint, length: number): void {
    const unit = this.#sectorSize
    if (offset % BigInt(unit) === 0n && length % unit === 0) return
    throw new RangeError(
      `offset and length expected multiples of ${String(unit)}, got ${offset.toString()} and ${String(length)}`,
    )
  }
}
