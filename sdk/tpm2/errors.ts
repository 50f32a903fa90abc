// The error of this room: bad TPM data, named by a stable code so that a caller can switch on it.

/**
 * Why TPM data was refused.
 * - MALFORMED: the bytes are not the structure they claim to be (short, long, unknown selector, size over its limit)
 * - BAD_AK: the key is not a restricted signing key that never left its TPM
 * - BAD_SIGNATURE, BAD_MAGIC, BAD_TYPE, BAD_QUALIFYING_DATA, PCR_SELECTION: the checks of a quote
 * - BAD_CREDENTIAL: a credential was not made for this key and name
 * - BAD_HMAC: a response did not come from the TPM that shares the session's key, or not in answer to this command
 * - BAD_INTEGRITY: a wrapped sensitive area was not made with this seed or key, or not for this name
 * - BAD_SECRET: an encrypted secret was not made for this key
 * - UNSUPPORTED: well formed, but an algorithm that this room does not compute with
 */
export type Tpm2ErrorCode =
  | 'MALFORMED'
  | 'BAD_AK'
  | 'BAD_SIGNATURE'
  | 'BAD_MAGIC'
  | 'BAD_TYPE'
  | 'BAD_QUALIFYING_DATA'
  | 'PCR_SELECTION'
  | 'BAD_CREDENTIAL'
  | 'BAD_HMAC'
  | 'BAD_INTEGRITY'
  | 'BAD_SECRET'
  | 'UNSUPPORTED'

/** Bad TPM data. `code` is stable; `message` says what was expected and what was found. */
export class Tpm2Error extends Error {
  readonly code: Tpm2ErrorCode
  /** The response code (TPM_RC) with which a TPM refuses the same; always there with MALFORMED bytes. */
  readonly rc: number | undefined

  constructor(code: Tpm2ErrorCode, message: string, options?: ErrorOptions & { readonly rc?: number }) {
    super(message, options)
    this.name = 'Tpm2Error'
    this.code = code
    this.rc = options?.rc
  }
}
