// What a handle stands for, as far as authorization asks: a name, an authValue, a policy, and whether failures count
// against a dictionary attack. Source: TPM 2.0 Library, Part 1, clauses 16 (names) and 19 (authorizations), r1.59.

import {
  handleName,
  TPM_ALG,
  TPM_HT,
  TPM_RC,
  TPM_RH,
  TPMA_NV,
  nvIndexName,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { type AuthPolicy, NO_POLICY, type NvRecord, permanentHierarchy } from '../state/permanent.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { visibleNv } from './nv-index.ts'
import type { TpmObject } from './object.ts'
import { hierarchyEnabled, loadedObject } from './object-store.ts'
import { inPolicyGroup } from './pcr-attributes.ts'
import { Sequence } from './sequence.ts'

/** The type of a handle, a TPM_HT: its first octet. */
export function handleKind(handle: number): number {
  return handle >>> 24
}

/** A handle without its type. A session's number is unique over both types of sessions. */
export function handleNumber(handle: number): number {
  return handle & 0xffffff
}

const NO_AUTH = new Uint8Array(0)

/** What authorization asks of a handle. */
export interface AuthEntity {
  readonly handle: number
  readonly name: Uint8Array
  readonly authValue: Uint8Array
  readonly policy: AuthPolicy
  /** failures do not count, and lockout does not stop it */
  readonly daExempt: boolean
  /** the object behind the handle, when it is one */
  readonly object?: TpmObject | Sequence
  /** the NV index behind the handle, when it is one */
  readonly nv?: NvRecord
}

/**
 * Whether `handle` stands for something that can be used now. `number` is its place in the handle area, from 1.
 * Throws TpmError with the code that Part 1, 5.4 gives: a format-one code names the handle by `at`.
 */
export function checkLoaded(tpm: TpmState, handle: number, number: number, at: string): void {
  switch (handleKind(handle)) {
    case TPM_HT.PERMANENT:
      if (handle >= TPM_RH.AUTH_00) {
        // Authorizations of a vendor's own, and countdown timers: the Library has handles for them, this TPM has none.
        throw new TpmError(TPM_RC.VALUE, `expected an implemented handle, found 0x${handle.toString(16)}`, at)
      }
      if (!hierarchyEnabled(tpm, handle)) {
        throw new TpmError(TPM_RC.HIERARCHY, 'expected a hierarchy that is enabled, found a disabled one', at)
      }
      return
    case TPM_HT.TRANSIENT:
      if (!tpm.volatile.objects.has(handle)) throw missing(handle, number)
      return
    case TPM_HT.HMAC_SESSION:
    case TPM_HT.POLICY_SESSION:
      if (!tpm.volatile.sessions.has(handle)) throw missing(handle, number)
      return
    case TPM_HT.PERSISTENT:
      loadedObject(tpm, handle, at)
      return
    case TPM_HT.NV_INDEX:
      visibleNv(tpm, handle, at)
      return
    default:
      return
  }
}

function missing(handle: number, number: number): TpmError {
  const found = `expected the handle of something loaded, found 0x${handle.toString(16)}`
  return new TpmError(TPM_RC.REFERENCE_H0 + number - 1, found)
}

/** The entity behind a handle that checkLoaded() has passed. */
export function entityOf(tpm: TpmState, handle: number): AuthEntity {
  switch (handleKind(handle)) {
    case TPM_HT.PERMANENT:
      return permanentEntity(tpm, handle)
    case TPM_HT.TRANSIENT:
    case TPM_HT.PERSISTENT:
      return objectEntity(handle, loadedObject(tpm, handle, 'handle'))
    case TPM_HT.NV_INDEX:
      return nvEntity(handle, visibleNv(tpm, handle, 'handle'))
    case TPM_HT.PCR:
      return pcrEntity(tpm, handle)
    default:
      return plain(handle, NO_AUTH, NO_POLICY)
  }
}

/** The entity behind a handle, or undefined when the command that ran has taken it away. */
export function remainingEntity(tpm: TpmState, handle: number): AuthEntity | undefined {
  try {
    return entityOf(tpm, handle)
  } catch (error) {
    if (error instanceof TpmError) return undefined
    throw error
  }
}

function plain(handle: number, authValue: Uint8Array, policy: AuthPolicy): AuthEntity {
  return { handle, name: handleName(handle), authValue, policy, daExempt: handle !== TPM_RH.LOCKOUT }
}

function permanentEntity(tpm: TpmState, handle: number): AuthEntity {
  if (handle === TPM_RH.PLATFORM) {
    const { platformAuth, platformPolicy, platformPolicyHash } = tpm.volatile.clear
    return plain(handle, platformAuth, { hashAlg: platformPolicyHash, digest: platformPolicy })
  }
  const half = permanentHierarchy(tpm.permanent, handle)
  return plain(handle, half?.authValue ?? NO_AUTH, half?.authPolicy ?? NO_POLICY)
}

function objectEntity(handle: number, object: TpmObject | Sequence): AuthEntity {
  if (object instanceof Sequence) {
    const name = new Uint8Array(0)
    return { handle, name, authValue: object.authValue, policy: NO_POLICY, daExempt: true, object }
  }
  const { nameAlg, authPolicy } = object.publicArea
  return {
    handle,
    name: object.name,
    authValue: object.authValue,
    policy: { hashAlg: nameAlg, digest: authPolicy },
    daExempt: object.has('noDA'),
    object,
  }
}

function nvEntity(handle: number, nv: NvRecord): AuthEntity {
  const { nameAlg, authPolicy, attributes } = nv.publicArea
  return {
    handle,
    name: nvIndexName(nv.publicArea),
    authValue: nv.authValue,
    policy: { hashAlg: nameAlg, digest: authPolicy },
    daExempt: (attributes & TPMA_NV.NO_DA) !== 0,
    nv,
  }
}

function pcrEntity(tpm: TpmState, handle: number): AuthEntity {
  const authValue = tpm.volatile.clear.pcrAuthValues.get(handle) ?? NO_AUTH
  const policy = inPolicyGroup(handle) ? (tpm.permanent.pcrPolicies.get(handle) ?? NO_POLICY) : NO_POLICY
  return plain(handle, authValue, policy)
}

/** Whether an entity has a policy at all. */
export function hasPolicy(policy: AuthPolicy): boolean {
  return policy.hashAlg !== TPM_ALG.NULL && policy.digest.length > 0
}
