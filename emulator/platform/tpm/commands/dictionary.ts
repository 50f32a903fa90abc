// Protection against dictionary attacks: forgiving all failures at once, and how strict it is.
// Source: TPM 2.0 Library, Part 3, clause 25 and Part 1, clause 19.8, revision 1.59.

import {
  TPM2_DictionaryAttackLockReset,
  TPM2_DictionaryAttackParameters,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { changed } from '../state/tpm-state.ts'

const lockReset = implement(TPM2_DictionaryAttackLockReset, (tpm) => {
  tpm.permanent.dictionary.failedTries = 0
  changed(tpm)
  return {}
})

/** Failures so far stay counted. A limit of 0 tries is a TPM that is locked out at once. */
const parameters = implement(TPM2_DictionaryAttackParameters, (tpm, request) => {
  const { dictionary } = tpm.permanent
  dictionary.maxTries = request.newMaxTries
  dictionary.recoveryTime = request.newRecoveryTime
  dictionary.lockoutRecovery = request.lockoutRecovery
  changed(tpm)
  return {}
})

/** Clause 25. */
export const dictionaryCommands: readonly Implementation[] = [lockReset, parameters]
