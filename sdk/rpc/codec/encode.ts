/**
 * TypeScript object -> wire bytes. Two walks: the first checks every value and measures, the second writes into one
 * buffer of exactly that size, so a large `bytes` field is copied once. Nothing that fails the check is sent.
 * Source: Protocol Buffers Encoding; deterministic: fields in the order of their numbers, repeated scalars packed.
 */
import type { Buffer } from 'node:buffer'
import { maxDepth } from './limits.ts'
import type { FieldSchema, MessageSchema, ValueSchema } from './schema.ts'
import { describe } from './scalars.ts'
import { Findings, InvalidMessage } from './violations.ts'
import { Writer, varintSize } from './wire.ts'

/**
 * Encodes `message` as `schema`.
 * @throws InvalidMessage listing what is wrong: unknown properties, missing ones, values outside their type.
 */
export function encodeMessage(schema: MessageSchema, message: unknown): Buffer {
  const plan = new Plan()
  const size = plan.message(schema, message)
  if (plan.findings.violations.length > 0) throw new InvalidMessage(schema.fullName, plan.findings.violations)
  const writer = new Writer(size)
  writeMessage(writer, schema, message as Fields, plan.lengths())
  return writer.buffer
}

/** Properties of a message whose shape the first walk has checked. */
type Fields = Readonly<Record<string, unknown>>

/** A set oneof. */
interface Arm {
  readonly case: string
  readonly value: unknown
}

function isFields(value: unknown): value is Fields {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  )
}

/** Fields in TypeScript order of a message: the value of a plain field, or of the oneof arm if it is the set one. */
function valueOf(field: FieldSchema, message: Fields): unknown {
  if (field.oneof === undefined) return message[field.name]
  const arm = message[field.oneof] as Arm | undefined
  return arm?.case === field.name ? arm.value : undefined
}

function mapEntries(field: FieldSchema, value: unknown): [unknown, unknown][] {
  if (field.key?.name === 'string') return Object.entries(value as Fields)
  return [...(value as ReadonlyMap<unknown, unknown>)]
}

function tagSize(field: FieldSchema): number {
  return varintSize(field.number * 8)
}

function isPacked(value: ValueSchema): boolean {
  return value.kind === 'enum' || (value.kind === 'scalar' && value.scalar.wireType !== 2)
}

/** First walk: checks and measures. Lengths of nested pieces are kept in the order in which the second walk asks. */
class Plan {
  readonly findings = new Findings()
  private readonly pieces: number[] = []
  private depth = 0

  /** Hands out the measured lengths, one by one. */
  lengths(): () => number {
    let next = 0
    return () => this.pieces[next++] ?? 0
  }

  message(schema: MessageSchema, message: unknown): number {
    if (!isFields(message)) {
      this.findings.add(`expected an object (${schema.fullName}), found ${describe(message)}`)
      return 0
    }
    if (this.depth === maxDepth) {
      this.findings.add(`expected at most ${maxDepth} nested messages, found more`)
      return 0
    }
    this.depth++
    for (const property of Object.keys(message)) {
      if (!schema.properties.has(property)) {
        this.findings.add(`expected a field of ${schema.fullName}, found an unknown one`, property)
      }
    }
    for (const [oneof, arms] of schema.oneofs) this.oneof(oneof, arms, message[oneof])
    let size = 0
    for (const field of schema.fields) size += this.field(field, valueOf(field, message))
    this.depth--
    return size
  }

  private oneof(name: string, arms: ReadonlyMap<string, FieldSchema>, value: unknown): void {
    if (value === undefined) return
    const legal =
      isFields(value) && typeof value.case === 'string' && arms.has(value.case) && value.value !== undefined
    if (!legal) {
      this.findings.add(`expected {case, value} with case one of ${[...arms.keys()].join(', ')}`, name)
      return
    }
    const extra = Object.keys(value).find((key) => key !== 'case' && key !== 'value')
    if (extra !== undefined)
      this.findings.add('expected {case, value} alone, found another property', name, extra)
  }

  private field(field: FieldSchema, value: unknown): number {
    switch (field.shape) {
      case 'repeated':
        return this.repeated(field, value)
      case 'map':
        return this.map(field, value)
      case 'optional':
        return value === undefined ? 0 : tagSize(field) + this.value(field.value, value, field.name)
      case 'required': {
        const before = this.findings.violations.length
        const size = this.value(field.value, value, field.name)
        if (this.findings.violations.length > before) return 0
        return isLeftOut(field.value, value) ? 0 : tagSize(field) + size
      }
    }
  }

