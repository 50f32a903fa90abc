// The TPM's clock: milliseconds powered, over all power cycles. It never goes back: before it passes the stored bound
// a greater bound is stored, and after a power loss it goes on from the bound. So TPMS_CLOCK_INFO.safe is always YES.
// Source: TPM 2.0 Library, Part 1, clause 36 (timing components), revision 1.59.

import { performance } from 'node:perf_hooks'
import { type TPMS_CLOCK_INFO, type TPMS_TIME_INFO } from '../../../sdk/tpm2/index.ts'
import { type TpmState, type TpmStore } from './state.ts'

/** How far ahead the bound is stored: what the clock may skip at a power loss, in milliseconds. */
const BOUND_STEP = 1n << 16n

/** Milliseconds since any fixed moment; must not go back. */
export type Milliseconds = () => bigint

/** The system's monotonic time. */
export const monotonic: Milliseconds = () => BigInt(Math.floor(performance.now()))

/** Clock, reset count and their storage. */
export class TpmClock {
  readonly #store: TpmStore
  readonly #now: Milliseconds
  readonly #poweredOn: bigint
  #state: TpmState
  #started: bigint
  #base: bigint

  constructor(store: TpmStore, state: TpmState, now: Milliseconds) {
    this.#store = store
    this.#state = state
    this.#now = now
    this.#poweredOn = now()
    this.#started = this.#poweredOn
    this.#base = state.clockBound
  }

  /** Counts a TPM reset, durably, before anything can be measured after it. */
  reset(): void {
    this.#base = this.#state.clockBound
    this.#started = this.#now()
    this.#save({
      ...this.#state,
      resetCount: this.#state.resetCount + 1,
      clockBound: this.#base + BOUND_STEP,
    })
  }

  /** TPMS_CLOCK_INFO now. restartCount is 0: only TPM reset is offered, neither restart nor resume. */
  clockInfo(): TPMS_CLOCK_INFO {
    const clock = this.#base + this.#now() - this.#started
    if (clock > this.#state.clockBound) this.#save({ ...this.#state, clockBound: clock + BOUND_STEP })
    return { clock, resetCount: this.#state.resetCount, restartCount: 0, safe: true }
  }

  /** TPMS_TIME_INFO now. */
  timeInfo(): TPMS_TIME_INFO {
    return { time: this.#now() - this.#poweredOn, clockInfo: this.clockInfo() }
  }

  #save(state: TpmState): void {
    this.#store.save(state)
    this.#state = state
  }
}
