/**
 * Reads every proto file of the contract, and the few public ones that the runtime speaks besides it, into one
 * protobufjs root. Field names stay as written (snake_case), so that reflection shows what the files say.
 */
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { getProtoPath } from 'google-proto-files'
import { protoPath as healthProto } from 'grpc-health-check'
import protobuf from 'protobufjs'

const reflectionPackage = path.dirname(
  createRequire(import.meta.url).resolve('@grpc/reflection/package.json'),
)

/** Proto files of the reflection protocol, both versions that clients ask for. */
function reflectionProto(version: string): string {
  return path.join(reflectionPackage, 'build', 'proto', 'grpc', 'reflection', version, 'reflection.proto')
}

/** Public proto files of npm packages, by the names under which they are imported. */
const publicFiles: Readonly<Record<string, string>> = {
  'google/rpc/code.proto': getProtoPath('rpc/code.proto'),
  'google/rpc/status.proto': getProtoPath('rpc/status.proto'),
  'google/rpc/error_details.proto': getProtoPath('rpc/error_details.proto'),
  'grpc/health/v1/health.proto': healthProto,
  'grpc/reflection/v1/reflection.proto': reflectionProto('v1'),
  'grpc/reflection/v1alpha/reflection.proto': reflectionProto('v1alpha'),
}

/** A proto file and the types and services declared at its top level. */
export interface ProtoFile {
  /** Import name, for example `palimpsest/common/v1/block.proto`. */
  readonly name: string
  readonly packageName: string
  readonly types: readonly (protobuf.Type | protobuf.Enum)[]
  readonly services: readonly protobuf.Service[]
}

/** The whole contract. */
export interface Contract {
  readonly root: protobuf.Root
  readonly files: readonly ProtoFile[]
}

/** Loads all `*.proto` below `directory` and the public files. @throws Error naming the file that cannot be parsed. */
export function loadContract(directory: string): Contract {
  const own = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.proto'))
    .map((name) => name.split(path.sep).join('/'))
    .sort()
  const root = new protobuf.Root()
  root.resolvePath = (_origin, target) => locate(directory, target)
  const names = [...own, ...Object.keys(publicFiles)]
  root.loadSync([...names], { keepCase: true, alternateCommentMode: true })
  root.resolveAll()
  return { root, files: collectFiles(root, directory) }
}

function locate(directory: string, target: string): string {
  const own = path.join(directory, target)
  if (existsSync(own)) return own
  const published = publicFiles[target]
  if (published !== undefined) return published
  // protobufjs bundles google/protobuf/*; everything else has to be in `directory`.
  if (target.startsWith('google/protobuf/')) return target
  throw new Error(`expected ${target} below ${directory}, found no such file`)
}

function collectFiles(root: protobuf.Root, directory: string): ProtoFile[] {
  const files = new Map<
    string,
    { packageName: string; types: (protobuf.Type | protobuf.Enum)[]; services: protobuf.Service[] }
  >()
  const visit = (namespace: protobuf.NamespaceBase): void => {
    for (const node of namespace.nestedArray) {
      const packageName = namespace.fullName.slice(1)
      const name = importName(node, packageName, directory)
      const file = files.get(name) ?? { packageName, types: [], services: [] }
      if (node instanceof protobuf.Service) file.services.push(node)
      else if (node instanceof protobuf.Type || node instanceof protobuf.Enum) file.types.push(node)
      else if (node instanceof protobuf.Namespace) visit(node)
      if (file.types.length + file.services.length > 0) files.set(name, file)
    }
  }
  visit(root)
  return [...files].map(([name, file]) => ({ name, ...file })).sort((a, b) => (a.name < b.name ? -1 : 1))
}

function importName(node: protobuf.ReflectionObject, packageName: string, directory: string): string {
  const file = node.filename ?? ''
  // Bundled types carry no usable file name: google.protobuf.* share one.
  if (packageName === 'google.protobuf') return 'google/protobuf/well_known.proto'
  const inside = path.relative(directory, file)
  if (file !== '' && !inside.startsWith('..')) return inside.split(path.sep).join('/')
  const known = Object.entries(publicFiles).find(([, published]) => published === file)
  return known?.[0] ?? `${packageName.replaceAll('.', '/')}.proto`
}
