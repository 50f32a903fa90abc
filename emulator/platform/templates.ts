// Templates of a TPM's endorsement keys, by which others know it, and of the platform's attestation key, which signs
// quotes. All are primary objects of the endorsement hierarchy: elsewhere a quote's reset count and firmware version would
// be obfuscated.
// Source: TCG EK Credential Profile, version 2.5, templates L-1 (RSA 2048) and L-2 (ECC NIST P256), and its clause on
// persistent handles; TPM 2.0 Library, Part 1, clause 36.

import { fromHex } from '../../sdk/crypto/index.ts'
import { type EccPublic, type RsaPublic, TPM_ALG, TPM_ECC, TPMA_OBJECT } from '../../sdk/tpm2/index.ts'

/** Persistent handle of the RSA EK: the profile's for template L-1. */
export const RSA_EK_HANDLE = 0x81010001
/** Persistent handle of the platform's EK: the profile's for template L-2. */
export const EK_HANDLE = 0x81010002
/** Persistent handle of the AK: the platform's choice, outside the profile's EK handles. */
export const AK_HANDLE = 0x81018000

/** PolicySecret(TPM_RH_ENDORSEMENT): the authorization policy that the profile fixes for templates L-1 and L-2. */
const EK_POLICY = fromHex('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa')

const EK_ATTRIBUTES =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.adminWithPolicy |
  TPMA_OBJECT.restricted |
  TPMA_OBJECT.decrypt

/** Template L-1. */
export const RSA_EK_TEMPLATE: RsaPublic = {
  type: TPM_ALG.RSA,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: EK_ATTRIBUTES,
  authPolicy: EK_POLICY,
  parameters: {
    symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
    scheme: { scheme: TPM_ALG.NULL },
    keyBits: 2048,
    exponent: 0,
  },
  unique: new Uint8Array(256),
}

/** Template L-2. */
export const EK_TEMPLATE: EccPublic = {
  type: TPM_ALG.ECC,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: EK_ATTRIBUTES,
  authPolicy: EK_POLICY,
  parameters: {
    symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
    scheme: { scheme: TPM_ALG.NULL },
    curveID: TPM_ECC.NIST_P256,
    kdf: { scheme: TPM_ALG.NULL },
  },
  unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
}

/** A restricted signing key, ECDSA with SHA-256. */
export const AK_TEMPLATE: EccPublic = {
  type: TPM_ALG.ECC,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes:
    TPMA_OBJECT.fixedTPM |
    TPMA_OBJECT.fixedParent |
    TPMA_OBJECT.sensitiveDataOrigin |
    TPMA_OBJECT.userWithAuth |
    TPMA_OBJECT.restricted |
    TPMA_OBJECT.sign,
  authPolicy: new Uint8Array(0),
  parameters: {
    symmetric: { algorithm: TPM_ALG.NULL },
    scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
    curveID: TPM_ECC.NIST_P256,
    kdf: { scheme: TPM_ALG.NULL },
  },
  unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
}
