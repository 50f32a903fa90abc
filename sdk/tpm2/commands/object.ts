// Objects. Source: TPM 2.0 Library, Part 3, clause 12, revision 1.59.

import {
  TPM2B_AUTH,
  TPM2B_DATA,
  TPM2B_DIGEST,
  TPM2B_ENCRYPTED_SECRET,
  TPM2B_ID_OBJECT,
  TPM2B_NAME,
  TPM2B_PRIVATE,
  TPM2B_SENSITIVE_DATA,
  TPM2B_TEMPLATE,
} from '../buffers.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPM2B_CREATION_DATA } from '../creation.ts'
import {
  TPMI_DH_OBJECT,
  TPMI_DH_PARENT_PLUS,
  TPMI_RH_HIERARCHY_PLUS,
  TPM_HANDLE,
  handleParameter,
} from '../handles.ts'
import { TPML_PCR_SELECTION } from '../pcr.ts'
import { TPM2B_PUBLIC, TPM2B_PUBLIC_PLUS } from '../public.ts'
import { TPM2B_SENSITIVE_CREATE, TPM2B_SENSITIVE_OPTIONAL } from '../sensitive.ts'
import { TPMT_TK_CREATION } from '../tickets.ts'

/** TPM2_Create (12.1). */
export const TPM2_Create = command({
  name: 'TPM2_Create',
  code: TPM_CC.Create,
  handles: { parentHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: {
    inSensitive: TPM2B_SENSITIVE_CREATE,
    inPublic: TPM2B_PUBLIC,
    outsideInfo: TPM2B_DATA,
    creationPCR: TPML_PCR_SELECTION,
  },
  responseHandles: {},
  response: {
    outPrivate: TPM2B_PRIVATE,
    outPublic: TPM2B_PUBLIC,
    creationData: TPM2B_CREATION_DATA,
    creationHash: TPM2B_DIGEST,
    creationTicket: TPMT_TK_CREATION,
  },
})

/** TPM2_Load (12.2). */
export const TPM2_Load = command({
  name: 'TPM2_Load',
  code: TPM_CC.Load,
  handles: { parentHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { inPrivate: TPM2B_PRIVATE, inPublic: TPM2B_PUBLIC },
  responseHandles: { objectHandle: handle(TPM_HANDLE) },
  response: { name: TPM2B_NAME },
})

/** TPM2_LoadExternal (12.3). */
export const TPM2_LoadExternal = command({
  name: 'TPM2_LoadExternal',
  code: TPM_CC.LoadExternal,
  handles: {},
  parameters: {
    inPrivate: TPM2B_SENSITIVE_OPTIONAL,
    inPublic: TPM2B_PUBLIC_PLUS,
    hierarchy: handleParameter(TPMI_RH_HIERARCHY_PLUS),
  },
  responseHandles: { objectHandle: handle(TPM_HANDLE) },
  response: { name: TPM2B_NAME },
})

/** TPM2_ReadPublic (12.4). */
export const TPM2_ReadPublic = command({
  name: 'TPM2_ReadPublic',
  code: TPM_CC.ReadPublic,
  handles: { objectHandle: handle(TPMI_DH_OBJECT) },
  parameters: {},
  responseHandles: {},
  response: { outPublic: TPM2B_PUBLIC_PLUS, name: TPM2B_NAME, qualifiedName: TPM2B_NAME },
})

/** TPM2_ActivateCredential (12.5). */
export const TPM2_ActivateCredential = command({
  name: 'TPM2_ActivateCredential',
  code: TPM_CC.ActivateCredential,
  handles: { activateHandle: handle(TPMI_DH_OBJECT, 'ADMIN'), keyHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { credentialBlob: TPM2B_ID_OBJECT, secret: TPM2B_ENCRYPTED_SECRET },
  responseHandles: {},
  response: { certInfo: TPM2B_DIGEST },
})

/** TPM2_MakeCredential (12.6). */
export const TPM2_MakeCredential = command({
  name: 'TPM2_MakeCredential',
  code: TPM_CC.MakeCredential,
  handles: { handle: handle(TPMI_DH_OBJECT) },
  parameters: { credential: TPM2B_DIGEST, objectName: TPM2B_NAME },
  responseHandles: {},
  response: { credentialBlob: TPM2B_ID_OBJECT, secret: TPM2B_ENCRYPTED_SECRET },
})

/** TPM2_Unseal (12.7). */
export const TPM2_Unseal = command({
  name: 'TPM2_Unseal',
  code: TPM_CC.Unseal,
  handles: { itemHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: {},
  responseHandles: {},
  response: { outData: TPM2B_SENSITIVE_DATA },
})

/** TPM2_ObjectChangeAuth (12.8). */
export const TPM2_ObjectChangeAuth = command({
  name: 'TPM2_ObjectChangeAuth',
  code: TPM_CC.ObjectChangeAuth,
  handles: { objectHandle: handle(TPMI_DH_OBJECT, 'ADMIN'), parentHandle: handle(TPMI_DH_OBJECT) },
  parameters: { newAuth: TPM2B_AUTH },
  responseHandles: {},
  response: { outPrivate: TPM2B_PRIVATE },
})

/** TPM2_CreateLoaded (12.9). */
export const TPM2_CreateLoaded = command({
  name: 'TPM2_CreateLoaded',
  code: TPM_CC.CreateLoaded,
  handles: { parentHandle: handle(TPMI_DH_PARENT_PLUS, 'USER') },
  parameters: { inSensitive: TPM2B_SENSITIVE_CREATE, inPublic: TPM2B_TEMPLATE },
  responseHandles: { objectHandle: handle(TPM_HANDLE) },
  response: { outPrivate: TPM2B_PRIVATE, outPublic: TPM2B_PUBLIC, name: TPM2B_NAME },
  pp: 'selectable',
})
