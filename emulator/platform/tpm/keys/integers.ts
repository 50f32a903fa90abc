// Integers of a key as bytes and back, and inverses: the arithmetic that node:crypto does not offer.
// Source: big-endian integers of SEC 1, 2.3.7 and 2.3.8; extended Euclid with Lehmer's quotients, Knuth 4.5.2.

/** The unsigned big-endian integer in `bytes`; no bytes are zero. */
export function toInteger(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n
  return BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`)
}

/** `value` as `size` big-endian bytes. Throws RangeError when it is negative or needs more. */
export function toBytes(value: bigint, size: number): Uint8Array {
  const digits = value.toString(16)
  if (value < 0n || digits.length > 2 * size) {
    throw new RangeError(`"value" expected an integer of ${String(size)} bytes, got one that does not fit`)
  }
  return new Uint8Array(Buffer.from(digits.padStart(2 * size, '0'), 'hex'))
}

/** Number of significant bits of a positive integer. */
export function bitLength(value: bigint): number {
  const digits = value.toString(16)
  return 4 * digits.length - (Math.clz32(Number.parseInt(digits.charAt(0), 16)) - 28)
}

/** `value` modulo `modulus`, from 0 to the modulus less 1 also when `value` is negative. */
export function mod(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus
  return rest < 0n ? rest + modulus : rest
}

/** Numbers up to here convert to floating point without overflow. */
const FLOAT_LIMIT = 1n << 1000n

/** Below 2^50, quotients and cofactors of Euclid's algorithm are exact in floating point. */
const EXACT_BITS = 50

/** Two rows of a matrix of determinant 1 or -1: what several steps of Euclid's algorithm do at once. */
type Steps = readonly [number, number, number, number]

/**
 * The steps of Euclid's algorithm that the leading 50 bits of `high` >= `low` decide, all of them when there are no
 * more bits; undefined when they decide none. A wrong step would cost time only: any such matrix keeps the divisors.
 */
function leadingSteps(high: number, low: number): Steps | undefined {
  const exact = high < 2 ** EXACT_BITS
  const scale = exact ? 1 : 2 ** (Math.floor(Math.log2(high)) - EXACT_BITS + 1)
  let [x, y] = [Math.floor(high / scale), Math.floor(low / scale)]
  let [a, b, c, d] = [1, 0, 0, 1]
  while (exact ? y !== 0 : y + c !== 0 && y + d !== 0) {
    const quotient = Math.floor(exact ? x / y : (x + a) / (y + c))
    if (!exact && quotient !== Math.floor((x + b) / (y + d))) break
    ;[x, y] = [y, x - quotient * y]
    ;[a, c] = [c, a - quotient * c]
    ;[b, d] = [d, b - quotient * d]
  }
  return b === 0 ? undefined : [a, b, c, d]
}

/**
 * The inverse of `value` modulo `modulus`, twice as fast as division by division.
 * Throws RangeError when they have a common divisor.
 */
export function modInverse(value: bigint, modulus: bigint): bigint {
  // high = u·value and low = v·value modulo the modulus, all along.
  let [high, low, u, v] = [modulus, mod(value, modulus), 0n, 1n]
  while (low !== 0n) {
    const steps = high < FLOAT_LIMIT ? leadingSteps(Number(high), Number(low)) : undefined
    const [a, b, c, d] = steps === undefined ? [0n, 1n, 1n, -(high / low)] : asIntegers(steps)
    ;[high, low] = [a * high + b * low, c * high + d * low]
    ;[u, v] = [a * u + b * v, c * u + d * v]
    if (high < 0n) [high, u] = [-high, -u]
    if (low < 0n) [low, v] = [-low, -v]
    if (high < low) [high, low, u, v] = [low, high, v, u]
  }
  if (high !== 1n) throw new RangeError('"value" expected a number prime to the modulus, got one that is not')
  return mod(u, modulus)
}

function asIntegers([a, b, c, d]: Steps): readonly [bigint, bigint, bigint, bigint] {
  return [BigInt(a), BigInt(b), BigInt(c), BigInt(d)]
}
