/**
 * The contract in the form that the codec works with: every message with its fields resolved, looked up by name.
 * Built once per process from the embedded JSON; messages are resolved at first use, so start-up stays short.
 */
import type { EnumJson, FieldJson, MessageJson, MethodJson, NamespaceJson, NodeJson } from './descriptor.ts'
import { type EnumValue, enumValues, fieldName, methodName } from './names.ts'
import { type ScalarType, scalarTypes } from './scalars.ts'

/** An enum's legal values by short name and by number. */
export interface EnumSchema {
  readonly fullName: string
  readonly byName: ReadonlyMap<string, number>
  readonly byNumber: ReadonlyMap<number, string>
}

/** What one value of a field is. */
export type ValueSchema =
  | { readonly kind: 'scalar'; readonly scalar: ScalarType }
  | { readonly kind: 'enum'; readonly enum: EnumSchema }
  | { readonly kind: 'message'; readonly message: MessageSchema }

/** One field. `shape` says how values are collected, `value` what each one is. */
export interface FieldSchema {
  /** Name in TypeScript, lowerCamelCase. */
  readonly name: string
  readonly number: number
  /** `required`: a scalar or enum without presence; `optional`: may be absent. */
  readonly shape: 'required' | 'optional' | 'repeated' | 'map'
  readonly value: ValueSchema
  /** Only for maps. */
  readonly key?: ScalarType
  /** The oneof that this field is an arm of. */
  readonly oneof?: string
}

/** A message: its fields in the order of their numbers. */
export interface MessageSchema {
  readonly fullName: string
  readonly fields: readonly FieldSchema[]
  readonly byNumber: ReadonlyMap<number, FieldSchema>
  /** Arms by oneof name, then by arm name. */
  readonly oneofs: ReadonlyMap<string, ReadonlyMap<string, FieldSchema>>
  /** Every legal property of the TypeScript object: plain fields and oneofs. */
  readonly properties: ReadonlySet<string>
}

/** The four kinds of rpc. */
export type MethodKind = 'unary' | 'server-stream' | 'client-stream' | 'bidi'

/** One rpc: `path` is what stands on the wire. */
export interface MethodSchema {
  readonly name: string
  readonly path: string
  readonly kind: MethodKind
  readonly request: MessageSchema
  readonly response: MessageSchema
}

/** A service: its rpcs by their lowerCamelCase names. */
export interface ServiceSchema {
  readonly fullName: string
  readonly methods: ReadonlyMap<string, MethodSchema>
}

/** A loaded contract. */
export interface Registry {
  /** The JSON that the registry was made from. */
  readonly json: NamespaceJson
  /** Full names of all services, sorted. */
  readonly services: readonly string[]
  /** @throws TypeError when the contract has no message of that full name. */
  message(fullName: string): MessageSchema
  /** @throws TypeError when the contract has no service of that full name. */
  service(fullName: string): ServiceSchema
}

