/** The codec against protobufjs (an independent implementation), and against bytes that no encoder writes. */
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, it } from 'vitest'
import { decodeMessage } from '../../../../sdk/rpc/codec/decode.ts'
import { encodeMessage } from '../../../../sdk/rpc/codec/encode.ts'
import { InvalidMessage } from '../../../../sdk/rpc/codec/violations.ts'
import { type Everything, type EverythingLeaf, registry } from '../../../vectors/rpc/contract/index.ts'
import { descriptor } from '../../../vectors/rpc/contract/descriptor.ts'
import { everything } from '../../../vectors/rpc/everything.ts'

const schema = registry.message('palimpsest.test.v1.Everything')
const chunk = registry.message('palimpsest.test.v1.Chunk')
const peer = protobuf.Root.fromJSON(descriptor as protobuf.INamespace).lookupType(
  'palimpsest.test.v1.Everything',
)

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
const i64 = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const i32 = fc.integer({ min: -0x80000000, max: 0x7fffffff })
const text = fc.string({ unit: 'grapheme' })
const bytes = fc.uint8Array({ maxLength: 200 })
const colour = fc.constantFrom('dark-red' as const, 'green' as const, 'negative' as const)
const leaf: fc.Arbitrary<EverythingLeaf> = fc.oneof(
  fc.record({ name: text }),
  fc.record({ name: text, state: fc.constant('on' as const) }),
)
const choice: fc.Arbitrary<NonNullable<Everything['choice']>> = fc.oneof(
  fc.record({ case: fc.constant('asText' as const), value: text }),
  fc.record({ case: fc.constant('asNumber' as const), value: u64 }),
  fc.record({ case: fc.constant('asLeaf' as const), value: leaf }),
  fc.record({ case: fc.constant('asData' as const), value: bytes }),
  fc.record({ case: fc.constant('asColour' as const), value: colour }),
)
const required = {
  u64,
  i64,
  s64: i64,
  f64: u64,
  sf64: i64,
  u32,
  i32,
  s32: i32,
  f32: u32,
  sf32: i32,
  real: fc.float(),
  longReal: fc.double(),
  flag: fc.boolean(),
  text,
  data: bytes,
  colour,
  numbers: fc.array(u64),
  smallNumbers1: fc.array(i32),
  reals: fc.array(fc.double()),
  flags: fc.array(fc.boolean()),
  colours: fc.array(colour),
  words: fc.array(text),
  blobs: fc.array(bytes),
  leaves: fc.array(leaf),
  counts: fc.dictionary(text, u64, { noNullPrototype: true }),
  byName: fc.dictionary(text, leaf, { noNullPrototype: true }),
  byNumber: fc.array(fc.tuple(u64, text)).map((entries) => new Map(entries)),
  byFlag: fc.array(fc.tuple(fc.boolean(), colour)).map((entries) => new Map(entries)),
}
const optional = { maybeColour: colour, maybeU64: u64, maybeText: text, leaf, choice }
const flat: fc.Arbitrary<Everything> = fc
  .tuple(fc.record(required), fc.record(optional, { requiredKeys: [] }))
  .map(([all, some]) => ({ ...all, ...some }))
const message: fc.Arbitrary<Everything> = fc
  .tuple(flat, fc.option(flat, { nil: undefined }))
  .map(([outer, inner]) => (inner ? { ...outer, inner } : outer))

function violations(run: () => unknown): { field: string; description: string }[] {
  try {
    run()
  } catch (error) {
    if (error instanceof InvalidMessage) return [...error.violations]
    throw error
  }
  throw new Error('expected the message to be refused, it was accepted')
}

