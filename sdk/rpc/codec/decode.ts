/**
 * Wire bytes -> TypeScript object. Stricter than the format asks of a reader, because two readers that resolve an
 * ambiguity differently can be played against each other: a singular field that comes twice, two arms of one oneof,
 * a map key that comes twice, an enum value outside the contract and trailing or missing bytes are all refused.
 * Fields whose number the contract does not know are skipped, so that a newer peer can add some.
 * Source: Protocol Buffers Encoding, sections "Message Structure", "Last One Wins", "Packed Repeated Fields".
 */
import { maxDepth, maxElements } from './limits.ts'
import type { FieldSchema, MessageSchema, ValueSchema } from './schema.ts'
import { Findings, InvalidMessage } from './violations.ts'
import { Reader, WireFormatError } from './wire.ts'

/**
 * Decodes `bytes` as `schema`. Byte strings of 4 KiB and more are views of `bytes`.
 * @throws InvalidMessage listing what is wrong.
 */
export function decodeMessage(schema: MessageSchema, bytes: Uint8Array): Record<string, unknown> {
  const decoder = new Decoder(bytes)
  try {
    const message = decoder.message(schema)
    if (decoder.findings.violations.length === 0) return message
  } catch (error) {
    if (!(error instanceof WireFormatError)) throw error
    decoder.findings.add(error.message)
  }
  throw new InvalidMessage(schema.fullName, decoder.findings.violations)
}

type Message = Record<string, unknown>

class Decoder {
  readonly findings = new Findings()
  private readonly reader: Reader
  private elements = 0
  private depth = 0

  constructor(bytes: Uint8Array) {
    this.reader = new Reader(bytes)
  }

  /** Reads fields until the reader's end. */
  message(schema: MessageSchema): Message {
    if (++this.depth > maxDepth) {
      throw new WireFormatError(`expected at most ${maxDepth} nested messages, found more`)
    }
    const message: Message = {}
    for (const field of schema.fields) {
      if (field.shape === 'repeated') message[field.name] = []
      else if (field.shape === 'map') message[field.name] = field.key?.name === 'string' ? {} : new Map()
    }
    while (this.reader.position < this.reader.end) this.field(schema, message)
    for (const field of schema.fields) {
      if (field.shape === 'required' && message[field.name] === undefined) this.absent(field, message)
    }
    this.depth--
    return message
  }

  private absent(field: FieldSchema, message: Message): void {
    if (field.value.kind === 'scalar') {
      message[field.name] = field.value.scalar.zero()
    } else if (field.value.kind === 'enum') {
      const zero = field.value.enum.byNumber.get(0)
      if (zero === undefined) this.findings.add('expected a value, found none (unspecified)', field.name)
      message[field.name] = zero
    }
  }

  private field(schema: MessageSchema, message: Message): void {
    const tag = this.reader.varint32('a field tag')
    const wireType = tag % 8
    const number = (tag - wireType) / 8
    if (number === 0) throw new WireFormatError('expected a field number from 1, found 0')
    const field = schema.byNumber.get(number)
    if (!field) {
      this.reader.skip(wireType)
      return
    }
    this.findings.enter(field.name)
    if (field.shape === 'repeated') this.repeated(field, wireType, message[field.name] as unknown[])
    else if (field.shape === 'map') this.map(field, wireType, message)
    else this.singular(field, wireType, message)
    this.findings.leave()
  }

  private singular(field: FieldSchema, wireType: number, message: Message): void {
    const value = this.value(field.value, wireType)
    if (field.oneof === undefined) {
      if (message[field.name] !== undefined) this.findings.add('expected the field once, found it twice')
      message[field.name] = value
      return
    }
    const other = message[field.oneof] as { readonly case: string } | undefined
    if (other) {
      this.findings.add(`expected one arm of ${field.oneof}, found ${other.case} and ${field.name}`)
    }
    message[field.oneof] = { case: field.name, value }
  }

  private value(schema: ValueSchema, wireType: number): unknown {
    if (schema.kind === 'scalar') {
      expectWireType(schema.scalar.wireType, wireType)
      return schema.scalar.read(this.reader)
    }
    if (schema.kind === 'message') {
      expectWireType(2, wireType)
      return this.within(this.reader.length(), () => this.message(schema.message))
    }
    expectWireType(0, wireType)
    const number = Number(BigInt.asIntN(64, this.reader.varint64()))
    const name = schema.enum.byNumber.get(number)
    if (name === undefined) this.findings.add(`expected a value of ${schema.enum.fullName}, found ${number}`)
    return name
  }

  private repeated(field: FieldSchema, wireType: number, values: unknown[]): void {
    const scalarWireType = field.value.kind === 'scalar' ? field.value.scalar.wireType : 0
    const packable = field.value.kind !== 'message' && scalarWireType !== 2
    if (packable && wireType === 2) {
      // Both forms are legal for a reader: packed here, one by one below.
      this.within(this.reader.length(), () => {
        while (this.reader.position < this.reader.end) this.element(field, scalarWireType, values)
      })
      return
    }
    this.element(field, wireType, values)
  }

  private element(field: FieldSchema, wireType: number, values: unknown[]): void {
    this.count()
    this.findings.enter(values.length)
    values.push(this.value(field.value, wireType))
    this.findings.leave()
  }

  private map(field: FieldSchema, wireType: number, message: Message): void {
    expectWireType(2, wireType)
    this.count()
    const entry = this.within(this.reader.length(), () => this.entry(field))
    const map = message[field.name]
    if (map instanceof Map) {
      if (map.has(entry.key)) this.findings.add('expected each key once, found one twice', String(entry.key))
      map.set(entry.key, entry.value)
      return
    }
    const key = String(entry.key)
    if (Object.hasOwn(map as Message, key)) this.findings.add('expected each key once, found one twice', key)
    // Not by assignment: a key named __proto__ must become a property like any other.
    const property = { value: entry.value, enumerable: true, writable: true, configurable: true }
    Object.defineProperty(map, key, property)
  }

  private entry(field: FieldSchema): { key: unknown; value: unknown } {
    let key: unknown = field.key?.zero()
    let value: unknown
    while (this.reader.position < this.reader.end) {
      const tag = this.reader.varint32('a field tag')
      const wireType = tag % 8
      if (tag - wireType === 8 && field.key) {
        expectWireType(field.key.wireType, wireType)
        key = field.key.read(this.reader)
      } else if (tag - wireType === 16) value = this.value(field.value, wireType)
      else this.reader.skip(wireType)
    }
    return { key, value: value ?? this.absentMapValue(field.value, String(key)) }
  }

  private absentMapValue(schema: ValueSchema, key: string): unknown {
    if (schema.kind === 'scalar') return schema.scalar.zero()
    if (schema.kind === 'message') return this.within(0, () => this.message(schema.message))
    const zero = schema.enum.byNumber.get(0)
    if (zero === undefined) this.findings.add('expected a value, found none (unspecified)', key)
    return zero
  }

  /** Runs `read` on the next `length` bytes as if they were all. */
  private within<T>(length: number, read: () => T): T {
    const outer = this.reader.end
    this.reader.end = this.reader.position + length
    const result = read()
    this.reader.end = outer
    return result
  }

  private count(): void {
    if (++this.elements > maxElements) {
      throw new WireFormatError(`expected at most ${maxElements} repeated values in a message, found more`)
    }
  }
}

function expectWireType(expected: number, found: number): void {
  if (expected !== found) throw new WireFormatError(`expected wire type ${expected}, found ${found}`)
}
