// A recording proxy in front of the hypervisor's API, written with @grpc/grpc-js alone: it shares no code with the
// product's transcript. It stands where a malicious host stands, behind TLS: towards callers it is the hypervisor, with
// the hypervisor's identity; what it forwards and returns it keeps, byte for byte.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type StatusObject,
} from '@grpc/grpc-js'

/** Certificate, key and authority, PEM. */
export interface Identity {
  readonly certificatePem: string
  readonly keyPem: string
  readonly caPem: string
}

/** One message. `to-host` is what reached the hypervisor. */
export interface Message {
  readonly method: string
  readonly direction: 'to-host' | 'from-host'
  readonly bytes: Buffer
}

type Stream = ServerDuplexStream<Buffer, Buffer>

const unlimited = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }
const asIs = (bytes: Buffer): Buffer => bytes

/** A running proxy. */
export class RecordingProxy {
  readonly messages: Message[] = []
  readonly #server = new Server(unlimited)
  readonly #upstreams = new Map<string, Client>()
  readonly #connect: (caller: string) => Client

  /**
   * `identityOf` gives the identity for a caller's name (CN): the hypervisor that stands upstream asks for the same
   * certificate again, which a host that lies would simply not do.
   */
  constructor(upstream: string, identityOf: (caller: string) => Identity) {
    this.#connect = (caller) => {
      const { caPem, keyPem, certificatePem } = identityOf(caller)
      const tls = credentials.createSsl(Buffer.from(caPem), Buffer.from(keyPem), Buffer.from(certificatePem))
      return new Client(upstream, tls, { ...unlimited, 'grpc.ssl_target_name_override': 'localhost' })
    }
  }

  /** Serves all rpcs of the services in a folder of .proto files at `address`, as `identity`. */
  async listen(address: string, identity: Identity, protos: string): Promise<void> {
    for (const { service, paths } of servicesIn(protos)) {
      const definition = Object.fromEntries(
        paths.map((path) => [path, passthrough(path)]),
      ) as ServiceDefinition
      const forward = (path: string) => (call: Stream) => {
        this.#forward(path, call)
      }
      this.#server.addService(definition, Object.fromEntries(paths.map((path) => [path, forward(path)])))
      if (paths.length === 0) throw new Error(`no rpcs were found in ${service}`)
    }
    const pair = {
      cert_chain: Buffer.from(identity.certificatePem),
      private_key: Buffer.from(identity.keyPem),
    }
    const tls = ServerCredentials.createSsl(Buffer.from(identity.caPem), [pair], true)
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(address, tls, (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  close(): void {
    this.#server.forceShutdown()
    for (const client of this.#upstreams.values()) client.close()
  }

  #upstream(caller: string): Client {
    const known = this.#upstreams.get(caller)
    if (known !== undefined) return known
    const client = this.#connect(caller)
    this.#upstreams.set(caller, client)
    return client
  }

  /** Every rpc is forwarded as a stream in both directions: on the wire the four kinds are the same. */
  #forward(method: string, call: Stream): void {
    const caller = String(call.getAuthContext().sslPeerCertificate?.subject.CN)
    const upstream: ClientDuplexStream<Buffer, Buffer> = this.#upstream(caller).makeBidiStreamRequest(
      method,
      asIs,
      asIs,
    )
    call.on('data', (bytes: Buffer) => {
      this.messages.push({ method, direction: 'to-host', bytes })
      upstream.write(bytes)
    })
    call.on('end', () => {
      upstream.end()
    })
    call.on('cancelled', () => {
      upstream.cancel()
    })
    upstream.on('data', (bytes: Buffer) => {
      this.messages.push({ method, direction: 'from-host', bytes })
      call.write(bytes)
    })
    // A failed call is told by its status, which comes too.
    upstream.on('error', () => undefined)
    upstream.on('status', ({ code, details, metadata }: StatusObject) => {
      if (code === status.OK) call.end(metadata)
      else call.emit('error', { code, details, metadata })
    })
  }
}

function passthrough(path: string): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  }
}

/** Paths of all rpcs that a folder of .proto files declares. */
function servicesIn(folder: string): { service: string; paths: string[] }[] {
  return readdirSync(folder).flatMap((file) => {
    const text = readFileSync(join(folder, file), 'utf8')
    const package_ = /^package ([\w.]+);/m.exec(text)?.[1] ?? ''
    return [...text.matchAll(/^service (\w+) \{([\s\S]*?)^\}/gm)].map(([, name = '', body = '']) => ({
      service: name,
      paths: [...body.matchAll(/^ {2}rpc (\w+)\(/gm)].map(([, rpc = '']) => `/${package_}.${name}/${rpc}`),
    }))
  })
}
