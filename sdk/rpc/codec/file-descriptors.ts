/**
 * A contract as FileDescriptorProtos, which is how server reflection tells other programs what is on the wire. One file
 * for each package, since the embedded contract does not say which file a type came from; dependencies are complete, so
 * that a client can link them.
 * Source: google/protobuf/descriptor.proto.
 */
import type { EnumJson, FieldJson, MessageJson, NamespaceJson, NodeJson, ServiceJson } from './descriptor.ts'
import { encodeMessage } from './encode.ts'
import { fieldName } from './names.ts'
import { createRegistry } from './schema.ts'

/** A file of the contract. */
export interface FileDescriptor {
  /** Import name, as `palimpsest/common/v1.proto`. */
  readonly name: string
  /** Names of the files that it imports. */
  readonly dependency: readonly string[]
  /** Full names of everything declared in it: messages, enums, services, methods and fields. */
  readonly symbols: readonly string[]
  /** FileDescriptorProto. */
  readonly bytes: Uint8Array
}

const repeated = (type: string, id: number): FieldJson => ({ rule: 'repeated', type, id })
const maybe = (type: string, id: number): FieldJson => ({ type, id, options: { proto3_optional: true } })
const text = (id: number): FieldJson => ({ type: 'string', id })
const int = (id: number): FieldJson => ({ type: 'int32', id })

/** As much of descriptor.proto as a contract of this runtime can say. */
const schema = createRegistry({
  nested: {
    File: {
      fields: {
        name: text(1),
        package: text(2),
        dependency: repeated('string', 3),
        messageType: repeated('.Message', 4),
        enumType: repeated('.Enum', 5),
        service: repeated('.Service', 6),
        syntax: text(12),
      },
    },
    Message: {
      fields: {
        name: text(1),
        field: repeated('.Field', 2),
        nestedType: repeated('.Message', 3),
        enumType: repeated('.Enum', 4),
        options: { type: '.MessageOptions', id: 7 },
        oneofDecl: repeated('.Named', 8),
      },
    },
    MessageOptions: { fields: { mapEntry: { type: 'bool', id: 7 } } },
    Field: {
      fields: {
        name: text(1),
        number: int(3),
        label: int(4),
        type: int(5),
        typeName: text(6),
        oneofIndex: maybe('int32', 9),
        jsonName: text(10),
        proto3Optional: { type: 'bool', id: 17 },
      },
    },
    Named: { fields: { name: text(1) } },
    Enum: { fields: { name: text(1), value: repeated('.EnumValue', 2) } },
    EnumValue: { fields: { name: text(1), number: maybe('int32', 2) } },
    Service: { fields: { name: text(1), method: repeated('.Method', 2) } },
    Method: {
      fields: {
        name: text(1),
        inputType: text(2),
        outputType: text(3),
        clientStreaming: { type: 'bool', id: 5 },
        serverStreaming: { type: 'bool', id: 6 },
      },
    },
  },
})

const LABEL = { optional: 1, repeated: 3 }

/** FieldDescriptorProto.Type by the scalar's name; messages and enums are found by their name. */
const TYPE: Readonly<Record<string, number>> = {
  double: 1,
  float: 2,
  int64: 3,
  uint64: 4,
  int32: 5,
  fixed64: 6,
  fixed32: 7,
  bool: 8,
  string: 9,
  message: 11,
  bytes: 12,
  uint32: 13,
  enum: 14,
  sfixed32: 15,
  sfixed64: 16,
  sint32: 17,
  sint64: 18,
}

/** A package with its declarations. */
interface Package {
  readonly name: string
  readonly declared: readonly (readonly [string, NodeJson])[]
}

/** The files of a contract. */
export function fileDescriptors(contract: NamespaceJson): FileDescriptor[] {
  const packages = packagesOf(contract, '')
  const types: Types = { owners: new Map(), enums: new Set() }
  for (const { name, declared } of packages) {
    for (const [key, node] of declared) index(`.${name}.${key}`, node, name, types)
  }
  return packages.map((one) => fileOf(one, types))
}

function packagesOf(space: NamespaceJson, name: string): Package[] {
  const nodes = Object.entries(space.nested ?? {})
  const declared = nodes.filter(([, node]) => !isPackage(node))
  const inner = nodes.flatMap(([key, node]) =>
    isPackage(node) ? packagesOf(node, name === '' ? key : `${name}.${key}`) : [],
  )
  return declared.length === 0 ? inner : [{ name, declared }, ...inner]
}

function isPackage(node: NodeJson): node is NamespaceJson {
  return !('fields' in node) && !('values' in node) && !('methods' in node)
}

/** Full names of a node and the types in it. */
function typesOf(full: string, node: NodeJson): string[] {
  const inner = 'fields' in node ? Object.entries(node.nested ?? {}) : []
  return [full, ...inner.flatMap(([key, type]) => typesOf(`${full}.${key}`, type))]
}

const fileName = (packageName: string): string => `${packageName.replaceAll('.', '/')}.proto`

/** Types by full name with a leading dot: which package declares each, and which are enums. */
interface Types {
  readonly owners: Map<string, string>
  readonly enums: Set<string>
}

type Enums = ReadonlySet<string>

function index(full: string, node: NodeJson, owner: string, types: Types): void {
  types.owners.set(full, owner)
  if ('values' in node) types.enums.add(full)
  const inner = 'fields' in node ? Object.entries(node.nested ?? {}) : []
  for (const [key, type] of inner) index(`${full}.${key}`, type, owner, types)
}

