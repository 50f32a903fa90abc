// Deterministic generation of RSA keys: reproducible, of the right shape, and prime by OpenSSL's own test.

import { checkPrimeSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  deterministicStream,
  type Entropy,
  generateRsaKey,
  rsaExponent,
} from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { generatePrime, isProbablePrime } from '../../../../../../emulator/platform/tpm/keys/rsa-primes.ts'
import { TPM_ALG } from '../../../../../../sdk/tpm2/index.ts'
import { refusal } from './refusal.ts'

const NONE = new Uint8Array(0)

function stream(label: string): Entropy {
  return deterministicStream(TPM_ALG.SHA256, new Uint8Array(32).fill(0x5a), label, NONE, NONE)
}

function integer(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

describe('generateRsaKey', () => {
  it.each([1024, 2048, 3072, 4096])(
    'makes a key of %i bits of two primes, the same from the same bytes',
    (bits) => {
      const key = generateRsaKey(bits, 0, stream(String(bits)))
      expect(generateRsaKey(bits, 0, stream(String(bits)))).toEqual(key)
      const [n, p] = [integer(key.modulus), integer(key.prime)]
      const q = n / p
      expect(p * q).toBe(n)
      expect([n, p, q].map((value) => value.toString(2).length)).toEqual([bits, bits / 2, bits / 2])
      expect([p, q].map((prime) => checkPrimeSync(prime))).toEqual([true, true])
      expect(p - q > 1n << BigInt(bits / 2 - 100)).toBe(true)
      expect([p, q].map((prime) => prime >> BigInt(bits / 2 - 2))).toEqual([3n, 3n])
      expect(key.exponent).toBe(65537)
    },
  )

  it('gives another key for another label', () => {
    const [one, two] = ['one', 'two'].map((label) => generateRsaKey(1024, 0, stream(label)))
    expect(one).not.toEqual(two)
  })

  it('takes an odd prime above 2^16 as exponent, prime to both p - 1 and q - 1', () => {
    const key = generateRsaKey(1024, 4294967291, stream('exponent'))
    const p = integer(key.prime)
    const q = integer(key.modulus) / p
    expect(key.exponent).toBe(4294967291)
    expect([p, q].map((prime) => (prime - 1n) % 4294967291n !== 0n)).toEqual([true, true])
  })

  it('refuses other sizes and exponents', () => {
    expect(refusal(() => generateRsaKey(1536, 0, stream('x')))).toBe('KEY_SIZE')
    for (const exponent of [1, 3, 17, 65535, 65536, 65539 * 3, 4294967295, 65537.5, 2 ** 33, -65537]) {
      expect(refusal(() => rsaExponent(exponent))).toBe('RANGE')
    }
    expect(rsaExponent(65539)).toBe(65539)
    expect(rsaExponent(0)).toBe(65537)
  })
})

describe('generatePrime', () => {
  it('gives only what is accepted', () => {
    const prime = generatePrime(512, stream('accepted'), (candidate) => candidate % 4n === 3n)
    expect(prime % 4n).toBe(3n)
    expect(checkPrimeSync(prime)).toBe(true)
    expect(() => generatePrime(500, stream('x'), () => true)).toThrow(RangeError)
    expect(() => generatePrime(128, stream('x'), () => true)).toThrow(RangeError)
  })

  it('draws again when the window passes the top of the range', () => {
    let first = true
    const rest = stream('top')
    const next: Entropy = (bytes) => {
      if (!first) return rest(bytes)
      first = false
      return new Uint8Array(bytes).fill(0xff)
    }
    expect(checkPrimeSync(generatePrime(256, next, () => true))).toBe(true)
  })
})

describe('isProbablePrime', () => {
  const next = stream('bases')

  it('agrees with OpenSSL, for candidates of either residue modulo 4 and more twos', () => {
    const top = 1n << 255n
    for (const offset of [1n, 3n, 19n, 95n]) {
      for (let step = 0n; step < 400n; step += 4n) {
        const candidate = top + offset + step * 2n
        expect(isProbablePrime(candidate, 32, next, 8)).toBe(checkPrimeSync(candidate))
      }
    }
    const twos = generatePrime(256, next, (candidate) => candidate % 64n === 1n)
    expect(checkPrimeSync(twos)).toBe(true)
  })

  it('knows a Carmichael number of large factors as composite', () => {
    // (6k+1)(12k+1)(18k+1) with all three prime is a Carmichael number: every Fermat test passes it.
    for (let k = 25n << 77n; ; k += 1n) {
      const factors = [6n * k + 1n, 12n * k + 1n, 18n * k + 1n]
      if (factors.some((factor) => factor % 5n === 0n || factor % 7n === 0n || factor % 11n === 0n)) continue
      if (!factors.every((factor) => checkPrimeSync(factor))) continue
      const number = factors.reduce((product, factor) => product * factor, 1n)
      const size = Math.ceil(number.toString(2).length / 8)
      expect(number >> BigInt(8 * size - 1)).toBe(1n)
      expect(isProbablePrime(number, size, next, 8)).toBe(false)
      return
    }
  })
})
