// Bytes of a firmware file. Whoever wrote the file may be hostile: every read is checked, and an error says where in the
// file (or in what was unpacked from it) something else was expected.

import { FirmwareError } from '../errors.ts'
import { guidText } from '../../../../sdk/evidence/index.ts'

/** A range of bytes that knows its place. */
export class Area {
  readonly bytes: Uint8Array
  /** where the first byte is, in what `#whole` names */
  readonly offset: number
  readonly #whole: string
  readonly #view: DataView

  /** All of something: `whole` names it in errors. */
  constructor(bytes: Uint8Array, whole: string, offset = 0) {
    // Never a Buffer, whose slice() copies nothing.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.offset = offset
    this.#whole = whole
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get length(): number {
    return this.bytes.length
  }

  uint8(at: number, what: string): number {
    return this.#view.getUint8(this.#checked(at, 1, what))
  }

  uint16(at: number, what: string): number {
    return this.#view.getUint16(this.#checked(at, 2, what), true)
  }

  uint24(at: number, what: string): number {
    this.#checked(at, 3, what)
    return this.uint16(at, what) | (this.uint8(at + 2, what) << 16)
  }

  uint32(at: number, what: string): number {
    return this.#view.getUint32(this.#checked(at, 4, what), true)
  }

  /** A 64-bit number; inexact above 2^53, where it is larger than any length that is accepted. */
  uint64(at: number, what: string): number {
    return Number(this.#view.getBigUint64(this.#checked(at, 8, what), true))
  }

  guid(at: number, what: string): string {
    return guidText(this.part(at, 16, what).bytes)
  }

  /** `length` bytes from `at`; without a length, all up to the end. The same memory, not a copy. */
  part(at: number, length: number = this.length - at, what = 'bytes'): Area {
    this.#checked(at, length, what)
    return new Area(this.bytes.subarray(at, at + length), this.#whole, this.offset + at)
  }

  /** Throws FirmwareError IMAGE_MALFORMED: at `at`, something was expected and something else found. */
  malformed(at: number, message: string): never {
    throw new FirmwareError('IMAGE_MALFORMED', `${this.place(at)}: ${message}`)
  }

  /** Throws FirmwareError IMAGE_UNSUPPORTED: sound, but not of a kind that is known here. */
  unsupported(at: number, message: string): never {
    throw new FirmwareError('IMAGE_UNSUPPORTED', `${this.place(at)}: ${message}`)
  }

  /** Where `at` is, in words. */
  place(at: number): string {
    return `${this.#whole}, offset 0x${(this.offset + at).toString(16)}`
  }

  #checked(at: number, length: number, what: string): number {
    if (at < 0 || length < 0 || at + length > this.length) {
      const left = Math.max(0, this.length - at)
      this.malformed(at, `expected ${String(length)} bytes of ${what}, found ${String(left)}`)
    }
    return at
  }
}
