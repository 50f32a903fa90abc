// Which challenges are out. An answer is judged once: its nonce is burnt before the judgement, so that a failed try
// cannot be repeated with other evidence, and an old answer cannot be replayed (threat A-04).

import { hex } from '../crypto/index.ts'
import { Refusal } from './refusal.ts'

/** Challenges that are remembered at a time unless the owner of the book says otherwise. */
const CAPACITY = 4096

interface Entry<T> {
  readonly until: number
  readonly value: T
}

/**
 * Nonces that were issued and not used. Bounded: when full, expired ones go, then the oldest, whose answer will be
 * STALE_NONCE; so a host that asks for challenges without end costs only itself.
 *
 * @example
 * const book = new ChallengeBook<string>()
 * book.issue(challenge.nonce, 60_000, registration)
 * const registration = book.burn(challenge.nonce) // the second time: STALE_NONCE
 */
export class ChallengeBook<T = undefined> {
  readonly #now: () => number
  readonly #capacity: number
  readonly #entries = new Map<string, Entry<T>>()

  /** `now` is milliseconds that never go back (default: since the process started); `capacity` at least 1. */
  constructor(options: { readonly now?: () => number; readonly capacity?: number } = {}) {
    this.#now = options.now ?? (() => performance.now())
    this.#capacity = options.capacity ?? CAPACITY
    if (!Number.isInteger(this.#capacity) || this.#capacity < 1) {
      throw new RangeError(`"capacity" expected a positive integer, got ${String(this.#capacity)}`)
    }
  }

  /** Challenges that are out now, expired ones perhaps included. */
  get size(): number {
    return this.#entries.size
  }

  /** Remembers a nonce for `ttlMs` with what belongs to it. Throws RangeError for one that is out already. */
  issue(nonce: Uint8Array, ttlMs: number, value: T): void {
    const key = hex(nonce)
    if (this.#entries.has(key))
      throw new RangeError('"nonce" expected a fresh one, got one that is out already')
    this.#makeRoom()
    this.#entries.set(key, { until: this.#now() + ttlMs, value })
  }

  /** Takes the nonce out for good and returns its value. Throws {@link Refusal} STALE_NONCE. */
  burn(nonce: Uint8Array): T {
    const key = hex(nonce)
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    if (entry === undefined) throw stale('one that was not issued here or was used already')
    if (this.#now() >= entry.until) throw stale('one whose time is over')
    return entry.value
  }

  #makeRoom(): void {
    if (this.#entries.size < this.#capacity) return
    const now = this.#now()
    for (const [key, { until }] of this.#entries) if (now >= until) this.#entries.delete(key)
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined && this.#entries.size >= this.#capacity) this.#entries.delete(oldest)
  }
}

function stale(found: string): Refusal {
  return new Refusal('STALE_NONCE', 'challenge', {
    expected: 'a nonce that is out and unused',
    found,
    action: 'ask for a new challenge',
  })
}
