// What a TPM's refusal means to who ran a command, and what can be done. The codes' names are the Library's.
// Source: TPM 2.0 Library, Part 2, clause 6.6, and Part 1, clause 19.8 (dictionary attack protection), revision 1.59.

import { baseCode, Tpm2Error, TPM_RC, TpmResponseError } from '../../../sdk/tpm2/index.ts'
import { FormatError } from '../../../sdk/crypto/index.ts'
import { CommandFailure, EXIT } from '../output.ts'

const MEANINGS: ReadonlyMap<number, string> = new Map([
  [
    TPM_RC.INITIALIZE,
    'the TPM waits for TPM2_Startup, or had it already: start it with "palimpsest tpm startup"',
  ],
  [TPM_RC.FAILURE, 'the TPM is in failure mode: cycle its power; "palimpsest tpm selftest" says more'],
  [TPM_RC.AUTH_FAIL, 'the authorization value is wrong, and the attempt counts towards the lockout'],
  [TPM_RC.BAD_AUTH, 'the authorization value is wrong'],
  [TPM_RC.AUTH_MISSING, 'the TPM wants an authorization that was not given'],
  [
    TPM_RC.AUTH_UNAVAILABLE,
    'this way of authorizing is not allowed for this entity: its attributes or policy say how',
  ],
  [
    TPM_RC.LOCKOUT,
    'too many wrong authorizations: wait, or end the lockout with tpm2_dictionarylockout --clear-lockout',
  ],
  [TPM_RC.POLICY_FAIL, 'the policy does not hold'],
  [TPM_RC.PCR_CHANGED, 'PCRs changed while the policy was being satisfied: run the command again'],
  [TPM_RC.HIERARCHY, 'the hierarchy is switched off until the next power cycle'],
  [TPM_RC.DISABLED, 'this is disabled in the TPM (TPM2_ClearControl)'],
  [TPM_RC.LOCALITY, 'this is not allowed at this locality: see --locality'],
  [TPM_RC.INTEGRITY, 'this was not made under this key, or was changed'],
  [TPM_RC.NV_LOCKED, 'the NV index is locked for this; most locks last until the next power cycle'],
  [TPM_RC.NV_UNINITIALIZED, 'nothing has been written to the NV index yet'],
  [TPM_RC.NV_DEFINED, 'there is an NV index with this number already'],
  [TPM_RC.NV_SPACE, 'the TPM has no room for another NV index of this size'],
  [TPM_RC.NV_RANGE, 'this reaches beyond the end of the NV index'],
  [TPM_RC.NV_SIZE, 'the NV index has another size'],
  [TPM_RC.NV_AUTHORIZATION, "the NV index's attributes do not allow this kind of authorization"],
  [TPM_RC.NV_RATE, 'the TPM writes too often: wait and run the command again'],
  [TPM_RC.OBJECT_MEMORY, 'all slots for objects are taken: flush some (tpm2_flushcontext -t)'],
  [TPM_RC.SESSION_MEMORY, 'all slots for sessions are taken: flush some (tpm2_flushcontext -l)'],
  [TPM_RC.SESSION_HANDLES, 'all session handles are taken: flush some (tpm2_flushcontext -l -s)'],
  [TPM_RC.HANDLE, 'the TPM has nothing at this handle'],
  [TPM_RC.COMMAND_CODE, 'the TPM does not know this command'],
  [TPM_RC.RETRY, 'the TPM is busy: run the command again'],
  [TPM_RC.TESTING, 'the TPM tests itself: run the command again'],
])

/** The base code of a TPM's refusal; undefined of another error. */
export function refusalOf(error: unknown): number | undefined {
  return error instanceof TpmResponseError ? baseCode(error.rc) : undefined
}

/**
 * What the command ends with when `error` stopped its work with a TPM: a refusal in words (exit code 4), an answer that
 * can not be believed (1), or the error itself.
 */
export function explained(error: unknown): unknown {
  if (error instanceof TpmResponseError) {
    const meaning = MEANINGS.get(baseCode(error.rc))
    const message = `the TPM refused ${error.message.replace(': expected success, found', ' with')}`
    return new CommandFailure(EXIT.refused, meaning === undefined ? message : `${message}: ${meaning}`, {
      cause: error,
    })
  }
  if (error instanceof Tpm2Error) {
    const message = `the TPM's answer can not be believed (${error.code}): ${error.message}`
    return new CommandFailure(EXIT.failed, message, { cause: error })
  }
  if (error instanceof FormatError) return new CommandFailure(EXIT.failed, error.message, { cause: error })
  return error
}
