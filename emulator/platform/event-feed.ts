// What the host is told as it happens: faults and worker exits. One caller at a time holds the feed; the newest one
// takes it over, so that a restarted hypervisor need not wait until its predecessor's connection is known to be dead.

import { PalimpsestError } from '../../sdk/rpc/index.ts'
import type { FaultEvent } from './memory/faults.ts'

/** Exits kept while nobody watches. */
const MAX_KEPT_EXITS = 1024

/** A worker's process ended. */
export interface WorkerExitEvent {
  readonly vm: string
  /** `exit code 1`, or a signal's name. */
  readonly reason: string
}

/** One thing that happened. */
export type PlatformEvent =
  | { readonly case: 'ready' }
  | { readonly case: 'fault'; readonly fault: FaultEvent }
  | { readonly case: 'workerExit'; readonly exit: WorkerExitEvent }

/** One caller's queue. */
class Watcher {
  #queue: PlatformEvent[] = []
  #ended: PalimpsestError | undefined
  #wake: () => void = () => undefined

  push(event: PlatformEvent): void {
    this.#queue.push(event)
    this.#wake()
  }

  end(reason: PalimpsestError): void {
    this.#ended = reason
    this.#wake()
  }

  /** All that is queued, or waits for some. Undefined once `signal` has aborted. @throws the reason of {@link end} */
  async take(signal: AbortSignal): Promise<readonly PlatformEvent[] | undefined> {
    while (this.#queue.length === 0) {
      if (this.#ended !== undefined) throw this.#ended
      if (signal.aborted) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const events = this.#queue
    this.#queue = []
    return events
  }

  wake(): void {
    this.#wake()
  }
}

/** The feed. */
export class EventFeed {
  readonly #openFaults: () => readonly FaultEvent[]
  #watcher: Watcher | undefined
  #exits: WorkerExitEvent[] = []

  /** `openFaults` are what a new caller is told first. */
  constructor(openFaults: () => readonly FaultEvent[]) {
    this.#openFaults = openFaults
  }

  /** Tells of a fault. */
  fault(fault: FaultEvent): void {
    // Without a watcher nothing is lost: the fault stays open, and the next caller is told first.
    this.#watcher?.push({ case: 'fault', fault })
  }

  /** Tells of an exit, or keeps it for the next caller. */
  workerExit(exit: WorkerExitEvent): void {
    if (this.#watcher !== undefined) this.#watcher.push({ case: 'workerExit', exit })
    else if (this.#exits.length < MAX_KEPT_EXITS) this.#exits.push(exit)
  }

  /** Events until `signal` aborts. @throws ABORTED when another caller takes the feed over */
  async *watch(signal: AbortSignal): AsyncGenerator<PlatformEvent, void, undefined> {
    const watcher = new Watcher()
    this.#watcher?.end(
      new PalimpsestError('ABORTED', 'another caller watches the events now: there is one at a time'),
    )
    this.#watcher = watcher
    watcher.push({ case: 'ready' })
    for (const fault of this.#openFaults()) watcher.push({ case: 'fault', fault })
    for (const exit of this.#exits) watcher.push({ case: 'workerExit', exit })
    this.#exits = []
    const onAbort = () => {
      watcher.wake()
    }
    signal.addEventListener('abort', onAbort)
    try {
      for (
        let events = await watcher.take(signal);
        events !== undefined;
        events = await watcher.take(signal)
      ) {
        yield* events
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      if (this.#watcher === watcher) this.#watcher = undefined
    }
  }
}