function fileOf({ name, declared }: Package, { owners, enums: enumTypes }: Types): FileDescriptor {
  const messages = declared.flatMap(([key, node]) => ('fields' in node ? [[key, node] as const] : []))
  const enums = declared.flatMap(([key, node]) => ('values' in node ? [[key, node] as const] : []))
  const services = declared.flatMap(([key, node]) => ('methods' in node ? [[key, node] as const] : []))
  const used = [
    ...messages.flatMap(([, node]) => typesUsed(node)),
    ...services.flatMap(([, node]) =>
      methodsOf(node).flatMap(([, method]) => [method.requestType, method.responseType]),
    ),
  ]
  const imported = new Set(used.map((type) => owners.get(type) ?? name))
  imported.delete(name)
  const file = {
    name: fileName(name),
    package: name,
    dependency: [...imported].sort().map(fileName),
    messageType: messages.map(([key, node]) => messageOf(`.${name}`, key, node, enumTypes)),
    enumType: enums.map(enumOf),
    service: services.map(serviceOf),
    syntax: 'proto3',
  }
  const symbols = [
    ...messages.flatMap(([key, node]) => typesOf(`${name}.${key}`, node)),
    ...enums.map(([key]) => `${name}.${key}`),
    ...services.flatMap(([key, node]) => [
      `${name}.${key}`,
      ...methodsOf(node).map(([method]) => `${name}.${key}.${method}`),
    ]),
  ]
  return {
    name: file.name,
    dependency: file.dependency,
    symbols,
    bytes: encodeMessage(schema.message('File'), file),
  }
}

const methodsOf = (service: ServiceJson) => Object.entries(service.methods)

/** Names of the types that a message's fields have, nested messages' fields included. */
function typesUsed(message: MessageJson): string[] {
  const own = Object.values(message.fields).map(({ type }) => type)
  const inner = Object.values(message.nested ?? {}).flatMap((node) =>
    'fields' in node ? typesUsed(node) : [],
  )
  return [...own.filter((type) => type.startsWith('.')), ...inner]
}

function messageOf(scope: string, name: string, message: MessageJson, enums: Enums): object {
  const full = `${scope}.${name}`
  // Synthetic oneofs, of optional fields, come after the others.
  const oneofs = Object.entries(message.oneofs ?? {}).sort(
    (a, b) => Number(isSynthetic(a)) - Number(isSynthetic(b)),
  )
  const nested = Object.entries(message.nested ?? {})
  const maps = Object.entries(message.fields).flatMap(([key, field]) =>
    field.keyType === undefined ? [] : [entryOf(key, field.keyType, field, enums)],
  )
  return {
    name,
    field: Object.entries(message.fields).map(([key, field]) => {
      const index = oneofs.findIndex(([, { oneof }]) => oneof.includes(key))
      const typed =
        field.keyType === undefined
          ? field
          : { ...field, type: `${full}.${entryName(key)}`, rule: 'repeated' }
      return fieldOf(key, typed, enums, index < 0 ? undefined : index)
    }),
    nestedType: [
      ...nested.flatMap(([key, node]) => ('fields' in node ? [messageOf(full, key, node, enums)] : [])),
      ...maps,
    ],
    enumType: nested.flatMap(([key, node]) => ('values' in node ? [enumOf([key, node])] : [])),
    oneofDecl: oneofs.map(([key]) => ({ name: key })),
  }
}

function isSynthetic([name, { oneof }]: readonly [string, { readonly oneof: readonly string[] }]): boolean {
  return oneof.length === 1 && name === `_${oneof[0] ?? ''}`
}

/** The message behind a map field: descriptor.proto, MessageOptions.map_entry. */
function entryOf(name: string, keyType: string, value: FieldJson, enums: Enums): object {
  return {
    name: entryName(name),
    field: [
      fieldOf('key', { type: keyType, id: 1 }, enums, undefined),
      fieldOf('value', { type: value.type, id: 2 }, enums, undefined),
    ],
    nestedType: [],
    enumType: [],
    oneofDecl: [],
    options: { mapEntry: true },
  }
}

function entryName(field: string): string {
  const camel = fieldName(field)
  return `${camel.charAt(0).toUpperCase()}${camel.slice(1)}Entry`
}

function fieldOf(name: string, field: FieldJson, enums: Enums, oneofIndex: number | undefined): object {
  const named = field.type.startsWith('.')
  const type = named ? (enums.has(field.type) ? 'enum' : 'message') : field.type
  return {
    name,
    number: field.id,
    label: field.rule === 'repeated' ? LABEL.repeated : LABEL.optional,
    type: TYPE[type] ?? 0,
    typeName: named ? field.type : '',
    oneofIndex,
    jsonName: fieldName(name),
    proto3Optional: field.options?.['proto3_optional'] === true,
  }
}

function enumOf([name, { values }]: readonly [string, EnumJson]): object {
  return { name, value: Object.entries(values).map(([key, number]) => ({ name: key, number })) }
}

function serviceOf([name, service]: readonly [string, ServiceJson]): object {
  return {
    name,
    method: methodsOf(service).map(([key, method]) => ({
      name: key,
      inputType: method.requestType,
      outputType: method.responseType,
      clientStreaming: method.requestStream === true,
      serverStreaming: method.responseStream === true,
    })),
  }
}
