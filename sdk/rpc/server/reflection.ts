/**
 * grpc.reflection.v1 and v1alpha: grpcurl and others can list and call the services without proto files. Implemented on
 * this runtime rather than by a package that reads its proto file from disk, so that it also works in a single-file image.
 * Source: gRPC Server Reflection Protocol (github.com/grpc/grpc, doc/server-reflection.md).
 */
import { type FileDescriptor, fileDescriptors } from '../codec/file-descriptors.ts'
import type { Registry } from '../codec/schema.ts'
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../contract/grpc/reflection/v1/reflection.ts'
import { ServerReflection as ServerReflectionAlpha } from '../contract/grpc/reflection/v1alpha/reflection.ts'
import { grpcStatus } from '../errors.ts'
import { implement, type ServiceImplementation } from './handlers.ts'

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>

/** Reflection on these services of a contract. */
export function reflection(registry: Registry, services: readonly string[]): ServiceImplementation[] {
  let files: Files | undefined
  const handlers = {
    async *serverReflectionInfo(
      requests: AsyncIterable<ServerReflectionRequest>,
    ): AsyncGenerator<ServerReflectionResponse, void, undefined> {
      files ??= new Files(fileDescriptors(registry.json))
      for await (const request of requests) {
        const messageResponse = answer(files, services, request)
        yield { validHost: request.host, originalRequest: request, messageResponse }
      }
    },
  }
  return [implement(ServerReflection, handlers), implement(ServerReflectionAlpha, handlers)]
}

function answer(
  files: Files,
  services: readonly string[],
  { messageRequest }: ServerReflectionRequest,
): Answer {
  switch (messageRequest?.case) {
    case 'listServices':
      return { case: 'listServicesResponse', value: { service: services.map((name) => ({ name })) } }
    case 'fileByFilename':
      return files.answer(files.byName(messageRequest.value), messageRequest.value)
    case 'fileContainingSymbol':
      return files.answer(files.bySymbol(messageRequest.value), messageRequest.value)
    case 'fileContainingExtension':
      return notFound(`an extension of ${messageRequest.value.containingType}`)
    case 'allExtensionNumbersOfType':
      return {
        case: 'allExtensionNumbersResponse',
        value: { baseTypeName: messageRequest.value, extensionNumber: [] },
      }
    case undefined:
      return {
        case: 'errorResponse',
        value: { errorCode: grpcStatus.INVALID_ARGUMENT, errorMessage: 'expected a request, found none' },
      }
  }
}

function notFound(what: string): Answer {
  const errorMessage = `expected something of this server, found ${what}: list the services`
  return { case: 'errorResponse', value: { errorCode: grpcStatus.NOT_FOUND, errorMessage } }
}

/** The files of a contract. */
class Files {
  readonly #byName: ReadonlyMap<string, FileDescriptor>
  readonly #bySymbol: ReadonlyMap<string, FileDescriptor>

  constructor(files: readonly FileDescriptor[]) {
    this.#byName = new Map(files.map((file) => [file.name, file]))
    this.#bySymbol = new Map(files.flatMap((file) => file.symbols.map((symbol) => [symbol, file] as const)))
  }

  byName(name: string): FileDescriptor | undefined {
    return this.#byName.get(name)
  }

  bySymbol(symbol: string): FileDescriptor | undefined {
    return this.#bySymbol.get(symbol)
  }

  /** The file first, then what it imports, so that a client needs to ask only once. */
  answer(file: FileDescriptor | undefined, asked: string): Answer {
    if (file === undefined) return notFound(JSON.stringify(asked.slice(0, 200)))
    const found = new Set([file])
    for (const one of found) {
      for (const name of one.dependency) {
        const imported = this.#byName.get(name)
        if (imported !== undefined) found.add(imported)
      }
    }
    return {
      case: 'fileDescriptorResponse',
      value: { fileDescriptorProto: [...found].map(({ bytes }) => bytes) },
    }
  }
}
