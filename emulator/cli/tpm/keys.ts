// The keys that the commands make: a storage key to seal under, attestation keys to quote with. All are primary: the same
// TPM makes the same key of the same template, so that none has to be kept.
// Source: TCG TPM v2.0 Provisioning Guidance, version 1.0, clause 7.5.1 (storage primary key); TCG EK Credential Profile,
// version 2.5, template L-2, from which that one follows; TPM 2.0 Library, Part 1, clause 32 (attestation keys).

import { type EccPublic, type RsaPublic, TPM_ALG, TPM_ECC, TPMA_OBJECT } from '../../../sdk/tpm2/index.ts'

const NONE = new Uint8Array(0)
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
const MADE_HERE =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.userWithAuth |
  TPMA_OBJECT.restricted

/** How parameters are encrypted in sessions. */
export const PARAMETER_CIPHER = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const

/** The storage primary key (SRK), ECC P-256: its authValue is empty, and wrong guesses at it lock nobody out. */
export const STORAGE_KEY: EccPublic = {
  type: TPM_ALG.ECC,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: MADE_HERE | TPMA_OBJECT.decrypt | TPMA_OBJECT.noDA,
  authPolicy: NONE,
  parameters: { symmetric: PARAMETER_CIPHER, scheme: NO_SCHEME, curveID: TPM_ECC.NIST_P256, kdf: NO_SCHEME },
  unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
}

const ATTESTATION = {
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: MADE_HERE | TPMA_OBJECT.sign,
  authPolicy: NONE,
} as const

const ECC_ATTESTATION_KEY: EccPublic = {
  ...ATTESTATION,
  type: TPM_ALG.ECC,
  parameters: {
    symmetric: { algorithm: TPM_ALG.NULL },
    scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
    curveID: TPM_ECC.NIST_P256,
    kdf: NO_SCHEME,
  },
  unique: { x: NONE, y: NONE },
}

const RSA_ATTESTATION_KEY: RsaPublic = {
  ...ATTESTATION,
  type: TPM_ALG.RSA,
  parameters: {
    symmetric: { algorithm: TPM_ALG.NULL },
    scheme: { scheme: TPM_ALG.RSASSA, hashAlg: TPM_ALG.SHA256 },
    keyBits: 2048,
    exponent: 0,
  },
  unique: NONE,
}

/** Attestation keys by the word of --key-type: restricted, so that they sign only what a TPM made. */
export const ATTESTATION_KEYS = { ecc: ECC_ATTESTATION_KEY, rsa: RSA_ATTESTATION_KEY } as const
