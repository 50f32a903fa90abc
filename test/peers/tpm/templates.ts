// Public areas that the flows over our own client make keys from.
// Source: TPM 2.0 Library, Part 2, clause 12.2, revision 1.59.

import {
  type EccPublic,
  type KeyedHashPublic,
  type RsaPublic,
  TPM_ALG,
  TPM_ECC,
  TPMA_OBJECT,
} from '../../../sdk/tpm2/index.ts'

const NONE = new Uint8Array(0)
const FIXED = TPMA_OBJECT.fixedTPM | TPMA_OBJECT.fixedParent
const MADE_BY_TPM = FIXED | TPMA_OBJECT.sensitiveDataOrigin | TPMA_OBJECT.userWithAuth
const STORAGE = MADE_BY_TPM | TPMA_OBJECT.restricted | TPMA_OBJECT.decrypt
const AES_128_CFB = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const

export const eccStorage: EccPublic = {
  type: TPM_ALG.ECC,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: STORAGE,
  authPolicy: NONE,
  parameters: {
    symmetric: AES_128_CFB,
    scheme: { scheme: TPM_ALG.NULL },
    curveID: TPM_ECC.NIST_P256,
    kdf: { scheme: TPM_ALG.NULL },
  },
  unique: { x: NONE, y: NONE },
}

export const rsaStorage: RsaPublic = {
  type: TPM_ALG.RSA,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: STORAGE,
  authPolicy: NONE,
  parameters: { symmetric: AES_128_CFB, scheme: { scheme: TPM_ALG.NULL }, keyBits: 2048, exponent: 0 },
  unique: NONE,
}

export const eccAttestation: EccPublic = {
  ...eccStorage,
  objectAttributes: MADE_BY_TPM | TPMA_OBJECT.restricted | TPMA_OBJECT.sign,
  parameters: {
    ...eccStorage.parameters,
    symmetric: { algorithm: TPM_ALG.NULL },
    scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
  },
}

/** Sealed data: by its password, or, where there is a policy, by that alone. */
export function sealed(authPolicy: Uint8Array = NONE): KeyedHashPublic {
  return {
    type: TPM_ALG.KEYEDHASH,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: authPolicy.length === 0 ? FIXED | TPMA_OBJECT.userWithAuth : FIXED,
    authPolicy,
    parameters: { scheme: { scheme: TPM_ALG.NULL } },
    unique: NONE,
  }
}
