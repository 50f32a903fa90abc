// Content of frames between the memory controller and DRAM: every write is logged and, in integrity mode, tagged; every
// read that somebody will rely on is checked first. The host goes past all of it, to DRAM itself: it may read and write
// ciphertext as it likes (threats, 10.2), and its writes are logged too, so that a test can tell who wrote what.

import { integrityFault } from '../refusals.ts'
import type { Dram } from './dram.ts'
import type { FrameTags } from './frame-tags.ts'
import { HOST_WRITER, PLATFORM_WRITER, type LoggedWrite, type WriteLog } from './write-log.ts'

/** Who wrote, why, and the frame's generation from then on. */
export type WriteNote = Pick<LoggedWrite, 'writer' | 'cause' | 'generation'>

/** What the store works on. */
export interface FrameStoreParts {
  readonly dram: Dram
  readonly writeLog: WriteLog
  /** Integrity mode; undefined without. */
  readonly tags: FrameTags | undefined
}

/** Reads and writes ciphertext of frames. */
export class FrameStore {
  readonly #parts: FrameStoreParts

  constructor(parts: FrameStoreParts) {
    this.#parts = parts
  }

  /**
   * The ciphertext of a frame that was written; not a copy. `place` says what the reader knows the frame as.
   * @throws INTEGRITY_FAULT when it is not what was written
   */
  read(frame: number, place: (frame: number) => string): Uint8Array {
    const { dram, tags } = this.#parts
    const content = dram.view(frame)
    if (tags === undefined || tags.matches(frame, content)) return content
    throw integrityFault(place(frame))
  }

  /** Stores ciphertext. */
  write(frame: number, ciphertext: Uint8Array, { writer, cause, generation }: WriteNote): void {
    const { dram, tags, writeLog } = this.#parts
    dram.write(frame, ciphertext)
    tags?.set(frame, generation, ciphertext)
    writeLog.append(frame, writer, cause, generation)
  }

  /** Makes a frame read as zeros. */
  scrub(frame: number, generation: number): void {
    const { dram, tags, writeLog } = this.#parts
    tags?.forget(frame)
    if (dram.scrub(frame)) writeLog.append(frame, PLATFORM_WRITER, 'scrub', generation)
  }

  /** What the host finds in DRAM; not a copy. */
  readByHost(frame: number): Uint8Array {
    return this.#parts.dram.view(frame)
  }

  /** What the host puts into DRAM: neither generation nor tag changes with it. */
  writeByHost(frame: number, content: Uint8Array, generation: number): void {
    const { dram, writeLog } = this.#parts
    dram.write(frame, content)
    writeLog.append(frame, HOST_WRITER, 'host', generation)
  }
}
