// Integers and their inverses: against the definition, at every size at which the algorithm changes its way.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bitLength,
  mod,
  modInverse,
  toBytes,
  toInteger,
} from '../../../../../../emulator/platform/tpm/keys/integers.ts'

function gcd(a: bigint, b: bigint): bigint {
  return b === 0n ? a : gcd(b, a % b)
}

const sized = fc.constantFrom(3, 20, 49, 50, 51, 53, 64, 256, 384, 521, 999, 1000, 1001, 1024, 2048)

describe('modInverse', () => {
  it('gives the one number whose product is 1', () => {
    const pairs = sized.chain((bits) => {
      const top = 1n << BigInt(bits)
      return fc.tuple(fc.bigInt(-top, top), fc.bigInt(2n, top))
    })
    fc.assert(
      fc.property(pairs, ([value, modulus]) => {
        const prime = gcd(modulus, mod(value, modulus)) === 1n
        if (!prime) {
          expect(() => modInverse(value, modulus)).toThrow(RangeError)
          return
        }
        const inverse = modInverse(value, modulus)
        expect(inverse >= 0n && inverse < modulus).toBe(true)
        expect(mod(inverse * value, modulus)).toBe(1n)
      }),
      { numRuns: 1500 },
    )
  })

  it('is right next to the modulus, next to zero and for powers of two', () => {
    for (const modulus of [2n ** 521n - 1n, 2n ** 127n - 1n, 2n ** 61n - 1n, 65537n, 2n ** 1279n - 1n]) {
      for (const value of [
        1n,
        2n,
        3n,
        modulus - 1n,
        modulus - 2n,
        modulus / 2n,
        modulus / 2n + 1n,
        2n ** 50n + 1n,
      ]) {
        if (value % modulus === 0n) continue
        expect((modInverse(value, modulus) * value) % modulus).toBe(1n)
      }
    }
    expect(() => modInverse(0n, 7n)).toThrow(RangeError)
  })
})

describe('bytes', () => {
  it('go to and from integers, padded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(toBytes(toInteger(bytes), bytes.length + 1)).toEqual(Uint8Array.from([0, ...bytes]))
      }),
    )
    expect(() => toBytes(256n, 1)).toThrow(RangeError)
    expect(() => toBytes(-1n, 4)).toThrow(RangeError)
  })

  it('bitLength counts significant bits', () => {
    for (const bits of [1, 2, 3, 4, 5, 8, 9, 255, 256, 521]) {
      expect(bitLength(1n << BigInt(bits - 1))).toBe(bits)
      expect(bitLength((1n << BigInt(bits)) - 1n)).toBe(bits)
    }
  })
})
