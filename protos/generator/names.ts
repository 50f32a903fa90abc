/** Names of the generated files and types, and the imports between them. */
import path from 'node:path'
import type protobuf from 'protobufjs'
import type { ProtoFile } from './load.ts'

/** Where a type of the contract is declared in TypeScript. */
export interface Declaration {
  readonly typeName: string
  /** Generated file, relative to the contract's folder. */
  readonly file: string
}

/** Names that a generated file uses for something else. */
const taken = new Set(['Uint8Array', 'Readonly', 'ReadonlyMap', 'Record', 'service', 'registry'])

/** `palimpsest/common/v1/block_id.proto` -> `palimpsest/common/v1/block-id.ts`. */
export function outputFile(protoName: string): string {
  return protoName.replace(/\.proto$/, '.ts').replaceAll('_', '-')
}

/** `Outer.Inner` of a package -> `OuterInner`. */
function typeName(node: protobuf.ReflectionObject, packageName: string): string {
  const name = node.fullName.slice(packageName.length + 2).replaceAll('.', '')
  if (taken.has(name))
    throw new Error(`expected a type name other than ${name}: TypeScript's own is needed there`)
  return name
}

/** Path of an import from one generated file to another. */
export function importPath(from: string, to: string): string {
  // Both are relative to the contract's folder, which `to` may leave upwards: a deep root keeps the steps.
  const root = '/0/1/2/3/4/5/6/7/8/9'
  const relative = path.posix.relative(
    path.posix.join(root, path.posix.dirname(from)),
    path.posix.join(root, to),
  )
  return relative.startsWith('.') ? relative : `./${relative}`
}

/** Collects what a generated file imports and hands out the names to use. */
export class Imports {
  private readonly byFile = new Map<string, Map<string, string>>()
  private readonly used: Set<string>
  private readonly file: string
  private readonly declarations: ReadonlyMap<string, Declaration>

  constructor(file: string, declarations: ReadonlyMap<string, Declaration>) {
    this.file = file
    this.declarations = declarations
    this.used = new Set(
      [...declarations.values()].filter((known) => known.file === file).map((known) => known.typeName),
    )
  }

  /** The name by which this file refers to a type of the contract. */
  reference(fullName: string): string {
    const declaration = this.declarations.get(fullName)
    if (!declaration) throw new Error(`expected a type of the contract, found ${fullName}`)
    if (declaration.file === this.file) return declaration.typeName
    const names = this.byFile.get(declaration.file) ?? new Map<string, string>()
    this.byFile.set(declaration.file, names)
    const known = names.get(declaration.typeName)
    if (known !== undefined) return known
    let local = declaration.typeName
    while (this.used.has(local)) local = `Other${local}`
    this.used.add(local)
    names.set(declaration.typeName, local)
    return local
  }

  /** The name by which a type of this file is declared. */
  declaredName(fullName: string): string {
    return this.declarations.get(fullName)?.typeName ?? this.reference(fullName)
  }

  /** The import declarations, sorted by path. */
  print(): string {
    const lines = [...this.byFile]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([file, names]) => {
        const list = [...names].sort(([a], [b]) => (a < b ? -1 : 1))
        const text = list.map(([name, local]) => (name === local ? name : `${name} as ${local}`)).join(', ')
        return `import type { ${text} } from '${importPath(this.file, file)}'\n`
      })
    return lines.join('')
  }
}

/** Files that the runtime speaks for its callers and does not export. */
export function isPrivate(protoName: string): boolean {
  return /^(google\/rpc|grpc)\//.test(protoName)
}

/**
 * All types of the contract by full name. Where two packages declare the same name (every service may have its
 * ListRequest), each gets its package in front: `palimpsest.worker.v1.ListRequest` -> `WorkerListRequest`.
 */
export function declare(files: readonly ProtoFile[]): Map<string, Declaration> {
  const declarations = new Map<string, Declaration>()
  const owners = new Map<string, number>()
  for (const { node, file } of allTypes(files)) {
    const name = typeName(node, file.packageName)
    if (!isPrivate(file.name)) owners.set(name, (owners.get(name) ?? 0) + 1)
  }
  for (const { node, file } of allTypes(files)) {
    const name = typeName(node, file.packageName)
    const shared = !isPrivate(file.name) && (owners.get(name) ?? 0) > 1
    const unique = shared ? `${packageWord(file.packageName)}${name}` : name
    declarations.set(node.fullName, { typeName: unique, file: outputFile(file.name) })
  }
  return declarations
}

function allTypes(files: readonly ProtoFile[]): { node: protobuf.ReflectionObject; file: ProtoFile }[] {
  return files.flatMap((file) => file.types.flatMap(withNested).map((node) => ({ node, file })))
}

function withNested(node: protobuf.ReflectionObject): protobuf.ReflectionObject[] {
  if (!('nestedArray' in node)) return [node]
  return [node, ...(node as protobuf.NamespaceBase).nestedArray.flatMap(withNested)]
}

/** `palimpsest.worker.v1` -> `Worker`. */
function packageWord(packageName: string): string {
  const words = packageName.split('.').filter((word) => !/^v\d+/.test(word))
  const word = words.at(-1) ?? ''
  return word.charAt(0).toUpperCase() + word.slice(1)
}
