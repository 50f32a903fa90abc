// Enhanced authorization. Source: TPM 2.0 Library, Part 3, clause 23, revision 1.59.

import { TPMA_LOCALITY_BITS } from '../attribute-types.ts'
import { TPM2B_DIGEST, TPM2B_NAME, TPM2B_NONCE, TPM2B_OPERAND, TPM2B_TIMEOUT } from '../buffers.ts'
import { INT32, TPMI_YES_NO, UINT16, UINT32 } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import {
  TPMI_DH_ENTITY,
  TPMI_DH_OBJECT,
  TPMI_RH_NV_AUTH,
  TPMI_RH_NV_INDEX,
  TPMI_SH_POLICY,
} from '../handles.ts'
import { COMPARISON } from '../interface-types.ts'
import { TPML_DIGEST_OR } from '../lists.ts'
import { TPML_PCR_SELECTION } from '../pcr.ts'
import { TPMT_SIGNATURE } from '../signature.ts'
import { TPMT_TK_AUTH, TPMT_TK_VERIFIED } from '../tickets.ts'

/** TPM2_PolicySigned (23.3). */
export const TPM2_PolicySigned = command({
  name: 'TPM2_PolicySigned',
  code: TPM_CC.PolicySigned,
  handles: { authObject: handle(TPMI_DH_OBJECT), policySession: handle(TPMI_SH_POLICY) },
  parameters: {
    nonceTPM: TPM2B_NONCE,
    cpHashA: TPM2B_DIGEST,
    policyRef: TPM2B_NONCE,
    expiration: INT32,
    auth: TPMT_SIGNATURE,
  },
  responseHandles: {},
  response: { timeout: TPM2B_TIMEOUT, policyTicket: TPMT_TK_AUTH },
})

/** TPM2_PolicySecret (23.4). */
export const TPM2_PolicySecret = command({
  name: 'TPM2_PolicySecret',
  code: TPM_CC.PolicySecret,
  handles: { authHandle: handle(TPMI_DH_ENTITY, 'USER'), policySession: handle(TPMI_SH_POLICY) },
  parameters: { nonceTPM: TPM2B_NONCE, cpHashA: TPM2B_DIGEST, policyRef: TPM2B_NONCE, expiration: INT32 },
  responseHandles: {},
  response: { timeout: TPM2B_TIMEOUT, policyTicket: TPMT_TK_AUTH },
})

