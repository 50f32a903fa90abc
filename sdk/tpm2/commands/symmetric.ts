// Symmetric primitives. Source: TPM 2.0 Library, Part 3, clause 15, revision 1.59.

import { TPM2B_DIGEST, TPM2B_IV, TPM2B_MAX_BUFFER } from '../buffers.ts'
import { TPMI_YES_NO } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_OBJECT, TPMI_RH_HIERARCHY_PLUS, handleParameter } from '../handles.ts'
import { TPMI_ALG_CIPHER_MODE_PLUS, TPMI_ALG_HASH, TPMI_ALG_HASH_PLUS } from '../interface-types.ts'
import { TPMT_TK_HASHCHECK } from '../tickets.ts'

/** TPM2_EncryptDecrypt (15.2): its data is not the first parameter, so it can not be encrypted in transit. */
export const TPM2_EncryptDecrypt = command({
  name: 'TPM2_EncryptDecrypt',
  code: TPM_CC.EncryptDecrypt,
  handles: { keyHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: {
    decrypt: TPMI_YES_NO,
    mode: TPMI_ALG_CIPHER_MODE_PLUS,
    ivIn: TPM2B_IV,
    inData: TPM2B_MAX_BUFFER,
  },
  responseHandles: {},
  response: { outData: TPM2B_MAX_BUFFER, ivOut: TPM2B_IV },
})

/** TPM2_EncryptDecrypt2 (15.3). */
export const TPM2_EncryptDecrypt2 = command({
  name: 'TPM2_EncryptDecrypt2',
  code: TPM_CC.EncryptDecrypt2,
  handles: { keyHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: {
    inData: TPM2B_MAX_BUFFER,
    decrypt: TPMI_YES_NO,
    mode: TPMI_ALG_CIPHER_MODE_PLUS,
    ivIn: TPM2B_IV,
  },
  responseHandles: {},
  response: { outData: TPM2B_MAX_BUFFER, ivOut: TPM2B_IV },
})

/** TPM2_Hash (15.4). */
export const TPM2_Hash = command({
  name: 'TPM2_Hash',
  code: TPM_CC.Hash,
  handles: {},
  parameters: {
    data: TPM2B_MAX_BUFFER,
    hashAlg: TPMI_ALG_HASH,
    hierarchy: handleParameter(TPMI_RH_HIERARCHY_PLUS),
  },
  responseHandles: {},
  response: { outHash: TPM2B_DIGEST, validation: TPMT_TK_HASHCHECK },
})

/** TPM2_HMAC (15.5). */
export const TPM2_HMAC = command({
  name: 'TPM2_HMAC',
  code: TPM_CC.HMAC,
  handles: { handle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { buffer: TPM2B_MAX_BUFFER, hashAlg: TPMI_ALG_HASH_PLUS },
  responseHandles: {},
  response: { outHMAC: TPM2B_DIGEST },
})
