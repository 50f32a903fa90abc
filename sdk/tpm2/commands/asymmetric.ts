// Asymmetric primitives. Source: TPM 2.0 Library, Part 3, clause 14, revision 1.59.

import { TPM2B_DATA, TPM2B_PUBLIC_KEY_RSA } from '../buffers.ts'
import { UINT16 } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_OBJECT } from '../handles.ts'
import { TPMI_ECC_CURVE, TPMI_ECC_KEY_EXCHANGE } from '../interface-types.ts'
import { TPM2B_ECC_POINT, TPMS_ALGORITHM_DETAIL_ECC } from '../public.ts'
import { TPMT_RSA_DECRYPT } from '../schemes.ts'

/** TPM2_RSA_Encrypt (14.2). */
export const TPM2_RSA_Encrypt = command({
  name: 'TPM2_RSA_Encrypt',
  code: TPM_CC.RSA_Encrypt,
  handles: { keyHandle: handle(TPMI_DH_OBJECT) },
  parameters: { message: TPM2B_PUBLIC_KEY_RSA, inScheme: TPMT_RSA_DECRYPT, label: TPM2B_DATA },
  responseHandles: {},
  response: { outData: TPM2B_PUBLIC_KEY_RSA },
})

/** TPM2_RSA_Decrypt (14.3). */
export const TPM2_RSA_Decrypt = command({
  name: 'TPM2_RSA_Decrypt',
  code: TPM_CC.RSA_Decrypt,
  handles: { keyHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { cipherText: TPM2B_PUBLIC_KEY_RSA, inScheme: TPMT_RSA_DECRYPT, label: TPM2B_DATA },
  responseHandles: {},
  response: { message: TPM2B_PUBLIC_KEY_RSA },
})

/** TPM2_ECDH_KeyGen (14.4). */
export const TPM2_ECDH_KeyGen = command({
  name: 'TPM2_ECDH_KeyGen',
  code: TPM_CC.ECDH_KeyGen,
  handles: { keyHandle: handle(TPMI_DH_OBJECT) },
  parameters: {},
  responseHandles: {},
  response: { zPoint: TPM2B_ECC_POINT, pubPoint: TPM2B_ECC_POINT },
})

/** TPM2_ECDH_ZGen (14.5). */
export const TPM2_ECDH_ZGen = command({
  name: 'TPM2_ECDH_ZGen',
  code: TPM_CC.ECDH_ZGen,
  handles: { keyHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { inPoint: TPM2B_ECC_POINT },
  responseHandles: {},
  response: { outPoint: TPM2B_ECC_POINT },
})

/** TPM2_ECC_Parameters (14.6). */
export const TPM2_ECC_Parameters = command({
  name: 'TPM2_ECC_Parameters',
  code: TPM_CC.ECC_Parameters,
  handles: {},
  parameters: { curveID: TPMI_ECC_CURVE },
  responseHandles: {},
  response: { parameters: TPMS_ALGORITHM_DETAIL_ECC },
})

/** TPM2_ZGen_2Phase (14.7). */
export const TPM2_ZGen_2Phase = command({
  name: 'TPM2_ZGen_2Phase',
  code: TPM_CC.ZGen_2Phase,
  handles: { keyA: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: {
    inQsB: TPM2B_ECC_POINT,
    inQeB: TPM2B_ECC_POINT,
    inScheme: TPMI_ECC_KEY_EXCHANGE,
    counter: UINT16,
  },
  responseHandles: {},
  response: { outZ1: TPM2B_ECC_POINT, outZ2: TPM2B_ECC_POINT },
})
