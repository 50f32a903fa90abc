// What survives power-off: seeds, proofs, authorizations, NV memory, persistent objects, counters, and what an orderly
// shutdown left. All of it is one structure, so that it is stored and replaced whole.
// Source: TPM 2.0 Library, Part 1, clauses 14 (hierarchies), 37 (NV memory) and 19.8 (dictionary attack), revision 1.59.

import {
  type Codec,
  list,
  struct,
  TPM2B_AUTH,
  TPM2B_DIGEST,
  TPM_ALG,
  TPM_CC,
  TPM_RH,
  TPMI_YES_NO,
  TPMS_NV_PUBLIC,
  UINT16,
  UINT32,
  UINT64,
} from '../../../../sdk/tpm2/index.ts'
import { OBJECT_RECORD, type ObjectRecord } from '../entities/object.ts'
import { type Entropy } from '../keys/index.ts'
import { CONTEXT_HASH, HASHES, SEED_BYTES } from '../profile.ts'
import { LONG_BYTES, mapOf, optional } from './codecs.ts'
import { SAVED_STATE, type SavedState } from './saved.ts'

/** An authorization policy: a digest and its hash; TPM_ALG_NULL and no digest: there is none. */
export interface AuthPolicy {
  readonly hashAlg: number
  readonly digest: Uint8Array
}

/** How AuthPolicy is saved. */
const AUTH_POLICY = struct<AuthPolicy>('policy', { hashAlg: UINT16, digest: TPM2B_DIGEST })

/** No policy: authorization by policy never succeeds. */
export const NO_POLICY: AuthPolicy = { hashAlg: TPM_ALG.NULL, digest: new Uint8Array(0) }

/** A hierarchy's permanent half. */
export interface HierarchySeed {
  /** primary seed; empty for lockout, which has no objects */
  seed: Uint8Array
  proof: Uint8Array
  authValue: Uint8Array
  authPolicy: AuthPolicy
}

const HIERARCHY_SEED = struct<HierarchySeed>('hierarchy', {
  seed: TPM2B_DIGEST,
  proof: TPM2B_DIGEST,
  authValue: TPM2B_AUTH,
  authPolicy: AUTH_POLICY,
})

/** Dictionary attack protection (Part 1, 19.8): counts in tries, times in seconds. */
export interface DictionaryState {
  failedTries: number
  maxTries: number
  recoveryTime: number
  lockoutRecovery: number
  /** false after a failure of lockoutAuth, until lockoutRecovery has passed */
  lockoutAuthEnabled: boolean
}

const DICTIONARY = struct<DictionaryState>('dictionary attack', {
  failedTries: UINT32,
  maxTries: UINT32,
  recoveryTime: UINT32,
  lockoutRecovery: UINT32,
  lockoutAuthEnabled: TPMI_YES_NO,
})

/** An NV index. Its attributes carry WRITTEN and the locks. */
export interface NvRecord {
  publicArea: TPMS_NV_PUBLIC
  authValue: Uint8Array
  data: Uint8Array
}

const NV_RECORD = struct<NvRecord>('NV index', {
  publicArea: TPMS_NV_PUBLIC,
  authValue: TPM2B_AUTH,
  data: LONG_BYTES,
})

/** Command audit (Part 1, clause 34): what TPM2_SetCommandCodeAuditStatus sets. */
export interface AuditSettings {
  hashAlg: number
  /** TPM_CC, ascending; TPM2_SetCommandCodeAuditStatus always (Part 3, 21.2) */
  commands: readonly number[]
  /** digests started so far */
  counter: bigint
}

const AUDIT = struct<AuditSettings>('audit', {
  hashAlg: UINT16,
  commands: list('commands', UINT32, 256),
  counter: UINT64,
})

/** Counters and clock (Part 1, clause 36). */
export interface TimingState {
  /** milliseconds; Clock has never shown more than this */
  clockBound: bigint
  /** resets since the owner was cleared */
  resetCount: number
  /** all resets */
  totalResetCount: bigint
  /** the last power-off came after TPM2_Shutdown */
  orderly: boolean
}

const TIMING = struct<TimingState>('timing', {
  clockBound: UINT64,
  resetCount: UINT32,
  totalResetCount: UINT64,
  orderly: TPMI_YES_NO,
})

