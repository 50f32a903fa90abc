// The LZMA decoder on streams of XZ Utils, on streams of a small encoder, and on damaged ones.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FirmwareError } from '../../../../../../emulator/platform/firmware/index.ts'
import { Area } from '../../../../../../emulator/platform/firmware/uefi/area.ts'
import { decodeLzma } from '../../../../../../emulator/platform/firmware/uefi/lzma.ts'
import { concatBytes, utf8 } from '../../../../../../sdk/crypto/index.ts'
import { le } from '../../../../sdk/evidence/logs.ts'
import vectors from '../../../../../vectors/lzma.json' with { type: 'json' }
import { lzma } from './lzma-encoder.ts'

const LIMIT = 1 << 16
const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, 'base64'))
const decode = (stream: Uint8Array, limit = LIMIT) => decodeLzma(new Area(stream, 'stream'), limit)
/** XZ Utils state no size; UEFI's streams must. */
const withSize = (stream: Uint8Array, size: number | bigint) =>
  concatBytes(stream.subarray(0, 5), le(8, size), stream.subarray(13))

const content = bytesOf(vectors.content)
const streams = vectors.streams.map(({ options, base64 }) => ({ options, stream: bytesOf(base64) }))
const [first = new Uint8Array()] = streams.map(({ stream }) => withSize(stream, content.length))

describe('decodeLzma', () => {
  it.for(streams)('decodes what XZ Utils wrote with $options', ({ stream }) => {
    expect(decode(withSize(stream, content.length))).toEqual(content)
  })

  it('decodes any content, with and without an end marker', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.boolean(), (some, endMarker) => {
        expect(decode(lzma(some, { endMarker }))).toEqual(some)
      }),
    )
  })

  it('ignores what lies behind the stream', () => {
    expect(decode(concatBytes(first, utf8('padding')))).toEqual(content)
  })

  it('decodes content as large as the limit, and refuses one octet more before it decompresses', () => {
    expect(decode(first, content.length)).toEqual(content)
    expect(() => decode(first, content.length - 1)).toThrow(
      'stream, offset 0x5: expected an uncompressed size of at most 962 bytes, found 963',
    )
  })

  it.for([
    {
      what: 'a size that is not stated',
      stream: withSize(first, 2n ** 64n - 1n),
      message: /offset 0x5: expected an uncompressed size/,
    },
    {
      what: 'properties that do not exist',
      stream: first.with(0, 225),
      message: /offset 0x0: .* below 225, found 225/,
    },
    {
      what: 'another first octet',
      stream: first.with(13, 1),
      message: /offset 0xd: expected 0 as first octet/,
    },
    {
      what: 'less content than stated',
      stream: withSize(first, content.length + 1),
      message: /end of the stream after 964 bytes, found it after 963/,
    },
    {
      what: 'more content than stated',
      stream: withSize(first, content.length - 1),
      message: /at most 962 uncompressed bytes, found more/,
    },
    {
      what: 'a match of what is not there',
      stream: concatBytes(first.subarray(0, 14), new Uint8Array(64).fill(0xee)),
      message: /match at most 0 bytes back/,
    },
  ])('refuses $what', ({ stream, message }) => {
    expect(() => decode(stream)).toThrow(message)
  })

  it('refuses a stream cut off anywhere', () => {
    for (let length = 0; length < first.length; length += 1) {
      expect(() => decode(first.subarray(0, length))).toThrow(FirmwareError)
    }
  })

  it('answers arbitrary and mutated streams with content of the stated size or a FirmwareError', () => {
    const mutated = fc
      .array(fc.tuple(fc.nat(first.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => changes.reduce((stream, [at, octet]) => stream.with(at, octet), first))
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (stream) => {
        try {
          expect(decode(stream).length).toBe(new DataView(stream.buffer).getUint32(5, true))
        } catch (error) {
          if (!(error instanceof FirmwareError)) throw error
          expect(error.code).toBe('IMAGE_MALFORMED')
        }
      }),
      { numRuns: 2000 },
    )
  })
})
