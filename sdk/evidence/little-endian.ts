// Little-endian reading and writing: event logs are written by firmware in the processor's order, not in TPM order.

import { concatBytes } from '../crypto/index.ts'

/** Reads in order; `fail` turns a shortage into the caller's error. */
export class LittleEndianReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #fail: (message: string) => never
  #offset = 0

  constructor(bytes: Uint8Array, fail: (message: string) => never) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#fail = fail
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  uint8(what: string): number {
    return this.#view.getUint8(this.#take(1, what))
  }

  uint16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), true)
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true)
  }

  uint64(what: string): bigint {
    return this.#view.getBigUint64(this.#take(8, what), true)
  }

  bytes(length: number, what: string): Uint8Array {
    const start = this.#take(length, what)
    return this.#bytes.slice(start, start + length)
  }

  #take(length: number, what: string): number {
    if (this.remaining < length) {
      this.#fail(`expected ${String(length)} bytes of ${what}, found ${String(this.remaining)}`)
    }
    const start = this.#offset
    this.#offset += length
    return start
  }
}

class NotThis extends Error {}

/** What `parse` makes of all of `bytes`; undefined when they are too short, too long, or `parse` refuses them. */
export function readAll<T>(
  bytes: Uint8Array,
  parse: (reader: LittleEndianReader, refuse: () => never) => T,
): T | undefined {
  return readStart(bytes, (reader, refuse) => {
    const value = parse(reader, refuse)
    return reader.remaining === 0 ? value : refuse()
  })
}

/** As readAll(), for bytes that may go on: some boot loaders log more than the structure they name. */
export function readStart<T>(
  bytes: Uint8Array,
  parse: (reader: LittleEndianReader, refuse: () => never) => T,
): T | undefined {
  const refuse = (message = 'not of this shape'): never => {
    throw new NotThis(message)
  }
  try {
    return parse(new LittleEndianReader(bytes, refuse), refuse)
  } catch (error) {
    if (error instanceof NotThis) return undefined
    throw error
  }
}

/** `value` in 1, 2, 4 or 8 octets. Throws RangeError when it does not fit. */
export function littleEndian(size: 1 | 2 | 4 | 8, value: number | bigint): Uint8Array {
  const wide = BigInt(value)
  if (BigInt.asUintN(size * 8, wide) !== wide) {
    throw new RangeError(`expected an unsigned ${String(size * 8)}-bit value, got ${wide.toString()}`)
  }
  const eight = new Uint8Array(8)
  new DataView(eight.buffer).setBigUint64(0, wide, true)
  return eight.slice(0, size)
}

/** A 32-bit length, then the bytes. */
export function sized(bytes: Uint8Array): Uint8Array {
  return concatBytes(littleEndian(4, bytes.length), bytes)
}
