/** The four kinds of call as a client makes them, over a grpc-js client that passes bytes through. */
import type { Buffer } from 'node:buffer'
import type { Readable } from 'node:stream'
import { type CallOptions as GrpcCallOptions, type Client, Metadata, type ServiceError } from '@grpc/grpc-js'
import type { MethodSchema } from '../codec/schema.ts'
import { PalimpsestError } from '../errors.ts'
import { type CodecOptions, decodeIncoming, encodeOutgoing } from '../messages.ts'
import { PacedSender } from '../pacing.ts'
import { fromCallError } from '../status.ts'

/** Options of one call. */
export interface CallOptions {
  /** Cancels the call; it then fails with CANCELLED. */
  readonly signal?: AbortSignal | undefined
  /** Time until the call fails with DEADLINE_EXCEEDED; `Infinity` for none. */
  readonly deadlineMs?: number | undefined
  /** Text metadata to send. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

/** What all calls of a client share. */
export interface ClientRuntime {
  readonly client: Client
  readonly codec: CodecOptions
  /** For unary and client-streaming calls that name none. */
  readonly deadlineMs: number
}

/** A grpc-js call, as far as it is needed to end it. */
interface Cancellable {
  cancel(): void
}

/** The sending half of a grpc-js call. */
interface RequestStream extends Cancellable {
  write(bytes: Buffer, done: () => void): boolean
  end(): void
  once(event: 'status', listener: () => void): unknown
}

/** Calls one rpc. */
export class MethodCaller {
  private readonly method: MethodSchema
  private readonly runtime: ClientRuntime

  constructor(method: MethodSchema, runtime: ClientRuntime) {
    this.method = method
    this.runtime = runtime
  }

  async unary(request: unknown, options: CallOptions): Promise<unknown> {
    const bytes = this.encode(request)
    return this.single(options, (metadata, grpcOptions, done) =>
      this.runtime.client.makeUnaryRequest(
        this.method.path,
        identity,
        identity,
        bytes,
        metadata,
        grpcOptions,
        done,
      ),
    )
  }

  async clientStream(requests: AsyncIterable<unknown>, options: CallOptions): Promise<unknown> {
    let sending: Promise<void> | undefined
    const response = this.single(options, (metadata, grpcOptions, done) => {
      const { client } = this.runtime
      const call = client.makeClientStreamRequest(
        this.method.path,
        identity,
        identity,
        metadata,
        grpcOptions,
        done,
      )
      sending = this.send(call, requests)
      return call
    })
    // A failing producer cancels the call; its own error says more than CANCELLED.
    const [sent, received] = await Promise.allSettled([sending, response])
    if (sent.status === 'rejected') throw sent.reason
    if (received.status === 'rejected') throw received.reason
    return received.value
  }

  async *serverStream(request: unknown, options: CallOptions): AsyncGenerator {
    const bytes = this.encode(request)
    const { metadata, grpcOptions } = this.prepare(options, Infinity)
    const { client } = this.runtime
    const call = client.makeServerStreamRequest(
      this.method.path,
      identity,
      identity,
      bytes,
      metadata,
      grpcOptions,
    )
    yield* this.receive(call, call, options)
  }

  async *bidi(requests: AsyncIterable<unknown>, options: CallOptions): AsyncGenerator {
    const { metadata, grpcOptions } = this.prepare(options, Infinity)
    const { client } = this.runtime
    const call = client.makeBidiStreamRequest(this.method.path, identity, identity, metadata, grpcOptions)
    let failed: { readonly reason: unknown } | undefined
    const sending = this.send(call, requests).catch((reason: unknown) => {
      failed = { reason }
    })
    try {
      yield* this.receive(call, call, options)
    } catch (error) {
      await sending
      throw failed ? failed.reason : error
    }
  }

