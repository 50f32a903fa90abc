// Digests against published values, and the tagged digest's separation of uses.

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  concatBytes,
  equalBytes,
  fromHex,
  hex,
  le64,
  sha256,
  sha384,
  taggedDigest,
  utf8,
} from '../../../../sdk/crypto/index.ts'

describe('digests', () => {
  it('match the values of FIPS 180-4 for "abc", in one part or several', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    expect(hex(sha256(utf8('abc')))).toBe(expected)
    expect(hex(sha256(utf8('a'), utf8('bc')))).toBe(expected)
    expect(hex(sha384(utf8('abc')))).toBe(
      'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7',
    )
  })

  it('taggedDigest is SHA-256(tag, zero, parts)', () => {
    const outside = createHash('sha256').update('palimpsest/v1/open\0').update('body').digest('hex')
    expect(hex(taggedDigest('palimpsest/v1/open', utf8('bo'), utf8('dy')))).toBe(outside)
    expect(hex(taggedDigest('palimpsest/v1/opens', utf8('body')))).not.toBe(outside)
  })

  it('taggedDigest refuses tags that could run into the content', () => {
    expect(() => taggedDigest('', utf8('x'))).toThrow(RangeError)
    expect(() => taggedDigest('a\0b', utf8('x'))).toThrow(RangeError)
  })

  it('gives plain Uint8Arrays, whose slice() copies', () => {
    for (const bytes of [sha256(), sha384(), taggedDigest('t'), fromHex('00ff')]) {
      expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype)
    }
  })
})

describe('bytes', () => {
  it('equalBytes compares content and length', () => {
    expect(equalBytes(fromHex('0102'), fromHex('0102'))).toBe(true)
    expect(equalBytes(fromHex('0102'), fromHex('0103'))).toBe(false)
    expect(equalBytes(fromHex('0102'), fromHex('010200'))).toBe(false)
  })

  it('hex and fromHex are inverse; fromHex refuses the rest', () => {
    expect(hex(fromHex('00fF'))).toBe('00ff')
    for (const bad of ['0', '0g', ' 00', '0x00']) expect(() => fromHex(bad)).toThrow(TypeError)
  })

  it('concatBytes and le64', () => {
    expect(hex(concatBytes(fromHex('01'), new Uint8Array(0), fromHex('0203')))).toBe('010203')
    expect(hex(le64(0x0102n))).toBe('0201000000000000')
    expect(() => le64(2n ** 64n)).toThrow(RangeError)
    expect(() => le64(-1n)).toThrow(RangeError)
  })
})
