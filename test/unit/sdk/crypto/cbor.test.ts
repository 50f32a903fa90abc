// Canonical CBOR: one value, one encoding, both ways; and the readers' refusals.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Canonical,
  concatBytes,
  decodeCanonical,
  decodeMap,
  encodeCanonical,
  expect as check,
  field,
  FormatError,
  fromHex,
  hex,
} from '../../../../sdk/crypto/index.ts'

const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.startsWith('\ufeff'))
const { value: anyValue } = fc.letrec<{ value: Canonical }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.boolean(),
    fc.constant(null),
    text,
    fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(text, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}))

function refusal(run: () => unknown): FormatError {
  try {
    run()
  } catch (error) {
    if (error instanceof FormatError) return error
    throw error
  }
  throw new Error('expected a FormatError, nothing was thrown')
}

describe('encodeCanonical', () => {
  it('matches RFC 8949 appendix A', () => {
    const vectors: [Canonical, string][] = [
      [0n, '00'],
      [23n, '17'],
      [24n, '1818'],
      [1000000000000n, '1b000000e8d4a51000'],
      [18446744073709551615n, '1bffffffffffffffff'],
      [-18446744073709551616n, '3bffffffffffffffff'],
      [-1n, '20'],
      [false, 'f4'],
      [null, 'f6'],
      [fromHex('01020304'), '4401020304'],
      ['\u6c34', '63e6b0b4'],
      [[1n, [2n, 3n], [4n, 5n]], '8301820203820405'],
      [{ a: 1n, b: [2n, 3n] }, 'a26161016162820203'],
    ]
    for (const [value, bytes] of vectors) {
      expect(hex(encodeCanonical(value))).toBe(bytes)
      expect(decodeCanonical(fromHex(bytes))).toEqual(value)
    }
  })

  it('sorts keys by their encoded bytes, whatever the order of insertion (RFC 8949 4.2.1)', () => {
    const expected = hex(encodeCanonical({ b: 1n, aa: 2n, '': 3n, '\u00e9': 4n }))
    expect(expected).toBe('a46003616201626161' + '02' + '62c3a904')
    expect(hex(encodeCanonical({ '\u00e9': 4n, '': 3n, aa: 2n, b: 1n }))).toBe(expected)
  })

  it('refuses what has no canonical form, naming where', () => {
    const bad: [unknown, RegExp][] = [
      [1, /"value" .*integers are bigint/],
      [{ a: [1n, undefined] }, /"value\.a\[1\]"/],
      [{ a: 2n ** 64n }, /"value\.a" expected -2\^64/],
      [-(2n ** 64n) - 1n, /2\^64/],
      ['\ud800', /lone surrogate/],
      ['\ufeffx', /byte order mark/],
      [{ '\udc00': 1n }, /key/],
      [new Map(), /canonical type/],
      [new Date(0), /canonical type/],
      // eslint-disable-next-line no-sparse-arrays -- a hole is what this row is about
      [[1n, , 2n], /"value\[1\]"/],
    ]
    for (const [value, message] of bad) expect(() => encodeCanonical(value as Canonical)).toThrow(message)
  })
})

describe('decodeCanonical', () => {
  it('gives back what was encoded, and the same bytes again', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = encodeCanonical(value)
        const decoded = decodeCanonical(bytes)
        expect(decoded).toEqual(value)
        expect(hex(encodeCanonical(decoded))).toBe(hex(bytes))
      }),
    )
  })

  it('accepts mutated bytes only when they are canonical themselves', () => {
    fc.assert(
      fc.property(anyValue, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, position, flip) => {
        const bytes = encodeCanonical(value)
        bytes[position % bytes.length] = (bytes[position % bytes.length] ?? 0) ^ flip
        let decoded: Canonical
        try {
          decoded = decodeCanonical(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError)
          return
        }
        expect(hex(encodeCanonical(decoded))).toBe(hex(bytes))
      }),
    )
  })

  it.each([
    ['empty input', ''],
    ['trailing bytes', '0000'],
    ['truncated', '4401'],
    ['longer integer', '1817'],
    ['longer integer, 64 bits', '1b0000000000000001'],
    ['longer length', '580101'],
    ['float', 'f93c00'],
    ['negative zero', 'f98000'],
    ['float 64', 'fb3ff8000000000000'],
    ['NaN', 'f97e00'],
    ['undefined', 'f7'],
    ['indefinite list', '9f01ff'],
    ['indefinite bytes', '5f4101ff'],
    ['unsorted keys', 'a2616201616101'],
    ['duplicate keys', 'a2616101616102'],
    ['integer key', 'a10102'],
    ['tag', 'c11a514b67b0'],
    ['bignum tag', 'c249010000000000000000'],
    ['invalid UTF-8', '61ff'],
    ['overlong UTF-8', '62c081'],
    ['leading byte order mark', '63efbbbf'],
    ['reserved', '1c'],
    ['simple value', 'f0'],
    ['list longer than the input', '9bffffffffffffffff'],
  ])('refuses %s', (_, bytes) => {
    expect(refusal(() => decodeCanonical(fromHex(bytes))).code).toBe('MALFORMED')
  })

  it('refuses endless nesting without exhausting the stack', () => {
    const deep = new Uint8Array(200_000).fill(0x81)
    expect(refusal(() => decodeCanonical(deep)).code).toBe('MALFORMED')
    const below = concatBytes(new Uint8Array(40).fill(0x81), Uint8Array.of(0))
    expect(refusal(() => decodeCanonical(below)).message).toMatch(/32 levels/)
    expect(decodeCanonical(concatBytes(new Uint8Array(32).fill(0x81), Uint8Array.of(0)))).toBeInstanceOf(
      Array,
    )
  })

  it('treats __proto__ as a key like any other', () => {
    const bytes = fromHex('a1695f5f70726f746f5f5fa161780' + '1')
    const value = decodeMap(bytes, 'map')
    expect(Object.hasOwn(value, '__proto__')).toBe(true)
    expect(field.has(value, 'x')).toBe(false)
    expect(hex(encodeCanonical(value))).toBe(hex(bytes))
  })

  it('copies byte strings out of the input', () => {
    const bytes = fromHex('420102')
    const value = decodeCanonical(bytes)
    bytes.fill(0)
    expect(value).toEqual(fromHex('0102'))
  })
})

