// The TPM's clock: milliseconds powered, over all power cycles. It never goes back: before it passes the stored bound
// a greater bound is stored, and after a power loss it goes on from the bound. So TPMS_CLOCK_INFO.safe is always YES.
// Source: TPM 2.0 Library, Part 1, clause 36 (timing components), revision 1.59.

import { performance } from 'node:perf_hooks'
import { type TimingState } from './permanent.ts'

/** How far ahead the bound is stored: what the clock may skip at a power loss, in milliseconds. */
const BOUND_STEP = 1n << 16n
/** A command may take this long before the clock, read at its end, passes the bound. */
const MARGIN = 1n << 13n
const PPM = 1_000_000n

/** Milliseconds since any fixed moment; must not go back. */
export type Milliseconds = () => bigint

/** The system's monotonic time. */
export const monotonic: Milliseconds = () => BigInt(Math.floor(performance.now()))

/** Clock and Time since power-on. */
export class TpmClock {
  readonly #now: Milliseconds
  readonly #timing: TimingState
  #since: bigint
  #timeBase = 0n
  #clockBase: bigint
  /** parts per million added to the rate, within ±15 % */
  #adjustment = 0n
  /** the bound cannot be raised now */
  #held = false

  constructor(timing: TimingState, now: Milliseconds) {
    this.#timing = timing
    this.#now = now
    this.#since = now()
    this.#clockBase = timing.clockBound
  }

  /** Milliseconds since power-on, at the adjusted rate. */
  get time(): bigint {
    return this.#timeBase + this.#elapsed()
  }

  /** Clock, in milliseconds. While the bound cannot be raised it stops there. */
  get clock(): bigint {
    const clock = this.#clockBase + this.#elapsed()
    const { clockBound } = this.#timing
    return this.#held && clock > clockBound ? clockBound : clock
  }

  /**
   * Raises the bound when the clock comes near it; true when it has to be stored before the clock is shown. Without NV
   * memory to store it in, the bound stays (Part 1, 36.3: the clock does not go on then).
   */
  keepAhead(nvAvailable: boolean): boolean {
    this.#held = !nvAvailable
    if (this.#held) return false
    const due = this.clock + MARGIN > this.#timing.clockBound
    if (due) this.#timing.clockBound = this.clock + BOUND_STEP
    return due
  }

  /** TPM2_ClockSet: forward only, which the caller checks. */
  advance(clock: bigint): void {
    this.#rebase()
    this.#clockBase = clock
    this.#timing.clockBound = clock + BOUND_STEP
  }

  /** TPM2_Clear: Clock begins anew at 0; Time goes on. */
  restart(): void {
    this.advance(0n)
  }

  /** An orderly shutdown: the clock will go on where it is. */
  settle(): void {
    this.#timing.clockBound = this.clock
  }

  /** TPM2_ClockRateAdjust: `ppm` parts per million faster or slower than now, at most 15 % off (Part 3, 29.3). */
  adjust(ppm: number): void {
    this.#rebase()
    const wanted = this.#adjustment + BigInt(ppm)
    const limit = (PPM * 15n) / 100n
    this.#adjustment = wanted > limit ? limit : wanted < -limit ? -limit : wanted
  }

  /** Parts per million by which the rate is adjusted. */
  get adjustment(): number {
    return Number(this.#adjustment)
  }

  /** Takes up the time of a TPM that was saved while powered, and its rate. */
  resume(time: bigint, clock: bigint, adjustment: number): void {
    this.#since = this.#now()
    this.#timeBase = time
    this.#clockBase = clock
    this.#adjustment = BigInt(adjustment)
  }

  #elapsed(): bigint {
    const passed = this.#now() - this.#since
    return this.#adjustment === 0n ? passed : (passed * (PPM + this.#adjustment)) / PPM
  }

  #rebase(): void {
    const { time, clock, adjustment } = this
    this.resume(time, clock, adjustment)
  }
}
