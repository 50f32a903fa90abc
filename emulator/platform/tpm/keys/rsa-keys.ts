// RSA keys: generation from a stream of bytes, and the key of a modulus and one prime, which is what a TPM stores.
// Source: FIPS 186-5, A.1.1 and A.1.3; TPM 2.0 Library, Part 1, annex B.2 to B.3, and Part 2, 11.2.4.7
// (TPM2B_PRIVATE_KEY_RSA: one prime).

import { checkPrimeSync, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { base64url } from '../../../../sdk/crypto/index.ts'
import { KeyError } from './errors.ts'
import { bitLength, modInverse, toBytes, toInteger } from './integers.ts'
import { type Entropy } from './random.ts'
import { generatePrime } from './rsa-primes.ts'

/** The exponent that 0 stands for in a TPM's public area. */
const RSA_DEFAULT_EXPONENT = 65537

/** Sizes of a modulus, in bits. */
export const RSA_KEY_BITS: readonly number[] = [1024, 2048, 3072, 4096]

/** A generated key, as a TPM stores it. `prime` is secret: the caller wipes it. */
export interface RsaKey {
  /** Big-endian, exactly the key's size. */
  readonly modulus: Uint8Array
  readonly exponent: number
  /** Big-endian, half the key's size: the larger of the two primes. */
  readonly prime: Uint8Array
}

/** The exponent that `exponent` stands for. Throws KeyError RANGE unless it is 0 or an odd prime from 2^16 to 2^32. */
export function rsaExponent(exponent: number): number {
  if (exponent === 0 || exponent === RSA_DEFAULT_EXPONENT) return RSA_DEFAULT_EXPONENT
  const inRange = Number.isInteger(exponent) && exponent > 0x10000 && exponent <= 0xffffffff
  if (!inRange || !checkPrimeSync(BigInt(exponent))) {
    throw new KeyError(
      'RANGE',
      `expected a prime from 2^16 to 2^32 as RSA exponent, found ${String(exponent)}`,
    )
  }
  return exponent
}

function checkKeyBits(bits: number): void {
  if (!RSA_KEY_BITS.includes(bits)) {
    throw new KeyError(
      'KEY_SIZE',
      `expected an RSA key of 1024, 2048, 3072 or 4096 bits, found ${String(bits)}`,
    )
  }
}

/** The inverse of a small prime modulo `modulus`, by one division. Throws RangeError when the prime divides it. */
function inverseOfSmall(small: number, modulus: bigint): bigint {
  const divisor = BigInt(small)
  const factor = divisor - modInverse(modulus % divisor, divisor)
  return (modulus * factor + 1n) / divisor
}

/** Both top bits of the primes are set, so |p - q| is only too small (2^(bits - 100)) by an accident never seen. */
function farApart(p: bigint, q: bigint, bits: number): boolean {
  const distance = p > q ? p - q : q - p
  return distance >> BigInt(bits - 100) !== 0n
}

/**
 * Makes a key from `next`: the same bytes make the same key. Mean time on a server core: 40 ms for 2048 bits.
 * Throws KeyError KEY_SIZE and RANGE.
 */
export function generateRsaKey(bits: number, exponent: number, next: Entropy): RsaKey {
  checkKeyBits(bits)
  const e = rsaExponent(exponent)
  const half = bits / 2
  const coprime = (candidate: bigint): boolean => candidate % BigInt(e) !== 1n
  for (;;) {
    const first = generatePrime(half, next, coprime)
    const second = generatePrime(
      half,
      next,
      (candidate) => coprime(candidate) && farApart(first, candidate, half),
    )
    const [p, q] = first > second ? [first, second] : [second, first]
    if (bitLength(privateExponent(p, q, e)) <= half) continue
    return { modulus: toBytes(p * q, bits / 8), exponent: e, prime: toBytes(p, half / 8) }
  }
}

/** The inverse of the exponent modulo lcm(p - 1, q - 1). */
function privateExponent(p: bigint, q: bigint, e: number): bigint {
  let [a, b] = [p - 1n, q - 1n]
  while (b !== 0n) [a, b] = [b, a % b]
  return inverseOfSmall(e, ((p - 1n) / a) * (q - 1n))
}

/** The other prime, or KeyError BINDING. */
function cofactor(modulus: Uint8Array, prime: Uint8Array): { readonly p: bigint; readonly q: bigint } {
  const [n, p] = [toInteger(modulus), toInteger(prime)]
  const half = 4 * modulus.length
  if (p === 0n || n % p !== 0n || bitLength(p) !== half || bitLength(n / p) !== half) {
    throw new KeyError(
      'BINDING',
      'expected a prime that divides the RSA modulus into two halves, found another number',
    )
  }
  return { p, q: n / p }
}

/**
 * The private key of a modulus and one of its primes. `exponent` 0 is 65537.
 * Throws KeyError KEY_SIZE for a modulus or prime of another size, RANGE for the exponent, BINDING when the prime does
 * not divide the modulus, or the exponent has no inverse.
 */
export function rsaKeyFromPrime(modulus: Uint8Array, exponent: number, prime: Uint8Array): KeyObject {
  checkKeyBits(8 * modulus.length)
  const half = modulus.length / 2
  if (prime.length !== half) {
    throw new KeyError('KEY_SIZE', `expected a prime of ${String(half)} bytes, found ${String(prime.length)}`)
  }
  const e = rsaExponent(exponent)
  const { p, q } = cofactor(modulus, prime)
  const integer = (value: bigint, size: number): string => base64url(toBytes(value, size))
  try {
    const key = {
      kty: 'RSA',
      n: base64url(modulus),
      e: integer(BigInt(e), 4),
      d: integer(privateExponent(p, q, e), 2 * half),
      p: integer(p, half),
      q: integer(q, half),
      dp: integer(inverseOfSmall(e, p - 1n), half),
      dq: integer(inverseOfSmall(e, q - 1n), half),
      qi: integer(modInverse(q, p), half),
    }
    return createPrivateKey({ key, format: 'jwk' })
  } catch (cause) {
    throw new KeyError('BINDING', 'expected a prime and an exponent of one RSA key, found others', { cause })
  }
}

/** The public key of a modulus. `exponent` 0 is 65537. Throws KeyError KEY_SIZE, RANGE or VALUE (not a modulus). */
export function rsaPublicKey(modulus: Uint8Array, exponent: number): KeyObject {
  checkKeyBits(8 * modulus.length)
  const e = rsaExponent(exponent)
  if (((modulus[0] ?? 0) & 0x80) === 0 || ((modulus.at(-1) ?? 0) & 1) === 0) {
    throw new KeyError('VALUE', 'expected an odd RSA modulus with its top bit set, found another number')
  }
  const key = { kty: 'RSA', n: base64url(modulus), e: base64url(toBytes(BigInt(e), 4)) }
  return createPublicKey({ key, format: 'jwk' })
}
