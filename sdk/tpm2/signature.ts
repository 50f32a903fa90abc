// Signatures as a TPM writes them, and their verification under a public area.
// Source: TPM 2.0 Library, Part 2, clause 11.3, and Part 1, annexes B (RSA) and C (ECC), revision 1.59.

import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type Codec } from './codec.ts'
import { TPM_ALG, TPM_ECC } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, hashName } from './hash.ts'
import {
  type EccPublic,
  type RsaPublic,
  TPM2B_ECC_PARAMETER,
  TPM2B_PUBLIC_KEY_RSA,
  type TPMS_ECC_POINT,
  type TPMT_PUBLIC,
} from './public.ts'
import { unknownSelector } from './schemes.ts'

/** TPMT_SIGNATURE (11.3.4): TPMS_SIGNATURE_ECC (11.3.2) or TPMS_SIGNATURE_RSA (11.3.1) by `sigAlg`. */
export type TPMT_SIGNATURE =
  | {
      readonly sigAlg: typeof TPM_ALG.ECDSA
      readonly hash: number
      readonly signatureR: Uint8Array
      readonly signatureS: Uint8Array
    }
  | {
      readonly sigAlg: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS
      readonly hash: number
      readonly sig: Uint8Array
    }

/** How TPMT_SIGNATURE is read and written. */
export const TPMT_SIGNATURE: Codec<TPMT_SIGNATURE> = {
  name: 'TPMT_SIGNATURE',
  read: (reader) => {
    const sigAlg = reader.uint16()
    switch (sigAlg) {
      case TPM_ALG.ECDSA:
        return {
          sigAlg,
          hash: reader.uint16(),
          signatureR: TPM2B_ECC_PARAMETER.read(reader),
          signatureS: TPM2B_ECC_PARAMETER.read(reader),
        }
      case TPM_ALG.RSASSA:
      case TPM_ALG.RSAPSS:
        return { sigAlg, hash: reader.uint16(), sig: TPM2B_PUBLIC_KEY_RSA.read(reader) }
      default:
        return unknownSelector(reader, 'TPMT_SIGNATURE', sigAlg)
    }
  },
  write: (writer, value) => {
    writer.uint16(value.sigAlg)
    writer.uint16(value.hash)
    if (value.sigAlg === TPM_ALG.ECDSA) {
      TPM2B_ECC_PARAMETER.write(writer, value.signatureR)
      TPM2B_ECC_PARAMETER.write(writer, value.signatureS)
    } else {
      TPM2B_PUBLIC_KEY_RSA.write(writer, value.sig)
    }
  },
}

interface Curve {
  readonly jwk: string
  readonly size: number
}

const CURVES = new Map<number, Curve>([
  [TPM_ECC.NIST_P256, { jwk: 'P-256', size: 32 }],
  [TPM_ECC.NIST_P384, { jwk: 'P-384', size: 48 }],
  [TPM_ECC.NIST_P521, { jwk: 'P-521', size: 66 }],
])

/** The named curve's JWK name and field size in bytes. Throws Tpm2Error UNSUPPORTED. */
function curve(curveID: number): Curve {
  const found = CURVES.get(curveID)
  if (found === undefined) {
    throw new Tpm2Error(
      'UNSUPPORTED',
      `expected NIST P-256, P-384 or P-521, found TPM_ECC_CURVE ${String(curveID)}`,
    )
  }
  return found
}

/**
 * An integer's bytes left-padded with zeros to `size`. Leading zeros beyond it are dropped; a greater value is
 * Tpm2Error MALFORMED.
 */
export function leftPad(value: Uint8Array, size: number): Uint8Array {
  const excess = Math.max(0, value.length - size)
  if (value.subarray(0, excess).some((octet) => octet !== 0)) {
    throw new Tpm2Error(
      'MALFORMED',
      `expected an integer of at most ${String(size)} bytes, got ${String(value.length)}`,
    )
  }
  const out = new Uint8Array(size)
  const digits = value.subarray(excess)
  out.set(digits, size - digits.length)
  return out
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

function importJwk(jwk: Record<string, string>, what: string): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch (cause) {
    throw new Tpm2Error('MALFORMED', `expected ${what}, found values that are none`, { cause })
  }
}

