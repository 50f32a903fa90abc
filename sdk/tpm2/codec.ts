// Marshalling of TPM structures: big-endian, no padding, every size known before it is read.
// A structure is a Codec; marshal() and unmarshal() are the only entries, and unmarshal() refuses trailing bytes.
// Source: TPM 2.0 Library, Part 1, clause 10.8 (canonical form) and Part 2, clause 4, revision 1.59.

import { TPM_RC } from './response-codes.ts'
import { Tpm2Error } from './errors.ts'

/** No structure of this room is larger; a longer input is refused before it is looked at. */
const MAX_INPUT = 64 * 1024

/** Reads a structure's bytes in order; every shortage is a Tpm2Error MALFORMED that says where. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #subject: string
  #offset = 0

  constructor(bytes: Uint8Array, subject: string) {
    // A Buffer's slice() would share the caller's memory; a Uint8Array's copies.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#subject = subject
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  uint8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2))
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#take(8))
  }

  /** A reader of the next `length` bytes alone, for a structure inside a TPM2B. */
  inner(length: number, subject: string): Reader {
    const start = this.#take(length)
    return new Reader(this.#bytes.subarray(start, start + length), subject)
  }

  /** How many bytes were read. */
  get offset(): number {
    return this.#offset
  }

  /** The next `length` bytes, copied, so that the result outlives the caller's buffer. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length)
    return this.#bytes.slice(start, start + length)
  }

  /** Refuses bytes after the end of the structure. */
  end(): void {
    if (this.remaining > 0) {
      this.fail(`expected the end, found ${String(this.remaining)} more bytes`, TPM_RC.SIZE)
    }
  }

  /** Refuses the input. `rc` is the response code with which a TPM does (Part 2, at the type that is read). */
  fail(message: string, rc: number = TPM_RC.VALUE): never {
    const where = `${this.#subject}: ${message} (offset ${String(this.#offset)})`
    throw new Tpm2Error('MALFORMED', where, { rc })
  }

  #take(length: number): number {
    if (this.remaining < length) {
      this.fail(`expected ${String(length)} more bytes, found ${String(this.remaining)}`, TPM_RC.INSUFFICIENT)
    }
    const start = this.#offset
    this.#offset += length
    return start
  }
}

/** Collects a structure's bytes; values out of their field's range are a RangeError of the caller. */
export class Writer {
  #bytes = new Uint8Array(256)
  /** of all of #bytes: made anew only when that grows */
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  uint8(value: number): void {
    const start = this.#reserve(1, value, 0xff)
    this.#view.setUint8(start, value)
  }

  uint16(value: number): void {
    const start = this.#reserve(2, value, 0xffff)
    this.#view.setUint16(start, value)
  }

  uint32(value: number): void {
    const start = this.#reserve(4, value, 0xffffffff)
    this.#view.setUint32(start, value)
  }

  uint64(value: bigint): void {
    if (BigInt.asUintN(64, value) !== value) {
      throw new RangeError(`expected an unsigned 64-bit value, got ${value.toString()}`)
    }
    const start = this.#grow(8)
    this.#view.setBigUint64(start, value)
  }

  bytes(value: Uint8Array): void {
    const start = this.#grow(value.length)
    this.#bytes.set(value, start)
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** Room for an integer of `size` bytes; returns where it starts. The view may be another one afterwards. */
  #reserve(size: number, value: number, max: number): number {
    if (!Number.isInteger(value) || value < 0 || value > max) {
      throw new RangeError(`expected an unsigned ${String(size * 8)}-bit value, got ${String(value)}`)
    }
    return this.#grow(size)
  }

  #grow(size: number): number {
    const start = this.#length
    this.#length += size
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2))
      larger.set(this.#bytes)
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return start
  }
}

/** How one TPM type is read and written. `name` is TCG's name of the type. */
export interface Codec<T> {
  readonly name: string
  /** A TPM2B: a 16-bit size, then contents. Only such a first parameter can be encrypted in transit (Part 1, 21). */
  readonly sized?: true
  read(reader: Reader): T
  write(writer: Writer, value: T): void
}

/** The canonical bytes of `value`. Throws RangeError when a field does not fit its type. */
export function marshal<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = new Writer()
  codec.write(writer, value)
  return writer.finish()
}

/** Reads exactly one structure; throws Tpm2Error MALFORMED on a short, long or otherwise wrong input. */
export function unmarshal<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes, codec.name)
  if (bytes.length > MAX_INPUT) {
    reader.fail(`expected at most ${String(MAX_INPUT)} bytes, found ${String(bytes.length)}`)
  }
  const value = codec.read(reader)
  reader.end()
  return value
}

/** UINT8, BYTE (Part 2, 5.1). */
export const UINT8: Codec<number> = {
  name: 'UINT8',
  read: (reader) => reader.uint8(),
  write: (writer, value) => {
    writer.uint8(value)
  },
}

/** UINT16 (Part 2, 5.1). */
export const UINT16: Codec<number> = {
  name: 'UINT16',
  read: (reader) => reader.uint16(),
  write: (writer, value) => {
    writer.uint16(value)
  },
}

/** UINT32 (Part 2, 5.1). */
export const UINT32: Codec<number> = {
  name: 'UINT32',
  read: (reader) => reader.uint32(),
  write: (writer, value) => {
    writer.uint32(value)
  },
}

/** UINT64 (Part 2, 5.1). */
export const UINT64: Codec<bigint> = {
  name: 'UINT64',
  read: (reader) => reader.uint64(),
  write: (writer, value) => {
    writer.uint64(value)
  },
}