/** The TPM's non-volatile state. */
export interface PermanentState {
  owner: HierarchySeed
  endorsement: HierarchySeed
  platform: HierarchySeed
  lockout: HierarchySeed
  /** TPM2_ClearControl: TPM2_Clear is refused */
  disableClear: boolean
  dictionary: DictionaryState
  timing: TimingState
  /** banks and their PCRs, as bit maps of PCR n at bit n */
  pcrAllocation: Map<number, number>
  /** takes the place of pcrAllocation at the next reset; undefined: as it is */
  nextAllocation: Map<number, number> | undefined
  /** TPM2_PCR_SetAuthPolicy, by PCR */
  pcrPolicies: Map<number, AuthPolicy>
  audit: AuditSettings
  /** TPM_CC that need physical presence, ascending; TPM2_PP_Commands always (Part 3, 26.2) */
  ppCommands: readonly number[]
  nv: Map<number, NvRecord>
  /** largest value that a deleted NV counter had: new ones start above */
  maxCounter: bigint
  persistent: Map<number, ObjectRecord>
  /** left by TPM2_Shutdown(STATE) for the next TPM2_Startup */
  saved: SavedState | undefined
}

/** How PermanentState is stored. */
export const PERMANENT_STATE: Codec<PermanentState> = struct<PermanentState>('TPM permanent state', {
  owner: HIERARCHY_SEED,
  endorsement: HIERARCHY_SEED,
  platform: HIERARCHY_SEED,
  lockout: HIERARCHY_SEED,
  disableClear: TPMI_YES_NO,
  dictionary: DICTIONARY,
  timing: TIMING,
  pcrAllocation: mapOf(UINT32),
  nextAllocation: optional(mapOf(UINT32)),
  pcrPolicies: mapOf(AUTH_POLICY),
  audit: AUDIT,
  ppCommands: list('commands', UINT32, 256),
  nv: mapOf(NV_RECORD),
  maxCounter: UINT64,
  persistent: mapOf(OBJECT_RECORD),
  saved: optional(SAVED_STATE),
})

const NO_BYTES = new Uint8Array(0)
const ALL_PCRS = 0xffffff

/** A hierarchy with new seed and proof, without authorization. */
export function newHierarchy(entropy: Entropy): HierarchySeed {
  return {
    seed: entropy(SEED_BYTES),
    proof: entropy(SEED_BYTES),
    authValue: NO_BYTES,
    authPolicy: NO_POLICY,
  }
}

/** Dictionary attack parameters of a new or cleared TPM. */
export function newDictionary(): DictionaryState {
  return { failedTries: 0, maxTries: 3, recoveryTime: 1000, lockoutRecovery: 1000, lockoutAuthEnabled: true }
}

/**
 * State of a TPM that was never powered on. Everything that is random comes from `entropy`, so a TPM that is made of a
 * fixed seed has the same primary keys each time. Throws RangeError for no banks, or banks that are not implemented.
 */
export function newPermanentState(entropy: Entropy, banks: readonly number[] = HASHES): PermanentState {
  if (banks.length === 0 || !banks.every((bank) => HASHES.includes(bank))) {
    throw new RangeError(`"banks" expected some of the hashes ${HASHES.join(', ')}, got ${banks.join(', ')}`)
  }
  return {
    owner: newHierarchy(entropy),
    endorsement: newHierarchy(entropy),
    platform: newHierarchy(entropy),
    lockout: { seed: NO_BYTES, proof: NO_BYTES, authValue: NO_BYTES, authPolicy: NO_POLICY },
    disableClear: false,
    dictionary: newDictionary(),
    timing: { clockBound: 0n, resetCount: 0, totalResetCount: 0n, orderly: true },
    pcrAllocation: new Map(banks.map((bank) => [bank, ALL_PCRS])),
    nextAllocation: undefined,
    pcrPolicies: new Map(),
    audit: { hashAlg: CONTEXT_HASH, commands: [TPM_CC.SetCommandCodeAuditStatus], counter: 0n },
    ppCommands: [TPM_CC.PP_Commands],
    nv: new Map(),
    maxCounter: 0n,
    persistent: new Map(),
    saved: undefined,
  }
}

/** The permanent half of a hierarchy by its handle; the NULL hierarchy has none. */
export function permanentHierarchy(state: PermanentState, hierarchy: number): HierarchySeed | undefined {
  switch (hierarchy) {
    case TPM_RH.OWNER:
      return state.owner
    case TPM_RH.ENDORSEMENT:
      return state.endorsement
    case TPM_RH.PLATFORM:
      return state.platform
    case TPM_RH.LOCKOUT:
      return state.lockout
    default:
      return undefined
  }
}
