/**
 * The fifteen scalar types of Protocol Buffers and what each accepts from TypeScript. proto-loader turns a value of
 * the wrong type into a default ('xyz' as uint64 becomes 0, a string as bytes is read as base64); here it is refused.
 * Source: Protocol Buffers Language Guide (proto3), Scalar Value Types; Encoding, section "Message Structure".
 */
import { Buffer } from 'node:buffer'
import { type Reader, type WireType, type Writer, WireFormatError, varint64Size, varintSize } from './wire.ts'

/** One scalar type. `size` and `write` may only be given values in which `problem` found none. */
export interface ScalarType<T = unknown> {
  /** Name in proto files. */
  readonly name: string
  readonly wireType: WireType
  /** The value that proto3 leaves out on the wire. */
  readonly zero: () => T
  /** What is wrong with a value, or undefined when it is legal. */
  problem(value: unknown): string | undefined
  isZero(value: T): boolean
  size(value: T): number
  write(writer: Writer, value: T): void
  read(reader: Reader): T
}

/** The kind of a value for a message: never the value itself, which may be secret. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Uint8Array) return 'bytes'
  return value === undefined ? 'nothing' : `a ${typeof value}`
}

function integer(name: string, min: number, max: number): (value: unknown) => string | undefined {
  return (value) => {
    if (typeof value !== 'number') return `expected a number (${name}), found ${describe(value)}`
    if (!Number.isInteger(value)) return `expected an integer (${name}), found ${value}`
    return value < min || value > max ? `expected ${name} from ${min} to ${max}, found ${value}` : undefined
  }
}

function big(name: string, min: bigint, max: bigint): (value: unknown) => string | undefined {
  return (value) => {
    if (typeof value !== 'bigint') return `expected a bigint (${name}), found ${describe(value)}`
    if (value >= min && value <= max) return undefined
    return `expected ${name} from ${String(min)} to ${String(max)}, found ${String(value)}`
  }
}

const max32 = 0xffffffff
const max64 = (1n << 64n) - 1n
const isInt32 = integer('int32', -0x80000000, 0x7fffffff)
const isUint32 = integer('uint32', 0, max32)
const isInt64 = big('int64', -(1n << 63n), (1n << 63n) - 1n)
const isUint64 = big('uint64', 0n, max64)
const zeroNumber = { zero: () => 0, isZero: (value: number) => value === 0 }
const zeroBig = { zero: () => 0n, isZero: (value: bigint) => value === 0n }

function readInt32(reader: Reader): number {
  // A negative int32 travels sign-extended to 64 bits; an older encoder's 32-bit form means the same.
  const value = reader.varint64()
  const signed = value <= 0xffffffffn ? BigInt.asIntN(32, value) : BigInt.asIntN(64, value)
  if (signed < -0x80000000n) throw new WireFormatError(`expected int32, found ${String(signed)}`)
  if (signed > 0x7fffffffn) throw new WireFormatError(`expected int32, found ${String(signed)}`)
  return Number(signed)
}

function zigzag32(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0
}

function zigzag64(value: bigint): bigint {
  return BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
}

const int32: ScalarType<number> = {
  name: 'int32',
  wireType: 0,
  ...zeroNumber,
  problem: isInt32,
  size: (value) => (value < 0 ? 10 : varintSize(value)),
  write: (writer, value) => {
    if (value < 0) writer.varint64(BigInt.asUintN(64, BigInt(value)))
    else writer.varint(value)
  },
  read: readInt32,
}

const uint32: ScalarType<number> = {
  name: 'uint32',
  wireType: 0,
  ...zeroNumber,
  problem: isUint32,
  size: varintSize,
  write: (writer, value) => {
    writer.varint(value)
  },
  read: (reader) => reader.varint32('uint32'),
}

const sint32: ScalarType<number> = {
  name: 'sint32',
  wireType: 0,
  ...zeroNumber,
  problem: isInt32,
  size: (value) => varintSize(zigzag32(value)),
  write: (writer, value) => {
    writer.varint(zigzag32(value))
  },
  read: (reader) => {
    const value = reader.varint32('sint32')
    return (value >>> 1) ^ -(value & 1)
  },
}

const fixed32: ScalarType<number> = {
  name: 'fixed32',
  wireType: 5,
  ...zeroNumber,
  problem: isUint32,
  size: () => 4,
  write: (writer, value) => {
    writer.fixed32(value)
  },
  read: (reader) => reader.fixed32(),
}

const sfixed32: ScalarType<number> = {
  ...fixed32,
  name: 'sfixed32',
  problem: isInt32,
  write: (writer, value) => {
    writer.fixed32(value >>> 0)
  },
  read: (reader) => reader.fixed32() | 0,
}

const int64: ScalarType<bigint> = {
  name: 'int64',
  wireType: 0,
  ...zeroBig,
  problem: isInt64,
  size: (value) => varint64Size(BigInt.asUintN(64, value)),
  write: (writer, value) => {
    writer.varint64(BigInt.asUintN(64, value))
  },
  read: (reader) => BigInt.asIntN(64, reader.varint64()),
}

const uint64: ScalarType<bigint> = {
  name: 'uint64',
  wireType: 0,
  ...zeroBig,
  problem: isUint64,
  size: varint64Size,
  write: (writer, value) => {
    writer.varint64(value)
  },
  read: (reader) => reader.varint64(),
}

const sint64: ScalarType<bigint> = {
  name: 'sint64',
  wireType: 0,
  ...zeroBig,
  problem: isInt64,
  size: (value) => varint64Size(zigzag64(value)),
  write: (writer, value) => {
    writer.varint64(zigzag64(value))
  },
  read: (reader) => {
    const value = reader.varint64()
    return (value >> 1n) ^ -(value & 1n)
  },
}

const fixed64: ScalarType<bigint> = {
  name: 'fixed64',
  wireType: 1,
  ...zeroBig,
  problem: isUint64,
  size: () => 8,
  write: (writer, value) => {
    writer.fixed64(value)
  },
  read: (reader) => reader.fixed64(),
}

const sfixed64: ScalarType<bigint> = {
  ...fixed64,
  name: 'sfixed64',
  problem: isInt64,
  write: (writer, value) => {
    writer.fixed64(BigInt.asUintN(64, value))
  },
  read: (reader) => BigInt.asIntN(64, reader.fixed64()),
}

// -0 is a value of its own on the wire (it is not the zero that proto3 leaves out).
const isPlusZero = (value: number) => Object.is(value, 0)

function isNumber(value: unknown): string | undefined {
  return typeof value === 'number' ? undefined : `expected a number, found ${describe(value)}`
}

const float: ScalarType<number> = {
  name: 'float',
  wireType: 5,
  zero: () => 0,
  isZero: isPlusZero,
  problem: isNumber,
  size: () => 4,
  write: (writer, value) => {
    writer.float(value)
  },
  read: (reader) => reader.float(),
}

const double: ScalarType<number> = {
  name: 'double',
  wireType: 1,
  zero: () => 0,
  isZero: isPlusZero,
  problem: isNumber,
  size: () => 8,
  write: (writer, value) => {
    writer.double(value)
  },
  read: (reader) => reader.double(),
}

const bool: ScalarType<boolean> = {
  name: 'bool',
  wireType: 0,
  zero: () => false,
  isZero: (value) => !value,
  problem: (value) =>
    typeof value === 'boolean' ? undefined : `expected a boolean, found ${describe(value)}`,
  size: () => 1,
  write: (writer, value) => {
    writer.varint(value ? 1 : 0)
  },
  read: (reader) => reader.varint64() !== 0n,
}

const loneSurrogate = /\p{Surrogate}/u

const string: ScalarType<string> = {
  name: 'string',
  wireType: 2,
  zero: () => '',
  isZero: (value) => value === '',
  problem: (value) => {
    if (typeof value !== 'string') return `expected a string, found ${describe(value)}`
    return loneSurrogate.test(value) ? 'expected well-formed text, found a lone surrogate' : undefined
  },
  size: (value) => {
    const length = Buffer.byteLength(value)
    return varintSize(length) + length
  },
  write: (writer, value) => {
    writer.varint(Buffer.byteLength(value))
    writer.utf8(value)
  },
  read: (reader) => reader.utf8(),
}

const bytes: ScalarType<Uint8Array> = {
  name: 'bytes',
  wireType: 2,
  zero: () => new Uint8Array(),
  isZero: (value) => value.length === 0,
  problem: (value) =>
    value instanceof Uint8Array ? undefined : `expected a Uint8Array, found ${describe(value)}`,
  size: (value) => varintSize(value.length) + value.length,
  write: (writer, value) => {
    writer.varint(value.length)
    writer.bytes(value)
  },
  read: (reader) => reader.bytes(),
}

const numbers = [int32, uint32, sint32, fixed32, sfixed32, float, double]
const bigs = [int64, uint64, sint64, fixed64, sfixed64]

/** The scalar types by their names in proto files. */
export const scalarTypes: ReadonlyMap<string, ScalarType> = new Map(
  [...numbers, ...bigs, bool, string, bytes].map((type): [string, ScalarType] => [
    type.name,
    type as ScalarType,
  ]),
)
