// Signatures as a TPM writes them, and their verification under a public area.
// Source: TPM 2.0 Library, Part 2, clause 11.3, and Part 1, annexes B (RSA) and C (ECC), revision 1.59.

import { constants, verify } from 'node:crypto'
import { TPM2B_ECC_PARAMETER, TPM2B_PUBLIC_KEY_RSA, TPMT_HA } from './buffers.ts'
import { struct, tagged, TPMS_EMPTY, UINT16 } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, hashName } from './hash.ts'
import { TPMI_ALG_HASH } from './interface-types.ts'
import { curve, leftPad, publicKeyOf } from './keys.ts'
import { type EccPublic, type RsaPublic, type TPMT_PUBLIC } from './public.ts'
import { TPM_RC } from './response-codes.ts'

/** TPMS_SIGNATURE_ECC (11.3.2) and its other names. */
export interface EccSignature {
  readonly sigAlg: typeof TPM_ALG.ECDSA | typeof TPM_ALG.ECDAA | typeof TPM_ALG.SM2 | typeof TPM_ALG.ECSCHNORR
  readonly hash: number
  readonly signatureR: Uint8Array
  readonly signatureS: Uint8Array
}

/** TPMS_SIGNATURE_RSA (11.3.1). */
export interface RsaSignature {
  readonly sigAlg: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS
  readonly hash: number
  readonly sig: Uint8Array
}

/** TPMU_SIGNATURE.hmac (11.3.3): a TPMT_HA. */
export interface HmacSignature {
  readonly sigAlg: typeof TPM_ALG.HMAC
  readonly hashAlg: number
  readonly digest: Uint8Array
}

/** TPMT_SIGNATURE (11.3.4), its parts beside `sigAlg`. */
export type TPMT_SIGNATURE = EccSignature | RsaSignature | HmacSignature
/** TPMT_SIGNATURE+: what TPM2_Quote and its kin return when they sign with no key. */
export type TPMT_SIGNATURE_PLUS = TPMT_SIGNATURE | { readonly sigAlg: typeof TPM_ALG.NULL }

const ECC = struct<Omit<EccSignature, 'sigAlg'>>('TPMS_SIGNATURE_ECC', {
  hash: TPMI_ALG_HASH,
  signatureR: TPM2B_ECC_PARAMETER,
  signatureS: TPM2B_ECC_PARAMETER,
})
const RSA = struct<Omit<RsaSignature, 'sigAlg'>>('TPMS_SIGNATURE_RSA', {
  hash: TPMI_ALG_HASH,
  sig: TPM2B_PUBLIC_KEY_RSA,
})
const SIGNATURES = {
  [TPM_ALG.ECDSA]: ECC,
  [TPM_ALG.ECDAA]: ECC,
  [TPM_ALG.SM2]: ECC,
  [TPM_ALG.ECSCHNORR]: ECC,
  [TPM_ALG.RSASSA]: RSA,
  [TPM_ALG.RSAPSS]: RSA,
  [TPM_ALG.HMAC]: TPMT_HA,
}

/** How TPMT_SIGNATURE is read and written. TPM_RC_SCHEME. */
export const TPMT_SIGNATURE = tagged<TPMT_SIGNATURE, 'sigAlg'>(
  'TPMT_SIGNATURE',
  'sigAlg',
  UINT16,
  TPM_RC.SCHEME,
  SIGNATURES,
)
/** How TPMT_SIGNATURE+ is read and written. TPM_RC_SCHEME. */
export const TPMT_SIGNATURE_PLUS = tagged<TPMT_SIGNATURE_PLUS, 'sigAlg'>(
  'TPMT_SIGNATURE',
  'sigAlg',
  UINT16,
  TPM_RC.SCHEME,
  { ...SIGNATURES, [TPM_ALG.NULL]: TPMS_EMPTY },
)

/** The hash of a signature (TPM_ALG), whatever its kind. */
export function signatureHash(signature: TPMT_SIGNATURE): number {
  return 'hash' in signature ? signature.hash : signature.hashAlg
}

