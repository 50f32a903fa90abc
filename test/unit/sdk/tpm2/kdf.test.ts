// KDFa and KDFe against values computed with Python's hmac and hashlib from the formulas of Part 1, 11.4.10.

import { describe, expect, it } from 'vitest'
import { kdfa, kdfe, labelBytes, TPM_ALG } from '../../../../sdk/tpm2/index.ts'

const key = Uint8Array.from({ length: 32 }, (_, index) => index)
const u = new TextEncoder().encode('party u')
const v = new TextEncoder().encode('party v')
const none = new Uint8Array(0)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const vectors = [
  {
    hash: 'SHA1',
    storage: 'cf6b2309ed227284e777f531935f2348',
    integrity:
      '0d6e36f280e9dbc39b6a1b6b2949c8a2d8917ec5ed31cf91ce1529069c3d76f14d8ff4f7d82b98d1685bdff34c252a8178b06db39e27afcf4bf0773a9aa1d657a3',
    identity: '585123cac1a8597770d681fc8867b3d23b4760162e31e577607e5cd8f983670f',
    secret: '0eb082400b8fdaf1',
  },
  {
    hash: 'SHA256',
    storage: 'a0ff23d98884ddcfad7e8614e45da586',
    integrity:
      '12a08db411cae407fa23045a1375327dbca29fb63c2c0d8ae16c0abccc45e8d471eb9e0b266a1bdf9f4afdd4a602be843250c72da03113c012f325a4bc8ed12f80',
    identity: 'efba6c4eec8a39f50dcb36f65322a3e8be14a3c9fbb0328fb7801b0f91e020b6',
    secret: '0ed001dd641b2cbe',
  },
  {
    hash: 'SHA384',
    storage: '98a7601028022c8e0b0df7225a60a91a',
    integrity:
      '01d8678ca4cf7f7924c39fd2375ea8a802472aee03cda637f3eacbeac51279b0ad484a4ce220efc2ed0b5062b4709c31d9ae6a606c8c63876381f07ae8c465daad',
    identity: '1e2367fac379b7114bf44caee0bc3309be99db3bd34591715d8ee0e90527d27e',
    secret: '0cc48329a8977a7b',
  },
  {
    hash: 'SHA512',
    storage: '87e675d97f2c9fae3d50aa1521419fa7',
    integrity:
      '09967e6b77818a5ee51b2020478cae2246a54d85d1008a210e594025690d1d2079126cad8c7486f7d2fb6b041ece9ea312864454ec263f9c8262f09f778e331a90',
    identity: 'd2f093777651b6a2948dbe5d9bf9daefda77c50df103dbe2f5e3a3dc4da1d760',
    secret: '1e6f26841ac1b692',
  },
] as const

describe('key derivation', () => {
  it.each(vectors)('KDFa and KDFe with $hash give the computed values, also for odd bit counts', (vector) => {
    const alg = TPM_ALG[vector.hash]
    expect(hex(kdfa(alg, key, 'STORAGE', u, v, 128))).toBe(vector.storage)
    expect(hex(kdfa(alg, key, 'INTEGRITY', none, none, 517))).toBe(vector.integrity)
    expect(hex(kdfe(alg, key, 'IDENTITY', u, v, 256))).toBe(vector.identity)
    expect(hex(kdfe(alg, key, 'SECRET', u, v, 61))).toBe(vector.secret)
  })

  it('a label is text or bytes, and ends in one zero octet whether or not it was given', () => {
    const text = kdfa(TPM_ALG.SHA256, key, 'STORAGE', u, v, 128)
    const bytes = new TextEncoder().encode('STORAGE')
    expect(kdfa(TPM_ALG.SHA256, key, bytes, u, v, 128)).toEqual(text)
    expect(kdfa(TPM_ALG.SHA256, key, Uint8Array.from([...bytes, 0]), u, v, 128)).toEqual(text)
    expect(kdfa(TPM_ALG.SHA256, key, Uint8Array.from([...bytes, 0, 0]), u, v, 128)).not.toEqual(text)
    expect(labelBytes(none)).toEqual(Uint8Array.of(0))
    expect(labelBytes('ATH')).toEqual(Uint8Array.of(0x41, 0x54, 0x48, 0))
  })

  it('refuses a bit count that makes no key', () => {
    for (const bits of [0, -8, 1.5, Number.NaN, 16 * 1024 + 1]) {
      expect(() => kdfa(TPM_ALG.SHA256, key, 'STORAGE', u, v, bits)).toThrow(RangeError)
    }
  })
})
