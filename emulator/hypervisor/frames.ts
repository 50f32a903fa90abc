/**
 * The host's own view of which DRAM frames are free. The platform's ownership table decides at every access; this list
 * only spares the host from asking for frames that it would not get.
 * Source: frame states of systems.md 2.7 (FREE, RESERVED, PRIVATE, SHARED_RO).
 */
import { PalimpsestError } from '../../sdk/rpc/index.ts'

/** A run of frames: `start`, `start + 1`, ... */
export interface Run {
  readonly start: bigint
  readonly count: bigint
}

/** Frames that are free, as ascending runs that neither touch nor overlap. */
export class FrameAllocator {
  readonly #runs: { start: bigint; count: bigint }[] = []
  #free = 0n
  /** How many of them are promised. */
  #promised = 0n

  /** Number of free frames that nobody was promised. */
  get free(): bigint {
    return this.#free - this.#promised
  }

  /** Keeps `count` frames, whichever, for whoever redeems them. @throws PalimpsestError RESOURCE_EXHAUSTED. */
  promise(count: bigint): void {
    this.#expectFree(count)
    this.#promised += count
  }

  /** Takes `count` frames that were promised. */
  redeem(count: bigint): Run[] {
    this.withdraw(count)
    return this.allocate(count)
  }

  /** `count` frames are not promised any more. */
  withdraw(count: bigint): void {
    this.#promised -= count
  }

  /** Puts redeemed frames back; they are promised again. */
  putBack(runs: Iterable<Run>): void {
    for (const { start, count } of runs) {
      this.release(start, count)
      this.promise(count)
    }
  }

  /**
   * Takes `count` frames in as few runs as the front of the list allows.
   * @throws PalimpsestError RESOURCE_EXHAUSTED when fewer are free; then none is taken.
   */
  allocate(count: bigint): Run[] {
    this.#expectFree(count)
    const taken: Run[] = []
    let missing = count
    while (missing > 0n) {
      const run = this.#runs[0]
      if (run === undefined) break
      const part = run.count < missing ? run.count : missing
      taken.push({ start: run.start, count: part })
      missing -= part
      if (part === run.count) this.#runs.shift()
      else this.#runs[0] = { start: run.start + part, count: run.count - part }
    }
    this.#free -= count
    return taken
  }

  /** Puts a run back. @throws RangeError when a frame of it is free already: the caller's bookkeeping is wrong. */
  release(start: bigint, count: bigint): void {
    if (count === 0n) return
    const at = this.#position(start)
    const before = this.#runs[at - 1]
    const after = this.#runs[at]
    const overlaps =
      (before !== undefined && before.start + before.count > start) ||
      (after !== undefined && start + count > after.start)
    if (overlaps) throw new RangeError(`frames ${String(start)}+${String(count)} are free already`)
    const joinsBefore = before !== undefined && before.start + before.count === start
    const joinsAfter = after !== undefined && start + count === after.start
    if (joinsBefore) {
      before.count += count + (joinsAfter ? after.count : 0n)
      if (joinsAfter) this.#runs.splice(at, 1)
    } else if (joinsAfter) {
      after.start = start
      after.count += count
    } else {
      this.#runs.splice(at, 0, { start, count })
    }
    this.#free += count
  }

  /** Puts single frames back, in any order. */
  releaseAll(frames: Iterable<bigint>): void {
    for (const run of toRuns(frames)) this.release(run.start, run.count)
  }

  #expectFree(count: bigint): void {
    if (count <= this.free) return
    throw new PalimpsestError(
      'RESOURCE_EXHAUSTED',
      `expected ${String(count)} free frames, found ${String(this.free)}: delete VMs, or start the platform with more memory`,
    )
  }

  /** Position of the first run that starts at or after `start`. */
  #position(start: bigint): number {
    let low = 0
    let high = this.#runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const run = this.#runs[middle]
      if (run !== undefined && run.start < start) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Sorts numbers and joins neighbours into runs. */
export function toRuns(numbers: Iterable<bigint>): Run[] {
  const sorted = [...numbers].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const runs: { start: bigint; count: bigint }[] = []
  for (const number of sorted) {
    const last = runs.at(-1)
    if (last !== undefined && last.start + last.count === number) last.count += 1n
    else runs.push({ start: number, count: 1n })
  }
  return runs
}

/** The single numbers of runs, in order. */
export function* eachOf(runs: Iterable<Run>): Generator<bigint> {
  for (const run of runs) {
    for (let i = 0n; i < run.count; i++) yield run.start + i
  }
}
