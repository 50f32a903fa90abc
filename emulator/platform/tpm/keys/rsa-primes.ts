// Random primes for RSA, from a stream of bytes: the same stream always gives the same primes, which is what makes a
// primary key the same each time. A random odd start, a sieve over a window after it, then Miller-Rabin.
// Source: FIPS 186-5, A.1.3 (probable primes), B.3.1 (Miller-Rabin) and Table B.1; Brandt and Damgard, "On generation
// of probable primes by incremental search", CRYPTO '92, for taking the first prime after a random start.

import { constants, createPublicKey, publicEncrypt } from 'node:crypto'
import { base64url } from '../../../../sdk/crypto/index.ts'
import { toBytes, toInteger } from './integers.ts'
import { type Entropy } from './random.ts'

/** Small primes of the sieve are below this: past it, a sieve step costs more than the tests that it saves. */
const SIEVE_LIMIT = 1 << 16

/** Odd numbers in a window, per bit of the prime: eleven primes are expected among them, so it is rarely drawn again. */
const WINDOW_PER_BIT = 4

/**
 * Rounds of Miller-Rabin. Table B.1 asks for 5 (1024 bits, 2^-112) and 4 (1536 and 2048 bits); the bound for an
 * incremental search is a little weaker, so there are more. Shorter primes (RSA-1024) need most.
 */
function roundsFor(bits: number): number {
  return bits < 1024 ? 16 : 8
}

/** Primes whose product is below 2^48: one division of a large integer serves them all. */
interface PrimeGroup {
  readonly product: bigint
  readonly primes: readonly number[]
}

/** So that a quotient by a small prime in floating point never rounds up to the next integer. */
const GROUP_LIMIT = 2 ** 48

function oddPrimesBelow(limit: number): number[] {
  const composite = new Uint8Array(limit)
  const primes: number[] = []
  for (let n = 3; n < limit; n += 2) {
    if (composite[n] === 1) continue
    primes.push(n)
    for (let multiple = n * n; multiple < limit; multiple += 2 * n) composite[multiple] = 1
  }
  return primes
}

function groupPrimes(primes: readonly number[]): PrimeGroup[] {
  const groups: PrimeGroup[] = []
  let [product, members] = [1, [] as number[]]
  for (const prime of primes) {
    if (product * prime >= GROUP_LIMIT) {
      groups.push({ product: BigInt(product), primes: members })
      ;[product, members] = [1, []]
    }
    product *= prime
    members.push(prime)
  }
  groups.push({ product: BigInt(product), primes: members })
  return groups
}

/** Made at the first search. */
let smallPrimes: readonly PrimeGroup[] | undefined

/** For each i below `count`, 1 when start + 2i has a small prime divisor. `start` is odd and greater than those. */
function sieve(start: bigint, count: number): Uint8Array {
  smallPrimes ??= groupPrimes(oddPrimesBelow(SIEVE_LIMIT))
  const composite = new Uint8Array(count)
  for (const { product, primes } of smallPrimes) {
    const rest = Number(start % product)
    for (const prime of primes) {
      const residue = rest - prime * Math.floor(rest / prime)
      const distance = residue === 0 ? 0 : prime - residue
      const first = (distance & 1) === 0 ? distance / 2 : (distance + prime) / 2
      for (let index = first; index < count; index += prime) composite[index] = 1
    }
  }
  return composite
}

/**
 * One round of Miller-Rabin for odd `candidate` and a base below it. The exponentiation is OpenSSL's: the raw RSA
 * operation of a public key that has the candidate as modulus, four times faster than `checkPrime`, which does at
 * least 64 rounds whatever is asked for.
 */
function passesRound(
  modulus: string,
  candidate: bigint,
  odd: bigint,
  twos: number,
  base: Uint8Array,
): boolean {
  const exponent = base64url(toBytes(odd, Math.ceil(odd.toString(16).length / 2)))
  const key = createPublicKey({ key: { kty: 'RSA', n: modulus, e: exponent }, format: 'jwk' })
  let power = toInteger(publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, base))
  if (power === 1n || power === candidate - 1n) return true
  for (let square = 1; square < twos; square += 1) {
    power = (power * power) % candidate
    if (power === candidate - 1n) return true
  }
  return false
}

/**
 * Whether `candidate` is prime, with bases from `next`. It must be odd, have whole bytes and its top bit set (so that
 * a base of one bit less is below it). A composite passes with probability below 2^-100 when it was drawn at random;
 * one chosen by an adversary passes with at most 4^-rounds.
 */
export function isProbablePrime(candidate: bigint, bytes: number, next: Entropy, rounds: number): boolean {
  const modulus = base64url(toBytes(candidate, bytes))
  let [odd, twos] = [(candidate - 1n) >> 1n, 1]
  for (; (odd & 1n) === 0n; twos += 1) odd >>= 1n
  for (let round = 0; round < rounds; round += 1) {
    const base = next(bytes)
    base[0] = (base[0] ?? 0) & 0x7f
    base[bytes - 1] = (base[bytes - 1] ?? 0) | 2
    if (!passesRound(modulus, candidate, odd, twos, base)) return false
  }
  return true
}

/** The first prime of a window that starts at a random number, or undefined when there is none. */
function searchWindow(bits: number, next: Entropy, accept: (prime: bigint) => boolean): bigint | undefined {
  const bytes = bits / 8
  const start = next(bytes)
  start[0] = (start[0] ?? 0) | 0xc0
  start[bytes - 1] = (start[bytes - 1] ?? 0) | 1
  const first = toInteger(start)
  start.fill(0)
  const composite = sieve(first, WINDOW_PER_BIT * bits)
  for (const [index, hit] of composite.entries()) {
    if (hit === 1) continue
    const candidate = first + BigInt(2 * index)
    if (candidate >> BigInt(bits) !== 0n) return undefined
    if (accept(candidate) && isProbablePrime(candidate, bytes, next, roundsFor(bits))) return candidate
  }
  return undefined
}

/**
 * A random prime of `bits` bits (a multiple of 16, at least 256) whose two top bits are set, so that the product of
 * two has twice as many bits. `accept` says which candidates will do; it must be cheap, and accept most.
 */
export function generatePrime(bits: number, next: Entropy, accept: (candidate: bigint) => boolean): bigint {
  if (!Number.isInteger(bits) || bits % 16 !== 0 || bits < 256) {
    throw new RangeError(`"bits" expected a multiple of 16 from 256, got ${String(bits)}`)
  }
  for (;;) {
    const prime = searchWindow(bits, next, accept)
    if (prime !== undefined) return prime
  }
}
