// Why evidence, a challenge or a grant was not accepted. One class with a stable code, so that the rooms that speak
// gRPC map it one to one to the family's table of codes (sdk/rpc) and nothing here knows about statuses.
// A refusal changes no state. Source: the project's table of refusals; CSI's habit of condition -> code -> recovery.

/**
 * Codes of a {@link Refusal}.
 *
 * | code | what is wrong |
 * |---|---|
 * | REFUSED_SIZE | a part is larger than any honest one, or malformed before its signature could be judged |
 * | REFUSED_ENROLMENT | the endorsement chain, the attestation key or the credential |
 * | REFUSED_PLATFORM_MIX | two parts come from different platforms, or from one that the policy does not pin |
 * | REFUSED_SIGNATURE | a report's or manifest's signature or certificate chain |
 * | REFUSED_QUOTE | the quote is not a quote, or not by the enrolled attestation key |
 * | REFUSED_BINDING | terms, role, nonce, block ids or the worker's key are not the ones that were agreed |
 * | REFUSED_PCRS | the quote covers other PCRs, or other values than those that came with it |
 * | REFUSED_EVENT_LOG | the event log does not parse, does not lead to the quoted PCRs, or has other events than it must have |
 * | REFUSED_MEASUREMENT, REFUSED_SIGNER, REFUSED_SVN | the firmware's hash (of other TPMs a PCR's value or event), signer, security version number |
 * | REFUSED_HYPERVISOR, REFUSED_WORKER | the hypervisor's or worker's measurement is not in the policy |
 * | REFUSED_EXPIRED_REFERENCE | the matching reference value is past its notAfter |
 * | REFUSED_RESET | the platform's clock or reset count went back, or was reset too often |
 * | REFUSED_PEER | the other side, or the signer, is not who the policy or the terms name |
 * | REFUSED_SCOPE | a key opens more than the policy of this or the other side allows |
 * | REFUSED_EMULATED | the platform says that it is emulated and the policy does not allow that |
 * | STALE_NONCE | the challenge was not issued here, was used already or is too old |
 * | GRANT_INVALID, GRANT_EXPIRED | a grant that does not open or agree, or that is past its time |
 */
export type RefusalCode =
  | 'REFUSED_SIZE'
  | 'REFUSED_ENROLMENT'
  | 'REFUSED_PLATFORM_MIX'
  | 'REFUSED_SIGNATURE'
  | 'REFUSED_QUOTE'
  | 'REFUSED_BINDING'
  | 'REFUSED_PCRS'
  | 'REFUSED_EVENT_LOG'
  | 'REFUSED_MEASUREMENT'
  | 'REFUSED_SIGNER'
  | 'REFUSED_SVN'
  | 'REFUSED_HYPERVISOR'
  | 'REFUSED_WORKER'
  | 'REFUSED_EXPIRED_REFERENCE'
  | 'REFUSED_RESET'
  | 'REFUSED_PEER'
  | 'REFUSED_SCOPE'
  | 'REFUSED_EMULATED'
  | 'STALE_NONCE'
  | 'GRANT_INVALID'
  | 'GRANT_EXPIRED'

/** What was wanted, what came and what helps; none of it may hold a key or a plaintext. */
export interface RefusalDetail {
  readonly expected: string
  readonly found: string
  /** What the caller can do; one sentence without a full stop. */
  readonly action?: string
}

/**
 * Something was refused; no state changed.
 *
 * @example
 * try {
 *   appraise(input)
 * } catch (error) {
 *   if (error instanceof Refusal && error.code === 'REFUSED_SVN') askForFirmwareUpdate()
 * }
 */
export class Refusal extends Error {
  readonly code: RefusalCode
  readonly expected: string
  readonly found: string

  /** `subject` names the thing that was judged, as in "firmware image". */
  constructor(code: RefusalCode, subject: string, detail: RefusalDetail, options?: ErrorOptions) {
    const action = detail.action === undefined ? '' : `; ${detail.action}`
    super(`${subject}: expected ${detail.expected}, found ${detail.found}${action}`, options)
    this.name = 'Refusal'
    this.code = code
    this.expected = detail.expected
    this.found = detail.found
  }
}

/**
 * Runs `check`; an error of another room (bad format, signature, certificate) becomes a {@link Refusal} with `code`,
 * while programmer errors (TypeError, RangeError) and refusals pass unchanged.
 */
export function refuseAs<T>(code: RefusalCode, subject: string, expected: string, check: () => T): T {
  try {
    return check()
  } catch (cause) {
    if (cause instanceof Refusal || !hasCode(cause)) throw cause
    throw new Refusal(code, subject, { expected, found: `one that is refused (${cause.message})` }, { cause })
  }
}

/** What `run` returns; undefined where it refuses. */
export function unlessRefused<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

/** Errors for bad data carry a `code`; of errors for wrong calls only node's own do, and those are TypeErrors. */
function hasCode(error: unknown): error is Error & { readonly code: string } {
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) return false
  return 'code' in error && typeof error.code === 'string'
}
