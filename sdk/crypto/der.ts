// The little of ASN.1 DER (X.690) that certificates need: writing values, and walking a structure by its elements.
// Hand-written because it is small, and because the usual library needs a global metadata polyfill in every process.

import { concatBytes, utf8 } from './bytes.ts'
import { FormatError } from './errors.ts'

/** Universal tags used here (X.690 section 8), constructed bit included. */
export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** One element: tag, length in the shortest form, contents. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(...contents)
  const length: number[] = []
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256)
  const header = body.length < 0x80 ? [tag, body.length] : [tag, 0x80 | length.length, ...length]
  return concatBytes(Uint8Array.from(header), body)
}

/** SEQUENCE of the elements. */
export function sequence(...elements: readonly Uint8Array[]): Uint8Array {
  return element(Tag.sequence, ...elements)
}

/** INTEGER, unsigned, from big-endian bytes. */
export function unsigned(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  const isNegative = (digits[0] ?? 0) >= 0x80
  return element(Tag.integer, isNegative ? Uint8Array.of(0) : new Uint8Array(0), digits)
}

/** INTEGER below 128. */
export function smallInteger(value: number): Uint8Array {
  return element(Tag.integer, Uint8Array.of(value))
}

/** BIT STRING of whole bytes. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return element(Tag.bitString, Uint8Array.of(unusedBits), bytes)
}

/** OCTET STRING. */
export function octetString(bytes: Uint8Array): Uint8Array {
  return element(Tag.octetString, bytes)
}

/** BOOLEAN TRUE; FALSE is the default everywhere here, and DER leaves defaults out. */
export const derTrue = element(Tag.boolean, Uint8Array.of(0xff))

/** OBJECT IDENTIFIER from its dotted form. Throws RangeError for a text that is none. */
export function oid(dotted: string): Uint8Array {
  if (!/^[012](\.(0|[1-9]\d{0,9})){1,30}$/.test(dotted)) {
    throw new RangeError(`expected an object identifier like 2.5.29.17, got "${dotted.slice(0, 60)}"`)
  }
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second, ...others].flatMap(base128)
  return element(Tag.oid, Uint8Array.from(bytes))
}

function base128(value: number): number[] {
  const digits = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    digits.unshift((rest % 128) | 0x80)
  }
  return digits
}

/** Time of a certificate: UTCTime to 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5). */
export function time(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return date.getUTCFullYear() < 2050
    ? element(Tag.utcTime, utf8(digits.slice(2)))
    : element(Tag.generalizedTime, utf8(digits))
}

/** An element that was read. */
export interface DerElement {
  readonly tag: number
  readonly content: Uint8Array
  /** The element's own encoding. */
  readonly raw: Uint8Array
}

/** The elements that `bytes` consists of, one after another. Throws {@link FormatError} for other bytes. */
export function elements(bytes: Uint8Array, what: string): DerElement[] {
  const list: DerElement[] = []
  for (let at = 0; at < bytes.length;) {
    const next = readElement(bytes, at)
    if (!next) throw new FormatError(what, `expected a DER element at byte ${String(at)}, found none`)
    list.push(next)
    at += next.raw.length
  }
  return list
}

function readElement(bytes: Uint8Array, at: number): DerElement | undefined {
  const tag = bytes[at]
  const first = bytes[at + 1]
  // Tags above 30 do not occur in certificates; 0x80 is the indefinite length, which is not DER.
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f || first === 0x80 || first > 0x84)
    return undefined
  const lengthBytes = first < 0x80 ? 0 : first - 0x80
  const start = at + 2 + lengthBytes
  const length =
    first < 0x80 ? first : bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0)
  const end = start + length
  if (end > bytes.length) return undefined
  return { tag, content: bytes.subarray(start, end), raw: bytes.subarray(at, end) }
}

/** The dotted form of an object identifier's contents. */
export function dotted(content: Uint8Array): string {
  const arcs: number[] = []
  let value = 0
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f)
    if (byte < 0x80) {
      arcs.push(value)
      value = 0
    }
  }
  const [joined = 0, ...others] = arcs
  const first = Math.min(2, Math.floor(joined / 40))
  return [first, joined - first * 40, ...others].join('.')
}
