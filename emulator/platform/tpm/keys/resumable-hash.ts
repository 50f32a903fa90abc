// Hashes whose unfinished state can be saved and taken up again: a sequence object may be swapped out by
// TPM2_ContextSave between two TPM2_SequenceUpdate, and node:crypto's hashes cannot be saved.
// Source: FIPS 180-4; TPM 2.0 Library, Part 3, clause 17 (hash and HMAC sequences), revision 1.59.

import { _SHA1 } from '@noble/hashes/legacy.js'
import { _SHA256, _SHA384, _SHA512 } from '@noble/hashes/sha2.js'
import {
  type Codec,
  hash,
  list,
  struct,
  TPM_ALG,
  UINT16,
  UINT32,
  UINT64,
} from '../../../../sdk/tpm2/index.ts'
import { LONG_BYTES } from '../state/codecs.ts'

/** An unfinished hash, as data. */
export interface HashState {
  readonly hashAlg: number
  /** the chaining value in words of 32 bits */
  readonly words: readonly number[]
  /** bytes that do not fill a block yet */
  readonly tail: Uint8Array
  /** bytes so far */
  readonly length: bigint
}

/** How HashState is saved. */
export const HASH_STATE: Codec<HashState> = struct<HashState>('hash state', {
  hashAlg: UINT16,
  words: list('words', UINT32, 16),
  tail: LONG_BYTES,
  length: UINT64,
})

type Saved = Omit<HashState, 'hashAlg'>

/** The unfinished state of a hash of the Merkle-Damgard construction. */
interface Resumable {
  update(bytes: Uint8Array): unknown
  digest(): Uint8Array
  save(): Saved
  resume(state: Saved): void
}

class Sha1 extends _SHA1 implements Resumable {
  save(): Saved {
    return saved(this.get(), this.buffer, this.pos, this.length)
  }
  resume(state: Saved): void {
    this.set(...(state.words as Parameters<_SHA1['set']>))
    this.pos = refill(this.buffer, state)
    this.length = Number(state.length)
  }
}

class Sha256 extends _SHA256 implements Resumable {
  save(): Saved {
    return saved(this.get(), this.buffer, this.pos, this.length)
  }
  resume(state: Saved): void {
    this.set(...(state.words as Parameters<_SHA256['set']>))
    this.pos = refill(this.buffer, state)
    this.length = Number(state.length)
  }
}

class Sha384 extends _SHA384 implements Resumable {
  save(): Saved {
    return saved(this.get(), this.buffer, this.pos, this.length)
  }
  resume(state: Saved): void {
    this.set(...(state.words as Parameters<_SHA384['set']>))
    this.pos = refill(this.buffer, state)
    this.length = Number(state.length)
  }
}

class Sha512 extends _SHA512 implements Resumable {
  save(): Saved {
    return saved(this.get(), this.buffer, this.pos, this.length)
  }
  resume(state: Saved): void {
    this.set(...(state.words as Parameters<_SHA512['set']>))
    this.pos = refill(this.buffer, state)
    this.length = Number(state.length)
  }
}

function saved(words: readonly number[], buffer: Uint8Array, pos: number, length: number): Saved {
  return { words: words.map((word) => word >>> 0), tail: buffer.slice(0, pos), length: BigInt(length) }
}

function refill(buffer: Uint8Array, state: Saved): number {
  buffer.set(state.tail)
  return state.tail.length
}

const MAKERS = new Map<number, () => Resumable>([
  [TPM_ALG.SHA1, () => new Sha1()],
  [TPM_ALG.SHA256, () => new Sha256()],
  [TPM_ALG.SHA384, () => new Sha384()],
  [TPM_ALG.SHA512, () => new Sha512()],
])

function make(hashAlg: number): Resumable {
  const maker = MAKERS.get(hashAlg)
  if (maker === undefined) throw new RangeError(`"hashAlg" expected a hash, got 0x${hashAlg.toString(16)}`)
  return maker()
}

/** A hash that goes on from `state`, and whose own state is data again. */
export class ResumableHash {
  readonly hashAlg: number
  readonly #hash: Resumable

  private constructor(hashAlg: number, resumable: Resumable) {
    this.hashAlg = hashAlg
    this.#hash = resumable
  }

  /** A hash of nothing yet. Throws RangeError for an algorithm that is no hash. */
  static start(hashAlg: number): ResumableHash {
    return new ResumableHash(hashAlg, make(hashAlg))
  }

  static resume(state: HashState): ResumableHash {
    const resumable = make(state.hashAlg)
    resumable.resume(state)
    return new ResumableHash(state.hashAlg, resumable)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  state(): HashState {
    return { hashAlg: this.hashAlg, ...this.#hash.save() }
  }

  /** The digest; the hash cannot be used any more. */
  digest(): Uint8Array {
    return this.#hash.digest()
  }
}

/** Block sizes in bytes: HMAC pads its key to one (FIPS 198-1). */
const BLOCK_BYTES = new Map<number, number>([
  [TPM_ALG.SHA1, 64],
  [TPM_ALG.SHA256, 64],
  [TPM_ALG.SHA384, 128],
  [TPM_ALG.SHA512, 128],
])

/** Bytes in a block of a hash: the longest key that its HMAC uses as it is. */
export function blockBytes(hashAlg: number): number {
  const bytes = BLOCK_BYTES.get(hashAlg)
  if (bytes === undefined) throw new RangeError(`"hashAlg" expected a hash, got 0x${hashAlg.toString(16)}`)
  return bytes
}

/** An HMAC key, padded to the block of its hash and combined with 0x36 (inner) or 0x5c (outer), FIPS 198-1. */
export function hmacPad(hashAlg: number, key: Uint8Array, fill: 0x36 | 0x5c): Uint8Array {
  const block = blockBytes(hashAlg)
  const short = key.length > block ? hash(hashAlg, key) : key
  const pad = new Uint8Array(block).fill(fill)
  for (const [index, octet] of short.entries()) pad[index] = fill ^ octet
  return pad
}