describe('field', () => {
  const report = (): ReturnType<typeof decodeMap> =>
    decodeMap(
      encodeCanonical({
        digest: fromHex('0102'),
        svn: 7n,
        role: 'source',
        shared: true,
        firmware: { svn: 3n },
        list: [{ first: 1n }, { first: 'x' }],
      }),
      'launch report',
    )

  it('reads each type', () => {
    const map = report()
    expect(field.bytes(map, 'digest', 2)).toEqual(fromHex('0102'))
    expect(field.bytesUpTo(map, 'digest', 5)).toEqual(fromHex('0102'))
    expect(field.uint(map, 'svn')).toBe(7n)
    expect(field.text(map, 'role', 6)).toBe('source')
    expect(field.choice(map, 'role', ['source', 'destination'])).toBe('source')
    expect(field.bool(map, 'shared')).toBe(true)
    expect(field.uint(field.map(map, 'firmware'), 'svn', 3n)).toBe(3n)
    expect(field.list(map, 'list', 2)).toHaveLength(2)
    expect(field.has(map, 'svn')).toBe(true)
    expect(() => {
      field.only(map, ['digest', 'svn', 'role', 'shared', 'firmware', 'list'])
    }).not.toThrow()
  })

  it('names the path, what was expected and what was found', () => {
    const map = report()
    const rows: [() => unknown, string][] = [
      [() => field.bytes(map, 'digest', 32), 'launch report.digest: expected 32 bytes, found 2 bytes'],
      [
        () => field.bytesUpTo(map, 'digest', 1),
        'launch report.digest: expected at most 1 bytes, found 2 bytes',
      ],
      [() => field.uint(map, 'svn', 6n), 'launch report.svn: expected an integer 0..6, found the integer 7'],
      [
        () => field.uint(map, 'role'),
        'launch report.role: expected an integer 0..2^64-1, found text of 6 characters',
      ],
      [() => field.text(map, 'absent'), 'launch report.absent: expected text, found nothing'],
      [() => field.text(map, 'toString'), 'launch report.toString: expected text, found nothing'],
      [
        () => field.choice(map, 'role', ['a', 'b']),
        'launch report.role: expected one of "a", "b", found text of 6 characters',
      ],
      [() => field.bool(map, 'firmware'), 'launch report.firmware: expected a boolean, found a map'],
      [() => field.map(map, 'list'), 'launch report.list: expected a map, found a list of 2'],
      [
        () => field.list(map, 'list', 1),
        'launch report.list: expected a list of at most 1, found a list of 2',
      ],
      [
        () => field.bytes(field.map(map, 'firmware'), 'svn'),
        'launch report.firmware.svn: expected a byte string, found the integer 3',
      ],
      [
        () => field.maps(map, 'list').map((item) => field.uint(item, 'first')),
        'launch report.list[1].first: expected an integer 0..2^64-1, found text of 1 characters',
      ],
      [() => check.uint(-1n, 'pairs[3]'), 'pairs[3]: expected an integer 0..2^64-1, found the integer -1'],
      [() => decodeMap(encodeCanonical([]), 'open'), 'open: expected a map, found a list of 0'],
    ]
    for (const [run, message] of rows) expect(refusal(run).message).toBe(message)
  })

  it('refuses unknown fields, naming them', () => {
    const error = refusal(() => {
      field.only(report(), ['digest', 'role', 'shared', 'firmware', 'list'])
    })
    expect(error.path).toBe('launch report')
    expect(error.message).toContain('"svn"')
  })
})
