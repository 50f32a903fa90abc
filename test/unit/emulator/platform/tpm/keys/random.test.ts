// Sources of random bytes: what is reproducible, what is not, and what stirring does.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  deterministicStream,
  fixedEntropy,
  systemEntropy,
} from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { hmac, kdfa, TPM_ALG } from '../../../../../../sdk/tpm2/index.ts'

const NONE = new Uint8Array(0)
const SEED = new Uint8Array(32).fill(7)

describe('deterministicStream', () => {
  const stream = (label: string, u = NONE, v = NONE): ((bytes: number) => Uint8Array) =>
    deterministicStream(TPM_ALG.SHA256, SEED, label, u, v)

  it('is the HMACs of a counter under a derived key', () => {
    const key = kdfa(TPM_ALG.SHA256, SEED, 'RSA', SEED, NONE, 256)
    const expected = [1, 2].flatMap((index) => [
      ...hmac(TPM_ALG.SHA256, key, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, index)),
    ])
    expect([...stream('RSA', SEED)(64)]).toEqual(expected)
  })

  it('gives the same bytes however they are asked for', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100), { maxLength: 8 }), (sizes) => {
        const total = sizes.reduce((sum, size) => sum + size, 0)
        const pieces = stream('X')
        expect(sizes.flatMap((size) => [...pieces(size)])).toEqual([...stream('X')(total)])
      }),
    )
  })

  it('depends on seed, label, both contexts and hash', () => {
    const others = [
      stream('X'),
      stream('Y'),
      stream('X', SEED),
      stream('X', NONE, SEED.subarray(1)),
      deterministicStream(TPM_ALG.SHA256, SEED.subarray(1), 'X', NONE, NONE),
      deterministicStream(TPM_ALG.SHA512, SEED, 'X', NONE, NONE),
    ].map((next) => Buffer.from(next(32)).toString('hex'))
    expect(new Set(others).size).toBe(others.length)
  })

  it('refuses a count that is none', () => {
    for (const count of [-1, 1.5, Number.NaN]) expect(() => stream('X')(count)).toThrow(RangeError)
  })
})

describe('fixedEntropy', () => {
  it('repeats for the same seed, requests and stirs, and for no others', () => {
    const run = (seed: string, stir: Uint8Array | undefined): string => {
      const source = fixedEntropy(seed)
      const first = source.next(33)
      if (stir !== undefined) source.stir(stir)
      return Buffer.from([...first, ...source.next(40)]).toString('hex')
    }
    expect(run('a', SEED)).toBe(run('a', SEED))
    const others = [run('a', undefined), run('a', NONE), run('a', SEED), run('b', undefined)]
    expect(new Set(others).size).toBe(others.length)
    expect(fixedEntropy(Uint8Array.of(0x61)).next(9)).toEqual(fixedEntropy('a').next(9))
    const source = fixedEntropy('a')
    expect(source.next(32)).not.toEqual(source.next(32))
  })
})

describe('systemEntropy', () => {
  it('never repeats, across its pool and past it, stirred or not', () => {
    for (const stir of [false, true]) {
      const source = systemEntropy()
      if (stir) source.stir(SEED)
      const seen = Array.from({ length: 400 }, () => Buffer.from(source.next(16)).toString('hex'))
      expect(new Set(seen).size).toBe(400)
      for (const size of [0, 1, 1024, 1025, 5000]) expect(source.next(size)).toHaveLength(size)
      expect(source.next(5000).filter((octet) => octet === 0).length).toBeLessThan(100)
    }
  })

  it('two stirred alike still differ', () => {
    const [one, two] = [systemEntropy(), systemEntropy()]
    one.stir(SEED)
    two.stir(SEED)
    expect(one.next(32)).not.toEqual(two.next(32))
    expect(() => one.next(-1)).toThrow(RangeError)
  })
})
