// Nested page faults (systems, 2.6 D and 2.8): an access that cannot be done waits here, the host is told where and why
// but never what was to be stored, and the same access runs again when the host says so. One fault per waiting access.

import { PalimpsestError, type Access, type ErrorCode, type FaultReason } from '../../../sdk/rpc/index.ts'

/** What the host is told. */
export interface FaultEvent {
  readonly id: number
  readonly vm: string
  /** Guest page. */
  readonly index: number
  readonly access: Access
  readonly reason: FaultReason
}

interface WaitingAccess {
  readonly event: FaultEvent
  readonly resume: () => void
  readonly fail: (error: unknown) => void
}

/** How long accesses wait, and who is told of them. */
export interface FaultQueueOptions {
  /** Milliseconds after which a waiting access fails with STALLED; 0 means never. */
  readonly stallTimeoutMs: number
  /** Called once per fault, at once. */
  readonly onFault: (event: FaultEvent) => void
}

/** The accesses that wait. */
export class FaultQueue {
  readonly #waiting = new Map<number, WaitingAccess>()
  readonly #options: FaultQueueOptions
  #lastId = 0

  constructor(options: FaultQueueOptions) {
    this.#options = options
  }

  /** Faults that wait, oldest first. */
  open(): FaultEvent[] {
    return [...this.#waiting.values()].map(({ event }) => event)
  }

  /**
   * Waits until the access may run again. Rejects with the host's reason, with STALLED after the time limit, or with
   * CANCELLED when `signal` says that nobody waits for the access any more; then the fault is gone.
   */
  raise(where: Omit<FaultEvent, 'id'>, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(cancelled())
        return
      }
      const event: FaultEvent = { id: ++this.#lastId, ...where }
      const { stallTimeoutMs } = this.#options
      const timer =
        stallTimeoutMs > 0
          ? setTimeout(() => this.#end(event.id)?.fail(stalled(event, stallTimeoutMs)), stallTimeoutMs)
          : undefined
      const onAbort = () => this.#end(event.id)?.fail(cancelled())
      const settle = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
      this.#waiting.set(event.id, {
        event,
        resume: () => {
          settle()
          resolve()
        },
        fail: (error) => {
          settle()
          reject(error instanceof Error ? error : new Error(String(error)))
        },
      })
      signal?.addEventListener('abort', onAbort)
      this.#options.onFault(event)
    })
  }

  /** Lets accesses run again, in the order given; unknown ids are passed over. */
  retry(ids: Iterable<number>): void {
    for (const id of ids) this.#end(id)?.resume()
  }

  /** Fails an access with the host's reason; an unknown id is passed over. */
  fail(id: number, code: ErrorCode, message: string): void {
    const waiting = this.#end(id)
    if (waiting === undefined) return
    const { vm, index } = waiting.event
    waiting.fail(new PalimpsestError(code, message, { metadata: { vm, page: String(index) } }))
  }

  /** Fails every access of a VM that has ended. */
  failVm(vm: string): void {
    for (const { event } of [...this.#waiting.values()]) {
      if (event.vm === vm) this.#end(event.id)?.fail(ended(vm))
    }
  }

  #end(id: number): WaitingAccess | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }
}

/** The error of an access whose VM has ended. */
export function ended(vm: string): PalimpsestError {
  return new PalimpsestError('STATE', `expected "${vm}" to run, found that it has ended: launch it again`, {
    metadata: { vm },
  })
}

function cancelled(): PalimpsestError {
  return new PalimpsestError('CANCELLED', 'the caller gave up before the access was done')
}

function stalled({ vm, index, access, reason }: FaultEvent, limit: number): PalimpsestError {
  return new PalimpsestError(
    'STALLED',
    `page ${index}: expected the host to resolve a ${reason} fault within ${limit} ms, found it still open: try again`,
    { metadata: { vm, page: String(index), access, reason }, retryAfterMs: 1000 },
  )
}
