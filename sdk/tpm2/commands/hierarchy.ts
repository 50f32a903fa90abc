// Hierarchies. Source: TPM 2.0 Library, Part 3, clause 24, revision 1.59.

import { TPM2B_AUTH, TPM2B_DATA, TPM2B_DIGEST, TPM2B_NAME } from '../buffers.ts'
import { TPMI_YES_NO } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPM2B_CREATION_DATA } from '../creation.ts'
import {
  TPMI_RH_CLEAR,
  TPMI_RH_ENABLES,
  TPMI_RH_HIERARCHY,
  TPMI_RH_HIERARCHY_AUTH,
  TPMI_RH_HIERARCHY_PLUS,
  TPMI_RH_HIERARCHY_POLICY,
  TPMI_RH_PLATFORM,
  TPM_HANDLE,
  handleParameter,
} from '../handles.ts'
import { TPMI_ALG_HASH_PLUS } from '../interface-types.ts'
import { TPML_PCR_SELECTION } from '../pcr.ts'
import { TPM2B_PUBLIC } from '../public.ts'
import { TPM2B_SENSITIVE_CREATE } from '../sensitive.ts'
import { TPMT_TK_CREATION } from '../tickets.ts'

/** TPM2_CreatePrimary (24.1). */
export const TPM2_CreatePrimary = command({
  name: 'TPM2_CreatePrimary',
  code: TPM_CC.CreatePrimary,
  handles: { primaryHandle: handle(TPMI_RH_HIERARCHY_PLUS, 'USER') },
  parameters: {
    inSensitive: TPM2B_SENSITIVE_CREATE,
    inPublic: TPM2B_PUBLIC,
    outsideInfo: TPM2B_DATA,
    creationPCR: TPML_PCR_SELECTION,
  },
  responseHandles: { objectHandle: handle(TPM_HANDLE) },
  response: {
    outPublic: TPM2B_PUBLIC,
    creationData: TPM2B_CREATION_DATA,
    creationHash: TPM2B_DIGEST,
    creationTicket: TPMT_TK_CREATION,
    name: TPM2B_NAME,
  },
  pp: 'selectable',
})

/** TPM2_HierarchyControl (24.2). */
export const TPM2_HierarchyControl = command({
  name: 'TPM2_HierarchyControl',
  code: TPM_CC.HierarchyControl,
  handles: { authHandle: handle(TPMI_RH_HIERARCHY, 'USER') },
  parameters: { enable: handleParameter(TPMI_RH_ENABLES), state: TPMI_YES_NO },
  responseHandles: {},
  response: {},
  nv: true,
  extensive: true,
  pp: 'selectable',
})

/** TPM2_SetPrimaryPolicy (24.3). */
export const TPM2_SetPrimaryPolicy = command({
  name: 'TPM2_SetPrimaryPolicy',
  code: TPM_CC.SetPrimaryPolicy,
  handles: { authHandle: handle(TPMI_RH_HIERARCHY_POLICY, 'USER') },
  parameters: { authPolicy: TPM2B_DIGEST, hashAlg: TPMI_ALG_HASH_PLUS },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_ChangePPS (24.4). */
export const TPM2_ChangePPS = command({
  name: 'TPM2_ChangePPS',
  code: TPM_CC.ChangePPS,
  handles: { authHandle: handle(TPMI_RH_PLATFORM, 'USER') },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
  extensive: true,
  pp: 'selectable',
})

/** TPM2_ChangeEPS (24.5). */
export const TPM2_ChangeEPS = command({
  name: 'TPM2_ChangeEPS',
  code: TPM_CC.ChangeEPS,
  handles: { authHandle: handle(TPMI_RH_PLATFORM, 'USER') },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
  extensive: true,
  pp: 'selectable',
})

/** TPM2_Clear (24.6). */
export const TPM2_Clear = command({
  name: 'TPM2_Clear',
  code: TPM_CC.Clear,
  handles: { authHandle: handle(TPMI_RH_CLEAR, 'USER') },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
  extensive: true,
  pp: 'selectable',
})

/** TPM2_ClearControl (24.7). */
export const TPM2_ClearControl = command({
  name: 'TPM2_ClearControl',
  code: TPM_CC.ClearControl,
  handles: { auth: handle(TPMI_RH_CLEAR, 'USER') },
  parameters: { disable: TPMI_YES_NO },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_HierarchyChangeAuth (24.8). */
export const TPM2_HierarchyChangeAuth = command({
  name: 'TPM2_HierarchyChangeAuth',
  code: TPM_CC.HierarchyChangeAuth,
  handles: { authHandle: handle(TPMI_RH_HIERARCHY_AUTH, 'USER') },
  parameters: { newAuth: TPM2B_AUTH },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})