  private value(schema: ValueSchema, value: unknown, segment: string | number): number {
    if (schema.kind === 'message') {
      const slot = this.pieces.push(0) - 1
      this.findings.enter(segment)
      const size = this.message(schema.message, value)
      this.findings.leave()
      this.pieces[slot] = size
      return varintSize(size) + size
    }
    if (schema.kind === 'scalar') {
      const problem = schema.scalar.problem(value)
      if (problem === undefined) return schema.scalar.size(value)
      this.findings.add(problem, segment)
      return 0
    }
    const number = typeof value === 'string' ? schema.enum.byName.get(value) : undefined
    if (number !== undefined) return int32Size(number)
    const found = typeof value === 'string' ? 'another string' : describe(value)
    this.findings.add(`expected one of ${[...schema.enum.byName.keys()].join(', ')}, found ${found}`, segment)
    return 0
  }

  private repeated(field: FieldSchema, values: unknown): number {
    if (!Array.isArray(values)) {
      this.findings.add(`expected an array, found ${describe(values)}`, field.name)
      return 0
    }
    if (values.length === 0) return 0
    const packed = isPacked(field.value)
    const slot = packed ? this.pieces.push(0) - 1 : -1
    let size = 0
    this.findings.enter(field.name)
    for (let i = 0; i < values.length; i++) {
      size += this.value(field.value, values[i], i) + (packed ? 0 : tagSize(field))
    }
    this.findings.leave()
    if (!packed) return size
    this.pieces[slot] = size
    return tagSize(field) + varintSize(size) + size
  }

  private map(field: FieldSchema, map: unknown): number {
    const plain = field.key?.name === 'string'
    if (plain ? !isFields(map) : !(map instanceof Map)) {
      this.findings.add(`expected ${plain ? 'an object' : 'a Map'}, found ${describe(map)}`, field.name)
      return 0
    }
    let size = 0
    this.findings.enter(field.name)
    for (const [key, value] of mapEntries(field, map)) {
      const slot = this.pieces.push(0) - 1
      const keySize = field.key ? this.value({ kind: 'scalar', scalar: field.key }, key, String(key)) : 0
      const entry = 2 + keySize + this.value(field.value, value, String(key))
      this.pieces[slot] = entry
      size += tagSize(field) + varintSize(entry) + entry
    }
    this.findings.leave()
    return size
  }
}

/** proto3 leaves zero values of fields without presence out; an enum's legal values are sent unless they are zero. */
function isLeftOut(schema: ValueSchema, value: unknown): boolean {
  if (schema.kind === 'scalar') return schema.scalar.isZero(value)
  return schema.kind === 'enum' && schema.enum.byName.get(value as string) === 0
}

function int32Size(value: number): number {
  return value < 0 ? 10 : varintSize(value)
}

function wireTypeOf(schema: ValueSchema): number {
  if (schema.kind === 'scalar') return schema.scalar.wireType
  return schema.kind === 'enum' ? 0 : 2
}

function writeMessage(writer: Writer, schema: MessageSchema, message: Fields, length: () => number): void {
  for (const field of schema.fields) {
    const value = valueOf(field, message)
    if (value === undefined) continue
    if (field.shape === 'repeated') writeRepeated(writer, field, value as readonly unknown[], length)
    else if (field.shape === 'map') writeMap(writer, field, value, length)
    else if (field.shape === 'optional' || !isLeftOut(field.value, value)) {
      writer.varint(field.number * 8 + wireTypeOf(field.value))
      writeValue(writer, field.value, value, length)
    }
  }
}

function writeValue(writer: Writer, schema: ValueSchema, value: unknown, length: () => number): void {
  if (schema.kind === 'scalar') schema.scalar.write(writer, value)
  else if (schema.kind === 'enum') {
    const number = schema.enum.byName.get(value as string) ?? 0
    if (number < 0) writer.varint64(BigInt.asUintN(64, BigInt(number)))
    else writer.varint(number)
  } else {
    writer.varint(length())
    writeMessage(writer, schema.message, value as Fields, length)
  }
}

function writeRepeated(
  writer: Writer,
  field: FieldSchema,
  values: readonly unknown[],
  length: () => number,
): void {
  if (values.length === 0) return
  const packed = isPacked(field.value)
  if (packed) {
    writer.varint(field.number * 8 + 2)
    writer.varint(length())
  }
  for (const value of values) {
    if (!packed) writer.varint(field.number * 8 + wireTypeOf(field.value))
    writeValue(writer, field.value, value, length)
  }
}

function writeMap(writer: Writer, field: FieldSchema, map: unknown, length: () => number): void {
  for (const [key, value] of mapEntries(field, map)) {
    writer.varint(field.number * 8 + 2)
    writer.varint(length())
    if (field.key) {
      writer.varint(8 + field.key.wireType)
      field.key.write(writer, key)
    }
    writer.varint(16 + wireTypeOf(field.value))
    writeValue(writer, field.value, value, length)
  }
}
