// A set of block indexes kept as runs: what is copied, what is pending, what a bitmap says, in memory that follows the
// number of runs and not the number of blocks.

import {
  type BlockRange,
  coalesceRanges,
  firstPosition,
  intersectRanges,
  rangeEnd,
  rangeHas,
  validateRange,
} from './range.ts'

/** A mutable set of 64-bit indexes. Adding and removing a run is O(log n) to find plus the runs it moves. */
export class RunSet {
  #runs: BlockRange[]
  #size = 0n

  /** A set with the union of the ranges. Throws TypeError or RangeError for a range that is none. */
  constructor(ranges: Iterable<BlockRange> = []) {
    this.#runs = coalesceRanges(ranges)
    for (const run of this.#runs) this.#size += run.count
  }

  /** Number of indexes. */
  get size(): bigint {
    return this.#size
  }

  /** Whether the set has the index. */
  has(index: bigint): boolean {
    const run = this.#runs[this.#firstEndingAfter(index)]
    return run !== undefined && rangeHas(run, index)
  }

  /** Adds a range; returns how many of its indexes were new. */
  add(range: BlockRange): bigint {
    validateRange(range)
    const before = this.#size
    // Runs that only touch the new one are merged with it too, hence one index earlier.
    const from = this.#firstEndingAfter(range.first - 1n)
    const to = firstPosition(this.#runs, (run) => run.first > rangeEnd(range))
    const touched = this.#runs.slice(from, to)
    const merged = coalesceRanges([...touched, range])
    this.#replace(from, touched, merged)
    return this.#size - before
  }

  /** Removes a range; returns how many of its indexes were in the set. */
  delete(range: BlockRange): bigint {
    validateRange(range)
    const before = this.#size
    const from = this.#firstEndingAfter(range.first)
    const to = firstPosition(this.#runs, (run) => run.first >= rangeEnd(range))
    const touched = this.#runs.slice(from, to)
    this.#replace(
      from,
      touched,
      touched.flatMap((run) => subtract(run, range)),
    )
    return before - this.#size
  }

  /** The runs of the set inside the range, ascending. */
  within(range: BlockRange): BlockRange[] {
    const from = this.#firstEndingAfter(range.first)
    const to = firstPosition(this.#runs, (run) => run.first >= rangeEnd(range))
    return this.#runs.slice(from, to).map((run) => intersectRanges(run, range) ?? run)
  }

  /** The runs of the range that are not in the set, ascending. */
  missing(range: BlockRange): BlockRange[] {
    let rest: BlockRange[] = [range]
    for (const run of this.within(range)) {
      const last = rest.pop()
      if (last) rest = [...rest, ...subtract(last, run)]
    }
    return rest
  }

  /** All runs, ascending, neither touching nor overlapping; a copy. */
  runs(): BlockRange[] {
    return [...this.#runs]
  }

  [Symbol.iterator](): Iterator<BlockRange> {
    return this.runs()[Symbol.iterator]()
  }

  #firstEndingAfter(index: bigint): number {
    return firstPosition(this.#runs, (run) => rangeEnd(run) > index)
  }

  #replace(from: number, old: readonly BlockRange[], fresh: readonly BlockRange[]): void {
    this.#runs.splice(from, old.length, ...fresh)
    for (const run of old) this.#size -= run.count
    for (const run of fresh) this.#size += run.count
  }
}

/** What is left of `run` without `cut`: nothing, one piece or two. */
function subtract(run: BlockRange, cut: BlockRange): BlockRange[] {
  const shared = intersectRanges(run, cut)
  if (!shared) return [run]
  const left = { first: run.first, count: shared.first - run.first }
  const right = { first: rangeEnd(shared), count: rangeEnd(run) - rangeEnd(shared) }
  return [left, right].filter(({ count }) => count > 0n)
}