  private async single(
    options: CallOptions,
    start: (
      metadata: Metadata,
      options: GrpcCallOptions,
      done: (error: ServiceError | null, bytes?: Buffer) => void,
    ) => Cancellable,
  ): Promise<unknown> {
    const { metadata, grpcOptions } = this.prepare(options, this.runtime.deadlineMs)
    let release: (() => void) | undefined
    try {
      const bytes = await new Promise<Buffer>((resolve, reject) => {
        const call = start(metadata, grpcOptions, (error, response) => {
          if (error) reject(error)
          else if (response) resolve(response)
          else reject(new PalimpsestError('INTERNAL', `${this.method.path}: expected a response, found none`))
        })
        release = cancelOnAbort(call, options.signal)
      })
      return this.decode(bytes)
    } catch (error) {
      throw this.failure(error, options)
    } finally {
      release?.()
    }
  }

  /** Yields responses; leaving the loop early cancels the call. */
  private async *receive(stream: Readable, call: Cancellable, options: CallOptions): AsyncGenerator {
    const release = cancelOnAbort(call, options.signal)
    // Errors reach the loop below; without a listener one that comes after it would be fatal to the process.
    stream.on('error', ignore)
    let complete = false
    try {
      for await (const bytes of stream.iterator({ destroyOnReturn: false }))
        yield this.decode(bytes as Buffer)
      complete = true
    } catch (error) {
      throw this.failure(error, options)
    } finally {
      release()
      if (!complete) call.cancel()
    }
  }

  /** Sends requests until they end or the call does. */
  private async send(call: RequestStream, requests: AsyncIterable<unknown>): Promise<void> {
    const sender = new PacedSender((bytes, done) => call.write(bytes, done))
    const ended = new Promise<'ended'>((resolve) => {
      call.once('status', () => {
        sender.stop()
        resolve('ended')
      })
    })
    const iterator = requests[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await Promise.race([iterator.next(), ended])
        if (next === 'ended' || (next.done !== true && !(await sender.send(this.encode(next.value))))) {
          // Not awaited: a producer that waits for something else may never answer.
          void Promise.resolve(iterator.return?.()).catch(ignore)
          return
        }
        if (next.done) break
      }
      call.end()
    } catch (error) {
      call.cancel()
      throw error
    }
  }

  private prepare(
    options: CallOptions,
    defaultDeadlineMs: number,
  ): { metadata: Metadata; grpcOptions: GrpcCallOptions } {
    if (options.signal?.aborted) throw this.failure(undefined, options)
    const metadata = new Metadata()
    for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value)
    const deadlineMs = options.deadlineMs ?? defaultDeadlineMs
    return { metadata, grpcOptions: Number.isFinite(deadlineMs) ? { deadline: Date.now() + deadlineMs } : {} }
  }

  private encode(request: unknown): Buffer {
    return encodeOutgoing(this.method.request, request, this.method, this.runtime.codec)
  }

  private decode(bytes: Buffer): unknown {
    try {
      return decodeIncoming(this.method.response, bytes, this.method, this.runtime.codec)
    } catch (error) {
      if (!(error instanceof PalimpsestError)) throw error
      // The request was fine: it is the server that broke the contract.
      const { message, violations } = error
      const details = violations ? { violations } : {}
      throw new PalimpsestError(
        'INTERNAL',
        `${this.method.path} answered with an invalid message: ${message}`,
        details,
      )
    }
  }

  private failure(error: unknown, { signal }: CallOptions): PalimpsestError {
    if (signal?.aborted) {
      return new PalimpsestError('CANCELLED', `${this.method.path} was cancelled`, { cause: signal.reason })
    }
    return fromCallError(error, this.method.path)
  }
}

function cancelOnAbort(call: Cancellable, signal: AbortSignal | undefined): () => void {
  const cancel = () => {
    call.cancel()
  }
  signal?.addEventListener('abort', cancel, { once: true })
  return () => {
    signal?.removeEventListener('abort', cancel)
  }
}

/** Messages pass through grpc-js as bytes: this runtime decodes them. */
function identity(bytes: Buffer): Buffer {
  return bytes
}

function ignore(): void {
  // Told elsewhere.
}
