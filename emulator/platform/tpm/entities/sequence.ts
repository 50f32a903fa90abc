// Sequence objects: a hash, an HMAC, or an event in every bank, fed over several commands. They take a transient slot
// and can be swapped out like any object.
// Source: TPM 2.0 Library, Part 1, clause 32.4 and Part 3, clause 17, revision 1.59.

import { type Codec, hash, list, struct, TPM2B_AUTH, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { HASH_STATE, hmacPad, type HashState, ResumableHash } from '../keys/resumable-hash.ts'
import { LONG_BYTES, oneOf, optional } from '../state/codecs.ts'
import { GENERATED_BYTES, looksGenerated } from './generated.ts'

const KINDS = ['hash', 'hmac', 'event'] as const

/** What a sequence is when it is saved. */
interface SequenceRecord {
  readonly kind: (typeof KINDS)[number]
  readonly authValue: Uint8Array
  readonly hashes: readonly HashState[]
  /** of an HMAC: the outer pad with the key */
  readonly outerPad: Uint8Array
  /** first bytes of a hash's first buffer; undefined before it */
  readonly head: Uint8Array | undefined
}

const RECORD = struct<SequenceRecord>('sequence', {
  kind: oneOf('kind', KINDS),
  authValue: TPM2B_AUTH,
  hashes: list('hashes', HASH_STATE, 8),
  outerPad: LONG_BYTES,
  head: optional(LONG_BYTES),
})

/** A sequence that is loaded. */
export class Sequence {
  readonly kind: SequenceRecord['kind']
  readonly authValue: Uint8Array
  readonly #hashes: readonly ResumableHash[]
  readonly #outerPad: Uint8Array
  #head: Uint8Array | undefined

  private constructor(record: Omit<SequenceRecord, 'hashes'>, hashes: readonly ResumableHash[]) {
    this.kind = record.kind
    this.authValue = record.authValue
    this.#outerPad = record.outerPad
    this.#head = record.head
    this.#hashes = hashes
  }

  /** A hash sequence of one algorithm. */
  static hash(hashAlg: number, authValue: Uint8Array): Sequence {
    const none = new Uint8Array(0)
    return new Sequence({ kind: 'hash', authValue, outerPad: none, head: undefined }, [
      ResumableHash.start(hashAlg),
    ])
  }

  /** An event sequence over all `banks`. */
  static event(banks: readonly number[], authValue: Uint8Array): Sequence {
    const none = new Uint8Array(0)
    const hashes = banks.map((bank) => ResumableHash.start(bank))
    return new Sequence({ kind: 'event', authValue, outerPad: none, head: undefined }, hashes)
  }

  /** An HMAC sequence (FIPS 198-1). */
  static hmac(hashAlg: number, key: Uint8Array, authValue: Uint8Array): Sequence {
    const inner = ResumableHash.start(hashAlg)
    inner.update(hmacPad(hashAlg, key, 0x36))
    const outerPad = hmacPad(hashAlg, key, 0x5c)
    return new Sequence({ kind: 'hmac', authValue, outerPad, head: undefined }, [inner])
  }

  update(bytes: Uint8Array): void {
    for (const one of this.#hashes) one.update(bytes)
    this.#head ??= bytes.slice(0, GENERATED_BYTES)
  }

  /**
   * Whether the first buffer has a first word and it is not TPM_GENERATED_VALUE: only then may a restricted key sign the
   * digest. A shorter first buffer, even an empty one, is not looked beyond (Part 3, 17.5.1).
   */
  get ticketSafe(): boolean {
    const head = this.#head ?? new Uint8Array(0)
    return head.length === GENERATED_BYTES && !looksGenerated(head)
  }

  /** Digests by algorithm; of an HMAC the one HMAC. The sequence is used up. */
  finish(): Map<number, Uint8Array> {
    return new Map(
      this.#hashes.map((one) => {
        const digest = one.digest()
        return [one.hashAlg, this.kind === 'hmac' ? hash(one.hashAlg, this.#outerPad, digest) : digest]
      }),
    )
  }

  /** Hash of the sequence; of an event the first bank's. */
  get hashAlg(): number {
    return this.#hashes[0]?.hashAlg ?? TPM_ALG.NULL
  }

  /** How sequences are saved. */
  static readonly codec: Codec<Sequence> = {
    name: 'sequence',
    read: (reader) => {
      const record = RECORD.read(reader)
      return new Sequence(
        record,
        record.hashes.map((state) => ResumableHash.resume(state)),
      )
    },
    write: (writer, value) => {
      RECORD.write(writer, {
        kind: value.kind,
        authValue: value.authValue,
        hashes: value.#hashes.map((one) => one.state()),
        outerPad: value.#outerPad,
        head: value.#head,
      })
    },
  }
}