describe('round trip', () => {
  it('returns what was sent', () => {
    expect(decodeMessage(schema, encodeMessage(schema, everything))).toEqual(everything)
    fc.assert(
      fc.property(message, (value) => {
        expect(decodeMessage(schema, encodeMessage(schema, value))).toEqual(value)
      }),
    )
  })

  it('agrees with protobufjs in both directions', () => {
    fc.assert(
      fc.property(message, (given) => {
        // protobufjs writes keys of maps wrongly that are neither text nor 32-bit numbers, so there are none here.
        const none = { byNumber: new Map(), byFlag: new Map() }
        const value = { ...given, ...none, ...(given.inner ? { inner: { ...given.inner, ...none } } : {}) }
        // protobufjs reads what we wrote and writes it again; reading that must give the same value.
        const reread = peer.encode(peer.decode(encodeMessage(schema, value))).finish()
        expect(decodeMessage(schema, reread)).toEqual(value)
      }),
    )
  })

  it('is deterministic and leaves zero values out', () => {
    const zero = { sequence: 0n, data: new Uint8Array() }
    expect(encodeMessage(chunk, zero)).toHaveLength(0)
    expect(decodeMessage(chunk, new Uint8Array())).toEqual(zero)
    expect(encodeMessage(schema, everything)).toEqual(encodeMessage(schema, { ...everything }))
  })

  it('gives bytes that are no Buffer, as views when they are large', () => {
    for (const size of [10, 1 << 20]) {
      const wire = encodeMessage(chunk, { sequence: 1n, data: new Uint8Array(size).fill(7) })
      const data = decodeMessage(chunk, wire).data as Uint8Array
      expect(Object.getPrototypeOf(data)).toBe(Uint8Array.prototype)
      expect(Buffer.compare(data, Buffer.alloc(size, 7))).toBe(0)
      expect(data.buffer === wire.buffer).toBe(size > 4096)
    }
  })

  it('keeps a map key named __proto__ as a key', () => {
    const counts = Object.fromEntries([['__proto__', 1n]])
    const decoded = decodeMessage(
      schema,
      encodeMessage(schema, { ...everything, counts }),
    ) as unknown as Everything
    expect(Object.keys(decoded.counts)).toEqual(['__proto__'])
    expect(Object.getPrototypeOf(decoded.counts)).toBe(Object.prototype)
  })
})

describe('sending', () => {
  it.each<[string, unknown, string, RegExp]>([
    ['a number as a uint64', { u64: 1 }, 'u64', /expected a bigint \(uint64\), found a number/],
    ['a uint64 below zero', { u64: -1n }, 'u64', /from 0 to 18446744073709551615, found -1/],
    ['an int64 out of range', { i64: 1n << 63n }, 'i64', /int64 from/],
    ['a uint32 out of range', { u32: 2 ** 32 }, 'u32', /uint32 from 0 to 4294967295/],
    ['a fraction as an int32', { i32: 1.5 }, 'i32', /an integer/],
    ['NaN as an int32', { i32: NaN }, 'i32', /an integer/],
    ['text as a float', { real: '1' }, 'real', /expected a number, found a string/],
    ['a number as a bool', { flag: 1 }, 'flag', /expected a boolean/],
    ['a lone surrogate', { text: 'a\ud800' }, 'text', /lone surrogate/],
    ['text as bytes', { data: 'AAAA' }, 'data', /expected a Uint8Array, found a string/],
    ['an array as bytes', { data: [1, 2] }, 'data', /expected a Uint8Array, found an array/],
    ['null as a message', { leaf: null }, 'leaf', /expected an object .*, found null/],
    ['a long enum name', { colour: 'COLOUR_KIND_GREEN' }, 'colour', /one of dark-red, green, negative/],
    ['an object as a repeated field', { words: {} }, 'words', /expected an array/],
    ['a wrong element', { leaves: [{ name: '' }, { name: 3 }] }, 'leaves[1].name', /expected a string/],
    ['a wrong map value', { byName: { x: { name: 3 } } }, 'byName.x.name', /expected a string/],
    ['a wrong map key', { byNumber: new Map([[1, 'a']]) }, 'byNumber.1', /expected a bigint/],
    ['an object as a Map', { byNumber: {} }, 'byNumber', /expected a Map/],
    ['an unknown arm', { choice: { case: 'asNothing', value: 1 } }, 'choice', /case one of asText, asNumber/],
    ['an arm without value', { choice: { case: 'asText' } }, 'choice', /expected \{case, value\}/],
    ['a wrong arm value', { choice: { case: 'asNumber', value: 'a' } }, 'asNumber', /expected a bigint/],
    ['an arm beside its oneof', { asText: 'a' }, 'asText', /unknown/],
    ['a snake case name', { long_real: 1 }, 'long_real', /unknown/],
  ])('%s is refused', (_case, fields, field, description) => {
    const found = violations(() => encodeMessage(schema, { ...everything, ...(fields as object) }))
    expect(found.map((violation) => violation.field)).toEqual([field])
    expect(found[0]?.description).toMatch(description)
  })

  it('reports every wrong field, up to a bound, and never a value of text or bytes', () => {
    const wrong = { ...everything, text: 1, data: 'secret', flag: 'secret', u64: 'secret', colour: 'secret' }
    const found = violations(() => encodeMessage(schema, wrong))
    expect(found.map(({ field }) => field).sort()).toEqual(['colour', 'data', 'flag', 'text', 'u64'])
    expect(JSON.stringify(found)).not.toContain('secret')
    const many = violations(() => encodeMessage(schema, { ...everything, words: new Array(1000).fill(1) }))
    expect(many).toHaveLength(16)
  })

  it('refuses a message that contains itself', () => {
    const loop: Record<string, unknown> = { ...everything }
    loop.inner = loop
    expect(violations(() => encodeMessage(schema, loop))[0]?.description).toMatch(/at most 32 nested/)
  })
})

