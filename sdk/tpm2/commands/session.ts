// Sessions. Source: TPM 2.0 Library, Part 3, clause 11, revision 1.59.

import { TPM2B_ENCRYPTED_SECRET, TPM2B_NONCE } from '../buffers.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_ENTITY_PLUS, TPMI_DH_OBJECT_PLUS, TPMI_SH_AUTH_SESSION, TPMI_SH_POLICY } from '../handles.ts'
import { SESSION_TYPE, TPMI_ALG_HASH } from '../interface-types.ts'
import { TPMT_SYM_DEF } from '../schemes.ts'

/** TPM2_StartAuthSession (11.1). */
export const TPM2_StartAuthSession = command({
  name: 'TPM2_StartAuthSession',
  code: TPM_CC.StartAuthSession,
  handles: { tpmKey: handle(TPMI_DH_OBJECT_PLUS), bind: handle(TPMI_DH_ENTITY_PLUS) },
  parameters: {
    nonceCaller: TPM2B_NONCE,
    encryptedSalt: TPM2B_ENCRYPTED_SECRET,
    sessionType: SESSION_TYPE,
    symmetric: TPMT_SYM_DEF,
    authHash: TPMI_ALG_HASH,
  },
  responseHandles: { sessionHandle: handle(TPMI_SH_AUTH_SESSION) },
  response: { nonceTPM: TPM2B_NONCE },
})

/** TPM2_PolicyRestart (11.2). */
export const TPM2_PolicyRestart = command({
  name: 'TPM2_PolicyRestart',
  code: TPM_CC.PolicyRestart,
  handles: { sessionHandle: handle(TPMI_SH_POLICY) },
  parameters: {},
  responseHandles: {},
  response: {},
})
