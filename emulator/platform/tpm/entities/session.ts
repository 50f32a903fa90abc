// Sessions: HMAC sessions that authorize, audit and encrypt, and policy sessions that gather a policy digest and the
// conditions that its assertions put off until the session is used.
// Source: TPM 2.0 Library, Part 1, clause 19 (authorizations and acknowledgments), revision 1.59.

import {
  buffer,
  type Codec,
  struct,
  TPM2B_DIGEST,
  TPM2B_NONCE,
  TPMI_YES_NO,
  TPMT_SYM_DEF,
  UINT16,
  UINT32,
  UINT64,
  UINT8,
} from '../../../../sdk/tpm2/index.ts'
import { oneOf, optional } from '../state/codecs.ts'

const KINDS = ['hmac', 'policy', 'trial'] as const
/** What a policy may bind besides the commands' code: a cpHash, the handles' names or a template; one of them only. */
const BOUND_TO = ['cpHash', 'nameHash', 'template'] as const

/** A digest that the command must match when the policy session is used. */
export interface PolicyBinding {
  readonly kind: (typeof BOUND_TO)[number]
  readonly digest: Uint8Array
}

const POLICY_BINDING = struct<PolicyBinding>('PolicyBinding', {
  kind: oneOf('kind', BOUND_TO),
  digest: TPM2B_DIGEST,
})

/** What a policy session holds besides a session's keys. */
export interface PolicyState {
  policyDigest: Uint8Array
  /** TPM_CC that it authorizes; undefined: any */
  commandCode: number | undefined
  bound: PolicyBinding | undefined
  /** TPM2_PolicyAuthValue: the authValue goes into the HMAC */
  authValueNeeded: boolean
  /** TPM2_PolicyPassword: the authValue goes in place of the HMAC */
  passwordNeeded: boolean
  physicalPresenceNeeded: boolean
  /** TPMA_LOCALITY; 0: any */
  locality: number
  /** TPM2_PolicyNvWritten: what TPMA_NV_WRITTEN must be */
  nvWritten: boolean | undefined
  /** TPM time in milliseconds at which the session expires; undefined: never */
  expires: bigint | undefined
  /** pcrUpdateCounter at the first TPM2_PolicyPCR */
  pcrUpdateCounter: number | undefined
}

/** A loaded session. */
export interface Session extends PolicyState {
  readonly handle: number
  readonly kind: (typeof KINDS)[number]
  readonly authHash: number
  readonly symmetric: TPMT_SYM_DEF
  readonly sessionKey: Uint8Array
  nonceTPM: Uint8Array
  /** bound to the entity with this name and authValue; see boundTo() */
  readonly bind: Uint8Array | undefined
  /** the bound entity counts failures for the dictionary attack logic */
  readonly bindDa: boolean
  /** bound to TPM_RH_LOCKOUT */
  readonly bindLockout: boolean
  /** undefined until the session audits */
  auditDigest: Uint8Array | undefined
  /** TPM time in milliseconds when it was started, or when a policy began anew after its last use */
  startTime: bigint
  /** timeEpoch at startTime: a deadline of another run of the TPM's time has passed */
  timeEpoch: Uint8Array
}

const NONE: PolicyState = {
  policyDigest: new Uint8Array(0),
  commandCode: undefined,
  bound: undefined,
  authValueNeeded: false,
  passwordNeeded: false,
  physicalPresenceNeeded: false,
  locality: 0,
  nvWritten: undefined,
  expires: undefined,
  pcrUpdateCounter: undefined,
}

/** A policy before its first assertion: a digest of zeros, no conditions. */
export function newPolicyState(digestSize: number): PolicyState {
  return { ...NONE, policyDigest: new Uint8Array(digestSize) }
}

/** A policy session as it was when started (TPM2_PolicyRestart, and after each use). */
export function restartPolicy(session: Session): void {
  Object.assign(session, newPolicyState(session.policyDigest.length))
}

/** Longest bind value: a name and an authValue, each at most a digest with its algorithm. */
const BIND = buffer('bind', 1024)

/** How Session is saved, in contexts and in the volatile state. */
export const SESSION: Codec<Session> = struct<Session>('session', {
  handle: UINT32,
  kind: oneOf('kind', KINDS),
  authHash: UINT16,
  symmetric: TPMT_SYM_DEF,
  sessionKey: TPM2B_DIGEST,
  nonceTPM: TPM2B_DIGEST,
  bind: optional(BIND),
  bindDa: TPMI_YES_NO,
  bindLockout: TPMI_YES_NO,
  auditDigest: optional(TPM2B_DIGEST),
  startTime: UINT64,
  timeEpoch: TPM2B_NONCE,
  policyDigest: TPM2B_DIGEST,
  commandCode: optional(UINT32),
  bound: optional(POLICY_BINDING),
  authValueNeeded: TPMI_YES_NO,
  passwordNeeded: TPMI_YES_NO,
  physicalPresenceNeeded: TPMI_YES_NO,
  locality: UINT8,
  nvWritten: optional(TPMI_YES_NO),
  expires: optional(UINT64),
  pcrUpdateCounter: optional(UINT32),
})
