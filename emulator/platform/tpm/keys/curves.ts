// The elliptic curves that are computed: their domain parameters, as TPM2_ECC_Parameters gives them, and their names.
// Source: NIST SP 800-186, 3.2.1.3 to 3.2.1.5; TPM 2.0 Library, Part 2, clause 6.4 (TPM_ECC_CURVE).

import { TPM_ECC } from '../../../../sdk/tpm2/index.ts'
import { KeyError } from './errors.ts'
import { bitLength } from './integers.ts'

/** A prime curve y² = x³ + ax + b (mod p) with a base point of prime order n and cofactor 1. */
export interface Curve {
  readonly curveID: number
  /** As node:crypto's createECDH names it. */
  readonly ecdhName: string
  /** As a JWK's crv names it. */
  readonly jwkName: string
  /** Bytes in a coordinate, and in a scalar: both are equally long on these curves. */
  readonly size: number
  /** Bits in the order. */
  readonly bits: number
  readonly p: bigint
  readonly a: bigint
  readonly b: bigint
  readonly gx: bigint
  readonly gy: bigint
  readonly n: bigint
  readonly h: bigint
}

type Domain = Readonly<Record<'p' | 'b' | 'gx' | 'gy' | 'n', bigint>>

/** All three have a = -3 and cofactor 1. */
function curve(curveID: number, ecdhName: string, jwkName: string, domain: Domain): Curve {
  const bits = bitLength(domain.n)
  return { curveID, ecdhName, jwkName, size: Math.ceil(bits / 8), bits, ...domain, a: domain.p - 3n, h: 1n }
}

const P256 = curve(TPM_ECC.NIST_P256, 'prime256v1', 'P-256', {
  p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
  b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  gx: 0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
  gy: 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
  n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
})

const P384 = curve(TPM_ECC.NIST_P384, 'secp384r1', 'P-384', {
  p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
  b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  gx: 0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
  gy: 0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn,
  n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
})

const P521 = curve(TPM_ECC.NIST_P521, 'secp521r1', 'P-521', {
  p: 2n ** 521n - 1n,
  b: 0x51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
  gx: 0xc6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66n,
  gy: 0x11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650n,
  n: 0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
})

const CURVES = new Map([P256, P384, P521].map((each) => [each.curveID, each]))

/** The curves that are computed, in the order of their identifiers (TPM_CAP_ECC_CURVES). */
export const ECC_CURVES: readonly number[] = [...CURVES.keys()]

/** The curve of a TPM_ECC_CURVE. Throws KeyError CURVE for one that is not computed. */
export function curveOf(curveID: number): Curve {
  const found = CURVES.get(curveID)
  if (found === undefined) {
    throw new KeyError('CURVE', `expected NIST P-256, P-384 or P-521, found TPM_ECC_CURVE ${String(curveID)}`)
  }
  return found
}
