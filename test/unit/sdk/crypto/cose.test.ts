// COSE_Sign1: the example of RFC 9052, separation by tag, and refusal of everything that is not the one form.

import { encode, Tagged } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  encodeCanonical,
  FormatError,
  fromHex,
  hex,
  IdentityKey,
  parse1,
  PublicKey,
  sign1,
  SignatureError,
  utf8,
  verify1,
} from '../../../../sdk/crypto/index.ts'

const TAG = 'palimpsest/v1/launch-report'
const key = IdentityKey.generate()
const payload = utf8('a payload')

describe('COSE_Sign1', () => {
  it('verifies the single-signer ECDSA example of RFC 9052 appendix C.2.1', () => {
    const message = fromHex(
      'd28443a10126a10442313154546869732069732074686520636f6e74656e742e58408eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106c4' +
        'd25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36',
    )
    const publicKey = PublicKey.fromPoint(
      fromHex('bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff'),
      fromHex('20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e'),
    )
    expect(verify1({ message, publicKey, tag: '' })).toEqual(utf8('This is the content.'))
    expect(parse1(message).keyId).toEqual(utf8('11'))
    expect(() => verify1({ message, publicKey, tag: 'x' })).toThrow(SignatureError)
  })

  it('gives the payload back under the same key and tag', () => {
    const message = sign1({ key, payload, tag: TAG, keyId: key.publicKey.digest })
    expect(verify1({ message, publicKey: key.publicKey, tag: TAG })).toEqual(payload)
    expect(parse1(message)).toEqual({ payload, keyId: key.publicKey.digest })
    expect(parse1(sign1({ key, payload, tag: TAG }))).toEqual({ payload })
  })

  it('signs the Sig_structure of RFC 9052 section 4.4', () => {
    const message = sign1({ key, payload, tag: TAG })
    const signed = encodeCanonical(['Signature1', fromHex('a10126'), utf8(TAG), payload])
    expect(key.publicKey.verify(signed, message.slice(-64))).toBe(true)
  })

  it('refuses another tag, another key, and every flipped bit', () => {
    const message = sign1({ key, payload, tag: TAG, keyId: utf8('id') })
    const publicKey = key.publicKey
    expect(() => verify1({ message, publicKey, tag: 'palimpsest/v1/grant' })).toThrow(SignatureError)
    expect(() => verify1({ message, publicKey: IdentityKey.generate().publicKey, tag: TAG })).toThrow(
      SignatureError,
    )
    fc.assert(
      fc.property(fc.nat(message.length - 1), fc.nat(7), (position, bit) => {
        const changed = new Uint8Array(message)
        changed[position] = (changed[position] ?? 0) ^ (1 << bit)
        expect(() => verify1({ message: changed, publicKey, tag: TAG })).toThrow(/expected/)
      }),
    )
  })

  it('has the code BAD_SIGNATURE', () => {
    const message = sign1({ key, payload, tag: TAG })
    try {
      verify1({ message, publicKey: key.publicKey, tag: 'other' })
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ code: 'BAD_SIGNATURE', name: 'SignatureError' })
    }
  })

  const signature = new Uint8Array(64)
  const headers = (...entries: [number, unknown][]): Uint8Array => new Uint8Array(encode(new Map(entries)))
  const none = new Map()
  it.each<[string, unknown]>([
    ['an untagged list', [headers([1, -7]), none, payload, signature]],
    ['another tag', new Tagged(98, [headers([1, -7]), none, payload, signature])],
    ['five parts', new Tagged(18, [headers([1, -7]), none, payload, signature, 0])],
    ['no algorithm', new Tagged(18, [headers(), none, payload, signature])],
    ['an unprotected algorithm', new Tagged(18, [headers(), new Map([[1, -7]]), payload, signature])],
    ['another algorithm', new Tagged(18, [headers([1, -35]), none, payload, signature])],
    ['crit', new Tagged(18, [headers([1, -7], [2, [4]]), none, payload, signature])],
    [
      'an unknown unprotected label',
      new Tagged(18, [headers([1, -7]), new Map([[5, payload]]), payload, signature]),
    ],
    [
      'two kids',
      new Tagged(18, [headers([1, -7], [4, payload]), new Map([[4, payload]]), payload, signature]),
    ],
    ['a kid that is text', new Tagged(18, [headers([1, -7], [4, 'me']), none, payload, signature])],
    ['a detached payload', new Tagged(18, [headers([1, -7]), none, null, signature])],
    ['a short signature', new Tagged(18, [headers([1, -7]), none, payload, signature.subarray(1)])],
    ['a protected header that is a map', new Tagged(18, [new Map([[1, -7]]), none, payload, signature])],
  ])('refuses %s', (_, item) => {
    expect(() => parse1(new Uint8Array(encode(item)))).toThrow(FormatError)
  })

  it('control: the same construction in the right form is read', () => {
    const item = new Tagged(18, [headers([1, -7]), none, payload, signature])
    expect(hex(parse1(new Uint8Array(encode(item))).payload)).toBe(hex(payload))
  })

  it('refuses trailing bytes and bytes that are no CBOR', () => {
    const message = sign1({ key, payload, tag: TAG })
    expect(() => parse1(new Uint8Array([...message, 0]))).toThrow(FormatError)
    expect(() => parse1(message.subarray(0, -1))).toThrow(FormatError)
    expect(() => parse1(new Uint8Array())).toThrow(FormatError)
  })
})
