// Runs of consecutive blocks, and sets of blocks kept as runs. A run is a half-open interval [first, first + count).

import { assertU64, U64_MAX } from './u64.ts'

/** `count` consecutive indexes from `first`; at least one, and none beyond 2^64 - 1. */
export interface BlockRange {
  readonly first: bigint
  readonly count: bigint
}

/** Throws TypeError or RangeError unless the range is as {@link BlockRange} says. */
export function validateRange(range: BlockRange, name = 'range'): void {
  assertU64(`${name}.first`, range.first)
  assertU64(`${name}.count`, range.count)
  if (range.count === 0n) throw new RangeError(`"${name}.count" expected at least 1, got 0`)
  if (range.first + range.count - 1n > U64_MAX) {
    throw new RangeError(
      `"${name}" expected to end below 2^64, got ${range.count.toString()} from ${range.first.toString()}`,
    )
  }
}

/** The first index after the range; may be 2^64. */
export function rangeEnd(range: BlockRange): bigint {
  return range.first + range.count
}

/** Whether the index lies in the range. */
export function rangeHas(range: BlockRange, index: bigint): boolean {
  return index >= range.first && index < rangeEnd(range)
}

/** The indexes that both ranges have, or undefined if none. */
export function intersectRanges(a: BlockRange, b: BlockRange): BlockRange | undefined {
  const first = a.first > b.first ? a.first : b.first
  const end = rangeEnd(a) < rangeEnd(b) ? rangeEnd(a) : rangeEnd(b)
  return end > first ? { first, count: end - first } : undefined
}

/** The range cut into pieces of `max` indexes, the last one shorter if need be. Throws RangeError for `max` < 1. */
export function* splitRange(range: BlockRange, max: bigint): Generator<BlockRange> {
  if (max < 1n) throw new RangeError(`"max" expected at least 1, got ${max.toString()}`)
  const end = rangeEnd(range)
  for (let first = range.first; first < end; first += max) {
    yield { first, count: end - first < max ? end - first : max }
  }
}

/** The runs that the indexes form, in ascending order; order and repetitions of the input do not matter. */
export function coalesceIndexes(indexes: Iterable<bigint>): BlockRange[] {
  return coalesceRanges(Array.from(indexes, (first) => ({ first, count: 1n })))
}

/** The union of the ranges as ascending runs that neither touch nor overlap. Throws as {@link validateRange}. */
export function coalesceRanges(ranges: Iterable<BlockRange>): BlockRange[] {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  const runs: BlockRange[] = []
  for (const range of sorted) {
    validateRange(range)
    const last = runs.at(-1)
    if (last && range.first <= rangeEnd(last)) {
      const end = rangeEnd(range) > rangeEnd(last) ? rangeEnd(range) : rangeEnd(last)
      runs[runs.length - 1] = { first: last.first, count: end - last.first }
    } else {
      runs.push({ first: range.first, count: range.count })
    }
  }
  return runs
}

/** The indexes of the ranges, one by one, in the order given. Check their sizes before making a list of them. */
export function* expandRanges(ranges: Iterable<BlockRange>): Generator<bigint> {
  for (const { first, count } of ranges) {
    for (let index = 0n; index < count; index += 1n) yield first + index
  }
}

/** The position of the first item for which `isAfter` holds, given that it holds for all later ones too. */
export function firstPosition<T>(items: readonly T[], isAfter: (item: T) => boolean): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isAfter(items[middle] as T)) high = middle
    else low = middle + 1
  }
  return low
}
