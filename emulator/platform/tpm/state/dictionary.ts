// Protection against guessing authValues: failures count, too many of them lock the TPM out, time forgives them.
// Source: TPM 2.0 Library, Part 1, clause 19.8 (dictionary attack protection), revision 1.59.
// A failure is stored before its response goes out, so a power cut forgives none and needs no penalty of its own.

import { TPM_RC } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { changed, type TpmState } from './tpm-state.ts'

const SECOND = 1000n

/** Throws TpmError NV_UNAVAILABLE when a use of an authValue that counts could not be stored. */
export function checkCountable(tpm: TpmState): void {
  if (tpm.platform.nvAvailable) return
  throw new TpmError(
    TPM_RC.NV_UNAVAILABLE,
    'expected NV memory to count the authorization in, found it unavailable',
  )
}

/**
 * Throws TpmError LOCKOUT while guesses are not taken, as checkCountable() when they cannot be counted. `lockoutAuth`
 * asks for TPM_RH_LOCKOUT's own authorization.
 */
export function checkNotLockedOut(tpm: TpmState, lockoutAuth: boolean): void {
  checkCountable(tpm)
  const { failedTries, maxTries, lockoutAuthEnabled } = tpm.permanent.dictionary
  if (lockoutAuth ? !lockoutAuthEnabled : failedTries >= maxTries) {
    throw new TpmError(TPM_RC.LOCKOUT, 'expected fewer failed authorizations, found the TPM locked out')
  }
}

/** Counts a failed authorization of a protected entity. */
export function countFailure(tpm: TpmState, lockoutAuth: boolean): void {
  const { dictionary } = tpm.permanent
  if (lockoutAuth) {
    dictionary.lockoutAuthEnabled = false
    tpm.volatile.lockoutTimer = tpm.clock.time
  } else if (dictionary.recoveryTime !== 0) {
    dictionary.failedTries += 1
    tpm.volatile.healTimer = tpm.clock.time
  }
  changed(tpm)
}

/** Forgives what time has forgiven: one failed try per recoveryTime, lockoutAuth after lockoutRecovery. */
export function heal(tpm: TpmState): void {
  const { dictionary } = tpm.permanent
  const { time } = tpm.clock
  if (dictionary.failedTries > 0 && dictionary.recoveryTime !== 0) {
    const step = BigInt(dictionary.recoveryTime) * SECOND
    const forgiven = (time - tpm.volatile.healTimer) / step
    if (forgiven > 0n) {
      const left = BigInt(dictionary.failedTries) - forgiven
      dictionary.failedTries = left < 0n ? 0 : Number(left)
      tpm.volatile.healTimer += forgiven * step
      changed(tpm)
    }
  }
  if (!dictionary.lockoutAuthEnabled && dictionary.lockoutRecovery !== 0) {
    if (time - tpm.volatile.lockoutTimer >= BigInt(dictionary.lockoutRecovery) * SECOND) {
      dictionary.lockoutAuthEnabled = true
      changed(tpm)
    }
  }
}

/** At TPM2_Startup: timers begin anew; lockoutAuth that only a restart brings back is back. */
export function restartTimers(tpm: TpmState): void {
  tpm.volatile.healTimer = tpm.clock.time
  tpm.volatile.lockoutTimer = tpm.clock.time
  if (tpm.permanent.dictionary.lockoutRecovery === 0) tpm.permanent.dictionary.lockoutAuthEnabled = true
}