/** Builds a registry from embedded JSON. */
export function createRegistry(json: NamespaceJson): Registry {
  const nodes = new Map<string, NodeJson>()
  collect(json, '', nodes)
  const messages = new Map<string, MessageSchema>()
  const enums = new Map<string, EnumSchema>()

  function message(fullName: string): MessageSchema {
    const known = messages.get(fullName)
    if (known) return known
    const node = nodes.get(fullName)
    if (!node || !('fields' in node))
      throw new TypeError(`expected a message of the contract, found "${fullName}"`)
    return resolveMessage(fullName, node)
  }

  function resolveMessage(fullName: string, node: MessageJson): MessageSchema {
    const fields: FieldSchema[] = []
    const byNumber = new Map<number, FieldSchema>()
    const oneofs = new Map<string, Map<string, FieldSchema>>()
    const properties = new Set<string>()
    const schema: MessageSchema = { fullName, fields, byNumber, oneofs, properties }
    // Registered before its fields are resolved: a message may contain itself.
    messages.set(fullName, schema)
    const arms = armsOf(node)
    for (const [protoName, fieldJson] of Object.entries(node.fields)) {
      const field = resolveField(protoName, fieldJson, arms.get(protoName))
      fields.push(field)
      byNumber.set(field.number, field)
      if (field.oneof === undefined) {
        properties.add(field.name)
        continue
      }
      properties.add(field.oneof)
      const group = oneofs.get(field.oneof) ?? new Map<string, FieldSchema>()
      oneofs.set(field.oneof, group.set(field.name, field))
    }
    fields.sort((a, b) => a.number - b.number)
    return schema
  }

  function resolveField(protoName: string, json: FieldJson, oneof: string | undefined): FieldSchema {
    const value = resolveValue(json.type)
    const base = { name: fieldName(protoName), number: json.id, value }
    if (json.keyType !== undefined) return { ...base, shape: 'map', key: scalarType(json.keyType) }
    if (json.rule === 'repeated') return { ...base, shape: 'repeated' }
    if (oneof !== undefined) return { ...base, shape: 'optional', oneof }
    const present = value.kind === 'message' || json.options?.proto3_optional === true
    return { ...base, shape: present ? 'optional' : 'required' }
  }

  function resolveValue(type: string): ValueSchema {
    if (!type.startsWith('.')) return { kind: 'scalar', scalar: scalarType(type) }
    const fullName = type.slice(1)
    const node = nodes.get(fullName)
    if (node && 'values' in node) return { kind: 'enum', enum: enumSchema(fullName, node) }
    return { kind: 'message', message: message(fullName) }
  }

  function enumSchema(fullName: string, node: EnumJson): EnumSchema {
    const known = enums.get(fullName)
    if (known) return known
    const values: EnumValue[] = enumValues(fullName.slice(fullName.lastIndexOf('.') + 1), node.values)
    const schema: EnumSchema = {
      fullName,
      byName: new Map(values.map((value) => [value.name, value.number])),
      byNumber: new Map(values.map((value) => [value.number, value.name])),
    }
    enums.set(fullName, schema)
    return schema
  }

  function service(fullName: string): ServiceSchema {
    const node = nodes.get(fullName)
    if (!node || !('methods' in node))
      throw new TypeError(`expected a service of the contract, found "${fullName}"`)
    const methods = Object.entries(node.methods).map(([protoName, method]): [string, MethodSchema] => {
      const name = methodName(protoName)
      const path = `/${fullName}/${protoName}`
      const request = message(method.requestType.slice(1))
      const response = message(method.responseType.slice(1))
      return [name, { name, path, kind: methodKind(method), request, response }]
    })
    return { fullName, methods: new Map(methods) }
  }

  const services = [...nodes].filter(([, node]) => 'methods' in node).map(([name]) => name)
  return { json, services: services.sort(), message, service }
}

function collect(node: NodeJson, name: string, into: Map<string, NodeJson>): void {
  if (name !== '') into.set(name, node)
  if (!('nested' in node)) return
  for (const [child, childNode] of Object.entries(node.nested ?? {})) {
    collect(childNode, name === '' ? child : `${name}.${child}`, into)
  }
}

/** Arm (proto name) -> oneof (TypeScript name). An `optional` field's own one-armed oneof is not one of them. */
function armsOf(node: MessageJson): Map<string, string> {
  const arms = new Map<string, string>()
  for (const [oneof, { oneof: names }] of Object.entries(node.oneofs ?? {})) {
    for (const name of names) {
      if (node.fields[name]?.options?.proto3_optional !== true) arms.set(name, fieldName(oneof))
    }
  }
  return arms
}

function methodKind(method: MethodJson): MethodKind {
  if (method.requestStream) return method.responseStream ? 'bidi' : 'client-stream'
  return method.responseStream ? 'server-stream' : 'unary'
}

function scalarType(name: string): ScalarType {
  const type = scalarTypes.get(name)
  if (!type) throw new TypeError(`expected a protobuf scalar type or ".package.Type", found "${name}"`)
  return type
}
