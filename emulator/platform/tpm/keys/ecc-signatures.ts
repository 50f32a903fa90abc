// Signatures with an elliptic curve key, of a digest, since that is what a TPM is given: node:crypto signs messages
// only. The nonce's point comes from node:crypto, the rest is arithmetic modulo the order.
// Source: FIPS 186-5, 6.4 (ECDSA); TPM 2.0 Library, Part 1, annexes C.4 (ECDAA, EC Schnorr) and C.2 (commit counter).

import { type KeyObject, sign } from 'node:crypto'
import { hash, kdfa, TPM_ALG, type TPMS_ECC_POINT } from '../../../../sdk/tpm2/index.ts'
import { type Curve, curveOf } from './curves.ts'
import {
  add,
  type Affine,
  multiplyBase,
  multiplyX,
  randomScalar,
  scalarFromMaterial,
  scalarMaterialSize,
  scalarValue,
  toAffine,
} from './ecc.ts'
import { KeyError } from './errors.ts'
import { mod, modInverse, toBytes, toInteger } from './integers.ts'
import { type Entropy } from './random.ts'

/** Both numbers of a signature, as long as the curve's field. */
export interface EccSignature {
  readonly signatureR: Uint8Array
  readonly signatureS: Uint8Array
}

function signature(curve: Curve, r: bigint, s: bigint): EccSignature {
  return { signatureR: toBytes(r, curve.size), signatureS: toBytes(s, curve.size) }
}

/** The leftmost bits of a digest, as many as the order has (FIPS 186-5, 6.4.1). */
function digestNumber(curve: Curve, digest: Uint8Array): bigint {
  const excess = 8 * digest.length - curve.bits
  return excess > 0 ? toInteger(digest) >> BigInt(excess) : toInteger(digest)
}

/** The inverse of a secret number: what is inverted is a random multiple of it, so that the time tells nothing. */
function blindInverse(curve: Curve, secret: bigint, next: Entropy): bigint {
  const blind = randomScalar(curve, next)
  return (modInverse((secret * blind) % curve.n, curve.n) * blind) % curve.n
}

/** ECDSA of a digest of any length with the nonces of `next`. Throws KeyError CURVE or VALUE (scalar). */
export function ecdsaSign(
  curveID: number,
  scalar: Uint8Array,
  digest: Uint8Array,
  next: Entropy,
): EccSignature {
  const curve = curveOf(curveID)
  const { n } = curve
  const [d, e] = [scalarValue(curve, scalar), digestNumber(curve, digest)]
  for (;;) {
    const k = randomScalar(curve, next)
    const r = multiplyBase(curve, k).x % n
    const s = (blindInverse(curve, k, next) * ((e + r * d) % n)) % n
    if (r !== 0n && s !== 0n) return signature(curve, r, s)
  }
}

const NODE_HASHES = new Map<number, string>([
  [TPM_ALG.SHA1, 'sha1'],
  [TPM_ALG.SHA256, 'sha256'],
  [TPM_ALG.SHA384, 'sha384'],
  [TPM_ALG.SHA512, 'sha512'],
])

/**
 * ECDSA of a message that the device makes itself (attestations), by OpenSSL altogether: a little faster than
 * {@link ecdsaSign}, with the nonce never outside of it. `key` is a private key of eccPrivateKey.
 * Throws KeyError SCHEME for the hash.
 */
export function ecdsaSignMessage(key: KeyObject, hashAlg: number, message: Uint8Array): EccSignature {
  const name = NODE_HASHES.get(hashAlg)
  if (name === undefined) {
    throw new KeyError('SCHEME', `expected a hash of ECDSA, found TPM_ALG_ID 0x${hashAlg.toString(16)}`)
  }
  const both = new Uint8Array(sign(name, message, { key, dsaEncoding: 'ieee-p1363' }))
  return { signatureR: both.slice(0, both.length / 2), signatureS: both.slice(both.length / 2) }
}

/**
 * The x coordinate of u(tG + Q), which is utG + uQ with one general multiplication instead of two additions' worth;
 * undefined for infinity. All are public.
 */
function combinedX(curve: Curve, u: bigint, t: bigint, point: Affine): bigint | undefined {
  const sum = t === 0n ? point : add(curve, multiplyBase(curve, t), point)
  return sum === undefined ? undefined : toInteger(multiplyX(curve, u, sum))
}

