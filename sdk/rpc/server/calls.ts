/**
 * Runs handlers under grpc-js: decodes, calls, encodes, and turns whatever is thrown into a status. Every handler is
 * wrapped here and nowhere else, because an async handler that throws under bare grpc-js is an unhandled rejection
 * and leaves its caller waiting for the deadline.
 */
import type { Buffer } from 'node:buffer'
import type { Readable } from 'node:stream'
import type {
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedHandleCall,
  sendUnaryData,
} from '@grpc/grpc-js'
import type { ServerSurfaceCall } from '@grpc/grpc-js/build/src/server-call.js'
import type { MethodSchema } from '../codec/schema.ts'
import { PalimpsestError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { type CodecOptions, decodeIncoming, encodeOutgoing } from '../messages.ts'
import { PacedSender } from '../pacing.ts'
import { type WireStatus, toWireStatus } from '../status.ts'
import { type ActiveCall, type CallContext, openCall } from './context.ts'
import type { AnyHandler } from './handlers.ts'

/** What all calls of a server share. */
export interface CallRuntime {
  readonly codec: CodecOptions
  readonly log: Logger
  /** Calls in progress; shutdown aborts and awaits them. */
  readonly calls: Set<RunningCall>
}

/** A call in progress, as shutdown sees it. */
export interface RunningCall {
  readonly streaming: boolean
  /** Ends the call with this error; its handler's signal aborts. */
  abort(reason: PalimpsestError): void
  /** Resolves when the handler has returned, whatever it did. */
  readonly settled: Promise<void>
}

/** The grpc-js handler of an rpc. Without `handler` it answers UNIMPLEMENTED. */
export function grpcHandler(
  method: MethodSchema,
  handler: AnyHandler | undefined,
  runtime: CallRuntime,
): UntypedHandleCall {
  const run = new MethodRunner(method, handler ?? unimplemented(method), runtime)
  switch (method.kind) {
    case 'unary':
      return (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
        run.unary(call, reply)
      }
    case 'client-stream':
      return (call: ServerReadableStream<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
        run.clientStream(call, reply)
      }
    case 'server-stream':
      return (call: ServerWritableStream<Buffer, Buffer>) => {
        run.serverStream(call)
      }
    case 'bidi':
      return (call: ServerDuplexStream<Buffer, Buffer>) => {
        run.bidi(call)
      }
  }
}

function unimplemented(method: MethodSchema): AnyHandler {
  return () => {
    throw new PalimpsestError('UNIMPLEMENTED', `expected an rpc of this server, found ${method.path}`)
  }
}

/** The sending half of a streaming call. */
interface ResponseStream {
  write(bytes: Buffer, done: () => void): boolean
  end(): void
  emit(event: 'error', status: WireStatus): boolean
}

/** How a call ends: with a message, without one (streams), or with an error. */
interface Ending {
  succeed(response: Buffer | undefined): void
  fail(status: WireStatus): void
}

class MethodRunner {
  private readonly method: MethodSchema
  private readonly handler: AnyHandler
  private readonly runtime: CallRuntime

  constructor(method: MethodSchema, handler: AnyHandler, runtime: CallRuntime) {
    this.method = method
    this.handler = handler
    this.runtime = runtime
  }

  unary(call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void {
    this.start(call, replyOnce(reply), async ({ context }) =>
      this.encode(await this.handler(this.decode(call.request), context)),
    )
  }

  clientStream(call: ServerReadableStream<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void {
    this.start(call, replyOnce(reply), async ({ context }) =>
      this.encode(await this.handler(this.incoming(call, context), context)),
    )
  }

  serverStream(call: ServerWritableStream<Buffer, Buffer>): void {
    this.start(call, endStream(call), ({ context }) => this.respond(call, this.decode(call.request), context))
  }

  bidi(call: ServerDuplexStream<Buffer, Buffer>): void {
    this.start(call, endStream(call), ({ context }) =>
      this.respond(call, this.incoming(call, context), context),
    )
  }

  /** Runs `work` and ends the call once: with its result, its error, or the reason of an abort before that. */
  private start(
    call: ServerSurfaceCall,
    ending: Ending,
    work: (active: ActiveCall) => Promise<Buffer | undefined>,
  ): void {
    let finished = false
    const active = openCall(call, this.method.path, this.runtime.log, () => finished)
    const { context } = active
    const running = promise(() => work(active))
    const finish = (end: () => void): void => {
      if (finished) return
      finished = true
      // A call that the caller has left takes no reply any more.
      if (!call.cancelled) end()
    }
    const fail = (thrown: unknown): void => {
      finish(() => {
        ending.fail(toWireStatus(thrown, context.requestId))
      })
    }
    context.signal.addEventListener('abort', () => {
      fail(context.signal.reason)
    })
    const settled = running.then(
      (response) => {
        finish(() => {
          ending.succeed(response)
        })
      },
      (thrown: unknown) => {
        logFailure(thrown, context, finished)
        fail(thrown)
      },
    )
    this.track(active, settled)
  }

  private track(active: ActiveCall, settled: Promise<void>): void {
    const streaming = this.method.kind !== 'unary'
    const call: RunningCall = {
      streaming,
      abort: (reason) => {
        active.abort(reason)
      },
      settled,
    }
    this.runtime.calls.add(call)
    void settled.then(() => this.runtime.calls.delete(call))
  }

  private decode(bytes: Buffer): unknown {
    return decodeIncoming(this.method.request, bytes, this.method, this.runtime.codec)
  }

  /** An invalid response is the server's fault, so the caller is told INTERNAL and the log has the violations. */
  private encode(response: unknown): Buffer {
    try {
      return encodeOutgoing(this.method.response, response, this.method, this.runtime.codec)
    } catch (error) {
      if (!(error instanceof PalimpsestError) || error.code !== 'INVALID_ARGUMENT') throw error
      throw new Error(`the handler of ${this.method.path} returned an invalid response`, { cause: error })
    }
  }

  private async *incoming(call: ServerReadableStream<Buffer, Buffer>, context: CallContext): AsyncGenerator {
    const stream: Readable = call
    try {
      // A handler that has read enough may go on answering: leaving the loop must not destroy the stream.
      for await (const bytes of stream.iterator({ destroyOnReturn: false }))
        yield this.decode(bytes as Buffer)
    } catch (error) {
      // grpc-js destroys the stream of a cancelled call; the signal knows why.
      throw context.signal.aborted ? context.signal.reason : error
    }
  }

  private async respond(call: ResponseStream, input: unknown, context: CallContext): Promise<undefined> {
    const sender = new PacedSender((bytes, done) => call.write(bytes, done))
    context.signal.addEventListener('abort', () => {
      sender.stop()
    })
    for await (const response of this.handler(input, context) as AsyncIterable<unknown>) {
      if (!(await sender.send(this.encode(response)))) break
    }
  }
}

function replyOnce(reply: sendUnaryData<Buffer>): Ending {
  return {
    succeed: (response) => {
      reply(null, response)
    },
    fail: (status) => {
      reply(status)
    },
  }
}

function endStream(call: ResponseStream): Ending {
  return {
    succeed: () => {
      call.end()
    },
    // grpc-js's way to end a stream with a status: the listener of its own 'error' event ends the call.
    fail: (status) => call.emit('error', status),
  }
}

/** Runs a function that may throw at once as if it were async from the start. */
async function promise<T>(run: () => Promise<T>): Promise<T> {
  return run()
}

/** What the caller is not told goes to the log; expected errors are the caller's business and logged for debugging. */
function logFailure(thrown: unknown, context: CallContext, finished: boolean): void {
  if (thrown instanceof PalimpsestError) {
    const { code, message, metadata, cause } = thrown
    context.log.debug({ code, metadata, ...(cause === undefined ? {} : { err: cause }) }, message)
  } else if (finished) {
    context.log.debug({ err: thrown }, 'the handler failed after its call had ended')
  } else {
    context.log.error({ err: thrown }, 'the handler failed')
  }
}
