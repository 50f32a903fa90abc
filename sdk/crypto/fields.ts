// Reading a decoded canonical map field by field, with errors that name the path, the expected and the found.
// Every artefact of this project is parsed through these few functions, so that bad input is refused in one way.

import { U64_MAX } from './bytes.ts'
import { type Canonical, type CanonicalMap, decodeCanonical } from './cbor.ts'
import { FormatError } from './errors.ts'

// Where a map came from, so that `field.uint(child, 'svn')` can say `launch report.firmware.svn`. Kept beside the map,
// not in it: a map read from the wire may have any key.
const paths = new WeakMap<object, string>()

/** Decodes canonical `bytes` that must be a map; `what` begins the path of every later message. */
export function decodeMap(bytes: Uint8Array, what: string): CanonicalMap {
  return expect.map(decodeCanonical(bytes, what), what)
}

function refuse(path: string, expected: string, found: Canonical | undefined): never {
  throw new FormatError(path, `expected ${expected}, found ${describe(found)}`)
}

/** Type and size of a value, never its content: a wrong field may hold anything. */
function describe(value: Canonical | undefined): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return `${String(value.length)} bytes`
  if (Array.isArray(value)) return `a list of ${String(value.length)}`
  if (typeof value === 'string') return `text of ${String(value.length)} characters`
  if (typeof value === 'bigint') return `the integer ${value.toString()}`
  if (typeof value === 'boolean') return 'a boolean'
  return 'a map'
}

/**
 * Checks of one value that has a known path, for elements of lists: `expect.uint(item, 'pairs[3].first')`.
 * Each returns the value with its type, or throws {@link FormatError}.
 */
export const expect = {
  /** A byte string, of exactly `length` bytes when given. */
  bytes(value: Canonical | undefined, path: string, length?: number): Uint8Array {
    if (value instanceof Uint8Array && (length === undefined || value.length === length)) return value
    return refuse(path, length === undefined ? 'a byte string' : `${String(length)} bytes`, value)
  },

  /** A byte string of at most `max` bytes. */
  bytesUpTo(value: Canonical | undefined, path: string, max: number): Uint8Array {
    if (value instanceof Uint8Array && value.length <= max) return value
    return refuse(path, `at most ${String(max)} bytes`, value)
  },

  /** Text, of at most `maxLength` UTF-16 code units when given. */
  text(value: Canonical | undefined, path: string, maxLength?: number): string {
    if (typeof value === 'string' && (maxLength === undefined || value.length <= maxLength)) return value
    return refuse(
      path,
      maxLength === undefined ? 'text' : `text of at most ${String(maxLength)} characters`,
      value,
    )
  },

  /** Text that is one of `choices`, returned with that type. */
  choice<T extends string>(value: Canonical | undefined, path: string, choices: readonly T[]): T {
    const match = choices.find((choice) => choice === value)
    return match ?? refuse(path, `one of ${choices.map((choice) => `"${choice}"`).join(', ')}`, value)
  },

  /** An integer from 0 to `max`, by default 2^64-1. */
  uint(value: Canonical | undefined, path: string, max: bigint = U64_MAX): bigint {
    if (typeof value === 'bigint' && value >= 0n && value <= max) return value
    return refuse(path, `an integer 0..${max === U64_MAX ? '2^64-1' : max.toString()}`, value)
  },

  /** True or false. */
  bool(value: Canonical | undefined, path: string): boolean {
    return typeof value === 'boolean' ? value : refuse(path, 'a boolean', value)
  },

  /** A list, of at most `max` items when given. */
  list(value: Canonical | undefined, path: string, max?: number): Canonical[] {
    if (Array.isArray(value) && (max === undefined || value.length <= max)) return value
    return refuse(path, max === undefined ? 'a list' : `a list of at most ${String(max)}`, value)
  },

  /** A map; its later fields are reported under `path`. */
  map(value: Canonical | undefined, path: string): CanonicalMap {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      return refuse(path, 'a map', value)
    }
    paths.set(value, path)
    return value
  },
}

function at(map: CanonicalMap, name: string): [value: Canonical | undefined, path: string] {
  const parent = paths.get(map)
  return [Object.hasOwn(map, name) ? map[name] : undefined, parent === undefined ? name : `${parent}.${name}`]
}

/**
 * Fields of a map by name. Each returns the value with its type or throws {@link FormatError} `MALFORMED`, whose path
 * starts with the name given to {@link decodeMap}. An absent field is refused; ask {@link field.has} first if it may be.
 *
 * @example
 * const report = decodeMap(payload, 'launch report')
 * field.only(report, ['measurement', 'svn'])
 * const measurement = field.bytes(report, 'measurement', 32)
 * const svn = field.uint(report, 'svn', 0xffffn)
 */
export const field = {
  /** Whether the field is present, whatever its value. */
  has(map: CanonicalMap, name: string): boolean {
    return Object.hasOwn(map, name)
  },

  /** A byte string, of exactly `length` bytes when given. */
  bytes(map: CanonicalMap, name: string, length?: number): Uint8Array {
    return expect.bytes(...at(map, name), length)
  },

  /** A byte string of at most `max` bytes. */
  bytesUpTo(map: CanonicalMap, name: string, max: number): Uint8Array {
    return expect.bytesUpTo(...at(map, name), max)
  },

  /** Text, of at most `maxLength` UTF-16 code units when given. */
  text(map: CanonicalMap, name: string, maxLength?: number): string {
    return expect.text(...at(map, name), maxLength)
  },

  /** Text that is one of `choices`, returned with that type. */
  choice<T extends string>(map: CanonicalMap, name: string, choices: readonly T[]): T {
    return expect.choice(...at(map, name), choices)
  },

  /** An integer from 0 to `max`, by default 2^64-1. */
  uint(map: CanonicalMap, name: string, max?: bigint): bigint {
    return expect.uint(...at(map, name), max)
  },

  /** True or false. */
  bool(map: CanonicalMap, name: string): boolean {
    return expect.bool(...at(map, name))
  },

  /** A list, of at most `max` items when given. */
  list(map: CanonicalMap, name: string, max?: number): Canonical[] {
    return expect.list(...at(map, name), max)
  },

  /** A map; its own fields are reported under this one. */
  map(map: CanonicalMap, name: string): CanonicalMap {
    return expect.map(...at(map, name))
  },

  /** A list of maps, of at most `max` items when given; item 3's fields are reported under `name[3]`. */
  maps(map: CanonicalMap, name: string, max?: number): CanonicalMap[] {
    const [value, path] = at(map, name)
    return expect.list(value, path, max).map((item, index) => expect.map(item, `${path}[${String(index)}]`))
  },

  /** Refuses a map that has any field besides `names`: unknown content is never signed for or skipped over. */
  only(map: CanonicalMap, names: readonly string[]): void {
    const unknown = Object.keys(map).filter((name) => !names.includes(name))
    if (unknown.length === 0) return
    throw new FormatError(
      paths.get(map) ?? 'map',
      `expected only the fields ${names.join(', ')}, found also ${String(unknown.length)} unknown: ` +
        unknown
          .slice(0, 4)
          .map((name) => JSON.stringify(name.slice(0, 40)))
          .join(', '),
    )
  },
}
