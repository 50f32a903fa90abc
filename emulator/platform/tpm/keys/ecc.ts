// Points and scalars of an elliptic curve key. node:crypto computes every multiplication (ECDH gives x only, so y is
// recovered from two of them); what is left for us is a few operations modulo a prime. Ten to forty times faster than
// curve arithmetic in JavaScript.
// Source: SEC 1, 2.3 and 3.2; SP 800-56A rev. 3, 5.6.2.3 (validation of public keys) and 5.7.1.2 (ECC CDH); FIPS 186-5,
// A.2.1 (extra random bits); Brier and Joye, "Weierstrass elliptic curves and side-channel attacks", PKC 2002,
// proposition 3 (recovery of y).

import { createECDH, createPrivateKey, createPublicKey, type ECDH, type KeyObject } from 'node:crypto'
import { base64url } from '../../../../sdk/crypto/index.ts'
import { type TPMS_ECC_POINT } from '../../../../sdk/tpm2/index.ts'
import { type Curve, curveOf } from './curves.ts'
import { KeyError } from './errors.ts'
import { mod, modInverse, toBytes, toInteger } from './integers.ts'
import { type Entropy } from './random.ts'

/** A key pair. `scalar` is secret: the caller wipes it. All three are as long as the curve's field. */
export interface EccKey {
  readonly scalar: Uint8Array
  readonly point: TPMS_ECC_POINT
}

/** Coordinates of a point other than infinity. */
export interface Affine {
  readonly x: bigint
  readonly y: bigint
}

/** Bits more than the order has, so that reducing them modulo the order leaves no bias (FIPS 186-5, A.2.1). */
const EXTRA_BITS = 64

/** Bytes of derived or random material that {@link scalarFromMaterial} wants for a curve. */
export function scalarMaterialSize(curveID: number): number {
  return Math.ceil((curveOf(curveID).bits + EXTRA_BITS) / 8)
}

/**
 * A private scalar, from 1 to the order less 1, of derived or random bytes, which are wiped.
 * Throws RangeError when there are too few of them, KeyError CURVE.
 */
export function scalarFromMaterial(curveID: number, material: Uint8Array): Uint8Array {
  const { n, size, bits } = curveOf(curveID)
  if (8 * material.length < bits + EXTRA_BITS) {
    throw new RangeError(
      `"material" expected at least ${String(bits + EXTRA_BITS)} bits, got ${String(8 * material.length)}`,
    )
  }
  const wide = toInteger(material)
  material.fill(0)
  return toBytes((wide % (n - 1n)) + 1n, size)
}

/** A secret number from 1 to the order less 1, as {@link scalarFromMaterial} makes them. */
export function randomScalar(curve: Curve, next: Entropy): bigint {
  const scalar = scalarFromMaterial(curve.curveID, next(scalarMaterialSize(curve.curveID)))
  const value = toInteger(scalar)
  scalar.fill(0)
  return value
}

/** The number of a private scalar. Throws KeyError VALUE unless it is from 1 to the order less 1. */
export function scalarValue(curve: Curve, scalar: Uint8Array): bigint {
  const value = toInteger(scalar)
  if (value === 0n || value >= curve.n) {
    throw new KeyError('VALUE', 'expected a private scalar from 1 to the order less 1, found another number')
  }
  return value
}

/** A point as a TPM writes it. */
export function fromAffine(curve: Curve, point: Affine): TPMS_ECC_POINT {
  return { x: toBytes(point.x, curve.size), y: toBytes(point.y, curve.size) }
}

/** The coordinates of a point. Throws KeyError ECC_POINT unless it is on the curve (infinity is not). */
export function toAffine(curve: Curve, point: TPMS_ECC_POINT): Affine {
  const [x, y] = [toInteger(point.x), toInteger(point.y)]
  const { p, a, b } = curve
  if (x >= p || y >= p || mod(y * y - (x * x + a) * x - b, p) !== 0n) {
    throw new KeyError(
      'ECC_POINT',
      `expected a point of ${curve.jwkName}, found one that is not on the curve`,
    )
  }
  return { x, y }
}

/** Whether a point is on the curve. Throws KeyError CURVE. */
export function isOnCurve(curveID: number, point: TPMS_ECC_POINT): boolean {
  const curve = curveOf(curveID)
  try {
    toAffine(curve, point)
    return true
  } catch (error) {
    if (error instanceof KeyError) return false
    throw error
  }
}

/** One a curve for multiples of the base point, whose set-up costs as much as a multiplication. */
const generators = new Map<number, ECDH>()

/** `scalar` times the base point. */
export function multiplyBase(curve: Curve, scalar: bigint): Affine {
  let ecdh = generators.get(curve.curveID)
  if (ecdh === undefined) {
    ecdh = createECDH(curve.ecdhName)
    generators.set(curve.curveID, ecdh)
  }
  ecdh.setPrivateKey(toBytes(scalar, curve.size))
  const encoded = ecdh.getPublicKey()
  const y = 1 + curve.size
  return { x: toInteger(encoded.subarray(1, y)), y: toInteger(encoded.subarray(y)) }
}

