// How a TPM refuses: a response code. A command throws it; the dispatcher turns it into a response.
// Source: TPM 2.0 Library, Part 2, clause 6.6 (TPM_RC), revision 1.59.

import { describeResponseCode, TPM_RC, Tpm2Error } from '../../../sdk/tpm2/index.ts'
import { KeyError, type KeyErrorCode } from './keys/index.ts'

/** A command that failed; no state changed. */
export class TpmError extends Error {
  /** the response code; without the number of a handle or parameter when `at` names one */
  readonly rc: number
  /** name of the handle or parameter that is wrong, as the command's table has it */
  readonly at: string | undefined
  /** what was expected and what was found, without the code */
  readonly reason: string

  constructor(rc: number, reason: string, at?: string, options?: ErrorOptions) {
    super(`${describeResponseCode(rc)}: ${reason}`, options)
    this.name = 'TpmError'
    this.reason = reason
    this.rc = rc
    this.at = at
  }
}

/** Response codes of what a computation with a key refuses, where the command's own clause says nothing else. */
const KEY_CODES: Readonly<Record<KeyErrorCode, number>> = {
  VALUE: TPM_RC.VALUE,
  SIZE: TPM_RC.SIZE,
  SCHEME: TPM_RC.SCHEME,
  HASH: TPM_RC.HASH,
  KEY_SIZE: TPM_RC.KEY_SIZE,
  RANGE: TPM_RC.RANGE,
  BINDING: TPM_RC.BINDING,
  CURVE: TPM_RC.CURVE,
  ECC_POINT: TPM_RC.ECC_POINT,
  PADDING: TPM_RC.VALUE,
  NO_RESULT: TPM_RC.NO_RESULT,
}

/**
 * Bad data that was found in a key or a structure as the refusal of a command, at the parameter or handle `at`; any other
 * error as it is.
 */
export function asRefusal(error: unknown, at?: string): unknown {
  if (error instanceof KeyError)
    return new TpmError(KEY_CODES[error.code], error.message, at, { cause: error })
  if (error instanceof Tpm2Error)
    return new TpmError(error.rc ?? TPM_RC.VALUE, error.message, at, { cause: error })
  return error
}

/** Does `work`; bad data that it finds in keys or structures is an error of the parameter or handle `at`. */
export function withKeyErrors<T>(at: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw asRefusal(error, at)
  }
}
