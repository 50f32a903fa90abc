// Block keys by frame, in few large buffers instead of one object a key, wiped together.

import { BLOCK_KEY_LENGTH } from '../crypto/index.ts'

/** Keys of frames. The bytes that it returns are lent: use them at once, keep none. */
export class KeyTable {
  readonly #places = new Map<bigint, Uint8Array>()
  readonly #buffers: Uint8Array[] = []

  /** Number of keys. */
  get size(): number {
    return this.#places.size
  }

  /**
   * Takes over a buffer with the keys of `frames`, in order, 64 bytes each; it is wiped with the table.
   * Throws RangeError when the lengths do not fit.
   */
  adopt(frames: readonly bigint[], keys: Uint8Array): void {
    if (keys.length !== frames.length * BLOCK_KEY_LENGTH) {
      throw new RangeError(
        `"keys" expected ${String(frames.length * BLOCK_KEY_LENGTH)} bytes, got ${String(keys.length)}`,
      )
    }
    this.#buffers.push(keys)
    for (const [index, frame] of frames.entries()) {
      this.#places.set(frame, keys.subarray(index * BLOCK_KEY_LENGTH, (index + 1) * BLOCK_KEY_LENGTH))
    }
  }

  /** Takes over everything that `other` holds; `other` is empty afterwards. */
  absorb(other: KeyTable): void {
    for (const [frame, key] of other.#places) this.#places.set(frame, key)
    this.#buffers.push(...other.#buffers)
    other.#places.clear()
    other.#buffers.length = 0
  }

  /** The key of a frame, or undefined. */
  get(frame: bigint): Uint8Array | undefined {
    return this.#places.get(frame)
  }

  /** Fills one key with zeros and forgets it. */
  drop(frame: bigint): void {
    this.#places.get(frame)?.fill(0)
    this.#places.delete(frame)
  }

  /** Fills all keys with zeros and forgets them. */
  wipe(): void {
    for (const buffer of this.#buffers) buffer.fill(0)
    this.#buffers.length = 0
    this.#places.clear()
  }
}
