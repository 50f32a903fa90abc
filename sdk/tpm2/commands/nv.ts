// Non-volatile storage. Source: TPM 2.0 Library, Part 3, clause 31, revision 1.59.

import { TPM2B_ATTEST, TPM2B_AUTH, TPM2B_DATA, TPM2B_MAX_NV_BUFFER, TPM2B_NAME } from '../buffers.ts'
import { UINT16, UINT64 } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import {
  TPMI_DH_OBJECT_PLUS,
  TPMI_RH_NV_AUTH,
  TPMI_RH_NV_INDEX,
  TPMI_RH_PLATFORM,
  TPMI_RH_PROVISION,
} from '../handles.ts'
import { TPM2B_NV_PUBLIC } from '../nv.ts'
import { TPMT_SIG_SCHEME_PLUS } from '../schemes.ts'
import { TPMT_SIGNATURE_PLUS } from '../signature.ts'

/** TPM2_NV_DefineSpace (31.3). */
export const TPM2_NV_DefineSpace = command({
  name: 'TPM2_NV_DefineSpace',
  code: TPM_CC.NV_DefineSpace,
  handles: { authHandle: handle(TPMI_RH_PROVISION, 'USER') },
  parameters: { auth: TPM2B_AUTH, publicInfo: TPM2B_NV_PUBLIC },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_NV_UndefineSpace (31.4). */
export const TPM2_NV_UndefineSpace = command({
  name: 'TPM2_NV_UndefineSpace',
  code: TPM_CC.NV_UndefineSpace,
  handles: { authHandle: handle(TPMI_RH_PROVISION, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_NV_UndefineSpaceSpecial (31.5). */
export const TPM2_NV_UndefineSpaceSpecial = command({
  name: 'TPM2_NV_UndefineSpaceSpecial',
  code: TPM_CC.NV_UndefineSpaceSpecial,
  handles: { nvIndex: handle(TPMI_RH_NV_INDEX, 'ADMIN'), platform: handle(TPMI_RH_PLATFORM, 'USER') },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_NV_ReadPublic (31.6). */
export const TPM2_NV_ReadPublic = command({
  name: 'TPM2_NV_ReadPublic',
  code: TPM_CC.NV_ReadPublic,
  handles: { nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: {},
  responseHandles: {},
  response: { nvPublic: TPM2B_NV_PUBLIC, nvName: TPM2B_NAME },
})

/** TPM2_NV_Write (31.7). */
export const TPM2_NV_Write = command({
  name: 'TPM2_NV_Write',
  code: TPM_CC.NV_Write,
  handles: { authHandle: handle(TPMI_RH_NV_AUTH, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: { data: TPM2B_MAX_NV_BUFFER, offset: UINT16 },
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_NV_Increment (31.8). */
export const TPM2_NV_Increment = command({
  name: 'TPM2_NV_Increment',
  code: TPM_CC.NV_Increment,
  handles: { authHandle: handle(TPMI_RH_NV_AUTH, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_NV_Extend (31.9). */
export const TPM2_NV_Extend = command({
  name: 'TPM2_NV_Extend',
  code: TPM_CC.NV_Extend,
  handles: { authHandle: handle(TPMI_RH_NV_AUTH, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: { data: TPM2B_MAX_NV_BUFFER },
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_NV_SetBits (31.10). */
export const TPM2_NV_SetBits = command({
  name: 'TPM2_NV_SetBits',
  code: TPM_CC.NV_SetBits,
  handles: { authHandle: handle(TPMI_RH_NV_AUTH, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: { bits: UINT64 },
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_NV_WriteLock (31.11). */
export const TPM2_NV_WriteLock = command({
  name: 'TPM2_NV_WriteLock',
  code: TPM_CC.NV_WriteLock,
  handles: { authHandle: handle(TPMI_RH_NV_AUTH, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_NV_GlobalWriteLock (31.12). */
export const TPM2_NV_GlobalWriteLock = command({
  name: 'TPM2_NV_GlobalWriteLock',
  code: TPM_CC.NV_GlobalWriteLock,
  handles: { authHandle: handle(TPMI_RH_PROVISION, 'USER') },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_NV_Read (31.13). */
export const TPM2_NV_Read = command({
  name: 'TPM2_NV_Read',
  code: TPM_CC.NV_Read,
  handles: { authHandle: handle(TPMI_RH_NV_AUTH, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: { size: UINT16, offset: UINT16 },
  responseHandles: {},
  response: { data: TPM2B_MAX_NV_BUFFER },
})

/** TPM2_NV_ReadLock (31.14). */
export const TPM2_NV_ReadLock = command({
  name: 'TPM2_NV_ReadLock',
  code: TPM_CC.NV_ReadLock,
  handles: { authHandle: handle(TPMI_RH_NV_AUTH, 'USER'), nvIndex: handle(TPMI_RH_NV_INDEX) },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_NV_ChangeAuth (31.15). */
export const TPM2_NV_ChangeAuth = command({
  name: 'TPM2_NV_ChangeAuth',
  code: TPM_CC.NV_ChangeAuth,
  handles: { nvIndex: handle(TPMI_RH_NV_INDEX, 'ADMIN') },
  parameters: { newAuth: TPM2B_AUTH },
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_NV_Certify (31.16). */
export const TPM2_NV_Certify = command({
  name: 'TPM2_NV_Certify',
  code: TPM_CC.NV_Certify,
  handles: {
    signHandle: handle(TPMI_DH_OBJECT_PLUS, 'USER'),
    authHandle: handle(TPMI_RH_NV_AUTH, 'USER'),
    nvIndex: handle(TPMI_RH_NV_INDEX),
  },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME_PLUS, size: UINT16, offset: UINT16 },
  responseHandles: {},
  response: { certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE_PLUS },
})
