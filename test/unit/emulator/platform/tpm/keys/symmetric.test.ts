// AES modes and their chaining: the vectors of SP 800-38A, @noble/ciphers as second implementation, and XOR obfuscation.

import { cbc, cfb, ctr, ecb } from '@noble/ciphers/aes.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { aesDecrypt, aesEncrypt, xorObfuscate } from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { hmac, TPM_ALG } from '../../../../../../sdk/tpm2/index.ts'
import { refusal } from './refusal.ts'

const NONE = new Uint8Array(0)

function fromHex(...parts: readonly string[]): Uint8Array {
  return new Uint8Array(Buffer.from(parts.join(''), 'hex'))
}

const KEY = fromHex('2b7e151628aed2a6abf7158809cf4f3c')
const IV = fromHex('000102030405060708090a0b0c0d0e0f')
const COUNTER = fromHex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff')
const PLAIN = fromHex(
  '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51',
  '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
)

/** Mode, IV, ciphertext and the IV that follows, all of SP 800-38A, annex F, with AES-128. */
const published = [
  [
    'CFB',
    TPM_ALG.CFB,
    IV,
    fromHex(
      '3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b',
      '26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6',
    ),
    fromHex('c04b05357c5d1c0eeac4c66f9ff7f2e6'),
  ],
  [
    'CBC',
    TPM_ALG.CBC,
    IV,
    fromHex(
      '7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2',
      '73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7',
    ),
    fromHex('3ff1caa1681fac09120eca307586e1a7'),
  ],
  [
    'OFB',
    TPM_ALG.OFB,
    IV,
    fromHex(
      '3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825',
      '9740051e9c5fecf64344f7a82260edcc304c6528f659c77866a510d9c1d6ae5e',
    ),
    fromHex('c6d3416d29165c6fcb8e51a227ba994e'),
  ],
  [
    'CTR',
    TPM_ALG.CTR,
    COUNTER,
    fromHex(
      '874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff',
      '5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee',
    ),
    fromHex('f0f1f2f3f4f5f6f7f8f9fafbfcfdff03'),
  ],
  [
    'ECB',
    TPM_ALG.ECB,
    NONE,
    fromHex(
      '3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf',
      '43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4',
    ),
    NONE,
  ],
] as const

const keys = fc.constantFrom(16, 24, 32).chain((size) => fc.uint8Array({ minLength: size, maxLength: size }))
const blocks = (count: number): fc.Arbitrary<Uint8Array> =>
  fc.nat(count).chain((n) => fc.uint8Array({ minLength: 16 * n, maxLength: 16 * n }))
const ivs = fc.uint8Array({ minLength: 16, maxLength: 16 })

describe('published vectors', () => {
  it.each(published)('%s', (_, mode, iv, cipherText, ivOut) => {
    expect(aesEncrypt(mode, KEY, iv, PLAIN)).toEqual({ outData: cipherText, ivOut })
    expect(aesDecrypt(mode, KEY, iv, cipherText)).toEqual({ outData: PLAIN, ivOut })
  })
})