/** r and s, or undefined unless both are from 1 to the order less 1. */
function numbersOf(
  curve: Curve,
  value: EccSignature,
): { readonly r: bigint; readonly s: bigint } | undefined {
  const [r, s] = [toInteger(value.signatureR), toInteger(value.signatureS)]
  return r === 0n || s === 0n || r >= curve.n || s >= curve.n ? undefined : { r, s }
}

/** Whether `value` is the ECDSA signature of `digest` by the key of `point`. Throws KeyError CURVE or ECC_POINT. */
export function ecdsaVerify(
  curveID: number,
  point: TPMS_ECC_POINT,
  digest: Uint8Array,
  value: EccSignature,
): boolean {
  const curve = curveOf(curveID)
  const key = toAffine(curve, point)
  const numbers = numbersOf(curve, value)
  if (numbers === undefined) return false
  const { r, s } = numbers
  const inverse = modInverse(r * s, curve.n)
  const ratio = mod(digestNumber(curve, digest) * s * inverse, curve.n)
  const x = combinedX(curve, mod(r * r * inverse, curve.n), ratio, key)
  return x !== undefined && x % curve.n === r
}

/** H(x ‖ digest), cut to the bytes of the order, as a number modulo the order. */
function schnorrNumber(curve: Curve, hashAlg: number, x: bigint, digest: Uint8Array): bigint {
  return toInteger(hash(hashAlg, toBytes(x, curve.size), digest).subarray(0, curve.size)) % curve.n
}

/** EC Schnorr of a digest (annex C.4.3). Throws KeyError CURVE or VALUE (scalar). */
export function ecSchnorrSign(
  curveID: number,
  scalar: Uint8Array,
  hashAlg: number,
  digest: Uint8Array,
  next: Entropy,
): EccSignature {
  const curve = curveOf(curveID)
  const d = scalarValue(curve, scalar)
  for (;;) {
    const k = randomScalar(curve, next)
    const r = schnorrNumber(curve, hashAlg, multiplyBase(curve, k).x, digest)
    const s = (k + r * d) % curve.n
    if (r !== 0n && s !== 0n) return signature(curve, r, s)
  }
}

/** Whether `value` is the EC Schnorr signature of `digest`. Throws KeyError CURVE or ECC_POINT. */
export function ecSchnorrVerify(
  curveID: number,
  point: TPMS_ECC_POINT,
  hashAlg: number,
  digest: Uint8Array,
  value: EccSignature,
): boolean {
  const curve = curveOf(curveID)
  const key = toAffine(curve, point)
  const numbers = numbersOf(curve, value)
  if (numbers === undefined) return false
  const { r, s } = numbers
  // sG - rQ is -r(Q - (s/r)G), and a point and its negative have the same x.
  const x = combinedX(curve, r, mod(-s * modInverse(r, curve.n), curve.n), key)
  return x !== undefined && schnorrNumber(curve, hashAlg, x, digest) === r
}

/**
 * ECDAA of a digest (annex C.4.2): signatureR is a fresh nonce K, and s = commit + H(K ‖ digest)·d. `commit` is
 * the secret number of the TPM2_Commit that this signature ends: {@link commitScalar}.
 * Throws KeyError CURVE, VALUE (a scalar), or NO_RESULT when the commit's number cannot be used.
 */
export function ecdaaSign(
  curveID: number,
  scalar: Uint8Array,
  commit: Uint8Array,
  hashAlg: number,
  digest: Uint8Array,
  next: Entropy,
): EccSignature {
  const curve = curveOf(curveID)
  const [d, r] = [scalarValue(curve, scalar), scalarValue(curve, commit)]
  const nonce = randomScalar(curve, next)
  const t = toInteger(hash(hashAlg, toBytes(nonce, curve.size), digest)) % curve.n
  const s = (r + t * d) % curve.n
  if (t === 0n || s === 0n) {
    throw new KeyError('NO_RESULT', 'expected a nonzero signature, found zero; commit again')
  }
  return signature(curve, nonce, s)
}

/**
 * The secret number of one TPM2_Commit or TPM2_EC_Ephemeral: KDFa of the TPM's commit nonce, the key's name and the
 * commit counter, so that nothing but the counter is kept until the signature.
 * Throws KeyError CURVE.
 */
export function commitScalar(
  curveID: number,
  hashAlg: number,
  commitNonce: Uint8Array,
  name: Uint8Array,
  counter: bigint,
): Uint8Array {
  const bits = 8 * scalarMaterialSize(curveID)
  const material = kdfa(hashAlg, commitNonce, 'ECDAA Commit', name, toBytes(counter, 8), bits)
  return scalarFromMaterial(curveID, material)
}
