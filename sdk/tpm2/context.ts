// Saved contexts: objects and sessions outside the TPM, in a form that only the TPM itself reads.
// Source: TPM 2.0 Library, Part 2, clause 14, revision 1.59.

import { TPM2B_CONTEXT_DATA } from './buffers.ts'
import { struct, UINT64 } from './codec.ts'
import { handleParameter, TPMI_DH_SAVED, TPMI_RH_HIERARCHY_PLUS } from './handles.ts'

/** TPMS_CONTEXT (14.5). */
export interface TPMS_CONTEXT {
  /** of an object: makes the encryption unique; of a session: finds out replays */
  readonly sequence: bigint
  /** a session's handle, or what kind of object it is */
  readonly savedHandle: number
  /** TPM_RH of an object's hierarchy */
  readonly hierarchy: number
  readonly contextBlob: Uint8Array
}

/** How TPMS_CONTEXT is read and written. */
export const TPMS_CONTEXT = struct<TPMS_CONTEXT>('TPMS_CONTEXT', {
  sequence: UINT64,
  savedHandle: handleParameter(TPMI_DH_SAVED),
  hierarchy: handleParameter(TPMI_RH_HIERARCHY_PLUS),
  contextBlob: TPM2B_CONTEXT_DATA,
})
