/**
 * Blocks that wait to be copied. Whoever needs a block joins its queue entry, so that many faults on one block are one
 * copy; neighbours in the queue travel in one copy session. Blocks that a guest waits for go before background ones.
 * Source: design.md section 6 (coalesced faults, hydration); rows C-10 and C-34 of features.md.
 */
import { Deferred } from './waiting.ts'

/** Whether somebody waits for the block now. */
export type Urgency = 'fault' | 'background'

/** How a batch ended. Blocks named in neither list are copied. */
export interface BatchOutcome {
  /** Blocks to copy again as soon as copying is possible again. */
  readonly again: readonly bigint[]
  /** Blocks that can not be copied, and why. */
  readonly failed: readonly { readonly block: bigint; readonly error: unknown }[]
}

/** What a queue drives. */
export interface CopyQueueWork {
  /** Whether copying is possible now; when it becomes so, call `wake`. */
  ready(): boolean
  /** Copies blocks. When it asks for `again`, `ready` must tell whether that makes sense yet. */
  copy(blocks: readonly bigint[]): Promise<BatchOutcome>
}

/** Limits of a queue. */
export interface CopyQueueLimits {
  /** Blocks in one batch. */
  readonly batch: number
  /** Batches under way at a time. */
  readonly inFlight: number
}

interface Entry {
  state: 'queued' | 'copying'
  urgency: Urgency
  readonly done: Deferred<void>
}

/** The queue of one kind of block of one clone. */
export class CopyQueue {
  readonly #work: CopyQueueWork
  readonly #limits: CopyQueueLimits
  readonly #entries = new Map<bigint, Entry>()
  /** Blocks in the order of their turn; entries that moved on meanwhile are skipped when they come up. */
  #urgent: bigint[] = []
  #background: bigint[] = []
  #inFlight = 0
  #scheduled = false

  constructor(work: CopyQueueWork, limits: CopyQueueLimits) {
    this.#work = work
    this.#limits = limits
  }

  /** Asks for a copy of a block, or joins the copy that is asked for already. Rejects when it can not be copied. */
  request(block: bigint, urgency: Urgency): Promise<void> {
    let entry = this.#entries.get(block)
    if (entry === undefined) {
      entry = { state: 'queued', urgency, done: new Deferred<void>() }
      this.#entries.set(block, entry)
      if (urgency === 'fault') this.#urgent.push(block)
      else this.#background.push(block)
    } else if (entry.urgency === 'background' && urgency === 'fault') {
      entry.urgency = 'fault'
      if (entry.state === 'queued') this.#urgent.push(block)
    }
    this.wake()
    return entry.done.promise
  }

  /** Whether a block waits or is being copied. */
  has(block: bigint): boolean {
    return this.#entries.has(block)
  }

  /** Looks again whether something can be copied. Requests of one turn of the event loop go into one batch. */
  wake(): void {
    if (this.#scheduled || this.#entries.size === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  /** Rejects everything that waits. */
  close(error: unknown): void {
    for (const [block, entry] of this.#entries) {
      if (entry.state === 'copying') continue
      this.#entries.delete(block)
      entry.done.reject(error)
    }
    this.#urgent = []
    this.#background = []
  }

  #pump(): void {
    while (this.#inFlight < this.#limits.inFlight && this.#work.ready()) {
      const batch = this.#take()
      if (batch.length === 0) return
      this.#inFlight += 1
      void this.#run(batch)
    }
  }

  #take(): bigint[] {
    const batch: bigint[] = []
    for (const list of [this.#urgent, this.#background]) {
      let used = 0
      for (const block of list) {
        if (batch.length === this.#limits.batch) break
        used += 1
        const entry = this.#entries.get(block)
        if (entry?.state !== 'queued') continue
        entry.state = 'copying'
        batch.push(block)
      }
      list.splice(0, used)
    }
    return batch
  }

  async #run(batch: bigint[]): Promise<void> {
    let outcome: BatchOutcome
    try {
      outcome = await this.#work.copy(batch)
    } catch (error) {
      outcome = { again: [], failed: batch.map((block) => ({ block, error })) }
    }
    this.#inFlight -= 1
    this.#settle(batch, outcome)
    this.wake()
  }

  #settle(batch: readonly bigint[], outcome: BatchOutcome): void {
    const failed = new Map(outcome.failed.map(({ block, error }) => [block, error]))
    const again = new Set(outcome.again)
    for (const block of again) {
      const entry = this.#entries.get(block)
      if (entry) entry.state = 'queued'
    }
    // Somebody waited for them before, so they go first.
    this.#urgent.unshift(...again)
    for (const block of batch) {
      if (again.has(block)) continue
      const entry = this.#entries.get(block)
      this.#entries.delete(block)
      if (failed.has(block)) entry?.done.reject(failed.get(block))
      else entry?.done.resolve()
    }
  }
}
