// An attestation key and an EK made in software, so that the tests sign and agree without a device.

import { createECDH, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import {
  type EccPublic,
  leftPad,
  marshal,
  qualifiedName,
  handleName,
  type RsaPublic,
  selectPcrs,
  TPM_ALG,
  TPM_ECC,
  TPM_GENERATED_VALUE,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
  type Quote,
  TPMS_ATTEST,
  type TPMS_ECC_POINT,
  TPMT_SIGNATURE,
} from '../../../../sdk/tpm2/index.ts'

export const AK_ATTRIBUTES =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.userWithAuth |
  TPMA_OBJECT.restricted |
  TPMA_OBJECT.sign

const EK_ATTRIBUTES =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.adminWithPolicy |
  TPMA_OBJECT.restricted |
  TPMA_OBJECT.decrypt

function keyPair(): { point: TPMS_ECC_POINT; scalar: Uint8Array } {
  const ecdh = createECDH('prime256v1')
  const bytes = new Uint8Array(ecdh.generateKeys())
  return {
    point: { x: bytes.slice(1, 33), y: bytes.slice(33) },
    scalar: leftPad(new Uint8Array(ecdh.getPrivateKey()), 32),
  }
}

export function softwareEk(): { ekPublic: EccPublic; agree: (point: TPMS_ECC_POINT) => Uint8Array } {
  const { point, scalar } = keyPair()
  const ekPublic: EccPublic = {
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: EK_ATTRIBUTES,
    authPolicy: new Uint8Array(32).fill(7),
    parameters: {
      symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
      scheme: { scheme: TPM_ALG.NULL },
      curveID: TPM_ECC.NIST_P256,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: point,
  }
  const agree = (other: TPMS_ECC_POINT): Uint8Array => {
    const ecdh = createECDH('prime256v1')
    ecdh.setPrivateKey(scalar)
    return new Uint8Array(ecdh.computeSecret(Uint8Array.from([4, ...other.x, ...other.y])))
  }
  return { ekPublic, agree }
}

export function softwareAk(): { akPublic: EccPublic; sign: (attest: Uint8Array) => Uint8Array } {
  const { point, scalar } = keyPair()
  const akPublic: EccPublic = {
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: AK_ATTRIBUTES,
    authPolicy: new Uint8Array(0),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
      curveID: TPM_ECC.NIST_P256,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: point,
  }
  const [d, x, y] = [scalar, point.x, point.y].map((part) => Buffer.from(part).toString('base64url'))
  const key = createPrivateKey({
    key: { kty: 'EC', crv: 'P-256', d: d ?? '', x: x ?? '', y: y ?? '' },
    format: 'jwk',
  })
  return {
    akPublic,
    sign: (attest) => {
      const raw = new Uint8Array(sign('sha256', attest, { key, dsaEncoding: 'ieee-p1363' }))
      return marshal(TPMT_SIGNATURE, {
        sigAlg: TPM_ALG.ECDSA,
        hash: TPM_ALG.SHA256,
        signatureR: raw.slice(0, 32),
        signatureS: raw.slice(32),
      })
    },
  }
}

export function softwareRsaAk(scheme: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS): {
  akPublic: RsaPublic
  privateKey: ReturnType<typeof createPrivateKey>
} {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const modulus = publicKey.export({ format: 'jwk' }).n ?? ''
  const akPublic: RsaPublic = {
    type: TPM_ALG.RSA,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: AK_ATTRIBUTES,
    authPolicy: new Uint8Array(0),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme, hashAlg: TPM_ALG.SHA256 },
      keyBits: 2048,
      exponent: 0,
    },
    unique: new Uint8Array(Buffer.from(modulus, 'base64url')),
  }
  return { akPublic, privateKey }
}

export function attestation(akPublic: EccPublic | RsaPublic, extraData: Uint8Array): Quote {
  return {
    magic: TPM_GENERATED_VALUE,
    type: TPM_ST.ATTEST_QUOTE,
    qualifiedSigner: qualifiedName(handleName(TPM_RH.ENDORSEMENT), akPublic),
    extraData,
    clockInfo: { clock: 123456n, resetCount: 3, restartCount: 1, safe: true },
    firmwareVersion: 0x2024n,
    attested: {
      pcrSelect: [selectPcrs(TPM_ALG.SHA256, [0, 4, 7])],
      pcrDigest: new Uint8Array(32).fill(9),
    },
  }
}

export const attestBytes = (value: TPMS_ATTEST): Uint8Array => marshal(TPMS_ATTEST, value)
