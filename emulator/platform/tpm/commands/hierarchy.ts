// Hierarchies: enabling them, their policies and authValues, their seeds and proofs, and clearing the owner's.
// TPM2_CreatePrimary, of the same clause, is with the commands on objects.
// Source: TPM 2.0 Library, Part 3, clause 24 and Part 1, clause 14 (hierarchies), revision 1.59.

import {
  digestSize,
  TPM2_ChangeEPS,
  TPM2_ChangePPS,
  TPM2_Clear,
  TPM2_ClearControl,
  TPM2_HierarchyChangeAuth,
  TPM2_HierarchyControl,
  TPM2_SetPrimaryPolicy,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  trimAuth,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { deleteOwnerNv } from '../entities/nv-store.ts'
import { flushHierarchy } from '../entities/object-store.ts'
import { countPcrChange } from '../entities/pcr.ts'
import { TpmError } from '../errors.ts'
import { SEED_BYTES } from '../profile.ts'
import {
  type HierarchySeed,
  newDictionary,
  newHierarchy,
  NO_POLICY,
  permanentHierarchy,
} from '../state/permanent.ts'
import { type ClearState } from '../state/saved.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'

const NO_AUTH = new Uint8Array(0)

/** The switch of a hierarchy, or of the platform's NV indices. */
const SWITCHES: ReadonlyMap<number, 'shEnable' | 'ehEnable' | 'phEnable' | 'phEnableNV'> = new Map([
  [TPM_RH.OWNER, 'shEnable'],
  [TPM_RH.ENDORSEMENT, 'ehEnable'],
  [TPM_RH.PLATFORM, 'phEnable'],
  [TPM_RH.PLATFORM_NV, 'phEnableNV'],
])

/** A hierarchy may switch itself off; only the platform may switch on, and others off. */
const hierarchyControl = implement(TPM2_HierarchyControl, (tpm, { authHandle, enable, state }) => {
  const { clear } = tpm.volatile
  const which = SWITCHES.get(enable)
  if (which === undefined)
    throw new TpmError(TPM_RC.VALUE, 'expected a hierarchy to switch, found none', 'enable')
  const itself = authHandle === enable && !(state && !clear[which])
  if (authHandle !== TPM_RH.PLATFORM && !itself) {
    throw new TpmError(TPM_RC.AUTH_TYPE, "expected the platform's authorization, found another hierarchy's")
  }
  if (clear[which] === state) return {}
  clear[which] = state
  if (!state && enable !== TPM_RH.PLATFORM_NV) flushHierarchy(tpm, enable)
  return {}
})

/** The permanent half of a hierarchy that has one. */
function half(tpm: TpmState, hierarchy: number): HierarchySeed {
  const found = permanentHierarchy(tpm.permanent, hierarchy)
  if (found !== undefined) return found
  throw new TpmError(TPM_RC.VALUE, `expected a hierarchy, found 0x${hierarchy.toString(16)}`, 'authHandle')
}

const setPrimaryPolicy = implement(TPM2_SetPrimaryPolicy, (tpm, { authHandle, authPolicy, hashAlg }) => {
  const size = hashAlg === TPM_ALG.NULL ? 0 : digestSize(hashAlg)
  if (authPolicy.length !== size) {
    const found = `expected a policy of ${String(size)} bytes, found ${String(authPolicy.length)}`
    throw new TpmError(TPM_RC.SIZE, found, 'authPolicy')
  }
  if (authHandle === TPM_RH.PLATFORM) setPlatformPolicy(tpm.volatile.clear, hashAlg, authPolicy)
  else {
    half(tpm, authHandle).authPolicy = { hashAlg, digest: authPolicy }
    changed(tpm)
  }
  return {}
})

function setPlatformPolicy(clear: ClearState, hashAlg: number, digest: Uint8Array): void {
  clear.platformPolicyHash = hashAlg
  clear.platformPolicy = digest
}

/** The platform's authValue stays. */
const changePps = implement(TPM2_ChangePPS, (tpm) => {
  renew(tpm, tpm.permanent.platform)
  setPlatformPolicy(tpm.volatile.clear, TPM_ALG.NULL, NO_AUTH)
  tpm.permanent.pcrPolicies.clear()
  removeObjects(tpm, TPM_RH.PLATFORM)
  changed(tpm)
  return {}
})

const changeEps = implement(TPM2_ChangeEPS, (tpm) => {
  tpm.permanent.endorsement = newHierarchy(tpm.random.next)
  tpm.volatile.clear.ehEnable = true
  removeObjects(tpm, TPM_RH.ENDORSEMENT)
  changed(tpm)
  return {}
})

function renew(tpm: TpmState, hierarchy: HierarchySeed): void {
  hierarchy.seed = tpm.random.next(SEED_BYTES)
  hierarchy.proof = tpm.random.next(SEED_BYTES)
}

/** Flushes the hierarchy's loaded objects and deletes its persistent ones. */
function removeObjects(tpm: TpmState, hierarchy: number): void {
  flushHierarchy(tpm, hierarchy)
  for (const [handle, record] of tpm.permanent.persistent) {
    if (record.hierarchy === hierarchy) tpm.permanent.persistent.delete(handle)
  }
}

/** The owner goes: keys, data, authorizations and counters of the owner and, but for its seed, of the endorser. */
const clear = implement(TPM2_Clear, (tpm) => {
  const { permanent, volatile } = tpm
  if (permanent.disableClear) {
    throw new TpmError(
      TPM_RC.DISABLED,
      'expected that clearing is allowed, found it disabled by TPM2_ClearControl',
    )
  }
  const { seed } = permanent.endorsement
  permanent.owner = newHierarchy(tpm.random.next)
  permanent.endorsement = { ...newHierarchy(tpm.random.next), seed }
  permanent.lockout = { ...permanent.lockout, authValue: NO_AUTH, authPolicy: NO_POLICY }
  permanent.dictionary = newDictionary()
  volatile.clear.shEnable = true
  volatile.clear.ehEnable = true
  removeObjects(tpm, TPM_RH.OWNER)
  removeObjects(tpm, TPM_RH.ENDORSEMENT)
  deleteOwnerNv(tpm)
  clearCounters(tpm)
  changed(tpm)
  return {}
})

/** Clock and counters that would tell the next owner of the last one. */
function clearCounters(tpm: TpmState): void {
  const { permanent, volatile } = tpm
  tpm.clock.restart()
  permanent.timing.resetCount = 0
  permanent.audit.counter = 0n
  volatile.reset.restartCount = 0
  volatile.reset.clearCount = 0
  volatile.clear.pcrAuthValues.clear()
  countPcrChange(tpm, 0)
}

const clearControl = implement(TPM2_ClearControl, (tpm, { auth, disable }) => {
  if (auth === TPM_RH.LOCKOUT && !disable) {
    throw new TpmError(
      TPM_RC.AUTH_FAIL,
      "expected the platform's authorization to allow clearing, found lockout's",
    )
  }
  tpm.permanent.disableClear = disable
  changed(tpm)
  return {}
})

const hierarchyChangeAuth = implement(TPM2_HierarchyChangeAuth, (tpm, { authHandle, newAuth }) => {
  const authValue = trimAuth(newAuth)
  if (authHandle === TPM_RH.PLATFORM) tpm.volatile.clear.platformAuth = authValue
  else {
    half(tpm, authHandle).authValue = authValue
    changed(tpm)
  }
  return {}
})

/** Clause 24, but TPM2_CreatePrimary. */
export const hierarchyCommands: readonly Implementation[] = [
  hierarchyControl,
  setPrimaryPolicy,
  changePps,
  changeEps,
  clear,
  clearControl,
  hierarchyChangeAuth,
]
