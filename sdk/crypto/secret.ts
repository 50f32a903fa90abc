// Key material that cannot be printed, serialised or cloned by accident, and that can be wiped.
// JavaScript cannot promise that no copy was ever made; what this class gives is one owner, no enumerable field,
// redaction wherever an object is turned into text (util.inspect, JSON, pino, template strings), and a wipe.

import { randomFillSync } from 'node:crypto'
import { inspect } from 'node:util'
import { assertBytes, equalBytes } from './bytes.ts'

/**
 * A byte string that must not leak. The bytes live in a private field: structured clone, JSON and loggers see none of
 * it. Deep-equality helpers of test frameworks see none of it either: compare with {@link Secret.equals}.
 *
 * @example
 * const key = Secret.random(64)
 * const cipher = key.use((bytes) => createCipheriv('aes-256-xts', bytes, tweak))
 * key.wipe()
 */
export class Secret {
  #bytes: Uint8Array | undefined
  readonly #length: number

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#length = bytes.length
  }

  /** A secret holding a copy of `bytes`; the caller still owns, and should wipe, the original. */
  static from(bytes: Uint8Array): Secret {
    assertBytes('bytes', bytes)
    return new Secret(new Uint8Array(bytes))
  }

  /** As {@link Secret.from}, and fills the original with zeros: for results of a derivation or a decryption. */
  static take(bytes: Uint8Array): Secret {
    const secret = Secret.from(bytes)
    bytes.fill(0)
    return secret
  }

  /** `length` bytes from the operating system's generator. */
  static random(length: number): Secret {
    if (!Number.isSafeInteger(length) || length < 1) {
      throw new RangeError(`"length" expected a positive integer, got ${String(length)}`)
    }
    return new Secret(randomFillSync(new Uint8Array(length)))
  }

  /** Number of bytes; known also after {@link Secret.wipe}. */
  get length(): number {
    return this.#length
  }

  /** Whether the bytes were wiped, so that {@link Secret.use} would throw. */
  get wiped(): boolean {
    return this.#bytes === undefined
  }

  /**
   * Calls `fn` with the bytes themselves, not a copy: read them only, only before `fn` returns, and keep no reference.
   * Returns what `fn` returns. Throws TypeError after {@link Secret.wipe}.
   */
  use<T>(fn: (bytes: Uint8Array) => T): T {
    if (this.#bytes === undefined) throw new TypeError('the secret was wiped and cannot be used any more')
    return fn(this.#bytes)
  }

  /** Whether both secrets hold the same bytes, compared in constant time. */
  equals(other: Secret): boolean {
    return this.use((mine) => other.use((theirs) => equalBytes(mine, theirs)))
  }

  /** Fills the bytes with zeros; every later use throws. Wiping twice is harmless. */
  wipe(): void {
    this.#bytes?.fill(0)
    this.#bytes = undefined
  }

  toString(): string {
    return `[Secret ${String(this.#length)} bytes]`
  }

  toJSON(): string {
    return this.toString()
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

/** Key bytes as callers hold them: raw, or wrapped. */
export type KeyBytes = Uint8Array | Secret

/** Calls `fn` with the bytes of either form of key, under the rules of {@link Secret.use}. */
export function useKey<T>(key: KeyBytes, fn: (bytes: Uint8Array) => T): T {
  return key instanceof Secret ? key.use(fn) : fn(key)
}
