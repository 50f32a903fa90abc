// Hash, HMAC and event sequences. Source: TPM 2.0 Library, Part 3, clause 17, revision 1.59.

import { TPM2B_AUTH, TPM2B_DIGEST, TPM2B_MAX_BUFFER } from '../buffers.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_OBJECT, TPMI_DH_PCR_PLUS, TPMI_RH_HIERARCHY_PLUS, handleParameter } from '../handles.ts'
import { TPMI_ALG_HASH_PLUS } from '../interface-types.ts'
import { TPML_DIGEST_VALUES } from '../lists.ts'
import { TPMT_TK_HASHCHECK } from '../tickets.ts'

/** TPM2_HMAC_Start (17.2). */
export const TPM2_HMAC_Start = command({
  name: 'TPM2_HMAC_Start',
  code: TPM_CC.HMAC_Start,
  handles: { handle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { auth: TPM2B_AUTH, hashAlg: TPMI_ALG_HASH_PLUS },
  responseHandles: { sequenceHandle: handle(TPMI_DH_OBJECT) },
  response: {},
})

/** TPM2_HashSequenceStart (17.4). */
export const TPM2_HashSequenceStart = command({
  name: 'TPM2_HashSequenceStart',
  code: TPM_CC.HashSequenceStart,
  handles: {},
  parameters: { auth: TPM2B_AUTH, hashAlg: TPMI_ALG_HASH_PLUS },
  responseHandles: { sequenceHandle: handle(TPMI_DH_OBJECT) },
  response: {},
})

/** TPM2_SequenceUpdate (17.5). */
export const TPM2_SequenceUpdate = command({
  name: 'TPM2_SequenceUpdate',
  code: TPM_CC.SequenceUpdate,
  handles: { sequenceHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { buffer: TPM2B_MAX_BUFFER },
  responseHandles: {},
  response: {},
})

/** TPM2_SequenceComplete (17.6). */
export const TPM2_SequenceComplete = command({
  name: 'TPM2_SequenceComplete',
  code: TPM_CC.SequenceComplete,
  handles: { sequenceHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { buffer: TPM2B_MAX_BUFFER, hierarchy: handleParameter(TPMI_RH_HIERARCHY_PLUS) },
  responseHandles: {},
  response: { result: TPM2B_DIGEST, validation: TPMT_TK_HASHCHECK },
  flushed: true,
})

/** TPM2_EventSequenceComplete (17.7). */
export const TPM2_EventSequenceComplete = command({
  name: 'TPM2_EventSequenceComplete',
  code: TPM_CC.EventSequenceComplete,
  handles: { pcrHandle: handle(TPMI_DH_PCR_PLUS, 'USER'), sequenceHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { buffer: TPM2B_MAX_BUFFER },
  responseHandles: {},
  response: { results: TPML_DIGEST_VALUES },
  nv: true,
  flushed: true,
})
