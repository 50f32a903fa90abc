// Emulated DRAM: 4 KiB frames that hold ciphertext, as the host sees it (design, section 8; systems, 2.4).
// A frame that is written gets a slot in a large slab, the next one free whatever its number: a machine with a lot of
// memory costs what its guests touched, however that is scattered. An untouched frame reads as zeros.

import { SparseIndex } from './sparse.ts'

/** Bytes in a frame, a block and a guest page. */
export const FRAME_BYTES = 4096
/** log2 of {@link FRAME_BYTES}. */
export const FRAME_SHIFT = 12
/** Most frames that a machine can have: frame numbers leave one bit of 32 free for tables. */
const MAX_FRAMES = 2 ** 31 - 2

const SLAB_BITS = 12
const SLAB_FRAMES = 1 << SLAB_BITS
const zeros = new Uint8Array(FRAME_BYTES)

interface Slab {
  readonly bytes: Uint8Array
  inUse: number
}

/** The frames of one machine, by frame number (host physical address >> 12). */
export class Dram {
  /** Number of frames. */
  readonly frames: number
  /** Frame -> slot + 1, of frames that were written since they were last scrubbed. */
  readonly #slots = new SparseIndex()
  readonly #slabs: (Slab | undefined)[] = []
  /** Slots that scrubbed frames had; a slab exists only while one of its slots is used. */
  readonly #unused: number[] = []
  #taken = 0

  /** `bytes` is the size of the memory: a positive multiple of 4096, below 8 TiB. Throws RangeError otherwise. */
  constructor(bytes: number) {
    const frames = bytes / FRAME_BYTES
    if (!Number.isSafeInteger(frames) || frames < 1 || frames > MAX_FRAMES) {
      throw new RangeError(
        `"bytes" expected a multiple of ${FRAME_BYTES} from ${FRAME_BYTES} to 8 TiB, got ${bytes}`,
      )
    }
    this.frames = frames
  }

  /** Frames that hold something; the memory in use is about that times {@link FRAME_BYTES}. */
  get writtenFrames(): number {
    return this.#taken - this.#unused.length
  }

  /** The 4096 bytes of a frame as they lie there, not a copy: never write to them, never keep them. */
  view(frame: number): Uint8Array {
    this.#check(frame)
    const slot = this.#slots.get(frame) - 1
    const slab = slot < 0 ? undefined : this.#slabs[slot >>> SLAB_BITS]
    if (slab === undefined) return zeros
    const start = (slot & (SLAB_FRAMES - 1)) << FRAME_SHIFT
    return slab.bytes.subarray(start, start + FRAME_BYTES)
  }

  /** Stores 4096 bytes. */
  write(frame: number, content: Uint8Array): void {
    this.#check(frame)
    if (content.length !== FRAME_BYTES) {
      throw new RangeError(`"content" expected ${FRAME_BYTES} bytes, got length=${content.length}`)
    }
    let slot = this.#slots.get(frame) - 1
    const isNew = slot < 0
    if (isNew) {
      slot = this.#unused.pop() ?? this.#taken++
      this.#slots.set(frame, slot + 1)
    }
    const slab = (this.#slabs[slot >>> SLAB_BITS] ??= newSlab())
    slab.bytes.set(content, (slot & (SLAB_FRAMES - 1)) << FRAME_SHIFT)
    if (isNew) slab.inUse++
  }

  /** Makes a frame read as zeros. Returns whether it held anything. */
  scrub(frame: number): boolean {
    this.#check(frame)
    const slot = this.#slots.get(frame) - 1
    const slab = slot < 0 ? undefined : this.#slabs[slot >>> SLAB_BITS]
    if (slab === undefined) return false
    const start = (slot & (SLAB_FRAMES - 1)) << FRAME_SHIFT
    slab.bytes.fill(0, start, start + FRAME_BYTES)
    this.#slots.set(frame, 0)
    this.#unused.push(slot)
    if (--slab.inUse === 0) this.#slabs[slot >>> SLAB_BITS] = undefined
    return true
  }

  #check(frame: number): void {
    if (!(Number.isInteger(frame) && frame >= 0 && frame < this.frames)) {
      throw new RangeError(`"frame" expected 0..${this.frames - 1}, got ${frame}`)
    }
  }
}

function newSlab(): Slab {
  // Large enough that the allocator maps it anew: slots that were never used take no memory.
  return { bytes: new Uint8Array(SLAB_FRAMES * FRAME_BYTES), inUse: 0 }
}
