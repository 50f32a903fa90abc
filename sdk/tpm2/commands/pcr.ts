// Platform configuration registers. Source: TPM 2.0 Library, Part 3, clause 22, revision 1.59.

import { TPM2B_DIGEST, TPM2B_EVENT } from '../buffers.ts'
import { TPMI_YES_NO, UINT32 } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_PCR, TPMI_DH_PCR_PLUS, TPMI_RH_PLATFORM, handleParameter } from '../handles.ts'
import { TPMI_ALG_HASH_PLUS } from '../interface-types.ts'
import { TPML_DIGEST, TPML_DIGEST_VALUES } from '../lists.ts'
import { TPML_PCR_SELECTION } from '../pcr.ts'

/** TPM2_PCR_Extend (22.2). */
export const TPM2_PCR_Extend = command({
  name: 'TPM2_PCR_Extend',
  code: TPM_CC.PCR_Extend,
  handles: { pcrHandle: handle(TPMI_DH_PCR_PLUS, 'USER') },
  parameters: { digests: TPML_DIGEST_VALUES },
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_PCR_Event (22.3). */
export const TPM2_PCR_Event = command({
  name: 'TPM2_PCR_Event',
  code: TPM_CC.PCR_Event,
  handles: { pcrHandle: handle(TPMI_DH_PCR_PLUS, 'USER') },
  parameters: { eventData: TPM2B_EVENT },
  responseHandles: {},
  response: { digests: TPML_DIGEST_VALUES },
  nv: true,
})

/** TPM2_PCR_Read (22.4). */
export const TPM2_PCR_Read = command({
  name: 'TPM2_PCR_Read',
  code: TPM_CC.PCR_Read,
  handles: {},
  parameters: { pcrSelectionIn: TPML_PCR_SELECTION },
  responseHandles: {},
  response: { pcrUpdateCounter: UINT32, pcrSelectionOut: TPML_PCR_SELECTION, pcrValues: TPML_DIGEST },
})

/** TPM2_PCR_Allocate (22.5). */
export const TPM2_PCR_Allocate = command({
  name: 'TPM2_PCR_Allocate',
  code: TPM_CC.PCR_Allocate,
  handles: { authHandle: handle(TPMI_RH_PLATFORM, 'USER') },
  parameters: { pcrAllocation: TPML_PCR_SELECTION },
  responseHandles: {},
  response: { allocationSuccess: TPMI_YES_NO, maxPCR: UINT32, sizeNeeded: UINT32, sizeAvailable: UINT32 },
  nv: true,
  pp: 'selectable',
})

/** TPM2_PCR_SetAuthPolicy (22.6). */
export const TPM2_PCR_SetAuthPolicy = command({
  name: 'TPM2_PCR_SetAuthPolicy',
  code: TPM_CC.PCR_SetAuthPolicy,
  handles: { authHandle: handle(TPMI_RH_PLATFORM, 'USER') },
  parameters: { authPolicy: TPM2B_DIGEST, hashAlg: TPMI_ALG_HASH_PLUS, pcrNum: handleParameter(TPMI_DH_PCR) },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_PCR_SetAuthValue (22.7). */
export const TPM2_PCR_SetAuthValue = command({
  name: 'TPM2_PCR_SetAuthValue',
  code: TPM_CC.PCR_SetAuthValue,
  handles: { pcrHandle: handle(TPMI_DH_PCR, 'USER') },
  parameters: { auth: TPM2B_DIGEST },
  responseHandles: {},
  response: {},
})

/** TPM2_PCR_Reset (22.8). */
export const TPM2_PCR_Reset = command({
  name: 'TPM2_PCR_Reset',
  code: TPM_CC.PCR_Reset,
  handles: { pcrHandle: handle(TPMI_DH_PCR, 'USER') },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
})
