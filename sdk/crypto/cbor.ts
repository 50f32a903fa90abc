// Canonical bytes: the deterministic CBOR of RFC 8949 section 4.2.1, restricted to the types listed below.
// One value has exactly one encoding, so that what is signed or hashed can be decoded and encoded again byte for byte.
// Floats, tags, undefined, indefinite lengths and non-text keys do not exist here. Integers decode to bigint always,
// so that a 64-bit field has one type whatever its value.

import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { assertBytes, equalBytes } from './bytes.ts'
import { FormatError } from './errors.ts'

/**
 * A value that has a canonical encoding. Integers are -2^64..2^64-1; text must be well-formed Unicode and must not begin
 * with a byte order mark, which decoders drop.
 */
export type Canonical = string | bigint | boolean | null | Uint8Array | Canonical[] | CanonicalMap

/** A map with text keys. */
export interface CanonicalMap {
  [key: string]: Canonical
}

/** Nesting beyond this is refused both ways; nothing in this project nests deeper than 8. */
const MAX_DEPTH = 32

const MAX_INTEGER = 2n ** 64n - 1n
const MIN_INTEGER = -(2n ** 64n)
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * The one encoding of `value` (RFC 8949 section 4.2.1: shortest integers and lengths, keys in bytewise order of their
 * encodings). Throws TypeError or RangeError for a value that is no {@link Canonical}; the message names the path.
 */
export function encodeCanonical(value: Canonical): Uint8Array {
  checkValue(value, 'value', 0)
  return new Uint8Array(encode(value, rfc8949EncodeOptions))
}

/**
 * The value of canonical `bytes`, which must be exactly one encoded item. Byte strings are copies. `what` names the
 * structure in messages. Throws {@link FormatError} for anything that {@link encodeCanonical} would not produce:
 * trailing bytes, longer forms, unsorted or duplicate keys, floats, tags, undefined, invalid UTF-8.
 */
export function decodeCanonical(bytes: Uint8Array, what = 'canonical CBOR'): Canonical {
  assertBytes('bytes', bytes)
  const value = normalise(decodeStrict(bytes, what), what, 0)
  if (!equalBytes(encodeCanonical(value), bytes)) {
    throw new FormatError(
      what,
      'expected the canonical encoding (RFC 8949 section 4.2.1), found another encoding',
    )
  }
  return value
}

function decodeStrict(bytes: Uint8Array, what: string): unknown {
  try {
    return decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowInfinity: false,
      allowNaN: false,
      rejectDuplicateMapKeys: true,
    }) as unknown
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new FormatError(what, `expected one CBOR item, found bytes that do not decode (${reason})`, {
      cause,
    })
  }
}

/** Brings decoder output to {@link Canonical}; a float that looks whole survives here and fails the byte comparison. */
function normalise(value: unknown, path: string, depth: number): Canonical {
  if (depth > MAX_DEPTH)
    throw new FormatError(path, `expected at most ${String(MAX_DEPTH)} levels, found more`)
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) throw new FormatError(path, 'expected an integer, found a float')
    return BigInt(value)
  }
  if (
    typeof value === 'string' ||
    typeof value === 'bigint' ||
    typeof value === 'boolean' ||
    value === null
  ) {
    return value
  }
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) => normalise(item, `${path}[${String(index)}]`, depth + 1))
  }
  if (typeof value === 'object') {
    // fromEntries defines own properties, so a key named __proto__ is data like any other.
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, normalise(item, `${path}.${key}`, depth + 1)]),
    )
  }
  throw new FormatError(path, `expected a canonical type, found ${typeof value}`)
}

function checkValue(value: unknown, path: string, depth: number): void {
  if (depth > MAX_DEPTH) throw new RangeError(`"${path}" expected at most ${String(MAX_DEPTH)} levels`)
  if (typeof value === 'boolean' || value === null || value instanceof Uint8Array) return
  if (typeof value === 'string') {
    checkText(value, path)
  } else if (typeof value === 'bigint') {
    if (value < MIN_INTEGER || value > MAX_INTEGER) {
      throw new RangeError(`"${path}" expected -2^64..2^64-1, got ${value.toString()}`)
    }
  } else if (Array.isArray(value)) {
    // forEach would skip the holes of a sparse array.
    for (let index = 0; index < value.length; index++) {
      checkValue(value[index], `${path}[${String(index)}]`, depth + 1)
    }
  } else if (isPlainObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      checkText(key, `${path} key`)
      checkValue(item, `${path}.${key}`, depth + 1)
    }
  } else {
    const hint = typeof value === 'number' ? ' (integers are bigint)' : ''
    throw new TypeError(`"${path}" expected a canonical type, got ${typeof value}${hint}`)
  }
}

function checkText(text: string, path: string): void {
  if (LONE_SURROGATE.test(text))
    throw new TypeError(`"${path}" expected well-formed text, got a lone surrogate`)
  if (text.startsWith('\ufeff')) throw new TypeError(`"${path}" expected text without a byte order mark`)
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
