// TPM2_Startup and TPM2_Shutdown: TPM Reset, Restart and Resume.
// Source: TPM 2.0 Library, Part 3, clauses 9.3 and 9.4, and Part 1, clause 10.2.3, revision 1.59.

import { TPM2_Shutdown, TPM2_Startup, TPM_RC, TPM_SU } from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { restartNv } from '../entities/nv-store.ts'
import { countPcrChange, measureAtReset, resetAllPcrs, resetUnsavedPcrs } from '../entities/pcr.ts'
import { TpmError } from '../errors.ts'
import { restartTimers } from '../state/dictionary.ts'
import { type SavedState } from '../state/saved.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'
import { newClearState } from '../state/volatile.ts'

const startup = implement(TPM2_Startup, (tpm, { startupType }) => {
  if (tpm.volatile.started) throw new TpmError(TPM_RC.INITIALIZE, 'expected TPM2_Startup once after power-on')
  if (tpm.locality !== 0 && tpm.locality !== 3) {
    throw new TpmError(TPM_RC.LOCALITY, `expected locality 0 or 3, found ${String(tpm.locality)}`)
  }
  const { saved } = tpm.permanent
  if (startupType === TPM_SU.STATE) resume(tpm, saved)
  else if (saved !== undefined) restart(tpm, saved)
  else reset(tpm)
  tpm.permanent.saved = undefined
  tpm.volatile.startedOrderly = tpm.permanent.timing.orderly
  tpm.permanent.timing.orderly = false
  tpm.volatile.started = true
  restartTimers(tpm)
  changed(tpm)
  return {}
})

/** TPM Resume: everything that was saved is back. */
function resume(tpm: TpmState, saved: SavedState | undefined): void {
  if (saved === undefined) {
    const found = 'expected TPM2_Shutdown(STATE) before TPM2_Startup(STATE), found none, or commands after it'
    throw new TpmError(TPM_RC.VALUE, found, 'startupType')
  }
  if (saved.startupLocality !== startupLocality(tpm)) {
    // PCR 0 tells by what locality, or H-CRTM, its boot began: it must not tell so of another boot (Part 3, 9.3).
    throw new TpmError(
      TPM_RC.LOCALITY,
      'expected the locality of the startup before the shutdown, found another',
    )
  }
  tpm.volatile.startupLocality = saved.startupLocality
  tpm.earlyMeasurement = undefined
  // The platform hierarchy is enabled by every startup (Part 1, 14.2).
  tpm.volatile.clear = { ...saved.clear, phEnable: true }
  tpm.volatile.reset = { ...saved.reset, restartCount: saved.reset.restartCount + 1 }
  resetUnsavedPcrs(tpm)
  countPcrChange(tpm, 0)
}

/** Locality of this startup: 4 stands for an H-CRTM sequence before it. */
function startupLocality(tpm: TpmState): number {
  return tpm.earlyMeasurement === undefined ? tpm.locality : 4
}

/** TPM Restart: PCRs begin anew, contexts that were saved before go on. */
function restart(tpm: TpmState, saved: SavedState): void {
  const { restartCount, clearCount } = saved.reset
  tpm.volatile.reset = { ...saved.reset, restartCount: restartCount + 1, clearCount: clearCount + 1 }
  clear(tpm)
  // A policy session that was saved before has seen other PCRs than these.
  countPcrChange(tpm, 0)
  restartNv(tpm, false)
}

/** TPM Reset. */
function reset(tpm: TpmState): void {
  const { permanent } = tpm
  permanent.timing.resetCount = (permanent.timing.resetCount + 1) >>> 0
  permanent.timing.totalResetCount += 1n
  if (permanent.nextAllocation !== undefined) {
    permanent.pcrAllocation = permanent.nextAllocation
    permanent.nextAllocation = undefined
  }
  clear(tpm)
  restartNv(tpm, true)
}

/** What TPM2_Startup(CLEAR) begins anew. */
function clear(tpm: TpmState): void {
  tpm.volatile.clear = newClearState()
  const early = tpm.earlyMeasurement
  const locality = early === undefined ? tpm.locality : 0
  tpm.volatile.startupLocality = startupLocality(tpm)
  resetAllPcrs(tpm, locality)
  if (early !== undefined) measureAtReset(tpm, 0, early)
  tpm.earlyMeasurement = undefined
}

const shutdown = implement(TPM2_Shutdown, (tpm, { shutdownType }) => {
  const { permanent, volatile } = tpm
  if (shutdownType === TPM_SU.STATE && permanent.nextAllocation !== undefined) {
    throw new TpmError(
      TPM_RC.TYPE,
      'expected TPM_SU_CLEAR: new PCR banks wait for a TPM Reset',
      'shutdownType',
    )
  }
  permanent.saved =
    shutdownType === TPM_SU.STATE
      ? { clear: volatile.clear, reset: volatile.reset, startupLocality: volatile.startupLocality }
      : undefined
  permanent.timing.orderly = true
  tpm.clock.settle()
  changed(tpm)
  return {}
})

/** Clause 9. */
export const startupCommands: readonly Implementation[] = [startup, shutdown]