function verifyEcdsa(publicArea: EccPublic, data: Uint8Array, signature: EccSignature): boolean {
  const { size } = curve(publicArea.parameters.curveID)
  const raw = new Uint8Array(2 * size)
  raw.set(leftPad(signature.signatureR, size), 0)
  raw.set(leftPad(signature.signatureS, size), size)
  const key = publicKeyOf(publicArea)
  return verify(hashName(signature.hash), data, { key, dsaEncoding: 'ieee-p1363' }, raw)
}

function verifyRsa(publicArea: RsaPublic, data: Uint8Array, signature: RsaSignature): boolean {
  const key = publicKeyOf(publicArea)
  const goodWith = (options: object): boolean =>
    verify(hashName(signature.hash), data, { key, ...options }, signature.sig)
  if (signature.sigAlg === TPM_ALG.RSASSA) return goodWith({ padding: constants.RSA_PKCS1_PADDING })
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return saltLengths(publicArea, signature.hash).some((saltLength) => goodWith({ padding, saltLength }))
}

/**
 * PSS salts of a TPM are as long as the digest, as FIPS 186 has it, or as long as fits (annex B.7). No other is
 * accepted: one without a salt is no TPM's.
 */
function saltLengths({ unique }: RsaPublic, hashAlg: number): number[] {
  const digest = digestSize(hashAlg)
  const greatest = unique.length - digest - 2
  return [digest, greatest]
}

/**
 * Checks `signature` over `data` under `publicArea`: ECDSA, RSASSA and RSAPSS. When the key fixes a scheme, the
 * signature's scheme and hash must be the same.
 * Throws Tpm2Error BAD_SIGNATURE, or UNSUPPORTED for a key that is not computed with here. SHA-1 is refused.
 */
export function verifySignature(publicArea: TPMT_PUBLIC, data: Uint8Array, signature: TPMT_SIGNATURE): void {
  if (digestSize(signatureHash(signature)) < 32) {
    throw new Tpm2Error('BAD_SIGNATURE', 'expected a signature over SHA-256 or stronger, found a weaker hash')
  }
  checkScheme(publicArea, signature)
  if (!isGood(publicArea, data, signature)) {
    throw new Tpm2Error('BAD_SIGNATURE', "expected the key's signature over these bytes, found another")
  }
}

function isGood(publicArea: TPMT_PUBLIC, data: Uint8Array, signature: TPMT_SIGNATURE): boolean {
  switch (signature.sigAlg) {
    case TPM_ALG.ECDSA:
      return publicArea.type === TPM_ALG.ECC && verifyEcdsa(publicArea, data, signature)
    case TPM_ALG.RSASSA:
    case TPM_ALG.RSAPSS:
      return publicArea.type === TPM_ALG.RSA && verifyRsa(publicArea, data, signature)
    case TPM_ALG.ECDAA:
    case TPM_ALG.SM2:
    case TPM_ALG.ECSCHNORR:
    case TPM_ALG.HMAC:
      return false
  }
}

function checkScheme(publicArea: TPMT_PUBLIC, signature: TPMT_SIGNATURE): void {
  const fixed = 'scheme' in publicArea.parameters ? publicArea.parameters.scheme : { scheme: TPM_ALG.NULL }
  if (fixed.scheme === TPM_ALG.NULL) return
  const hashAlg = 'hashAlg' in fixed ? fixed.hashAlg : TPM_ALG.NULL
  const found = signatureHash(signature)
  if (fixed.scheme !== signature.sigAlg || hashAlg !== found) {
    throw new Tpm2Error(
      'BAD_SIGNATURE',
      `expected the key's scheme 0x${fixed.scheme.toString(16)} with hash 0x${hashAlg.toString(16)}, ` +
        `found 0x${signature.sigAlg.toString(16)} with 0x${found.toString(16)}`,
    )
  }
}
