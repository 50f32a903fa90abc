/** Typed clients: one connection, any number of services on it. */
import { Client, connectivityState } from '@grpc/grpc-js'
import { PalimpsestError } from '../errors.ts'
import { type Limits, channelOptions, resolveLimits } from '../limits.ts'
import type { ServiceDescriptor, ServiceMethods } from '../service.ts'
import { type ClientTls, clientCredentials } from '../tls.ts'
import type { Tap } from '../transcript.ts'
import { type CallOptions, type ClientRuntime, MethodCaller } from './calls.ts'

/** How to reach a server. */
export interface ConnectionOptions {
  /** `host:port` or `unix:/path`. */
  readonly address: string
  /** Default: plaintext. */
  readonly tls?: ClientTls | undefined
  readonly defaults?: {
    /** For unary and client-streaming calls that name none; default 30 s. Other streams have none by default. */
    readonly deadlineMs?: number
  }
  readonly limits?: Limits | undefined
  readonly tap?: Tap | undefined
}

/** One rpc as a function. Streams start when they are first iterated; leaving the loop cancels them. */
export type RpcFunction<M extends ServiceMethods[string]> = M['kind'] extends 'unary'
  ? (request: M['request'], options?: CallOptions) => Promise<M['response']>
  : M['kind'] extends 'server-stream'
    ? (request: M['request'], options?: CallOptions) => AsyncGenerator<M['response'], void, undefined>
    : M['kind'] extends 'client-stream'
      ? (requests: AsyncIterable<M['request']>, options?: CallOptions) => Promise<M['response']>
      : (
          requests: AsyncIterable<M['request']>,
          options?: CallOptions,
        ) => AsyncGenerator<M['response'], void, undefined>

/** The rpcs of a service as functions. They throw PalimpsestError and nothing else. */
export type Rpcs<M extends ServiceMethods> = { readonly [K in keyof M]: RpcFunction<M[K]> }

/** A connection; it is made at the first call and again after a loss. */
export interface Connection {
  /** The rpcs of a service over this connection. */
  client<M extends ServiceMethods>(service: ServiceDescriptor<M>): Rpcs<M>
  /** Resolves when the server answers. @throws PalimpsestError UNAVAILABLE after `deadlineMs` (default 10 s). */
  waitForReady(options?: { readonly deadlineMs?: number }): Promise<void>
  /** Ends the connection; calls in progress fail with CANCELLED. */
  close(): void
}

/** Opens a connection for the clients of several services. */
export function connect(options: ConnectionOptions): Connection {
  return new GrpcConnection(options)
}

/** A client of one service, with its own connection. */
export type ServiceClient<M extends ServiceMethods> = Rpcs<M> & Pick<Connection, 'waitForReady' | 'close'>

/** The client of a service, by its descriptor: `ClientOf<typeof WorkerService>`. */
export type ClientOf<S> = S extends ServiceDescriptor<infer M> ? ServiceClient<M> : never

/**
 * Opens a connection for one service.
 * @throws TypeError when the service has an rpc named `close` or `waitForReady`: use `connect` for it.
 *
 * @example
 * const host = createClient(HypervisorService, { address: 'unix:/run/palimpsest/hypervisor.sock' })
 * const { vms } = await host.listVms({}, { deadlineMs: 1000 })
 */
export function createClient<M extends ServiceMethods>(
  service: ServiceDescriptor<M>,
  options: ConnectionOptions,
): ServiceClient<M> {
  const clash = ['close', 'waitForReady'].find((name) => service.schema.methods.has(name))
  if (clash !== undefined)
    throw new TypeError(`expected no rpc named ${clash} in ${service.typeName}: use connect()`)
  const connection = connect(options)
  return Object.assign(connection.client(service), {
    waitForReady: (ready?: { readonly deadlineMs?: number }) => connection.waitForReady(ready),
    close: () => {
      connection.close()
    },
  })
}

class GrpcConnection implements Connection {
  private readonly address: string
  private readonly runtime: ClientRuntime

  constructor(options: ConnectionOptions) {
    const limits = resolveLimits(options.limits)
    const name = options.tls?.serverName
    const channel = {
      ...channelOptions(limits),
      // Each connection is its own: closing one must not depend on who else talks to the server.
      'grpc.use_local_subchannel_pool': 1,
      // Grants are used once and copies made once: whether to call again is the caller's decision.
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      // Local addresses never lie behind a proxy, and a proxy of the environment must not see calls to others.
      'grpc.enable_http_proxy': 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 5_000,
      ...(name === undefined
        ? {}
        : { 'grpc.ssl_target_name_override': name, 'grpc.default_authority': name }),
    }
    this.address = options.address
    this.runtime = {
      client: new Client(options.address, clientCredentials(options.tls), channel),
      codec: { maxMessageBytes: limits.maxMessageBytes, tap: options.tap },
      deadlineMs: options.defaults?.deadlineMs ?? 30_000,
    }
  }

  client<M extends ServiceMethods>(service: ServiceDescriptor<M>): Rpcs<M> {
    const functions = [...service.schema.methods.values()].map((method) => {
      const caller = new MethodCaller(method, this.runtime)
      return [method.name, rpcFunction(caller, method.kind)] as const
    })
    return Object.fromEntries(functions) as Rpcs<M>
  }

  waitForReady(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    const deadlineMs = options.deadlineMs ?? 10_000
    return new Promise((resolve, reject) => {
      this.runtime.client.waitForReady(Date.now() + deadlineMs, (error) => {
        if (!error) {
          resolve()
          return
        }
        const state = connectivityState[this.runtime.client.getChannel().getConnectivityState(false)]
        const problem = `expected a server at ${this.address} within ${deadlineMs} ms, found state ${state}`
        reject(new PalimpsestError('UNAVAILABLE', `${problem}: is it running?`, { cause: error }))
      })
    })
  }

  close(): void {
    this.runtime.client.close()
  }
}

type AnyRpcFunction = (input: never, options?: CallOptions) => unknown

function rpcFunction(caller: MethodCaller, kind: ServiceMethods[string]['kind']): AnyRpcFunction {
  switch (kind) {
    case 'unary':
      return (request, options = {}) => caller.unary(request, options)
    case 'server-stream':
      return (request, options = {}) => caller.serverStream(request, options)
    case 'client-stream':
      return (requests, options = {}) => caller.clientStream(requests, options)
    case 'bidi':
      return (requests, options = {}) => caller.bidi(requests, options)
  }
}
