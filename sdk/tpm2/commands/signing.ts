// Signing and signature verification. Source: TPM 2.0 Library, Part 3, clause 20, revision 1.59.

import { TPM2B_DIGEST } from '../buffers.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_OBJECT } from '../handles.ts'
import { TPMT_SIG_SCHEME_PLUS } from '../schemes.ts'
import { TPMT_SIGNATURE } from '../signature.ts'
import { TPMT_TK_HASHCHECK, TPMT_TK_VERIFIED } from '../tickets.ts'

/** TPM2_VerifySignature (20.1). */
export const TPM2_VerifySignature = command({
  name: 'TPM2_VerifySignature',
  code: TPM_CC.VerifySignature,
  handles: { keyHandle: handle(TPMI_DH_OBJECT) },
  parameters: { digest: TPM2B_DIGEST, signature: TPMT_SIGNATURE },
  responseHandles: {},
  response: { validation: TPMT_TK_VERIFIED },
})

/** TPM2_Sign (20.2). */
export const TPM2_Sign = command({
  name: 'TPM2_Sign',
  code: TPM_CC.Sign,
  handles: { keyHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { digest: TPM2B_DIGEST, inScheme: TPMT_SIG_SCHEME_PLUS, validation: TPMT_TK_HASHCHECK },
  responseHandles: {},
  response: { signature: TPMT_SIGNATURE },
})
