/**
 * The shape of an embedded contract: what protobufjs's `root.toJSON()` writes, with every type name fully
 * qualified (leading dot) by protos/generate.ts. Plain JSON, so that dist/ and single-file images need no paths.
 */

/** A field: `type` is a scalar's name or `.package.Type`; `keyType` is set for maps. */
export interface FieldJson {
  readonly type: string
  readonly id: number
  readonly rule?: string
  readonly keyType?: string
  readonly options?: Readonly<Record<string, unknown>>
}

/** A message with its fields, oneofs and nested types. */
export interface MessageJson {
  readonly fields: Readonly<Record<string, FieldJson>>
  readonly oneofs?: Readonly<Record<string, { readonly oneof: readonly string[] }>>
  readonly nested?: Readonly<Record<string, NodeJson>>
}

/** An enum: value name to number. */
export interface EnumJson {
  readonly values: Readonly<Record<string, number>>
}

/** One rpc. */
export interface MethodJson {
  readonly requestType: string
  readonly responseType: string
  readonly requestStream?: boolean
  readonly responseStream?: boolean
}

/** A service with its rpcs. */
export interface ServiceJson {
  readonly methods: Readonly<Record<string, MethodJson>>
}

/** A package, or the root of the whole contract. */
export interface NamespaceJson {
  readonly nested?: Readonly<Record<string, NodeJson>>
}

/** Anything that can stand in a package. */
export type NodeJson = NamespaceJson | MessageJson | EnumJson | ServiceJson
