// The clock: reading it, setting it forward, and how fast it runs.
// Source: TPM 2.0 Library, Part 3, clause 29 and Part 1, clause 36, revision 1.59.

import {
  TPM2_ClockRateAdjust,
  TPM2_ClockSet,
  TPM2_ReadClock,
  TPM_CLOCK_ADJUST,
  TPM_RC,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { clockInfo } from '../entities/attest.ts'
import { TpmError } from '../errors.ts'
import { changed } from '../state/tpm-state.ts'

/** What Clock can be set to at most (Part 3, 29.2): beyond it, it might overflow in the life of the TPM. */
const LAST_CLOCK = 0xffff_0000_0000_0000n

/** Steps of TPM2_ClockRateAdjust in parts per million: 1 %, 0.1 %, and one part of 30,000, as the reference has them. */
const STEPS = new Map<number, number>([
  [TPM_CLOCK_ADJUST.COARSE_SLOWER, -10_000],
  [TPM_CLOCK_ADJUST.MEDIUM_SLOWER, -1_000],
  [TPM_CLOCK_ADJUST.FINE_SLOWER, -33],
  [TPM_CLOCK_ADJUST.NO_CHANGE, 0],
  [TPM_CLOCK_ADJUST.FINE_FASTER, 33],
  [TPM_CLOCK_ADJUST.MEDIUM_FASTER, 1_000],
  [TPM_CLOCK_ADJUST.COARSE_FASTER, 10_000],
])

const readClock = implement(TPM2_ReadClock, (tpm) => ({
  currentTime: { time: tpm.clock.time, clockInfo: clockInfo(tpm) },
}))

const clockSet = implement(TPM2_ClockSet, (tpm, { newTime }) => {
  if (newTime > LAST_CLOCK || newTime < tpm.clock.clock) {
    throw new TpmError(
      TPM_RC.VALUE,
      'expected a time to come, found one that is past or too far away',
      'newTime',
    )
  }
  tpm.clock.advance(newTime)
  changed(tpm)
  return {}
})

const clockRateAdjust = implement(TPM2_ClockRateAdjust, (tpm, { rateAdjust }) => {
  tpm.clock.adjust(STEPS.get(rateAdjust) ?? 0)
  return {}
})

/** Clause 29. */
export const clockCommands: readonly Implementation[] = [readClock, clockSet, clockRateAdjust]
