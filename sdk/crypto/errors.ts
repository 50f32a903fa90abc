// The errors of this room: bad data from outside, as opposed to TypeError and RangeError, which mean a wrong call.
// Each class has one stable `code`; sdk/rpc maps codes to statuses. No message ever holds a key or a plaintext.

/** Codes of {@link CryptoError} and its subclasses. */
export type CryptoErrorCode = 'MALFORMED' | 'BAD_SIGNATURE' | 'BAD_CHAIN' | 'UNSEAL_FAILED' | 'WEAK_KEY'

/** Base of the errors this room throws for bad data; `code` is stable and meant for programs. */
export class CryptoError extends Error {
  readonly code: CryptoErrorCode

  constructor(code: CryptoErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** Bytes or a decoded structure that do not have the expected form (`MALFORMED`). */
export class FormatError extends CryptoError {
  /** Where in the structure, for example `launch report.svn`. */
  readonly path: string

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super('MALFORMED', `${path}: ${problem}`, options)
    this.path = path
  }
}

/** A signature that does not verify, or not under the expected tag (`BAD_SIGNATURE`). */
export class SignatureError extends CryptoError {
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_SIGNATURE', message, options)
  }
}

/** A certificate chain that leads to no pinned root or breaks a rule on the way (`BAD_CHAIN`). */
export class CertificateError extends CryptoError {
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_CHAIN', message, options)
  }
}

/** A sealed message that this key, info and aad do not open (`UNSEAL_FAILED`). */
export class SealError extends CryptoError {
  constructor(message: string, options?: ErrorOptions) {
    super('UNSEAL_FAILED', message, options)
  }
}

/** A key that must not be used although its length is right (`WEAK_KEY`). */
export class WeakKeyError extends CryptoError {
  constructor(message: string, options?: ErrorOptions) {
    super('WEAK_KEY', message, options)
  }
}
