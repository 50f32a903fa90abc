// Who may read and write an NV index: the owner, the platform or the index itself, as its attributes say. What the index
// itself allows, authorization has checked (AUTHREAD, POLICYWRITE and so on); what is left is asked here.
// Source: TPM 2.0 Library, Part 3, clause 31.1 and Part 2, clause 13.4 (TPMA_NV), revision 1.59.

import { TPM_RC, TPM_RH } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { type NvRecord } from '../state/permanent.ts'
import { nvHas } from './nv-index.ts'

/** Throws TpmError NV_LOCKED or NV_AUTHORIZATION unless `authHandle` may write the index. */
export function checkNvWrite(nv: NvRecord, authHandle: number): void {
  if (nvHas(nv, 'WRITELOCKED')) {
    throw new TpmError(TPM_RC.NV_LOCKED, 'expected an NV index that can be written, found it locked')
  }
  checkProvider(nv, authHandle, 'OWNERWRITE', 'PPWRITE')
}

/** Throws TpmError NV_LOCKED, NV_AUTHORIZATION or NV_UNINITIALIZED unless `authHandle` may read the index. */
export function checkNvRead(nv: NvRecord, authHandle: number): void {
  if (nvHas(nv, 'READLOCKED')) {
    throw new TpmError(TPM_RC.NV_LOCKED, 'expected an NV index that can be read, found it locked')
  }
  checkProvider(nv, authHandle, 'OWNERREAD', 'PPREAD')
  if (!nvHas(nv, 'WRITTEN')) {
    throw new TpmError(
      TPM_RC.NV_UNINITIALIZED,
      'expected an NV index that was written, found it without data',
    )
  }
}

function checkProvider(
  nv: NvRecord,
  authHandle: number,
  byOwner: 'OWNERREAD' | 'OWNERWRITE',
  byPlatform: 'PPREAD' | 'PPWRITE',
): void {
  const allowed =
    (authHandle === TPM_RH.OWNER && nvHas(nv, byOwner)) ||
    (authHandle === TPM_RH.PLATFORM && nvHas(nv, byPlatform)) ||
    authHandle === nv.publicArea.nvIndex
  if (allowed) return
  const message = 'expected an authorization that the attributes of the NV index allow, found another'
  throw new TpmError(TPM_RC.NV_AUTHORIZATION, message)
}
