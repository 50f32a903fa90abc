// The authorization area of commands and responses: one entry for each session.
// Source: TPM 2.0 Library, Part 2, clauses 10.13.2 and 10.13.3, revision 1.59.

import { TPMA_SESSION_BITS } from './attribute-types.ts'
import { TPM2B_AUTH, TPM2B_NONCE } from './buffers.ts'
import { struct } from './codec.ts'
import { handleParameter, TPMI_SH_AUTH_SESSION_PLUS } from './handles.ts'

/** TPMS_AUTH_COMMAND (10.13.2). */
export interface TPMS_AUTH_COMMAND {
  /** a session, or TPM_RS_PW */
  readonly sessionHandle: number
  /** nonceCaller; empty with a password */
  readonly nonce: Uint8Array
  /** bits of TPMA_SESSION */
  readonly sessionAttributes: number
  /** an HMAC, a password, or empty */
  readonly hmac: Uint8Array
}

/** How TPMS_AUTH_COMMAND is read and written. */
export const TPMS_AUTH_COMMAND = struct<TPMS_AUTH_COMMAND>('TPMS_AUTH_COMMAND', {
  sessionHandle: handleParameter(TPMI_SH_AUTH_SESSION_PLUS),
  nonce: TPM2B_NONCE,
  sessionAttributes: TPMA_SESSION_BITS,
  hmac: TPM2B_AUTH,
})

/** TPMS_AUTH_RESPONSE (10.13.3). */
export interface TPMS_AUTH_RESPONSE {
  /** nonceTPM; empty with a password */
  readonly nonce: Uint8Array
  /** bits of TPMA_SESSION */
  readonly sessionAttributes: number
  /** an HMAC, or empty */
  readonly hmac: Uint8Array
}

/** How TPMS_AUTH_RESPONSE is read and written. */
export const TPMS_AUTH_RESPONSE = struct<TPMS_AUTH_RESPONSE>('TPMS_AUTH_RESPONSE', {
  nonce: TPM2B_NONCE,
  sessionAttributes: TPMA_SESSION_BITS,
  hmac: TPM2B_AUTH,
})