function uncompressed(curve: Curve, point: Affine): Uint8Array {
  const encoded = new Uint8Array(1 + 2 * curve.size)
  encoded[0] = 4
  encoded.set(toBytes(point.x, curve.size), 1)
  encoded.set(toBytes(point.y, curve.size), 1 + curve.size)
  return encoded
}

/** The x coordinate of `scalar` times a point of the curve, both valid: an ECDH shared secret. */
export function multiplyX(curve: Curve, scalar: bigint, point: Affine): Uint8Array {
  const ecdh = createECDH(curve.ecdhName)
  const bytes = toBytes(scalar, curve.size)
  ecdh.setPrivateKey(bytes)
  bytes.fill(0)
  return new Uint8Array(ecdh.computeSecret(uncompressed(curve, point)))
}

/**
 * `scalar` times a point of the curve, both valid. With P the point, Q = dP and R = (d + 1)P, the y of Q follows from
 * the x of all three and the y of P, which is never 0 in a group of odd order.
 */
export function multiply(curve: Curve, scalar: bigint, point: Affine): Affine {
  const { p, a, b, n } = curve
  if (scalar === n - 1n) return { x: point.x, y: p - point.y }
  const x = toInteger(multiplyX(curve, scalar, point))
  const after = toInteger(multiplyX(curve, scalar + 1n, point))
  const difference = point.x - x
  const numerator = 2n * b + (a + point.x * x) * (point.x + x) - after * difference * difference
  return { x, y: mod(mod(numerator, p) * modInverse(2n * point.y, p), p) }
}

/** The sum of two points of the curve, or undefined for the point at infinity. */
export function add(curve: Curve, one: Affine, other: Affine): Affine | undefined {
  const { p, a } = curve
  let slope: bigint
  if (one.x !== other.x) slope = (other.y - one.y) * modInverse(other.x - one.x, p)
  else if (one.y === other.y) slope = (3n * one.x * one.x + a) * modInverse(2n * one.y, p)
  else return undefined
  const x = mod(slope * slope - one.x - other.x, p)
  return { x, y: mod(slope * (one.x - x) - one.y, p) }
}

/** The public point of a private scalar. Throws KeyError CURVE or VALUE. */
export function publicPoint(curveID: number, scalar: Uint8Array): TPMS_ECC_POINT {
  const curve = curveOf(curveID)
  return fromAffine(curve, multiplyBase(curve, scalarValue(curve, scalar)))
}

/** A key pair from `next`: the same bytes make the same key. Throws KeyError CURVE. */
export function generateEccKey(curveID: number, next: Entropy): EccKey {
  const scalar = scalarFromMaterial(curveID, next(scalarMaterialSize(curveID)))
  return { scalar, point: publicPoint(curveID, scalar) }
}

/**
 * The x coordinate of `scalar` times `point` (ECDH), as long as the field.
 * Throws KeyError CURVE, VALUE (scalar) or ECC_POINT (not on the curve).
 */
export function eccAgree(curveID: number, scalar: Uint8Array, point: TPMS_ECC_POINT): Uint8Array {
  const curve = curveOf(curveID)
  return multiplyX(curve, scalarValue(curve, scalar), toAffine(curve, point))
}

/** `scalar` times `point`, both coordinates: twice the work of {@link eccAgree}. Throws as it does. */
export function eccMultiply(curveID: number, scalar: Uint8Array, point: TPMS_ECC_POINT): TPMS_ECC_POINT {
  const curve = curveOf(curveID)
  return fromAffine(curve, multiply(curve, scalarValue(curve, scalar), toAffine(curve, point)))
}

function jwk(curve: Curve, point: Affine): Record<'kty' | 'crv' | 'x' | 'y', string> {
  const { x, y } = fromAffine(curve, point)
  return { kty: 'EC', crv: curve.jwkName, x: base64url(x), y: base64url(y) }
}

/** The key pair as node:crypto takes it. Throws KeyError CURVE, VALUE, or BINDING when the point is another's. */
export function eccPrivateKey(curveID: number, scalar: Uint8Array, point: TPMS_ECC_POINT): KeyObject {
  const curve = curveOf(curveID)
  const own = multiplyBase(curve, scalarValue(curve, scalar))
  if (own.x !== toInteger(point.x) || own.y !== toInteger(point.y)) {
    throw new KeyError('BINDING', 'expected the point of the private scalar, found another')
  }
  const d = toBytes(toInteger(scalar), curve.size)
  const key = { ...jwk(curve, own), d: base64url(d) }
  d.fill(0)
  return createPrivateKey({ key, format: 'jwk' })
}

/** A point as node:crypto takes it. Throws KeyError CURVE or ECC_POINT. */
export function eccPublicKey(curveID: number, point: TPMS_ECC_POINT): KeyObject {
  const curve = curveOf(curveID)
  return createPublicKey({ key: jwk(curve, toAffine(curve, point)), format: 'jwk' })
}
