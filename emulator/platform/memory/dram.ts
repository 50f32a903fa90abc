// Emulated DRAM: 4 KiB frames that hold ciphertext, as the host sees it (design, section 8; systems, 2.4).
// Frames lie in large slabs that exist only while one of their frames holds something, so that a machine with a lot of
// memory costs what its guests touched. An untouched frame reads as zeros.

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
  /** One byte a frame: whether it was written since it was last scrubbed. */
  readonly written: Uint8Array
  inUse: number
}

/** The frames of one machine, by frame number (host physical address >> 12). */
export class Dram {
  /** Number of frames. */
  readonly frames: number
  readonly #slabs: (Slab | undefined)[]
  #written = 0

  /** `bytes` is the size of the memory: a positive multiple of 4096, below 8 TiB. Throws RangeError otherwise. */
  constructor(bytes: number) {
    const frames = bytes / FRAME_BYTES
    if (!Number.isSafeInteger(frames) || frames < 1 || frames > MAX_FRAMES) {
      throw new RangeError(
        `"bytes" expected a multiple of ${FRAME_BYTES} from ${FRAME_BYTES} to 8 TiB, got ${bytes}`,
      )
    }
    this.frames = frames
    this.#slabs = Array.from({ length: Math.ceil(frames / SLAB_FRAMES) })
  }

  /** Frames that hold something; the memory in use is about that times {@link FRAME_BYTES}. */
  get writtenFrames(): number {
    return this.#written
  }

  /** The 4096 bytes of a frame as they lie there, not a copy: never write to them, never keep them. */
  view(frame: number): Uint8Array {
    this.#check(frame)
    const slab = this.#slabs[frame >>> SLAB_BITS]
    if (slab === undefined) return zeros
    const start = (frame & (SLAB_FRAMES - 1)) << FRAME_SHIFT
    return slab.bytes.subarray(start, start + FRAME_BYTES)
  }

  /** Stores 4096 bytes. */
  write(frame: number, content: Uint8Array): void {
    this.#check(frame)
    if (content.length !== FRAME_BYTES) {
      throw new RangeError(`"content" expected ${FRAME_BYTES} bytes, got length=${content.length}`)
    }
    const slab = (this.#slabs[frame >>> SLAB_BITS] ??= newSlab())
    const at = frame & (SLAB_FRAMES - 1)
    slab.bytes.set(content, at << FRAME_SHIFT)
    if (slab.written[at] !== 0) return
    slab.written[at] = 1
    slab.inUse++
    this.#written++
  }

  /** Makes a frame read as zeros. Returns whether it held anything. */
  scrub(frame: number): boolean {
    this.#check(frame)
    const slab = this.#slabs[frame >>> SLAB_BITS]
    const at = frame & (SLAB_FRAMES - 1)
    if (slab?.written[at] !== 1) return false
    slab.bytes.fill(0, at << FRAME_SHIFT, (at + 1) << FRAME_SHIFT)
    slab.written[at] = 0
    this.#written--
    if (--slab.inUse === 0) this.#slabs[frame >>> SLAB_BITS] = undefined
    return true
  }

  #check(frame: number): void {
    if (!(Number.isInteger(frame) && frame >= 0 && frame < this.frames)) {
      throw new RangeError(`"frame" expected 0..${this.frames - 1}, got ${frame}`)
    }
  }
}

function newSlab(): Slab {
  // Large enough that the allocator maps it anew: pages that are never written take no memory.
  return { bytes: new Uint8Array(SLAB_FRAMES * FRAME_BYTES), written: new Uint8Array(SLAB_FRAMES), inUse: 0 }
}
