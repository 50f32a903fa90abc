/**
 * A guest's reads and writes of its volumes, as ciphertext. What lies under the guest's own key is answered at once;
 * what is still under the source's key comes through the worker.
 * Source: disk_port.proto; design.md section 6.
 */
import { PalimpsestError } from '../../sdk/rpc/index.ts'
import { BLOCK_SIZE, type ForeignRun } from '../storage/index.ts'
import { checkSectors } from './checks.ts'
import type { DiskClone } from './disk-clone.ts'
import { type Volumes, stored } from './volumes.ts'

/** Blocks that one session of a read asks for. */
const readBlocks = 256

/** Reads, writes and flushes. The caller has checked whose volume it is. */
export class DiskPath {
  readonly #volumes: Volumes
  readonly #cloneOf: (volume: string) => DiskClone | undefined
  readonly #stallTimeoutMs: number

  constructor(volumes: Volumes, cloneOf: (volume: string) => DiskClone | undefined, stallTimeoutMs: number) {
    this.#volumes = volumes
    this.#cloneOf = cloneOf
    this.#stallTimeoutMs = stallTimeoutMs
  }

  /** Reads ciphertext under the volume's own key. */
  async read(volume: string, offset: bigint, length: number): Promise<Uint8Array> {
    this.#check(volume, offset, length)
    const first = offset / BigInt(BLOCK_SIZE)
    const skip = Number(offset % BigInt(BLOCK_SIZE))
    const count = Math.ceil((skip + length) / BLOCK_SIZE)
    const out = new Uint8Array(count * BLOCK_SIZE)
    const result = await stored(() => this.#volumes.store.readBlocks(volume, first, count, out))
    if (result.status === 'NEEDS_COPY') {
      const pieces = result.foreign.flatMap((run) => cut(run))
      await Promise.all(
        pieces.map(async (run) => {
          const ciphertext = await this.#clone(volume).transient(run, this.#stallTimeoutMs)
          out.set(ciphertext, Number(run.first - first) * BLOCK_SIZE)
        }),
      )
    }
    return out.subarray(skip, skip + length)
  }

  /** Writes ciphertext. A part of a foreign block waits until the worker has copied the block. */
  async write(volume: string, offset: bigint, ciphertext: Uint8Array): Promise<void> {
    this.#check(volume, offset, ciphertext.length)
    const until = Date.now() + this.#stallTimeoutMs
    while (true) {
      const result = await stored(() => this.#volumes.store.writeOwn(volume, offset, ciphertext))
      if (result.status === 'WRITTEN') break
      const clone = this.#clone(volume)
      await Promise.all(result.foreign.map((run) => clone.copyBlock(run.first, until - Date.now())))
    }
    this.#cloneOf(volume)?.wrote()
  }

  /** Resolves when everything that was written is durable. */
  async flush(volume: string): Promise<void> {
    this.#volumes.get(volume)
    await stored(() => this.#volumes.store.flush(volume))
  }

  #check(volume: string, offset: bigint, length: number): void {
    const { size } = this.#volumes.get(volume)
    checkSectors(offset, length)
    if (offset + BigInt(length) <= size) return
    const found = `${length} bytes at ${String(offset)}`
    throw new PalimpsestError(
      'OUT_OF_RANGE',
      `expected bytes below ${String(size)} of ${volume}, found ${found}`,
    )
  }

  #clone(volume: string): DiskClone {
    const clone = this.#cloneOf(volume)
    if (clone) return clone
    const message = `expected the clone that ${volume} came from, found that it was deleted: blocks that were not copied are lost`
    throw new PalimpsestError('STATE', message, { metadata: { volume } })
  }
}

function cut(run: ForeignRun): ForeignRun[] {
  const pieces: ForeignRun[] = []
  for (let done = 0; done < run.count; done += readBlocks) {
    pieces.push({ ...run, first: run.first + BigInt(done), count: Math.min(readBlocks, run.count - done) })
  }
  return pieces
}
