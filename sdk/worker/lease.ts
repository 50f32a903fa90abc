// How long granted keys may be used. A lease begins with what the platform looked like when the registration opened,
// before any nonce existed, and ends when its time is over or when that look changes: a reset, or a PCR extended.

import { PalimpsestError } from '../rpc/index.ts'

/** What ends a lease; the platform's clock is in milliseconds. */
export interface PlatformState {
  readonly resetCount: number
  readonly pcrUpdateCounter: number
  readonly clock: bigint
}

/** Longest lease, in milliseconds of platform time. */
export const LEASE_MS = 600_000n

/** One lease. */
export class Lease {
  readonly #baseline: PlatformState
  #until = 0n

  constructor(baseline: PlatformState) {
    this.#baseline = baseline
  }

  /** When the lease ends, in milliseconds of platform time; 0 before it starts. */
  get until(): bigint {
    return this.#until
  }

  /** Starts the lease at `now`, for no longer than any of `limits` allows. */
  start(now: bigint, limits: readonly bigint[]): void {
    this.#until = limits.reduce((least, limit) => (limit < least ? limit : least), now + LEASE_MS)
  }

  /** Ends the lease earlier, where any of `limits` asks for that. */
  shorten(limits: readonly bigint[]): void {
    this.#until = limits.reduce((least, limit) => (limit < least ? limit : least), this.#until)
  }

  /** Why the lease is over in `state`, or undefined while it holds. */
  ended(state: PlatformState): PalimpsestError | undefined {
    if (state.resetCount !== this.#baseline.resetCount) return expired('the platform was reset')
    if (state.pcrUpdateCounter !== this.#baseline.pcrUpdateCounter) return expired('a PCR was extended')
    if (state.clock >= this.#until) return expired('its time is over')
    return undefined
  }
}

function expired(why: string): PalimpsestError {
  return new PalimpsestError('GRANT_EXPIRED', `the lease ended because ${why}; register again`)
}
