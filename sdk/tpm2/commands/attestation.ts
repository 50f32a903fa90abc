// Attestation. Source: TPM 2.0 Library, Part 3, clause 18, revision 1.59.

import { TPM2B_ATTEST, TPM2B_DATA, TPM2B_DIGEST } from '../buffers.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_OBJECT, TPMI_DH_OBJECT_PLUS, TPMI_RH_ENDORSEMENT, TPMI_SH_HMAC } from '../handles.ts'
import { TPML_PCR_SELECTION } from '../pcr.ts'
import { TPMT_SIG_SCHEME_PLUS } from '../schemes.ts'
import { TPMT_SIGNATURE_PLUS } from '../signature.ts'
import { TPMT_TK_CREATION } from '../tickets.ts'

/** TPM2_Certify (18.2). */
export const TPM2_Certify = command({
  name: 'TPM2_Certify',
  code: TPM_CC.Certify,
  handles: { objectHandle: handle(TPMI_DH_OBJECT, 'ADMIN'), signHandle: handle(TPMI_DH_OBJECT_PLUS, 'USER') },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME_PLUS },
  responseHandles: {},
  response: { certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE_PLUS },
})

/** TPM2_CertifyCreation (18.3). */
export const TPM2_CertifyCreation = command({
  name: 'TPM2_CertifyCreation',
  code: TPM_CC.CertifyCreation,
  handles: { signHandle: handle(TPMI_DH_OBJECT_PLUS, 'USER'), objectHandle: handle(TPMI_DH_OBJECT) },
  parameters: {
    qualifyingData: TPM2B_DATA,
    creationHash: TPM2B_DIGEST,
    inScheme: TPMT_SIG_SCHEME_PLUS,
    creationTicket: TPMT_TK_CREATION,
  },
  responseHandles: {},
  response: { certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE_PLUS },
})

/** TPM2_Quote (18.4). */
export const TPM2_Quote = command({
  name: 'TPM2_Quote',
  code: TPM_CC.Quote,
  handles: { signHandle: handle(TPMI_DH_OBJECT_PLUS, 'USER') },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME_PLUS, PCRselect: TPML_PCR_SELECTION },
  responseHandles: {},
  response: { quoted: TPM2B_ATTEST, signature: TPMT_SIGNATURE_PLUS },
})

/** TPM2_GetSessionAuditDigest (18.5). */
export const TPM2_GetSessionAuditDigest = command({
  name: 'TPM2_GetSessionAuditDigest',
  code: TPM_CC.GetSessionAuditDigest,
  handles: {
    privacyAdminHandle: handle(TPMI_RH_ENDORSEMENT, 'USER'),
    signHandle: handle(TPMI_DH_OBJECT_PLUS, 'USER'),
    sessionHandle: handle(TPMI_SH_HMAC),
  },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME_PLUS },
  responseHandles: {},
  response: { auditInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE_PLUS },
})

/** TPM2_GetCommandAuditDigest (18.6). */
export const TPM2_GetCommandAuditDigest = command({
  name: 'TPM2_GetCommandAuditDigest',
  code: TPM_CC.GetCommandAuditDigest,
  handles: {
    privacyHandle: handle(TPMI_RH_ENDORSEMENT, 'USER'),
    signHandle: handle(TPMI_DH_OBJECT_PLUS, 'USER'),
  },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME_PLUS },
  responseHandles: {},
  response: { auditInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE_PLUS },
  nv: true,
})

/** TPM2_GetTime (18.7). */
export const TPM2_GetTime = command({
  name: 'TPM2_GetTime',
  code: TPM_CC.GetTime,
  handles: {
    privacyAdminHandle: handle(TPMI_RH_ENDORSEMENT, 'USER'),
    signHandle: handle(TPMI_DH_OBJECT_PLUS, 'USER'),
  },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME_PLUS },
  responseHandles: {},
  response: { timeInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE_PLUS },
})