/** TPM2_PolicyTicket (23.5). */
export const TPM2_PolicyTicket = command({
  name: 'TPM2_PolicyTicket',
  code: TPM_CC.PolicyTicket,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: {
    timeout: TPM2B_TIMEOUT,
    cpHashA: TPM2B_DIGEST,
    policyRef: TPM2B_NONCE,
    authName: TPM2B_NAME,
    ticket: TPMT_TK_AUTH,
  },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyOR (23.6). */
export const TPM2_PolicyOR = command({
  name: 'TPM2_PolicyOR',
  code: TPM_CC.PolicyOR,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { pHashList: TPML_DIGEST_OR },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyPCR (23.7). */
export const TPM2_PolicyPCR = command({
  name: 'TPM2_PolicyPCR',
  code: TPM_CC.PolicyPCR,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { pcrDigest: TPM2B_DIGEST, pcrs: TPML_PCR_SELECTION },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyLocality (23.8). */
export const TPM2_PolicyLocality = command({
  name: 'TPM2_PolicyLocality',
  code: TPM_CC.PolicyLocality,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { locality: TPMA_LOCALITY_BITS },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyNV (23.9). */
export const TPM2_PolicyNV = command({
  name: 'TPM2_PolicyNV',
  code: TPM_CC.PolicyNV,
  handles: {
    authHandle: handle(TPMI_RH_NV_AUTH, 'USER'),
    nvIndex: handle(TPMI_RH_NV_INDEX),
    policySession: handle(TPMI_SH_POLICY),
  },
  parameters: { operandB: TPM2B_OPERAND, offset: UINT16, operation: COMPARISON },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyCounterTimer (23.10). */
export const TPM2_PolicyCounterTimer = command({
  name: 'TPM2_PolicyCounterTimer',
  code: TPM_CC.PolicyCounterTimer,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { operandB: TPM2B_OPERAND, offset: UINT16, operation: COMPARISON },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyCommandCode (23.11). */
export const TPM2_PolicyCommandCode = command({
  name: 'TPM2_PolicyCommandCode',
  code: TPM_CC.PolicyCommandCode,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { code: UINT32 },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyPhysicalPresence (23.12). */
export const TPM2_PolicyPhysicalPresence = command({
  name: 'TPM2_PolicyPhysicalPresence',
  code: TPM_CC.PolicyPhysicalPresence,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: {},
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyCpHash (23.13). */
export const TPM2_PolicyCpHash = command({
  name: 'TPM2_PolicyCpHash',
  code: TPM_CC.PolicyCpHash,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { cpHashA: TPM2B_DIGEST },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyNameHash (23.14). */
export const TPM2_PolicyNameHash = command({
  name: 'TPM2_PolicyNameHash',
  code: TPM_CC.PolicyNameHash,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { nameHash: TPM2B_DIGEST },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyDuplicationSelect (23.15). */
export const TPM2_PolicyDuplicationSelect = command({
  name: 'TPM2_PolicyDuplicationSelect',
  code: TPM_CC.PolicyDuplicationSelect,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { objectName: TPM2B_NAME, newParentName: TPM2B_NAME, includeObject: TPMI_YES_NO },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyAuthorize (23.16). */
export const TPM2_PolicyAuthorize = command({
  name: 'TPM2_PolicyAuthorize',
  code: TPM_CC.PolicyAuthorize,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: {
    approvedPolicy: TPM2B_DIGEST,
    policyRef: TPM2B_NONCE,
    keySign: TPM2B_NAME,
    checkTicket: TPMT_TK_VERIFIED,
  },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyAuthValue (23.17). */
export const TPM2_PolicyAuthValue = command({
  name: 'TPM2_PolicyAuthValue',
  code: TPM_CC.PolicyAuthValue,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: {},
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyPassword (23.18). */
export const TPM2_PolicyPassword = command({
  name: 'TPM2_PolicyPassword',
  code: TPM_CC.PolicyPassword,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: {},
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyGetDigest (23.19). */
export const TPM2_PolicyGetDigest = command({
  name: 'TPM2_PolicyGetDigest',
  code: TPM_CC.PolicyGetDigest,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: {},
  responseHandles: {},
  response: { policyDigest: TPM2B_DIGEST },
})

/** TPM2_PolicyNvWritten (23.20). */
export const TPM2_PolicyNvWritten = command({
  name: 'TPM2_PolicyNvWritten',
  code: TPM_CC.PolicyNvWritten,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { writtenSet: TPMI_YES_NO },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyTemplate (23.21). */
export const TPM2_PolicyTemplate = command({
  name: 'TPM2_PolicyTemplate',
  code: TPM_CC.PolicyTemplate,
  handles: { policySession: handle(TPMI_SH_POLICY) },
  parameters: { templateHash: TPM2B_DIGEST },
  responseHandles: {},
  response: {},
})

/** TPM2_PolicyAuthorizeNV (23.22). */
export const TPM2_PolicyAuthorizeNV = command({
  name: 'TPM2_PolicyAuthorizeNV',
  code: TPM_CC.PolicyAuthorizeNV,
  handles: {
    authHandle: handle(TPMI_RH_NV_AUTH, 'USER'),
    nvIndex: handle(TPMI_RH_NV_INDEX),
    policySession: handle(TPMI_SH_POLICY),
  },
  parameters: {},
  responseHandles: {},
  response: {},
})
