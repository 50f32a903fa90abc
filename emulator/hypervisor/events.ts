/**
 * The platform's event stream: faults and worker exits. Attached again when it breaks; the platform then sends the
 * faults that are still open once more.
 * Source: host_port.proto (WatchEvents).
 */
import { type Fault, type Logger, PalimpsestError } from '../../sdk/rpc/index.ts'
import type { PlatformPort } from './ports.ts'
import { Deferred, delay } from './waiting.ts'

/** Who is told of events. */
export interface EventSinks {
  fault(fault: Fault): void
  workerExit(vm: string, reason: string): void
}

const pauseMs = 200

/** Reads the stream until it is stopped. */
export class PlatformEvents {
  readonly #platform: Pick<PlatformPort, 'watchEvents'>
  readonly #sinks: EventSinks
  readonly #log: Logger
  readonly #stop = new AbortController()
  readonly #attached = new Deferred<void>()
  #done: Promise<void> = Promise.resolve()

  constructor(platform: Pick<PlatformPort, 'watchEvents'>, sinks: EventSinks, log: Logger) {
    this.#platform = platform
    this.#sinks = sinks
    this.#log = log
  }

  /** Resolves when the stream is attached. @throws PalimpsestError when another host holds the stream. */
  async start(): Promise<void> {
    this.#done = this.#run()
    await this.#attached.promise
  }

  #isStopped(): boolean {
    return this.#stop.signal.aborted
  }

  /** Lets the stream go. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!this.#isStopped()) {
      try {
        await this.#read(signal)
      } catch (error) {
        if (!this.#isStopped()) this.#log.warn({ err: error }, 'the event stream of the platform broke')
        const isRefusal = error instanceof PalimpsestError && error.status !== 'UNAVAILABLE'
        if (isRefusal) this.#attached.reject(error)
        // There is one host at a time; taking the stream back would take it from a host that was started after us.
        if (error instanceof PalimpsestError && error.code === 'ABORTED') return
      }
      await delay(pauseMs, signal)
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    for await (const { event } of this.#platform.watchEvents({}, { signal })) {
      if (event?.case === 'ready') this.#attached.resolve()
      else if (event?.case === 'fault') this.#sinks.fault(event.value)
      else if (event?.case === 'workerExit') this.#sinks.workerExit(event.value.vm, event.value.reason)
    }
  }
}
