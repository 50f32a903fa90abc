/**
 * Reads a file of ciphertext for an import, with bounded memory, leaving out blocks of zeros: what was never written
 * stays a hole. Node offers no SEEK_HOLE, so holes are read too; comparing them costs little beside the disk.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { BLOCK_SIZE } from './bitmap.ts'

const STEP_BYTES = 1 << 20
const ZEROS = Buffer.alloc(STEP_BYTES)

/** Neighbouring blocks of a regular file, none of them all zero. */
export interface DataRun {
  readonly first: number
  readonly bytes: Uint8Array
}

/** An opened file to import. */
export class SparseFile {
  readonly #handle: FileHandle
  readonly sizeBytes: bigint

  private constructor(handle: FileHandle, sizeBytes: bigint) {
    this.#handle = handle
    this.sizeBytes = sizeBytes
  }

  /** Opens a file for reading. Throws the system's error when that fails. */
  static async open(path: string): Promise<SparseFile> {
    const handle = await open(path, 'r')
    const { size } = await handle.stat({ bigint: true })
    return new SparseFile(handle, size)
  }

  /** The file's runs of blocks with data, in order. `bytes` is only valid until the next one is asked for. */
  async *runs(signal?: AbortSignal): AsyncGenerator<DataRun, void> {
    const buffer = Buffer.alloc(STEP_BYTES)
    for (let position = 0; position < Number(this.sizeBytes); position += STEP_BYTES) {
      signal?.throwIfAborted()
      const wanted = Math.min(STEP_BYTES, Number(this.sizeBytes) - position)
      const bytes = buffer.subarray(0, wanted)
      await this.#fill(bytes, position)
      if (bytes.equals(ZEROS.subarray(0, wanted))) continue
      yield* dataRuns(bytes, position / BLOCK_SIZE)
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  async #fill(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await this.#handle.read(bytes, done, bytes.length - done, position + done)
      if (bytesRead === 0) {
        throw new RangeError(
          `the file became shorter while it was read: nothing at byte ${String(position + done)}`,
        )
      }
      done += bytesRead
    }
  }
}

function* dataRuns(bytes: Buffer, firstBlock: number): Generator<DataRun, void> {
  const zero = ZEROS.subarray(0, BLOCK_SIZE)
  let begin = -1
  for (let at = 0; at <= bytes.length; at += BLOCK_SIZE) {
    const isData = at < bytes.length && !bytes.subarray(at, at + BLOCK_SIZE).equals(zero)
    if (isData && begin < 0) begin = at
    if (!isData && begin >= 0) {
      yield { first: firstBlock + begin / BLOCK_SIZE, bytes: bytes.subarray(begin, at) }
      begin = -1
    }
  }
}
