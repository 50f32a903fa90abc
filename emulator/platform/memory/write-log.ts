// The DRAM write log: who wrote which frame, in order, without data (features C-07, C-08). Kept by the platform, so
// that nobody who writes can also edit the record. A ring of the newest entries in typed arrays, 16 bytes each.

import type { WriteCause } from '../../../sdk/rpc/index.ts'

/** Entries kept: 2^20. */
const WRITE_LOG_CAPACITY = 1 << 20

/** One write. Numbers are exact integers. */
export interface LoggedWrite {
  /** From 1, without gaps. */
  readonly sequence: number
  readonly frame: number
  /** VM or worker that wrote, or {@link PLATFORM_WRITER}, or {@link HOST_WRITER}. */
  readonly writer: string
  readonly cause: WriteCause
  /** Generation of the frame after the write. */
  readonly generation: number
}

/** Writer of scrubs, and of what the platform encrypts for an owner before it is shared. No VM can have this name. */
export const PLATFORM_WRITER = 'platform'
/** Writer of what went past the memory controller. No VM can have this name. */
export const HOST_WRITER = 'host'

const causes: readonly WriteCause[] = ['store', 'copy', 'scrub', 'host', 'rekey']
const TWO_32 = 2 ** 32

/** Writers' names, each kept while the ring holds an entry of it. */
class WriterNames {
  readonly #numbers = new Map<string, number>()
  readonly #names: string[] = []
  readonly #uses: number[] = []
  readonly #unused: number[] = []

  take(name: string): number {
    let number = this.#numbers.get(name)
    if (number === undefined) {
      number = this.#unused.pop() ?? this.#names.length
      this.#numbers.set(name, number)
      this.#names[number] = name
      this.#uses[number] = 0
    }
    this.#uses[number] = (this.#uses[number] ?? 0) + 1
    return number
  }

  release(number: number): void {
    const uses = (this.#uses[number] ?? 0) - 1
    this.#uses[number] = uses
    if (uses > 0) return
    this.#numbers.delete(this.name(number))
    this.#unused.push(number)
  }

  name(number: number): string {
    return this.#names[number] ?? ''
  }
}

/** A ring of the newest writes. */
export class WriteLog {
  readonly #capacity: number
  readonly #frames: Uint32Array
  readonly #generationsLow: Uint32Array
  readonly #generationsHigh: Uint16Array
  readonly #writers: Uint32Array
  readonly #causes: Uint8Array
  readonly #names = new WriterNames()
  #last = 0

  constructor(capacity: number = WRITE_LOG_CAPACITY) {
    this.#capacity = capacity
    this.#frames = new Uint32Array(capacity)
    this.#generationsLow = new Uint32Array(capacity)
    this.#generationsHigh = new Uint16Array(capacity)
    this.#writers = new Uint32Array(capacity)
    this.#causes = new Uint8Array(capacity)
  }

  /** Sequence number of the newest entry, 0 when there is none. */
  get last(): number {
    return this.#last
  }

  /** Appends a write. */
  append(frame: number, writer: string, cause: WriteCause, generation: number): void {
    const at = this.#last % this.#capacity
    if (this.#last >= this.#capacity) this.#names.release(this.#writers[at] ?? 0)
    this.#last++
    this.#frames[at] = frame
    this.#generationsLow[at] = generation >>> 0
    this.#generationsHigh[at] = Math.floor(generation / TWO_32)
    this.#writers[at] = this.#names.take(writer)
    this.#causes[at] = causes.indexOf(cause)
  }

  /**
   * At most `limit` entries from sequence number `since` on, oldest first, of one frame when given. `next` is where to
   * go on. Entries that fell out of the ring are passed over.
   */
  read(query: { readonly since: number; readonly frame?: number | undefined; readonly limit: number }): {
    readonly entries: LoggedWrite[]
    readonly next: number
  } {
    const entries: LoggedWrite[] = []
    let sequence = Math.max(query.since, this.#last - this.#capacity + 1, 1)
    for (; sequence <= this.#last && entries.length < query.limit; sequence++) {
      const at = (sequence - 1) % this.#capacity
      if (query.frame === undefined || this.#frames[at] === query.frame)
        entries.push(this.#entry(sequence, at))
    }
    return { entries, next: sequence }
  }

  #entry(sequence: number, at: number): LoggedWrite {
    return {
      sequence,
      frame: this.#frames[at] ?? 0,
      writer: this.#names.name(this.#writers[at] ?? 0),
      cause: causes[this.#causes[at] ?? 0] ?? 'store',
      generation: (this.#generationsHigh[at] ?? 0) * TWO_32 + (this.#generationsLow[at] ?? 0),
    }
  }
}
