// The error of this room: evidence that is not what it claims to be, with a stable code for each reason.

/**
 * Why a piece of evidence was refused.
 * - LOG_MALFORMED: the event log's bytes are no crypto-agile log; `event` says which event
 * - LOG_PROFILE: the log is well formed, but its PCRs are not those of a boot profile
 * - FIRMWARE_MALFORMED: an image whose tables for SEV can not be right; FIRMWARE_UNSUITABLE: one that lacks what a launch needs
 * - REPORT_MALFORMED, REPORT_SIGNATURE: the launch report
 * - STATEMENT_MALFORMED, STATEMENT_SIGNATURE: the share statement
 * - MANIFEST_MALFORMED, MANIFEST_SIGNER (its key is not the one it names), MANIFEST_SIGNATURE: the firmware manifest
 */
export type EvidenceErrorCode =
  | 'LOG_MALFORMED'
  | 'LOG_PROFILE'
  | 'FIRMWARE_MALFORMED'
  | 'FIRMWARE_UNSUITABLE'
  | 'REPORT_MALFORMED'
  | 'REPORT_SIGNATURE'
  | 'MANIFEST_MALFORMED'
  | 'MANIFEST_SIGNER'
  | 'MANIFEST_SIGNATURE'
  | 'STATEMENT_MALFORMED'
  | 'STATEMENT_SIGNATURE'

/** Bad evidence. `code` is stable; `message` says what was expected and what was found. */
export class EvidenceError extends Error {
  readonly code: EvidenceErrorCode
  /** number of the event of the log that is at fault, when there is one; the Spec ID event is 0 */
  readonly event: number | undefined

  constructor(code: EvidenceErrorCode, message: string, options: ErrorOptions & { event?: number } = {}) {
    super(options.event === undefined ? message : `event ${String(options.event)}: ${message}`, options)
    this.name = 'EvidenceError'
    this.code = code
    this.event = options.event
  }
}