/** INT8 (Part 2, 5.1): two's complement. */
export const INT8: Codec<number> = {
  name: 'INT8',
  read: (reader) => (reader.uint8() << 24) >> 24,
  write: (writer, value) => {
    if (value < -0x80 || value > 0x7f) {
      throw new RangeError(`expected a signed 8-bit value, got ${String(value)}`)
    }
    writer.uint8(value & 0xff)
  },
}

/** INT32 (Part 2, 5.1): two's complement. */
export const INT32: Codec<number> = {
  name: 'INT32',
  read: (reader) => reader.uint32() | 0,
  write: (writer, value) => {
    if ((value | 0) !== value) {
      throw new RangeError(`expected a signed 32-bit value, got ${String(value)}`)
    }
    writer.uint32(value >>> 0)
  },
}

/** TPMI_YES_NO (Part 2, 9.2): any value but 0 and 1 is refused. */
export const TPMI_YES_NO: Codec<boolean> = {
  name: 'TPMI_YES_NO',
  read: (reader) => {
    const value = reader.uint8()
    if (value > 1) reader.fail(`expected a TPMI_YES_NO of 0 or 1, found ${String(value)}`)
    return value === 1
  },
  write: (writer, value) => {
    writer.uint8(value ? 1 : 0)
  },
}

/** A structure whose fields follow each other in the order of `fields`. */
export function struct<T extends object>(name: string, fields: { [K in keyof T]-?: Codec<T[K]> }): Codec<T> {
  const entries = Object.entries(fields) as [keyof T, Codec<T[keyof T]>][]
  return {
    name,
    read: (reader) => {
      const value: Partial<T> = {}
      for (const [key, codec] of entries) value[key] = codec.read(reader)
      return value as T
    },
    write: (writer, value) => {
      for (const [key, codec] of entries) codec.write(writer, value[key])
    },
  }
}

/** The member of the union `T` whose `K` is `S`, without its `K`. */
type Variant<T, K extends keyof T, S> = T extends unknown ? (S extends T[K] ? Omit<T, K> : never) : never

/** Codecs of what follows the selector, by the selector's value. */
export type Variants<T, K extends keyof T> = {
  readonly [S in T[K] & number]: Codec<Variant<T, K, S>>
}

/**
 * A union: a selector, then what the selector says, as one flat object. A selector that `variants` does not have is
 * refused with `rc`.
 */
export function tagged<T extends object, K extends keyof T & string>(
  name: string,
  key: K,
  selector: Codec<number>,
  rc: number,
  variants: Variants<T, K>,
): Codec<T> {
  const codecs = new Map<number, Codec<object>>(
    Object.entries<Codec<object>>(variants).map(([value, codec]) => [Number(value), codec]),
  )
  return {
    name,
    read: (reader) => {
      const value = selector.read(reader)
      const codec = codecs.get(value)
      if (codec === undefined) {
        return reader.fail(`expected a selector of ${name}, found 0x${value.toString(16)}`, rc)
      }
      return { [key]: value, ...codec.read(reader) } as T
    },
    write: (writer, value) => {
      const tag = Number(value[key])
      const codec = codecs.get(tag)
      if (codec === undefined) {
        throw new RangeError(`expected a selector of ${name}, got 0x${tag.toString(16)}`)
      }
      selector.write(writer, tag)
      codec.write(writer, value)
    },
  }
}

/** Nothing: what follows a selector of NULL (TPMS_EMPTY, Part 2, 10.1). */
export const TPMS_EMPTY: Codec<object> = struct('TPMS_EMPTY', {})

/** A TPM2B whose contents are plain bytes: a 16-bit size of at most `max`, then the bytes (Part 2, 10.4). */
export function buffer(name: string, max: number): Codec<Uint8Array> {
  return {
    name,
    sized: true,
    read: (reader) => {
      const size = reader.uint16()
      if (size > max) {
        reader.fail(`expected a ${name} of at most ${String(max)} bytes, found ${String(size)}`, TPM_RC.SIZE)
      }
      return reader.bytes(size)
    },
    write: (writer, value) => {
      if (value.length > max) {
        throw new RangeError(
          `expected a ${name} of at most ${String(max)} bytes, got ${String(value.length)}`,
        )
      }
      writer.uint16(value.length)
      writer.bytes(value)
    },
  }
}

/**
 * A TPM2B whose contents are one structure: a 16-bit size, then the structure, which must fill it. An empty one is
 * refused with TPM_RC_SIZE (Part 2, 12.2.5 and others).
 */
export function sized<T>(name: string, contents: Codec<T>): Codec<T> {
  return {
    name,
    sized: true,
    read: (reader) => {
      const size = reader.uint16()
      if (size === 0) reader.fail(`expected a ${name} with contents, found an empty one`, TPM_RC.SIZE)
      const inner = reader.inner(size, name)
      const value = contents.read(inner)
      inner.end()
      return value
    },
    write: (writer, value) => {
      const bytes = marshal(contents, value)
      writer.uint16(bytes.length)
      writer.bytes(bytes)
    },
  }
}

/** A TPML: a 32-bit count of at most `max`, then that many items (Part 2, 10.9). */
export function list<T>(name: string, item: Codec<T>, max: number): Codec<readonly T[]> {
  return {
    name,
    read: (reader) => {
      const count = reader.uint32()
      if (count > max) {
        reader.fail(`expected a ${name} of at most ${String(max)} items, found ${String(count)}`, TPM_RC.SIZE)
      }
      return Array.from({ length: count }, () => item.read(reader))
    },
    write: (writer, value) => {
      if (value.length > max) {
        throw new RangeError(
          `expected a ${name} of at most ${String(max)} items, got ${String(value.length)}`,
        )
      }
      writer.uint32(value.length)
      for (const entry of value) item.write(writer, entry)
    },
  }
}
