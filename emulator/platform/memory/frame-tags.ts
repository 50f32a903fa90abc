// Tags of integrity mode (systems, 2.12; feature C-35): per frame that holds something, HMAC-SHA-256 over frame number,
// generation and ciphertext, under a key that no boot shares with another. DRAM is the host's to change; the tags are
// not, so that ciphertext that was flipped, moved from another frame or put back from an earlier time has a wrong tag.
//
// A tag is cut to 128 bits, half of the hash: as short as RFC 2104, section 5, recommends. TDX cuts its MAC to 28 bits,
// because they must fit beside a cache line's ECC bits; here nothing is gained by a shorter one, and no flip ever passes
// by luck. A tag holds with the generation of the write that made it; moves of the frame leave content and tag alone.

import { createHmac, createSecretKey, randomBytes, timingSafeEqual, type KeyObject } from 'node:crypto'
import { CHUNK_VALUES, chunkOf, SparsePlaces, withinChunk } from './sparse.ts'

const TAG_BYTES = 16
const GENERATION_BYTES = 8
const RECORD_BYTES = GENERATION_BYTES + TAG_BYTES
const KEY_BYTES = 32

/** The tags of all frames. */
export class FrameTags {
  readonly #key: KeyObject = newKey()
  readonly #places = new SparsePlaces()
  /** Per frame: generation, little-endian, and tag; zeros where there is none. */
  readonly #chunks: Uint8Array[] = []

  /** The frame's content is `ciphertext` from now on, by the write that made `generation`. */
  set(frame: number, generation: number, ciphertext: Uint8Array): void {
    const record = this.#record(this.#places.take(frame))
    generationOf(record).setBigUint64(0, BigInt(generation), true)
    record.set(this.#tag(frame, record, ciphertext), GENERATION_BYTES)
  }

  /** The frame holds nothing any more. */
  forget(frame: number): void {
    const place = this.#places.find(frame)
    if (place >= 0) this.#record(place).fill(0)
  }

  /** Whether `ciphertext` is what was last written to the frame. */
  matches(frame: number, ciphertext: Uint8Array): boolean {
    const place = this.#places.find(frame)
    if (place < 0) return false
    const record = this.#record(place)
    return timingSafeEqual(this.#tag(frame, record, ciphertext), record.subarray(GENERATION_BYTES))
  }

  #tag(frame: number, record: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    const head = new Uint8Array(GENERATION_BYTES * 2)
    new DataView(head.buffer).setBigUint64(0, BigInt(frame), true)
    head.set(record.subarray(0, GENERATION_BYTES), GENERATION_BYTES)
    return createHmac('sha256', this.#key).update(head).update(ciphertext).digest().subarray(0, TAG_BYTES)
  }

  #record(place: number): Uint8Array {
    const chunk = (this.#chunks[chunkOf(place)] ??= new Uint8Array(CHUNK_VALUES * RECORD_BYTES))
    const at = withinChunk(place) * RECORD_BYTES
    return chunk.subarray(at, at + RECORD_BYTES)
  }
}

function generationOf(record: Uint8Array): DataView {
  return new DataView(record.buffer, record.byteOffset, GENERATION_BYTES)
}

function newKey(): KeyObject {
  const bytes = randomBytes(KEY_BYTES)
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}
