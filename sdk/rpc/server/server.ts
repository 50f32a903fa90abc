/** A gRPC server over typed handlers: mutual TLS, health, reflection, backpressure, orderly shutdown. */
import type { Buffer } from 'node:buffer'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { Server, type ServerInterceptor, ServerInterceptingCall, status } from '@grpc/grpc-js'
import { PalimpsestError } from '../errors.ts'
import { type Limits, channelOptions, resolveLimits } from '../limits.ts'
import { type Logger, silentLogger } from '../log.ts'
import { toWireStatus } from '../status.ts'
import { type TlsIdentity, checkTlsIdentity, serverCredentials } from '../tls.ts'
import type { Tap } from '../transcript.ts'
import { type CallRuntime, grpcHandler } from './calls.ts'
import type { ServiceImplementation } from './handlers.ts'
import { HealthState } from './health.ts'
import { type Listener, isLocal, listenOn } from './listen.ts'
import { reflection } from './reflection.ts'

/** What a server is made of. */
export interface ServerOptions {
  readonly services: readonly ServiceImplementation[]
  /** Mutual TLS: every call needs a certificate of this authority. Without it only local addresses are accepted. */
  readonly tls?: TlsIdentity | undefined
  readonly log?: Logger | undefined
  readonly limits?: Limits | undefined
  readonly tap?: Tap | undefined
  /** Server reflection; default true. */
  readonly reflection?: boolean | undefined
}

/** A running server. */
export interface RpcServer {
  /**
   * Binds addresses (`127.0.0.1:0`, `unix:/path`) and returns them with real ports, in the same order.
   * @throws PalimpsestError ALREADY_EXISTS when a server answers on a socket path, UNAVAILABLE when it cannot bind.
   */
  listen(...addresses: readonly string[]): Promise<string[]>
  /**
   * Ends the server: health says NOT_SERVING, streams are aborted, unary calls may finish within `graceMs` (default
   * 2000), then everything is cut. Socket files are removed. May be called again; all calls resolve together.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>
}

/**
 * Makes a server; it takes no calls before `listen`.
 *
 * @example
 * const server = createServer({ services: [implement(WorkerService, { copy: (requests) => copier.run(requests) })] })
 * const [address] = await server.listen('unix:/run/palimpsest/worker.sock')
 */
export function createServer(options: ServerOptions): RpcServer {
  if (options.tls) checkTlsIdentity(options.tls)
  return new GrpcServer(options)
}

class GrpcServer implements RpcServer {
  private readonly options: ServerOptions
  private readonly server: Server
  private readonly health: HealthState
  private readonly runtime: CallRuntime
  private readonly listeners: Listener[] = []
  private closing: Promise<void> | undefined

  constructor(options: ServerOptions) {
    this.options = options
    const limits = resolveLimits(options.limits)
    const interceptors = options.tls ? [requireCertificate] : []
    this.server = new Server({ ...channelOptions(limits), interceptors })
    this.health = new HealthState(options.services.map(({ service }) => service.typeName))
    this.runtime = {
      codec: { maxMessageBytes: limits.maxMessageBytes, tap: options.tap },
      log: options.log ?? silentLogger,
      calls: new Set(),
    }
    const own = [this.health.implementation(), ...this.reflected()]
    for (const implementation of [...options.services, ...own]) this.add(implementation)
  }

  private add({ service, handlers }: ServiceImplementation): void {
    for (const method of service.schema.methods.values()) {
      const handler = grpcHandler(method, handlers.get(method.name), this.runtime)
      if (!this.server.register(method.path, handler, identity, identity, grpcKinds[method.kind])) {
        throw new TypeError(`expected each service once, found ${service.typeName} twice`)
      }
    }
  }

  private reflected(): ServiceImplementation[] {
    const { services, reflection: wanted } = this.options
    const [first] = services
    if (wanted === false || !first) return []
    const names = services.map(({ service }) => service.typeName)
    return reflection(first.service.registry, names)
  }

  async listen(...addresses: readonly string[]): Promise<string[]> {
    const open = this.options.tls ? undefined : addresses.find((address) => !isLocal(address))
    if (open !== undefined) {
      throw new TypeError(`expected tls, a UNIX socket or a loopback address, found plaintext on ${open}`)
    }
    const bound: string[] = []
    for (const address of addresses) {
      const listener = await listenOn(this.server, address, serverCredentials(this.options.tls))
      this.listeners.push(listener)
      bound.push(listener.address)
    }
    return bound
  }

  close(options: { readonly graceMs?: number } = {}): Promise<void> {
    this.closing ??= this.shutDown(options.graceMs ?? 2000)
    return this.closing
  }

  private async shutDown(graceMs: number): Promise<void> {
    this.health.stop()
    // Lets watchers of the health service hear of it before their streams end.
    await setImmediate()
    await setImmediate()
    const grace = new AbortController()
    const over = setTimeout(graceMs, undefined, { signal: grace.signal, ref: false }).catch(() => undefined)
    const drained = new Promise<void>((resolve) => {
      this.server.tryShutdown(() => {
        resolve()
      })
    })
    this.abortCalls(true)
    const settled = Promise.all([...this.runtime.calls].map((call) => call.settled))
    await Promise.race([Promise.all([drained, settled]), over])
    grace.abort()
    this.abortCalls(false)
    this.server.forceShutdown()
    for (const listener of this.listeners) listener.remove()
  }

  private abortCalls(streamsOnly: boolean): void {
    for (const call of this.runtime.calls) {
      if (!streamsOnly || call.streaming) {
        call.abort(new PalimpsestError('UNAVAILABLE', 'the server is shutting down'))
      }
    }
  }
}

const grpcKinds = {
  unary: 'unary',
  'server-stream': 'serverStream',
  'client-stream': 'clientStream',
  bidi: 'bidi',
} as const

/** Messages pass through grpc-js as bytes: this runtime decodes, so that a bad message is INVALID_ARGUMENT. */
function identity(bytes: Buffer): Buffer {
  return bytes
}

/** Refuses calls whose connection showed no certificate of the authority; covers health and reflection too. */
const requireCertificate: ServerInterceptor = (_method, call) =>
  new ServerInterceptingCall(call, {
    start: (next) => {
      if (call.getAuthContext().sslPeerCertificate) {
        next()
        return
      }
      const message = "expected a client certificate of the operator's authority, found none that it issued"
      const { metadata } = toWireStatus(new PalimpsestError('UNAUTHENTICATED', message), '')
      call.sendStatus({ code: status.UNAUTHENTICATED, details: message, metadata })
    },
  })
