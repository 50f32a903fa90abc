// Marshalling of TPM structures: big-endian, no padding, every size known before it is read.
// A structure is a Codec; marshal() and unmarshal() are the only entries, and unmarshal() refuses trailing bytes.
// Source: TPM 2.0 Library, Part 1, clause 10.8 (canonical form) and Part 2, clause 4, revision 1.59.

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
    this.#bytes = bytes
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

  /** The next `length` bytes, copied, so that the result outlives the caller's buffer. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length)
    return this.#bytes.slice(start, start + length)
  }

  /** Refuses bytes after the end of the structure. */
  end(): void {
    if (this.remaining > 0) this.fail(`expected the end, found ${String(this.remaining)} more bytes`)
  }

  fail(message: string): never {
    throw new Tpm2Error('MALFORMED', `${this.#subject}: ${message} (offset ${String(this.#offset)})`)
  }

  #take(length: number): number {
    if (this.remaining < length) {
      this.fail(`expected ${String(length)} more bytes, found ${String(this.remaining)}`)
    }
    const start = this.#offset
    this.#offset += length
    return start
  }
}

/** Collects a structure's bytes; values out of their field's range are a RangeError of the caller. */
export class Writer {
  #bytes = new Uint8Array(256)
  #length = 0

  uint8(value: number): void {
    this.#view(1, value, 0xff).setUint8(0, value)
  }

  uint16(value: number): void {
    this.#view(2, value, 0xffff).setUint16(0, value)
  }

  uint32(value: number): void {
    this.#view(4, value, 0xffffffff).setUint32(0, value)
  }

  uint64(value: bigint): void {
    if (BigInt.asUintN(64, value) !== value) {
      throw new RangeError(`expected an unsigned 64-bit value, got ${value.toString()}`)
    }
    this.#view(8, 0, 0).setBigUint64(0, value)
  }

  bytes(value: Uint8Array): void {
    const start = this.#grow(value.length)
    this.#bytes.set(value, start)
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #view(size: number, value: number, max: number): DataView {
    if (!Number.isInteger(value) || value < 0 || value > max) {
      throw new RangeError(`expected an unsigned ${String(size * 8)}-bit value, got ${String(value)}`)
    }
    const start = this.#grow(size)
    return new DataView(this.#bytes.buffer, start, size)
  }

  #grow(size: number): number {
    const start = this.#length
    this.#length += size
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2))
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    return start
  }
}

/** How one TPM type is read and written. `name` is TCG's name of the type. */
export interface Codec<T> {
  readonly name: string
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

/** A TPM2B whose contents are plain bytes: a 16-bit size of at most `max`, then the bytes (Part 2, 10.4). */
export function buffer(name: string, max: number): Codec<Uint8Array> {
  return {
    name,
    read: (reader) => {
      const size = reader.uint16()
      if (size > max) reader.fail(`expected a ${name} of at most ${String(max)} bytes, found ${String(size)}`)
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

/** A TPML: a 32-bit count of at most `max`, then that many items (Part 2, 10.9). */
export function list<T>(name: string, item: Codec<T>, max: number): Codec<readonly T[]> {
  return {
    name,
    read: (reader) => {
      const count = reader.uint32()
      if (count > max)
        reader.fail(`expected a ${name} of at most ${String(max)} items, found ${String(count)}`)
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
