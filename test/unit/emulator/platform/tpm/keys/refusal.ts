// The code of the KeyError that a call throws: what every test of a refusal looks at.

import { KeyError, type KeyErrorCode } from '../../../../../../emulator/platform/tpm/keys/index.ts'

/** The code that `call` is refused with, or undefined when it is not refused; any other error is thrown on. */
export function refusal(call: () => unknown): KeyErrorCode | undefined {
  try {
    call()
  } catch (error) {
    if (error instanceof KeyError) return error.code
    throw error
  }
  return undefined
}