describe('receiving', () => {
  const wire = encodeMessage(schema, everything)

  it('refuses every truncation', () => {
    const small = encodeMessage(chunk, { sequence: 300n, data: new Uint8Array(3) })
    // A cut between two fields leaves a shorter message that is whole.
    const whole = new Set([0, 3])
    for (let length = 0; length < small.length; length++) {
      if (whole.has(length)) continue
      expect(violations(() => decodeMessage(chunk, small.subarray(0, length)))[0]?.description).toMatch(
        /expected/,
      )
    }
  })

  it('never does anything but return or refuse', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(wire.length - 1),
        fc.nat(255),
        (noise, at, byte) => {
          const changed = Uint8Array.from(wire)
          changed[at] = byte
          for (const input of [noise, changed]) {
            try {
              const value = decodeMessage(schema, input)
              // What is accepted can be sent again.
              encodeMessage(schema, value)
            } catch (error) {
              expect(error).toBeInstanceOf(InvalidMessage)
            }
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it.each<[string, readonly number[], RegExp]>([
    ['field number 0', [0x00], /from 1, found 0/],
    ['a group', [0x0b], /wire type/],
    ['a wrong wire type', [0x0d, 0, 0, 0, 0], /expected wire type 0, found 5/],
    ['a varint of 65 bits', [0x08, ...new Array<number>(9).fill(0xff), 0x02], /at most 64 bits/],
    ['a varint that does not end', [0x08, ...new Array<number>(11).fill(0x80)], /64 bits/],
    ['a length beyond the end', [0x12, 0x7f, 0], /truncated/],
    ['a length of 2^32', [0x12, 0x80, 0x80, 0x80, 0x80, 0x10], /at most 32 bits/],
  ])('refuses %s', (_case, input, description) => {
    expect(violations(() => decodeMessage(chunk, Uint8Array.from(input)))[0]?.description).toMatch(
      description,
    )
  })

  it('refuses a uint32 that does not fit', () => {
    const tooLarge = [6 << 3, 0xff, 0xff, 0xff, 0xff, 0x1f]
    expect(violations(() => decodeMessage(schema, Uint8Array.from(tooLarge)))[0]).toMatchObject({
      field: 'u32',
    })
  })

  it('skips fields that it does not know', () => {
    const unknown = [0x7a, 2, 1, 2, 0x78, 5, 0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8]
    expect(decodeMessage(chunk, Uint8Array.from([0x08, 7, ...unknown]))).toMatchObject({ sequence: 7n })
  })

  it('reads repeated numbers packed and one by one', () => {
    const tag = (type: number) => [0xa0 | type, 0x01]
    const mixed = Uint8Array.from([...tag(0), 1, ...tag(2), 2, 2, 3, ...tag(0), 4, 0x80, 0x01, 2])
    expect(decodeMessage(schema, mixed)).toMatchObject({ numbers: [1n, 2n, 3n, 4n], colour: 'green' })
  })

  it('refuses two arms of a oneof, in whatever order, and one arm twice', () => {
    const colourField = [0x80, 0x01, 2]
    const asText = [0x92, 0x02, 1, 0x61]
    const asNumber = [0x98, 0x02, 1]
    for (const arms of [
      [...asText, ...asNumber],
      [...asNumber, ...asText],
      [...asText, ...asText],
    ]) {
      const found = violations(() => decodeMessage(schema, Uint8Array.from([...colourField, ...arms])))
      expect(found[0]?.description).toMatch(/expected one arm of choice/)
    }
  })

  it('refuses a map key that comes twice', () => {
    const entry = [0xe2, 0x01, 5, 0x0a, 1, 0x61, 0x10, 1]
    const found = violations(() =>
      decodeMessage(schema, Uint8Array.from([0x80, 0x01, 2, ...entry, ...entry])),
    )
    expect(found[0]).toMatchObject({ field: 'counts.a' })
  })

  it('bounds nesting and the number of elements', () => {
    let nested: number[] = [0x80, 0x01, 2]
    for (let depth = 0; depth < 40; depth++) {
      const length =
        nested.length < 128 ? [nested.length] : [(nested.length & 0x7f) | 0x80, nested.length >> 7]
      nested = [0x80, 0x01, 2, 0x82, 0x02, ...length, ...nested]
    }
    expect(violations(() => decodeMessage(schema, Uint8Array.from(nested)))[0]?.description).toMatch(
      /nested messages/,
    )
    const empties = Buffer.alloc(3 * 1_000_001)
    for (let i = 0; i < empties.length; i += 3) empties.set([0xda, 0x01, 0], i)
    expect(violations(() => decodeMessage(schema, empties))[0]?.description).toMatch(/repeated values/)
  })
})