/** A point as a node:crypto key. Throws Tpm2Error MALFORMED when it is not on the curve. */
export function eccPublicKey(curveID: number, point: TPMS_ECC_POINT): KeyObject {
  const { jwk, size } = curve(curveID)
  const [x, y] = [leftPad(point.x, size), leftPad(point.y, size)].map(base64url)
  return importJwk({ kty: 'EC', crv: jwk, x: x ?? '', y: y ?? '' }, `a point of ${jwk}`)
}

function rsaPublicKey(publicArea: RsaPublic): KeyObject {
  const exponent = new Uint8Array(4)
  new DataView(exponent.buffer).setUint32(0, publicArea.parameters.exponent || 65537)
  const n = base64url(publicArea.unique)
  return importJwk({ kty: 'RSA', n, e: base64url(exponent) }, 'an RSA public key')
}

/** A TPM public area as a node:crypto key (ECC and RSA). Throws Tpm2Error UNSUPPORTED or MALFORMED. */
export function publicKeyOf(publicArea: TPMT_PUBLIC): KeyObject {
  switch (publicArea.type) {
    case TPM_ALG.ECC:
      return eccPublicKey(publicArea.parameters.curveID, publicArea.unique)
    case TPM_ALG.RSA:
      return rsaPublicKey(publicArea)
    case TPM_ALG.KEYEDHASH:
      throw new Tpm2Error(
        'UNSUPPORTED',
        'expected an ECC or RSA key, found a keyed-hash object, which has no public key',
      )
  }
}

function verifyEcdsa(
  publicArea: EccPublic,
  data: Uint8Array,
  signature: TPMT_SIGNATURE & { sigAlg: typeof TPM_ALG.ECDSA },
): boolean {
  const { size } = curve(publicArea.parameters.curveID)
  const raw = new Uint8Array(2 * size)
  raw.set(leftPad(signature.signatureR, size), 0)
  raw.set(leftPad(signature.signatureS, size), size)
  const key = publicKeyOf(publicArea)
  return verify(hashName(signature.hash), data, { key, dsaEncoding: 'ieee-p1363' }, raw)
}

/** PSS salts of a TPM are as long as the digest, or as long as fits: the verifier accepts either (annex B.7). */
function verifyRsa(
  publicArea: RsaPublic,
  data: Uint8Array,
  signature: Extract<TPMT_SIGNATURE, { sig: Uint8Array }>,
): boolean {
  const key = publicKeyOf(publicArea)
  const padding =
    signature.sigAlg === TPM_ALG.RSAPSS ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING
  const saltLength = constants.RSA_PSS_SALTLEN_AUTO
  const options = signature.sigAlg === TPM_ALG.RSAPSS ? { key, padding, saltLength } : { key, padding }
  return verify(hashName(signature.hash), data, options, signature.sig)
}

/**
 * Checks `signature` over `data` under `publicArea`. When the key fixes a scheme, the signature's scheme and hash
 * must be the same.
 * Throws Tpm2Error BAD_SIGNATURE, or UNSUPPORTED for a key or hash that is not computed here. SHA-1 is refused.
 */
export function verifySignature(publicArea: TPMT_PUBLIC, data: Uint8Array, signature: TPMT_SIGNATURE): void {
  if (digestSize(signature.hash) < 32) {
    throw new Tpm2Error('BAD_SIGNATURE', 'expected a signature over SHA-256 or stronger, found a weaker hash')
  }
  checkScheme(publicArea, signature)
  const ecdsa = signature.sigAlg === TPM_ALG.ECDSA
  let good = false
  if (publicArea.type === TPM_ALG.ECC && ecdsa) good = verifyEcdsa(publicArea, data, signature)
  else if (publicArea.type === TPM_ALG.RSA && !ecdsa) good = verifyRsa(publicArea, data, signature)
  if (!good)
    throw new Tpm2Error('BAD_SIGNATURE', "expected the key's signature over these bytes, found another")
}

function checkScheme(publicArea: TPMT_PUBLIC, signature: TPMT_SIGNATURE): void {
  const fixed = publicArea.parameters.scheme
  if (fixed.scheme === TPM_ALG.NULL) return
  const hashAlg = 'hashAlg' in fixed ? fixed.hashAlg : TPM_ALG.NULL
  if (fixed.scheme !== signature.sigAlg || hashAlg !== signature.hash) {
    throw new Tpm2Error(
      'BAD_SIGNATURE',
      `expected the key's scheme 0x${fixed.scheme.toString(16)} with hash 0x${hashAlg.toString(16)}, ` +
        `found 0x${signature.sigAlg.toString(16)} with 0x${signature.hash.toString(16)}`,
    )
  }
}