describe('modes', () => {
  it.each(published)('%s: parts with the chained IV are the whole', (_, mode, sample) => {
    fc.assert(
      fc.property(keys, ivs, blocks(4), blocks(4), (key, anyIv, first, second) => {
        const iv = sample.length === 0 ? NONE : anyIv
        const whole = aesEncrypt(mode, key, iv, Uint8Array.from([...first, ...second]))
        const one = aesEncrypt(mode, key, iv, first)
        const two = aesEncrypt(mode, key, one.ivOut, second)
        expect(Uint8Array.from([...one.outData, ...two.outData])).toEqual(whole.outData)
        expect(two.ivOut).toEqual(whole.ivOut)
        const back = aesDecrypt(mode, key, iv, one.outData)
        expect(back).toEqual({ outData: first, ivOut: one.ivOut })
        expect(aesDecrypt(mode, key, back.ivOut, two.outData).outData).toEqual(second)
      }),
      { numRuns: 40 },
    )
  })

  it('agree with the second implementation, partial blocks too', () => {
    fc.assert(
      fc.property(
        keys,
        ivs,
        fc.uint8Array({ minLength: 1, maxLength: 70 }),
        blocks(3),
        (key, iv, data, even) => {
          expect(aesEncrypt(TPM_ALG.CFB, key, iv, data).outData).toEqual(cfb(key, iv).encrypt(data))
          expect(aesEncrypt(TPM_ALG.CTR, key, iv, data).outData).toEqual(ctr(key, iv).encrypt(data))
          fc.pre(even.length > 0)
          const plain = { disablePadding: true }
          expect(aesEncrypt(TPM_ALG.CBC, key, iv, even).outData).toEqual(cbc(key, iv, plain).encrypt(even))
          expect(aesEncrypt(TPM_ALG.ECB, key, NONE, even).outData).toEqual(ecb(key, plain).encrypt(even))
        },
      ),
      { numRuns: 60 },
    )
  })

  it('a partial last block leaves the chain filled with zeros (CFB), or at the next block (CTR, OFB)', () => {
    const data = PLAIN.subarray(0, 21)
    const cfbOut = aesEncrypt(TPM_ALG.CFB, KEY, IV, data)
    const filled = Uint8Array.from([...cfbOut.outData.subarray(16), ...new Uint8Array(11)])
    expect(cfbOut.ivOut).toEqual(filled)
    expect(aesDecrypt(TPM_ALG.CFB, KEY, IV, cfbOut.outData)).toEqual({ outData: data, ivOut: filled })
    for (const mode of [TPM_ALG.CTR, TPM_ALG.OFB]) {
      const whole = aesEncrypt(mode, KEY, IV, PLAIN.subarray(0, 32))
      expect(aesEncrypt(mode, KEY, IV, data).ivOut).toEqual(whole.ivOut)
    }
  })

  it('the counter carries over all of its bytes', () => {
    const ones = new Uint8Array(16).fill(0xff)
    expect(aesEncrypt(TPM_ALG.CTR, KEY, ones, new Uint8Array(33)).ivOut).toEqual(
      Uint8Array.from([...new Uint8Array(15), 2]),
    )
  })

  it('no data changes nothing', () => {
    expect(aesEncrypt(TPM_ALG.OFB, KEY, IV, NONE)).toEqual({ outData: NONE, ivOut: IV })
  })

  it('refuses other modes, keys, IVs, and partial blocks in CBC and ECB', () => {
    expect(refusal(() => aesEncrypt(TPM_ALG.NULL, KEY, IV, PLAIN))).toBe('SCHEME')
    expect(refusal(() => aesEncrypt(TPM_ALG.CFB, IV.subarray(1), IV, PLAIN))).toBe('KEY_SIZE')
    expect(refusal(() => aesEncrypt(TPM_ALG.CFB, KEY, NONE, PLAIN))).toBe('VALUE')
    expect(refusal(() => aesDecrypt(TPM_ALG.ECB, KEY, IV, PLAIN))).toBe('VALUE')
    expect(refusal(() => aesEncrypt(TPM_ALG.CBC, KEY, IV, PLAIN.subarray(1)))).toBe('SIZE')
    expect(refusal(() => aesDecrypt(TPM_ALG.ECB, KEY, NONE, PLAIN.subarray(1)))).toBe('SIZE')
    expect(refusal(() => aesDecrypt(TPM_ALG.CFB, KEY, IV, PLAIN.subarray(1)))).toBeUndefined()
  })
})

describe('XOR obfuscation', () => {
  it('is its own reverse, and depends on every input', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 300 }), (data) => {
        const sealed = xorObfuscate(TPM_ALG.SHA256, KEY, IV, COUNTER, data)
        expect(xorObfuscate(TPM_ALG.SHA256, KEY, IV, COUNTER, sealed)).toEqual(data)
        expect(xorObfuscate(TPM_ALG.SHA256, KEY, COUNTER, IV, sealed)).not.toEqual(data)
        expect(xorObfuscate(TPM_ALG.SHA1, KEY, IV, COUNTER, sealed)).not.toEqual(data)
      }),
    )
  })

  it('is the HMAC of counter, label, contexts and length in bits', () => {
    const input = Uint8Array.from([0, 0, 0, 1, 0x58, 0x4f, 0x52, 0, ...IV, ...COUNTER, 0, 0, 0, 128])
    const mask = hmac(TPM_ALG.SHA256, KEY, input).subarray(0, 16)
    expect(xorObfuscate(TPM_ALG.SHA256, KEY, IV, COUNTER, new Uint8Array(16))).toEqual(mask)
  })

  it('takes no data, and refuses more than KDFa gives', () => {
    expect(xorObfuscate(TPM_ALG.SHA256, KEY, IV, IV, NONE)).toEqual(NONE)
    expect(() => xorObfuscate(TPM_ALG.SHA256, KEY, IV, IV, new Uint8Array(2049))).toThrow(RangeError)
  })
})
