// Small byte helpers that every room needs: joining, comparing in constant time, hexadecimal, little-endian integers.
// Results are plain Uint8Arrays, never Buffers: a Buffer's slice() shares memory where a Uint8Array's copies.

import { timingSafeEqual } from 'node:crypto'

/** 2^64 - 1, the largest value of an unsigned 64-bit field. */
export const U64_MAX = 0xffff_ffff_ffff_ffffn

const encoder = new TextEncoder()

/** The UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The same memory as `bytes`, seen as a plain Uint8Array (drops the Buffer subclass of node's results). */
export function plainView(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Throws TypeError unless `value` is a Uint8Array, and RangeError unless it has `length` bytes (when given). */
export function assertBytes(name: string, value: unknown, length?: number): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(`"${name}" expected Uint8Array, got ${value === null ? 'null' : typeof value}`)
  }
  if (length !== undefined && value.length !== length) {
    throw new RangeError(
      `"${name}" expected Uint8Array of length ${String(length)}, got length=${String(value.length)}`,
    )
  }
}

/** Throws TypeError unless `value` is a bigint, and RangeError unless it fits an unsigned 64-bit field. */
export function assertU64(name: string, value: unknown): asserts value is bigint {
  if (typeof value !== 'bigint') throw new TypeError(`"${name}" expected bigint, got ${typeof value}`)
  if (value < 0n || value > U64_MAX) {
    throw new RangeError(`"${name}" expected 0..2^64-1, got ${value.toString()}`)
  }
}

/** One new array with all parts in order. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

/** Whether both arrays hold the same bytes; takes the same time wherever they differ (lengths are not secret). */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Lower-case hexadecimal, two digits a byte. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** `bytes` in base64url, as members of a JWK are written (RFC 7515, 2). */
export function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

/** The bytes of an even number of hexadecimal digits, either case. Throws TypeError on anything else. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new TypeError(
      `expected an even number of hexadecimal digits, got ${String(text.length)} characters`,
    )
  }
  return new Uint8Array(Buffer.from(text, 'hex'))
}

/** Eight bytes, least significant first. Throws as {@link assertU64}. */
export function le64(value: bigint): Uint8Array {
  assertU64('value', value)
  const out = new Uint8Array(8)
  new DataView(out.buffer).setBigUint64(0, value, true)
  return out
}
