/**
 * The contract as embedded JSON: `root.toJSON()` without comments and file names, every type name fully qualified,
 * so that a reader needs no scoping rules. One line per message, so that a change shows as a changed line.
 */
import protobuf from 'protobufjs'

type Json = { readonly [key: string]: unknown }

/** The contract's JSON, keys in the order of declaration except packages and types, which are sorted. */
export function contractJson(root: protobuf.Root): Json {
  return namespaceJson(root)
}

function namespaceJson(namespace: protobuf.NamespaceBase): Json {
  const nested = [...namespace.nestedArray].sort((a, b) => (a.name < b.name ? -1 : 1))
  return { nested: Object.fromEntries(nested.map((node) => [node.name, nodeJson(node)])) }
}

function nodeJson(node: protobuf.ReflectionObject): Json {
  if (node instanceof protobuf.Enum) return { values: node.values }
  if (node instanceof protobuf.Service) return serviceJson(node)
  if (node instanceof protobuf.Type) return messageJson(node)
  if (node instanceof protobuf.Namespace) return namespaceJson(node)
  throw new Error(`expected a message, enum, service or package, found ${node.fullName}`)
}

function messageJson(type: protobuf.Type): Json {
  const oneofs = Object.fromEntries(type.oneofsArray.map((oneof) => [oneof.name, { oneof: oneof.oneof }]))
  return {
    ...(type.oneofsArray.length > 0 ? { oneofs } : {}),
    fields: Object.fromEntries(type.fieldsArray.map((field) => [field.name, fieldJson(field)])),
    ...(type.nestedArray.length > 0 ? namespaceJson(type) : {}),
  }
}

function fieldJson(field: protobuf.Field): Json {
  field.resolve()
  const proto3Optional = field.options?.proto3_optional === true
  return {
    ...(field.repeated ? { rule: 'repeated' } : {}),
    ...(field instanceof protobuf.MapField ? { keyType: field.keyType } : {}),
    type: field.resolvedType ? field.resolvedType.fullName : field.type,
    id: field.id,
    ...(proto3Optional ? { options: { proto3_optional: true } } : {}),
  }
}

function serviceJson(service: protobuf.Service): Json {
  const methods = service.methodsArray.map((method) => {
    method.resolve()
    const json = {
      requestType: method.resolvedRequestType?.fullName,
      ...(method.requestStream ? { requestStream: true } : {}),
      responseType: method.resolvedResponseType?.fullName,
      ...(method.responseStream ? { responseStream: true } : {}),
    }
    return [method.name, json] as const
  })
  return { methods: Object.fromEntries(methods) }
}

/** Prints contract JSON as a TypeScript expression: packages indented, each message, enum and service on its line. */
export function printJson(json: Json, indent = ''): string {
  const nested = json.nested
  if (typeof nested !== 'object' || nested === null || 'fields' in json) return JSON.stringify(json)
  const lines = Object.entries(nested).map(
    ([name, node]) => `${indent}    ${JSON.stringify(name)}: ${printJson(node as Json, `${indent}    `)},\n`,
  )
  return `{\n${indent}  "nested": {\n${lines.join('')}${indent}  },\n${indent}}`
}
