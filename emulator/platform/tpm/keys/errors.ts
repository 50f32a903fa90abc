// What the key computations refuse. A stable code, so that the command layer gives the response code that its command
// has for the case: the same wrong size is TPM_RC_SIZE of one command and TPM_RC_VALUE of another.

/**
 * Kinds of bad data:
 * - `VALUE`: a number or a block is out of range, or does not decode
 * - `SIZE`: a byte string is too long or too short
 * - `SCHEME`: a scheme or mode that the key does not have
 * - `HASH`: a hash too large for the key
 * - `KEY_SIZE`: a key size that is not computed here
 * - `RANGE`: a public exponent out of range
 * - `BINDING`: a private part that does not belong to the public part
 * - `CURVE`: a curve that is not computed here
 * - `ECC_POINT`: a point that is not on the curve
 * - `PADDING`: a decrypted block whose padding is wrong
 * - `NO_RESULT`: the computation gave the point at infinity or zero
 */
export type KeyErrorCode =
  | 'VALUE'
  | 'SIZE'
  | 'SCHEME'
  | 'HASH'
  | 'KEY_SIZE'
  | 'RANGE'
  | 'BINDING'
  | 'CURVE'
  | 'ECC_POINT'
  | 'PADDING'
  | 'NO_RESULT'

/** Data that a computation with a key refuses. Messages hold sizes and algorithm identifiers only. */
export class KeyError extends Error {
  override readonly name = 'KeyError'
  readonly code: KeyErrorCode

  constructor(code: KeyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
