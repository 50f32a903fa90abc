// State between power-on and power-off in two groups, by what survives TPM2_Shutdown(STATE): TPM Resume keeps both,
// TPM Restart keeps the second, TPM Reset none.
// Source: TPM 2.0 Library, Part 1, clause 10.2.3 (startup) and Part 3, clauses 9.3 and 9.4, revision 1.59.

import {
  type Codec,
  list,
  struct,
  TPM2B_AUTH,
  TPM2B_DIGEST,
  TPMI_YES_NO,
  UINT16,
  UINT32,
  UINT64,
} from '../../../../sdk/tpm2/index.ts'
import { MAX_COMMITS } from '../profile.ts'
import { mapOf, optional } from './codecs.ts'

/** Gone after TPM2_Startup(CLEAR): "state clear" data. */
export interface ClearState {
  shEnable: boolean
  ehEnable: boolean
  phEnable: boolean
  phEnableNV: boolean
  platformAuth: Uint8Array
  platformPolicyHash: number
  platformPolicy: Uint8Array
  /** TPM2_PCR_SetAuthValue, by PCR */
  pcrAuthValues: Map<number, Uint8Array>
  /** values by bank, in the order of PCRs */
  pcrs: Map<number, readonly Uint8Array[]>
}

/** How ClearState is saved. */
export const CLEAR_STATE: Codec<ClearState> = struct<ClearState>('state clear data', {
  shEnable: TPMI_YES_NO,
  ehEnable: TPMI_YES_NO,
  phEnable: TPMI_YES_NO,
  phEnableNV: TPMI_YES_NO,
  platformAuth: TPM2B_AUTH,
  platformPolicyHash: UINT16,
  platformPolicy: TPM2B_DIGEST,
  pcrAuthValues: mapOf(TPM2B_AUTH),
  pcrs: mapOf(list('PCRs', TPM2B_DIGEST, 32)),
})

/** Gone after a TPM Reset: "state reset data". */
export interface ResetState {
  nullSeed: Uint8Array
  nullProof: Uint8Array
  /** restarts and resumes since the reset */
  restartCount: number
  /** TPM2_Startup(CLEAR)s since the reset: part of the protection of stClear objects' contexts */
  clearCount: number
  pcrUpdateCounter: number
  /** number of the next saved object context */
  objectContext: bigint
  /** number of the next saved session context */
  sessionContext: bigint
  /** saved sessions: handle to the number of the only context that can be loaded */
  savedSessions: Map<number, bigint>
  /** undefined: no audited command yet; empty only while TPM2_SetCommandCodeAuditStatus changes its hash */
  commandAuditDigest: Uint8Array | undefined
  /** TPM2_Commit: nonce, counter, and the values of the counter that are out and unused */
  commitNonce: Uint8Array
  commitCounter: bigint
  commitsOut: readonly bigint[]
}

/** How ResetState is saved. */
export const RESET_STATE: Codec<ResetState> = struct<ResetState>('state reset data', {
  nullSeed: TPM2B_DIGEST,
  nullProof: TPM2B_DIGEST,
  restartCount: UINT32,
  clearCount: UINT32,
  pcrUpdateCounter: UINT32,
  objectContext: UINT64,
  sessionContext: UINT64,
  savedSessions: mapOf(UINT64),
  commandAuditDigest: optional(TPM2B_DIGEST),
  commitNonce: TPM2B_DIGEST,
  commitCounter: UINT64,
  commitsOut: list('commits', UINT64, MAX_COMMITS),
})

/** What TPM2_Shutdown(STATE) leaves. */
export interface SavedState {
  readonly clear: ClearState
  readonly reset: ResetState
  /** locality of the startup that began it; 4: after an H-CRTM sequence */
  readonly startupLocality: number
}

/** How SavedState is stored. */
export const SAVED_STATE: Codec<SavedState> = struct<SavedState>('saved state', {
  clear: CLEAR_STATE,
  reset: RESET_STATE,
  startupLocality: UINT32,
})
