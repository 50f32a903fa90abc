// The mapping first index -> second index of a registration: which block of the destination takes the copy of which
// block of the source. One to one; kept as runs; with one normal form, whose digest both sides sign.

import { BlockError } from './errors.ts'
import { type BlockRange, firstPosition, rangeEnd, validateRange } from './range.ts'
import { U64_MAX } from './u64.ts'

/** `count` indexes from `first` map, in order, to `count` indexes from `second`. At least one; none beyond 2^64 - 1. */
export interface RangePair {
  readonly first: bigint
  readonly second: bigint
  readonly count: bigint
}

/** Throws TypeError or RangeError unless the pair is as {@link RangePair} says. */
export function validatePair(pair: RangePair, name = 'pair'): void {
  validateRange({ first: pair.first, count: pair.count }, name)
  validateRange({ first: pair.second, count: pair.count }, `${name} (second)`)
}

/** The pair cut into pieces of `max` indexes, the last one shorter if need be. Throws RangeError for `max` < 1. */
export function* splitPair(pair: RangePair, max: bigint): Generator<RangePair> {
  if (max < 1n) throw new RangeError(`"max" expected at least 1, got ${max.toString()}`)
  for (let done = 0n; done < pair.count; done += max) {
    const rest = pair.count - done
    yield { first: pair.first + done, second: pair.second + done, count: rest < max ? rest : max }
  }
}

type Side = 'first' | 'second'

function sortedBy(side: Side, pairs: readonly RangePair[]): RangePair[] {
  return [...pairs].sort((a, b) => (a[side] < b[side] ? -1 : a[side] > b[side] ? 1 : 0))
}

/** Refuses an index that occurs twice on one side; `pairs` are sorted by that side. */
function refuseOverlap(side: Side, pairs: readonly RangePair[]): void {
  pairs.forEach((pair, i) => {
    const previous = pairs[i - 1]
    if (previous && pair[side] < previous[side] + previous.count) {
      throw new BlockError(
        `expected each ${side} index at most once, found ${pair[side].toString()} in two pairs of the mapping`,
      )
    }
  })
}

/** Joins pairs that continue each other on both sides; `pairs` are sorted by first. */
function coalescePairs(pairs: readonly RangePair[]): RangePair[] {
  const joined: RangePair[] = []
  for (const { first, second, count } of pairs) {
    const last = joined.at(-1)
    if (last && last.first + last.count === first && last.second + last.count === second) {
      joined[joined.length - 1] = { ...last, count: last.count + count }
    } else {
      joined.push({ first, second, count })
    }
  }
  return joined
}

/** An immutable one-to-one mapping between two index spaces. */
export class RangeMap {
  readonly #byFirst: readonly RangePair[]
  readonly #bySecond: readonly RangePair[]
  /** Number of mapped indexes. */
  readonly size: bigint

  private constructor(byFirst: readonly RangePair[]) {
    this.#byFirst = byFirst
    this.#bySecond = sortedBy('second', byFirst)
    this.size = byFirst.reduce((sum, { count }) => sum + count, 0n)
  }

  /**
   * The mapping that the pairs make, in any order. Throws TypeError or RangeError for a pair that is none, and
   * {@link BlockError} when an index occurs twice among the first or twice among the second indexes.
   */
  static from(pairs: Iterable<RangePair>): RangeMap {
    const byFirst = sortedBy('first', [...pairs])
    byFirst.forEach((pair, i) => {
      validatePair(pair, `pairs[${String(i)}]`)
    })
    refuseOverlap('first', byFirst)
    refuseOverlap('second', sortedBy('second', byFirst))
    return new RangeMap(coalescePairs(byFirst))
  }

  /**
   * From the normal form, as decoded from canonical bytes. Throws {@link BlockError} for anything else, also for pairs
   * that are out of order or could be joined: one mapping has one normal form, so one digest.
   */
  static fromCanonical(value: unknown): RangeMap {
    if (!Array.isArray(value))
      throw new BlockError('expected a list of [first, second, count], found no list')
    const pairs = value.map((item: unknown, i) => readTriple(item, i))
    const map = RangeMap.from(pairs)
    const normal = map.pairs
    const isNormal =
      normal.length === pairs.length &&
      normal.every((pair, i) => pair.first === pairs[i]?.first && pair.count === pairs[i].count)
    if (!isNormal)
      throw new BlockError('expected pairs in ascending order of first and joined, found another order')
    return map
  }

  /** The pairs in ascending order of first, joined where both sides continue. */
  get pairs(): readonly RangePair[] {
    return this.#byFirst
  }

  /** The second index of `first`, or undefined if it is not mapped. */
  toSecond(first: bigint): bigint | undefined {
    const pair = find(this.#byFirst, 'first', first)
    return pair && pair.second + (first - pair.first)
  }

  /** The first index of `second`, or undefined if nothing maps there. */
  toFirst(second: bigint): bigint | undefined {
    const pair = find(this.#bySecond, 'second', second)
    return pair && pair.first + (second - pair.second)
  }

  /** The part of the mapping whose first indexes lie in the range, ascending. */
  withinFirst(range: BlockRange): RangePair[] {
    return this.#within('first', this.#byFirst, range)
  }

  /** The part of the mapping whose second indexes lie in the range, ascending by second. */
  withinSecond(range: BlockRange): RangePair[] {
    return this.#within('second', this.#bySecond, range)
  }

  /** Whether some second index is the second index of the other mapping too. */
  sharesSecondWith(other: RangeMap): boolean {
    return this.#bySecond.some(({ second, count }) => other.withinSecond({ first: second, count }).length > 0)
  }

  /** The normal form for canonical bytes: a list of [first, second, count] in ascending order of first. */
  canonical(): bigint[][] {
    return this.#byFirst.map(({ first, second, count }) => [first, second, count])
  }

  #within(side: Side, sorted: readonly RangePair[], range: BlockRange): RangePair[] {
    validateRange(range)
    const end = rangeEnd(range)
    const from = firstPosition(sorted, (pair) => pair[side] + pair.count > range.first)
    const to = firstPosition(sorted, (pair) => pair[side] >= end)
    return sorted.slice(from, to).map((pair) => {
      const skip = range.first > pair[side] ? range.first - pair[side] : 0n
      const cut = pair[side] + pair.count > end ? pair[side] + pair.count - end : 0n
      return { first: pair.first + skip, second: pair.second + skip, count: pair.count - skip - cut }
    })
  }
}

function find(sorted: readonly RangePair[], side: Side, index: bigint): RangePair | undefined {
  const pair = sorted[firstPosition(sorted, (item) => item[side] + item.count > index)]
  return pair && index >= pair[side] ? pair : undefined
}

function readTriple(item: unknown, i: number): RangePair {
  const where = `pair ${String(i)}`
  if (!Array.isArray(item) || item.length !== 3) {
    throw new BlockError(`${where}: expected [first, second, count], found another shape`)
  }
  const [first, second, count] = item as unknown[]
  if (typeof first !== 'bigint' || typeof second !== 'bigint' || typeof count !== 'bigint') {
    throw new BlockError(`${where}: expected three integers, found another type`)
  }
  const inRange = first >= 0n && second >= 0n && count >= 1n
  if (!inRange || first + count - 1n > U64_MAX || second + count - 1n > U64_MAX) {
    throw new BlockError(`${where}: expected at least one index and all below 2^64, found others`)
  }
  return { first, second, count }
}
