// Ranges and run sets against a plain Set of indexes.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type BlockRange,
  coalesceIndexes,
  coalesceRanges,
  expandRanges,
  intersectRanges,
  rangeEnd,
  rangeHas,
  RunSet,
  splitRange,
  validateRange,
} from '../../../../sdk/block/index.ts'

const small: fc.Arbitrary<BlockRange> = fc.record({
  first: fc.bigInt({ min: 0n, max: 60n }),
  count: fc.bigInt({ min: 1n, max: 12n }),
})
const indexesOf = (ranges: Iterable<BlockRange>): bigint[] => [...expandRanges(ranges)]
const ascending = (set: Iterable<bigint>): bigint[] => [...set].sort((a, b) => (a < b ? -1 : 1))
const LAST = 2n ** 64n - 1n

/** Runs are ascending and neither touch nor overlap. */
function expectNormal(runs: readonly BlockRange[]): void {
  runs.forEach((run, i) => {
    const previous = runs[i - 1]
    expect(run.count > 0n).toBe(true)
    if (previous) expect(run.first > rangeEnd(previous)).toBe(true)
  })
}

describe('ranges', () => {
  it('validate: at least one index, none beyond 2^64 - 1', () => {
    for (const range of [
      { first: 0n, count: 1n },
      { first: LAST, count: 1n },
      { first: 1n, count: LAST },
    ]) {
      expect(() => {
        validateRange(range)
      }).not.toThrow()
    }
    for (const range of [
      { first: 0n, count: 0n },
      { first: LAST, count: 2n },
      { first: -1n, count: 1n },
      { first: 2n, count: LAST },
      { first: 2n ** 64n, count: 1n },
    ]) {
      expect(() => {
        validateRange(range)
      }).toThrow(RangeError)
    }
    expect(() => {
      validateRange({ first: 0, count: 1n } as unknown as BlockRange)
    }).toThrow(TypeError)
  })

  it('split into pieces that are the range again', () => {
    fc.assert(
      fc.property(small, fc.bigInt({ min: 1n, max: 5n }), (range, max) => {
        const pieces = [...splitRange(range, max)]
        expect(pieces.every(({ count }) => count <= max && count > 0n)).toBe(true)
        expect(indexesOf(pieces)).toEqual(indexesOf([range]))
      }),
    )
    expect([...splitRange({ first: LAST - 2n, count: 3n }, 2n)]).toEqual([
      { first: LAST - 2n, count: 2n },
      { first: LAST, count: 1n },
    ])
    expect(() => [...splitRange({ first: 0n, count: 1n }, 0n)]).toThrow(RangeError)
  })

  it('intersect and contain as sets do', () => {
    fc.assert(
      fc.property(small, small, (a, b) => {
        const both = intersectRanges(a, b)
        const expected = indexesOf([a]).filter((index) => rangeHas(b, index))
        expect(both ? indexesOf([both]) : []).toEqual(expected)
      }),
    )
  })

  it('coalesce indexes and ranges to normal runs of the same set', () => {
    fc.assert(
      fc.property(fc.array(small), (ranges) => {
        const expected = ascending(new Set(indexesOf(ranges)))
        for (const runs of [coalesceRanges(ranges), coalesceIndexes(indexesOf(ranges))]) {
          expectNormal(runs)
          expect(indexesOf(runs)).toEqual(expected)
        }
      }),
    )
  })

  it('expandRanges gives every index in order, to the last one', () => {
    const ranges = [
      { first: LAST - 1n, count: 2n },
      { first: 3n, count: 1n },
    ]
    expect([...expandRanges(ranges)]).toEqual([LAST - 1n, LAST, 3n])
  })
})

describe('RunSet', () => {
  it('behaves as a Set of indexes under any sequence of additions and removals', () => {
    const step = fc.record({ add: fc.boolean(), range: small })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), small, (steps, probe) => {
        const runs = new RunSet()
        const model = new Set<bigint>()
        for (const { add, range } of steps) {
          const before = model.size
          for (const index of indexesOf([range])) {
            if (add) model.add(index)
            else model.delete(index)
          }
          const changed = add ? runs.add(range) : runs.delete(range)
          expect(changed).toBe(BigInt(Math.abs(model.size - before)))
          expect(runs.size).toBe(BigInt(model.size))
          expectNormal(runs.runs())
        }
        expect(indexesOf(runs)).toEqual(ascending(model))
        const inside = indexesOf([probe]).filter((index) => model.has(index))
        expect(indexesOf(runs.within(probe))).toEqual(inside)
        expect(indexesOf(runs.missing(probe))).toEqual(
          indexesOf([probe]).filter((index) => !model.has(index)),
        )
        for (const index of indexesOf([probe])) expect(runs.has(index)).toBe(model.has(index))
      }),
    )
  })

  it('works at both ends of the index space', () => {
    const set = new RunSet([
      { first: LAST, count: 1n },
      { first: 0n, count: 1n },
    ])
    expect(set.add({ first: 1n, count: LAST - 1n })).toBe(LAST - 1n)
    expect(set.runs()).toEqual([{ first: 0n, count: LAST + 1n }])
    expect(set.delete({ first: LAST, count: 1n })).toBe(1n)
    expect(set.has(LAST)).toBe(false)
    expect(set.has(0n)).toBe(true)
  })

  it('gives copies, and refuses ranges that are none', () => {
    const set = new RunSet([{ first: 1n, count: 1n }])
    set.runs().pop()
    expect(set.size).toBe(1n)
    expect(() => set.add({ first: 0n, count: 0n })).toThrow(RangeError)
    expect(() => set.delete({ first: 0n, count: 0n })).toThrow(RangeError)
  })
})
