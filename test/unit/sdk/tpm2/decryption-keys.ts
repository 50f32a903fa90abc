// Storage and endorsement keys made in software, with their private halves: what a TPM would do for secret sharing.

import { constants, createECDH, generateKeyPairSync, type KeyObject, privateDecrypt } from 'node:crypto'
import {
  leftPad,
  type SecretKey,
  TPM_ALG,
  TPM_ECC,
  TPMA_OBJECT,
  type TPMT_PUBLIC,
} from '../../../../sdk/tpm2/index.ts'

/** A restricted decryption key. */
export interface SoftwareKey {
  readonly publicArea: TPMT_PUBLIC
  readonly privateKey: SecretKey
}

const CURVES = new Map<number, { readonly openssl: string; readonly size: number }>([
  [TPM_ECC.NIST_P256, { openssl: 'prime256v1', size: 32 }],
  [TPM_ECC.NIST_P384, { openssl: 'secp384r1', size: 48 }],
  [TPM_ECC.NIST_P521, { openssl: 'secp521r1', size: 66 }],
])
const HASHES = new Map<number, string>([
  [TPM_ALG.SHA1, 'sha1'],
  [TPM_ALG.SHA256, 'sha256'],
  [TPM_ALG.SHA384, 'sha384'],
  [TPM_ALG.SHA512, 'sha512'],
])

function storage(nameAlg: number, keyBits: number) {
  return {
    nameAlg,
    objectAttributes:
      TPMA_OBJECT.fixedTPM |
      TPMA_OBJECT.fixedParent |
      TPMA_OBJECT.sensitiveDataOrigin |
      TPMA_OBJECT.userWithAuth |
      TPMA_OBJECT.restricted |
      TPMA_OBJECT.decrypt,
    authPolicy: new Uint8Array(0),
    symmetric: { algorithm: TPM_ALG.AES, keyBits, mode: TPM_ALG.CFB } as const,
  }
}

/** A storage key on a NIST curve, with AES-CFB of `keyBits`. */
export function eccKey(curveID: number, nameAlg: number, keyBits: number): SoftwareKey {
  const { openssl, size } = CURVES.get(curveID) ?? { openssl: '', size: 0 }
  const ecdh = createECDH(openssl)
  const point = new Uint8Array(ecdh.generateKeys())
  const { symmetric, ...head } = storage(nameAlg, keyBits)
  return {
    publicArea: {
      type: TPM_ALG.ECC,
      ...head,
      parameters: { symmetric, scheme: { scheme: TPM_ALG.NULL }, curveID, kdf: { scheme: TPM_ALG.NULL } },
      unique: { x: point.slice(1, 1 + size), y: point.slice(1 + size) },
    },
    privateKey: {
      agree: ({ x, y }) =>
        new Uint8Array(ecdh.computeSecret(Uint8Array.from([4, ...leftPad(x, size), ...leftPad(y, size)]))),
    },
  }
}

/** An RSA 2048 storage key, with AES-CFB of `keyBits`. */
export function rsaKey(nameAlg: number, keyBits: number): SoftwareKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { symmetric, ...head } = storage(nameAlg, keyBits)
  const modulus = publicKey.export({ format: 'jwk' }).n ?? ''
  return {
    publicArea: {
      type: TPM_ALG.RSA,
      ...head,
      parameters: { symmetric, scheme: { scheme: TPM_ALG.NULL }, keyBits: 2048, exponent: 0 },
      unique: new Uint8Array(Buffer.from(modulus, 'base64url')),
    },
    privateKey: { oaep: oaepWith(privateKey) },
  }
}

function oaepWith(key: KeyObject): NonNullable<SecretKey['oaep']> {
  return (ciphertext, hashAlg, oaepLabel) => {
    const oaepHash = HASHES.get(hashAlg) ?? ''
    const padding = constants.RSA_PKCS1_OAEP_PADDING
    return new Uint8Array(privateDecrypt({ key, padding, oaepHash, oaepLabel }, ciphertext))
  }
}
