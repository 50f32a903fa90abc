/**
 * A client in the style of grpcurl: it learns services and messages from the server itself, by reflection, and calls
 * what it found. It uses no file of this package, only the reflection protocol's own description.
 * Source: grpc.reflection.v1 (grpc/proto, "GRPC Server Reflection Protocol").
 */
import { once } from 'node:events'
import { createRequire } from 'node:module'
import path from 'node:path'
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  loadPackageDefinition,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import protobuf from 'protobufjs'
import 'protobufjs/ext/descriptor/index.js'

interface ReflectionAnswer {
  readonly list_services_response?: { readonly service: readonly { readonly name: string }[] }
  readonly file_descriptor_response?: { readonly file_descriptor_proto: readonly Uint8Array[] }
  readonly error_response?: { readonly error_code: number; readonly error_message: string }
}

type ReflectionStream = ClientDuplexStream<Readonly<Record<string, string>>, ReflectionAnswer>

/** What a server says that it serves. */
export class Reflected {
  readonly #stream: ReflectionStream
  readonly #client: Client
  #services: readonly string[] = []
  #root = new protobuf.Root()

  private constructor(address: string, credentials: ChannelCredentials) {
    this.#stream = open(address, credentials)
    // Who asks hears of it; without a listener an error that comes later would end the process.
    this.#stream.on('error', () => undefined)
    this.#client = new Client(address, credentials)
  }

  /** Asks the server at `address` for everything. */
  static async of(address: string, credentials: ChannelCredentials): Promise<Reflected> {
    const reflected = new Reflected(address, credentials)
    const { list_services_response: listed } = await reflected.ask({ list_services: '' })
    reflected.#services = (listed?.service ?? []).map(({ name }) => name)
    const files = new Map<string, Uint8Array>()
    for (const service of reflected.#services) {
      const { file_descriptor_response: found } = await reflected.ask({ file_containing_symbol: service })
      for (const bytes of found?.file_descriptor_proto ?? [])
        files.set(Buffer.from(bytes).toString('base64'), bytes)
    }
    reflected.#root = rootOf([...files.values()])
    return reflected
  }

  get services(): readonly string[] {
    return this.#services
  }

  /** One request to the reflection service itself. */
  async ask(request: Readonly<Record<string, string>>): Promise<ReflectionAnswer> {
    const answered = once(this.#stream, 'data') as Promise<[ReflectionAnswer]>
    this.#stream.write(request)
    const [answer] = await answered
    return answer
  }

  /** Calls a unary rpc with a plain object; the answer is one too. */
  call(service: string, method: string, request: object): Promise<Record<string, unknown>> {
    const found = this.#root.lookupService(service).methods[method]
    if (found === undefined) throw new Error(`${service} has no ${method}`)
    found.resolve()
    const { resolvedRequestType: asks, resolvedResponseType: answers } = found
    if (asks === null || answers === null) throw new Error(`${method} has no types`)
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/${service}/${method}`,
        (value: object) => Buffer.from(asks.encode(asks.fromObject(value)).finish()),
        (bytes: Buffer) => answers.toObject(answers.decode(bytes), { longs: String, defaults: true }),
        request,
        (error, answer) => {
          if (error) reject(error)
          else resolve(answer ?? {})
        },
      )
    })
  }

  close(): void {
    this.#stream.end()
    this.#client.close()
  }
}

function open(address: string, credentials: ChannelCredentials): ReflectionStream {
  const folder = path.dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'))
  const file = path.join(folder, 'build', 'proto', 'grpc', 'reflection', 'v1', 'reflection.proto')
  const loaded = loadPackageDefinition(loadSync(file, { keepCase: true, oneofs: true })) as unknown as {
    grpc: {
      reflection: { v1: { ServerReflection: new (...of: [string, ChannelCredentials]) => Reflection } }
    }
  }
  return new loaded.grpc.reflection.v1.ServerReflection(address, credentials).ServerReflectionInfo()
}

interface Reflection {
  ServerReflectionInfo(): ReflectionStream
}

/** A root from FileDescriptorProtos: a FileDescriptorSet is nothing but them, each as its field 1. */
function rootOf(files: readonly Uint8Array[]): protobuf.Root {
  const set = protobuf.Writer.create()
  for (const file of files) set.uint32(10).bytes(file)
  const loader = protobuf.Root as unknown as { fromDescriptor(set: Uint8Array): protobuf.Root }
  const root = loader.fromDescriptor(set.finish())
  root.resolveAll()
  return root
}
