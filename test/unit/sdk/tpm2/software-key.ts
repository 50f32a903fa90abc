// Attestation keys of every kind and an EK made in software, so that the tests sign and agree without a device.

import { constants, createECDH, generateKeyPairSync, sign } from 'node:crypto'
import {
  digestSize,
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

/** An attestation key with its private half: signs as its TPM would. */
export interface SoftwareAk<P extends EccPublic | RsaPublic = EccPublic | RsaPublic> {
  readonly akPublic: P
  /** TPMT_SIGNATURE over the bytes */
  readonly sign: (attest: Uint8Array) => Uint8Array
}

const HASHES = new Map<number, string>([
  [TPM_ALG.SHA1, 'sha1'],
  [TPM_ALG.SHA256, 'sha256'],
  [TPM_ALG.SHA384, 'sha384'],
  [TPM_ALG.SHA512, 'sha512'],
])
const CURVES = new Map<number, string>([
  [TPM_ECC.NIST_P256, 'P-256'],
  [TPM_ECC.NIST_P384, 'P-384'],
  [TPM_ECC.NIST_P521, 'P-521'],
])

const bytesOf = (field: string | undefined): Uint8Array =>
  new Uint8Array(Buffer.from(field ?? '', 'base64url'))

/** ECDSA; P-256 with SHA-256 unless another curve (TPM_ECC) and hash (TPM_ALG) are given. */
export function softwareAk(
  curveID: number = TPM_ECC.NIST_P256,
  hashAlg: number = TPM_ALG.SHA256,
): SoftwareAk<EccPublic> {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: CURVES.get(curveID) ?? '' })
  const { x, y } = publicKey.export({ format: 'jwk' })
  const akPublic: EccPublic = {
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: AK_ATTRIBUTES,
    authPolicy: new Uint8Array(0),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme: TPM_ALG.ECDSA, hashAlg },
      curveID,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: { x: bytesOf(x), y: bytesOf(y) },
  }
  return {
    akPublic,
    sign: (attest) => {
      const options = { key, dsaEncoding: 'ieee-p1363' } as const
      const raw = new Uint8Array(sign(HASHES.get(hashAlg), attest, options))
      return marshal(TPMT_SIGNATURE, {
        sigAlg: TPM_ALG.ECDSA,
        hash: hashAlg,
        signatureR: raw.slice(0, raw.length / 2),
        signatureS: raw.slice(raw.length / 2),
      })
    },
  }
}

interface RsaAkOptions {
  readonly bits?: number
  /** TPM_ALG */
  readonly hashAlg?: number
  /** bytes, or one of node's names for lengths */
  readonly saltLength?: number
}

/** RSA 2048 with SHA-256 and, for RSAPSS, a salt as long as the digest, unless others are given. */
export function softwareRsaAk(
  scheme: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS,
  options: RsaAkOptions = {},
): SoftwareAk<RsaPublic> {
  const { bits = 2048, hashAlg = TPM_ALG.SHA256, saltLength = constants.RSA_PSS_SALTLEN_DIGEST } = options
  const { privateKey: key, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits })
  const akPublic: RsaPublic = {
    type: TPM_ALG.RSA,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: AK_ATTRIBUTES,
    authPolicy: new Uint8Array(0),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme, hashAlg },
      keyBits: bits,
      exponent: 0,
    },
    unique: bytesOf(publicKey.export({ format: 'jwk' }).n),
  }
  const signing =
    scheme === TPM_ALG.RSAPSS
      ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
      : { key, padding: constants.RSA_PKCS1_PADDING }
  return {
    akPublic,
    sign: (attest) => {
      const sig = new Uint8Array(sign(HASHES.get(hashAlg), attest, signing))
      return marshal(TPMT_SIGNATURE, { sigAlg: scheme, hash: hashAlg, sig })
    },
  }
}

/** A quote of PCRs 0, 4 and 7 of SHA-256, whatever they hold. */
export function attestation(akPublic: EccPublic | RsaPublic, extraData: Uint8Array): Quote {
  const { scheme } = akPublic.parameters
  const hashAlg = 'hashAlg' in scheme ? scheme.hashAlg : TPM_ALG.SHA256
  return {
    magic: TPM_GENERATED_VALUE,
    type: TPM_ST.ATTEST_QUOTE,
    qualifiedSigner: qualifiedName(handleName(TPM_RH.ENDORSEMENT), akPublic),
    extraData,
    clockInfo: { clock: 123456n, resetCount: 3, restartCount: 1, safe: true },
    firmwareVersion: 0x2024n,
    attested: {
      pcrSelect: [selectPcrs(TPM_ALG.SHA256, [0, 4, 7])],
      pcrDigest: new Uint8Array(digestSize(hashAlg)).fill(9),
    },
  }
}

export const attestBytes = (value: TPMS_ATTEST): Uint8Array => marshal(TPMS_ATTEST, value)
