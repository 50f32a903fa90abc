// Defining and deleting NV indices.
// Source: TPM 2.0 Library, Part 3, clauses 31.3 to 31.5 and Part 2, clause 13.4 (TPMA_NV), revision 1.59.

import {
  digestSize,
  TPM2_NV_DefineSpace,
  TPM2_NV_UndefineSpace,
  TPM2_NV_UndefineSpaceSpecial,
  TPM_NT,
  TPM_RC,
  TPM_RH,
  TPMA_NV,
  type TPMS_NV_PUBLIC,
  trimAuth,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { nvHas, nvType, visibleNv } from '../entities/nv-index.ts'
import { defineNv, deleteNv } from '../entities/nv-store.ts'
import { TpmError } from '../errors.ts'
import { MAX_NV_BUFFER_SIZE, MAX_NV_INDEX_SIZE } from '../profile.ts'

/** Data of a counter, a bit field or a PIN's count and limit. */
const EIGHT = 8
const ANY_READ = TPMA_NV.OWNERREAD | TPMA_NV.PPREAD | TPMA_NV.AUTHREAD | TPMA_NV.POLICYREAD
const ANY_WRITE = TPMA_NV.OWNERWRITE | TPMA_NV.PPWRITE | TPMA_NV.AUTHWRITE | TPMA_NV.POLICYWRITE
/** What only commands on the index set. */
const STATE = TPMA_NV.WRITTEN | TPMA_NV.WRITELOCKED | TPMA_NV.READLOCKED

function wrong(rc: number, expected: string, at = 'publicInfo'): TpmError {
  return new TpmError(rc, `expected ${expected}, found other`, at)
}

const defineSpace = implement(TPM2_NV_DefineSpace, (tpm, { authHandle, auth, publicInfo }) => {
  const { nameAlg, authPolicy, nvIndex } = publicInfo
  const digest = digestSize(nameAlg)
  if (authPolicy.length !== 0 && authPolicy.length !== digest) {
    throw wrong(TPM_RC.SIZE, `no policy or one of ${String(digest)} bytes`)
  }
  const authValue = trimAuth(auth)
  if (authValue.length > digest)
    throw wrong(TPM_RC.SIZE, `an authValue of at most ${String(digest)} bytes`, 'auth')
  if (authHandle === TPM_RH.PLATFORM && !tpm.volatile.clear.phEnableNV) {
    throw wrong(TPM_RC.HIERARCHY, "that the platform's NV indices are enabled", 'authHandle')
  }
  checkSize(publicInfo)
  checkAttributes(publicInfo.attributes)
  checkCreator(publicInfo.attributes, authHandle)
  if (publicInfo.dataSize > MAX_NV_BUFFER_SIZE && (publicInfo.attributes & TPMA_NV.WRITEALL) !== 0) {
    throw wrong(TPM_RC.SIZE, 'an index that is written whole to be no larger than one TPM2_NV_Write')
  }
  if (tpm.permanent.nv.has(nvIndex)) {
    throw new TpmError(TPM_RC.NV_DEFINED, `expected a free index, found 0x${nvIndex.toString(16)} defined`)
  }
  defineNv(tpm, publicInfo, authValue)
  return {}
})

/** Throws TpmError ATTRIBUTES for an unknown type, SIZE for one that has another size. */
function checkSize({ attributes, nameAlg, dataSize }: TPMS_NV_PUBLIC): void {
  switch (nvType(attributes)) {
    case TPM_NT.ORDINARY:
      if (dataSize > MAX_NV_INDEX_SIZE) throw wrong(TPM_RC.SIZE, `at most ${String(MAX_NV_INDEX_SIZE)} bytes`)
      return
    case TPM_NT.EXTEND:
      if (dataSize !== digestSize(nameAlg))
        throw wrong(TPM_RC.SIZE, 'as many bytes as a digest of nameAlg has')
      return
    case TPM_NT.COUNTER:
    case TPM_NT.BITS:
    case TPM_NT.PIN_FAIL:
    case TPM_NT.PIN_PASS:
      if (dataSize !== EIGHT) throw wrong(TPM_RC.SIZE, '8 bytes for an index of this type')
      return
    default:
      throw wrong(TPM_RC.ATTRIBUTES, 'a type of index that is implemented')
  }
}

function checkAttributes(attributes: number): void {
  const has = (bits: number): boolean => (attributes & bits) !== 0
  const type = nvType(attributes)
  if (type === TPM_NT.COUNTER && has(TPMA_NV.CLEAR_STCLEAR)) {
    throw wrong(TPM_RC.ATTRIBUTES, 'a counter without CLEAR_STCLEAR')
  }
  if (type === TPM_NT.PIN_FAIL && !has(TPMA_NV.NO_DA))
    throw wrong(TPM_RC.ATTRIBUTES, 'a PIN_FAIL index with NO_DA')
  const pin = type === TPM_NT.PIN_FAIL || type === TPM_NT.PIN_PASS
  if (pin && has(TPMA_NV.AUTHWRITE | TPMA_NV.GLOBALLOCK | TPMA_NV.WRITEDEFINE)) {
    throw wrong(TPM_RC.ATTRIBUTES, 'a PIN index without AUTHWRITE, GLOBALLOCK and WRITEDEFINE')
  }
  if (has(STATE)) throw wrong(TPM_RC.ATTRIBUTES, 'an index without WRITTEN, WRITELOCKED and READLOCKED')
  if (!has(ANY_READ)) throw wrong(TPM_RC.ATTRIBUTES, 'an index that somebody may read')
  if (!has(ANY_WRITE)) throw wrong(TPM_RC.ATTRIBUTES, 'an index that somebody may write')
  if (has(TPMA_NV.CLEAR_STCLEAR) && has(TPMA_NV.WRITEDEFINE)) {
    throw wrong(TPM_RC.ATTRIBUTES, 'CLEAR_STCLEAR or WRITEDEFINE, but not both')
  }
}

/** PLATFORMCREATE says who made the index and may delete it; only the platform's can be kept from deletion by a policy. */
function checkCreator(attributes: number, authHandle: number): void {
  const platform = authHandle === TPM_RH.PLATFORM
  if (((attributes & TPMA_NV.PLATFORMCREATE) !== 0) !== platform) {
    throw wrong(
      TPM_RC.ATTRIBUTES,
      'PLATFORMCREATE with the authorization of the platform, and only then',
      'authHandle',
    )
  }
  if ((attributes & TPMA_NV.POLICY_DELETE) !== 0 && !platform) {
    throw wrong(TPM_RC.ATTRIBUTES, 'POLICY_DELETE with the authorization of the platform only')
  }
}

const undefineSpace = implement(TPM2_NV_UndefineSpace, (tpm, { authHandle, nvIndex }) => {
  const nv = visibleNv(tpm, nvIndex, 'nvIndex')
  if (nvHas(nv, 'POLICY_DELETE')) throw wrong(TPM_RC.ATTRIBUTES, 'an index without POLICY_DELETE', 'nvIndex')
  if (authHandle === TPM_RH.OWNER && nvHas(nv, 'PLATFORMCREATE')) {
    throw new TpmError(TPM_RC.NV_AUTHORIZATION, "expected the platform's authorization, found the owner's")
  }
  deleteNv(tpm, nvIndex)
  return {}
})

const undefineSpaceSpecial = implement(TPM2_NV_UndefineSpaceSpecial, (tpm, { nvIndex }) => {
  const nv = visibleNv(tpm, nvIndex, 'nvIndex')
  if (!nvHas(nv, 'POLICY_DELETE')) throw wrong(TPM_RC.ATTRIBUTES, 'an index with POLICY_DELETE', 'nvIndex')
  deleteNv(tpm, nvIndex)
  return {}
})

/** Clauses 31.3 to 31.5. */
export const nvSpaceCommands: readonly Implementation[] = [defineSpace, undefineSpace, undefineSpaceSpecial]
