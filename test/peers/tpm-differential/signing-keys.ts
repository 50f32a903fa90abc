// Keys of callers: their public areas, and signatures of messages as a TPM reads them.

import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import {
  hash,
  TPM_ALG,
  TPM_ECC,
  TPMA_OBJECT,
  type TPMT_PUBLIC,
  type TPMT_SIGNATURE,
} from '../../../sdk/tpm2/index.ts'

const NONE = new Uint8Array(0)
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => hash(TPM_ALG.SHA256, ...parts)

const ecc = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const HMAC_KEY = new Uint8Array(32).fill(0x77)
const number = (value: string | undefined): Uint8Array =>
  new Uint8Array(Buffer.from(value ?? '', 'base64url'))

const common = { nameAlg: TPM_ALG.SHA256, objectAttributes: TPMA_OBJECT.sign, authPolicy: NONE } as const
const none = { scheme: TPM_ALG.NULL } as const
const { x, y } = ecc.publicKey.export({ format: 'jwk' })
export const KEYS: Readonly<
  Record<string, { readonly area: TPMT_PUBLIC; readonly signed: (message: Uint8Array) => TPMT_SIGNATURE }>
> = {
  ecdsa: {
    area: {
      ...common,
      type: TPM_ALG.ECC,
      parameters: {
        symmetric: { algorithm: TPM_ALG.NULL },
        scheme: none,
        curveID: TPM_ECC.NIST_P256,
        kdf: none,
      },
      unique: { x: number(x), y: number(y) },
    },
    signed: (message) => {
      const raw = new Uint8Array(sign('sha256', message, { key: ecc.privateKey, dsaEncoding: 'ieee-p1363' }))
      const [signatureR, signatureS] = [raw.slice(0, 32), raw.slice(32)]
      return { sigAlg: TPM_ALG.ECDSA, hash: TPM_ALG.SHA256, signatureR, signatureS }
    },
  },
  rsassa: {
    area: {
      ...common,
      type: TPM_ALG.RSA,
      parameters: { symmetric: { algorithm: TPM_ALG.NULL }, scheme: none, keyBits: 2048, exponent: 0 },
      unique: number(rsa.publicKey.export({ format: 'jwk' }).n),
    },
    signed: (message) => {
      const sig = new Uint8Array(sign('sha384', message, rsa.privateKey))
      return { sigAlg: TPM_ALG.RSASSA, hash: TPM_ALG.SHA384, sig }
    },
  },
  hmac: {
    area: {
      ...common,
      objectAttributes: TPMA_OBJECT.sign | TPMA_OBJECT.userWithAuth,
      type: TPM_ALG.KEYEDHASH,
      parameters: { scheme: { scheme: TPM_ALG.HMAC, hashAlg: TPM_ALG.SHA256 } },
      unique: sha256(new Uint8Array(32), HMAC_KEY),
    },
    signed: (message) => {
      const digest = new Uint8Array(createHmac('sha256', HMAC_KEY).update(sha256(message)).digest())
      return { sigAlg: TPM_ALG.HMAC, hashAlg: TPM_ALG.SHA256, digest }
    },
  },
}
