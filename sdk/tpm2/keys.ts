// Public keys of a TPM as node:crypto has them, and the integers and curves that they are made of.
// Source: TPM 2.0 Library, Part 1, annexes B (RSA) and C (ECC), revision 1.59; RFC 7517 (JSON Web Key).

import { createPublicKey, type KeyObject } from 'node:crypto'
import { base64url } from '../crypto/index.ts'
import { TPM_ALG, TPM_ECC } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { type RsaPublic, type TPMS_ECC_POINT, type TPMT_PUBLIC } from './public.ts'
import { TPM_RC } from './response-codes.ts'

/** A curve that this room computes on. */
export interface Curve {
  /** its name in a JSON Web Key */
  readonly jwk: string
  /** its name in OpenSSL */
  readonly openssl: string
  /** bits of the field's prime, as the curve's name has them */
  readonly bits: number
  /** bytes in a coordinate */
  readonly size: number
}

const CURVES = new Map<number, Curve>([
  [TPM_ECC.NIST_P256, { jwk: 'P-256', openssl: 'prime256v1', bits: 256, size: 32 }],
  [TPM_ECC.NIST_P384, { jwk: 'P-384', openssl: 'secp384r1', bits: 384, size: 48 }],
  [TPM_ECC.NIST_P521, { jwk: 'P-521', openssl: 'secp521r1', bits: 521, size: 66 }],
])

/** The named curve (TPM_ECC). Throws Tpm2Error UNSUPPORTED. */
export function curve(curveID: number): Curve {
  const found = CURVES.get(curveID)
  if (found === undefined) {
    throw new Tpm2Error(
      'UNSUPPORTED',
      `expected NIST P-256, P-384 or P-521, found TPM_ECC_CURVE ${String(curveID)}`,
      { rc: TPM_RC.CURVE },
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
      { rc: TPM_RC.SIZE },
    )
  }
  const out = new Uint8Array(size)
  const digits = value.subarray(excess)
  out.set(digits, size - digits.length)
  return out
}

function importJwk(jwk: Record<string, string>, what: string, rc: number): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch (cause) {
    throw new Tpm2Error('MALFORMED', `expected ${what}, found values that are none`, { cause, rc })
  }
}

/** A point as a node:crypto key. Throws Tpm2Error MALFORMED when it is not on the curve. */
export function eccPublicKey(curveID: number, point: TPMS_ECC_POINT): KeyObject {
  const { jwk, size } = curve(curveID)
  const [x, y] = [leftPad(point.x, size), leftPad(point.y, size)].map(base64url)
  return importJwk({ kty: 'EC', crv: jwk, x: x ?? '', y: y ?? '' }, `a point of ${jwk}`, TPM_RC.ECC_POINT)
}

function rsaPublicKey(publicArea: RsaPublic): KeyObject {
  const exponent = new Uint8Array(4)
  new DataView(exponent.buffer).setUint32(0, publicArea.parameters.exponent || 65537)
  const n = base64url(publicArea.unique)
  return importJwk({ kty: 'RSA', n, e: base64url(exponent) }, 'an RSA public key', TPM_RC.KEY)
}

/** A TPM public area as a node:crypto key (ECC and RSA). Throws Tpm2Error UNSUPPORTED or MALFORMED. */
export function publicKeyOf(publicArea: TPMT_PUBLIC): KeyObject {
  switch (publicArea.type) {
    case TPM_ALG.ECC:
      return eccPublicKey(publicArea.parameters.curveID, publicArea.unique)
    case TPM_ALG.RSA:
      return rsaPublicKey(publicArea)
    case TPM_ALG.KEYEDHASH:
    case TPM_ALG.SYMCIPHER:
      throw new Tpm2Error(
        'UNSUPPORTED',
        'expected an ECC or RSA key, found a keyed-hash object or a symmetric key, which has no public key',
      )
  }
}
