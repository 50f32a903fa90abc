/**
 * Protocol Buffers wire format: varints, fixed-width numbers, length-delimited pieces.
 * Source: Protocol Buffers Encoding (protobuf.dev/programming-guides/encoding). Strict where the format lets a
 * reader be lenient: numbers outside their type and lengths beyond the message are refused.
 */
import { Buffer } from 'node:buffer'

/** Wire types of the format; the group types 3 and 4 are refused. */
export type WireType = 0 | 1 | 2 | 5

/** Bytes that are no protobuf message. `description` says what was expected and found. */
export class WireFormatError extends Error {
  override readonly name = 'WireFormatError'
}

/** Writes into a buffer whose size was measured before. */
export class Writer {
  readonly buffer: Buffer
  position = 0

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafe(size)
  }

  varint(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      this.buffer[this.position++] = (rest & 0x7f) | 0x80
      rest = rest > 0x7fffffff ? Math.floor(rest / 128) : rest >>> 7
    }
    this.buffer[this.position++] = rest
  }

  /** `value` is 0 <= value < 2^64. */
  varint64(value: bigint): void {
    if (value <= 0xffffffffn) {
      this.varint(Number(value))
      return
    }
    let low = Number(value & 0xfffffffn)
    for (let i = 0; i < 4; i++) {
      this.buffer[this.position++] = (low & 0x7f) | 0x80
      low >>>= 7
    }
    // Above 28 bits at most 36 remain, which a double holds exactly.
    this.varint(Number(value >> 28n))
  }

  fixed32(value: number): void {
    this.position = this.buffer.writeUInt32LE(value, this.position)
  }

  fixed64(value: bigint): void {
    this.position = this.buffer.writeBigUInt64LE(value, this.position)
  }

  float(value: number): void {
    this.position = this.buffer.writeFloatLE(value, this.position)
  }

  double(value: number): void {
    this.position = this.buffer.writeDoubleLE(value, this.position)
  }

  utf8(value: string): void {
    this.position += this.buffer.write(value, this.position, 'utf8')
  }

  bytes(value: Uint8Array): void {
    this.buffer.set(value, this.position)
    this.position += value.length
  }
}

/** Bytes that `writer.varint` needs for 0 <= value < 2^53. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x200000) return 3
  if (value < 0x10000000) return 4
  if (value < 0x800000000) return 5
  return value < 0x40000000000 ? 6 : value < 0x2000000000000 ? 7 : 8
}

/** Bytes that `writer.varint64` needs for 0 <= value < 2^64. */
export function varint64Size(value: bigint): number {
  return value <= 0xffffffffn ? varintSize(Number(value)) : 4 + varintSize(Number(value >> 28n))
}

/** Byte strings from this length on are views of the message; shorter ones are copied so as not to retain it. */
const viewFrom = 4096

const fatalUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads one message; `end` moves inwards while a nested piece is read. */
export class Reader {
  readonly buffer: Buffer
  position = 0
  end: number

  constructor(bytes: Uint8Array) {
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.end = bytes.byteLength
  }

  /** A varint of at most 32 bits. */
  varint32(what: string): number {
    const value = this.varint64()
    if (value > 0xffffffffn)
      throw new WireFormatError(`expected ${what} of at most 32 bits, found ${String(value)}`)
    return Number(value)
  }

  /** A varint of at most 64 bits. */
  varint64(): bigint {
    let low = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte()
      low |= (byte & 0x7f) << shift
      if (byte < 0x80) return BigInt(low)
    }
    let high = 0
    for (let factor = 1; factor < 2 ** 35; factor *= 128) {
      const byte = this.byte()
      high += (byte & 0x7f) * factor
      if (byte < 0x80) return (BigInt(high) << 28n) | BigInt(low)
    }
    const last = this.byte()
    if (last > 1) throw new WireFormatError('expected a varint of at most 64 bits, found a longer one')
    return (BigInt(high + last * 2 ** 35) << 28n) | BigInt(low)
  }

  fixed32(): number {
    this.need(4)
    const value = this.buffer.readUInt32LE(this.position)
    this.position += 4
    return value
  }

  fixed64(): bigint {
    this.need(8)
    const value = this.buffer.readBigUInt64LE(this.position)
    this.position += 8
    return value
  }

  float(): number {
    this.need(4)
    const value = this.buffer.readFloatLE(this.position)
    this.position += 4
    return value
  }

  double(): number {
    this.need(8)
    const value = this.buffer.readDoubleLE(this.position)
    this.position += 8
    return value
  }

  /** The length of a length-delimited piece that lies wholly before `end`. */
  length(): number {
    const length = this.varint32('a length')
    this.need(length)
    return length
  }

  utf8(): string {
    const length = this.length()
    const from = this.position
    const to = from + length
    this.position = to
    const text = this.buffer.toString('utf8', from, to)
    // U+FFFD stands for a broken sequence, or for itself; only the strict decoder can tell.
    if (text.includes('\ufffd')) {
      try {
        return fatalUtf8.decode(this.buffer.subarray(from, to))
      } catch {
        throw new WireFormatError('expected UTF-8 text, found bytes that are not UTF-8')
      }
    }
    return text
  }

  bytes(): Uint8Array {
    const length = this.length()
    const view = new Uint8Array(this.buffer.buffer, this.buffer.byteOffset + this.position, length)
    this.position += length
    return length < viewFrom ? view.slice() : view
  }

  skip(wireType: number): void {
    switch (wireType) {
      case 0:
        this.varint64()
        return
      case 1:
        this.need(8)
        this.position += 8
        return
      case 2: {
        const length = this.length()
        this.position += length
        return
      }
      case 5:
        this.need(4)
        this.position += 4
        return
      default:
        throw new WireFormatError(`expected wire type 0, 1, 2 or 5, found ${wireType}`)
    }
  }

  private byte(): number {
    const byte = this.position < this.end ? this.buffer[this.position++] : undefined
    if (byte === undefined) throw new WireFormatError('expected more bytes, found the end of the message')
    return byte
  }

  private need(count: number): void {
    if (count > this.end - this.position) {
      throw new WireFormatError(
        `expected ${count} more bytes, found ${this.end - this.position}: the message is truncated`,
      )
    }
  }
}
