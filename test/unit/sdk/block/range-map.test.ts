// The one-to-one mapping of a registration, against a plain Map.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BlockError,
  expandRanges,
  RangeMap,
  type RangePair,
  splitPair,
  validatePair,
} from '../../../../sdk/block/index.ts'

const LAST = 2n ** 64n - 1n

/** Disjoint pairs: slots of 8 on each side, in unlike orders. */
const pairs: fc.Arbitrary<RangePair[]> = fc
  .tuple(
    fc.shuffledSubarray([0n, 1n, 2n, 3n, 4n, 5n]),
    fc.shuffledSubarray([0n, 1n, 2n, 3n, 4n, 5n], { minLength: 6 }),
  )
  .chain(([firsts, seconds]) =>
    fc.tuple(
      ...firsts.map((slot, i) =>
        fc
          .bigInt({ min: 1n, max: 8n })
          .map((count) => ({ first: slot * 8n, second: (seconds[i] ?? 0n) * 8n + 100n, count })),
      ),
    ),
  )

function model(list: readonly RangePair[]): Map<bigint, bigint> {
  const indexes = (first: bigint, count: bigint): bigint[] => [...expandRanges([{ first, count }])]
  return new Map(
    list.flatMap(({ first, second, count }) =>
      indexes(first, count).map((index): [bigint, bigint] => [index, second + (index - first)]),
    ),
  )
}

const entries = (map: Map<bigint, bigint>): [bigint, bigint][] =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1))

describe('RangeMap', () => {
  it('looks up both ways as a Map does', () => {
    fc.assert(
      fc.property(pairs, (list) => {
        const map = RangeMap.from(list)
        const forward = model(list)
        const backward = new Map([...forward].map(([first, second]) => [second, first]))
        expect(map.size).toBe(BigInt(forward.size))
        for (let index = 0n; index < 160n; index++) {
          expect(map.toSecond(index)).toBe(forward.get(index))
          expect(map.toFirst(index)).toBe(backward.get(index))
        }
      }),
    )
  })

  it('has one normal form, whatever the order and the cutting of the pairs', () => {
    fc.assert(
      fc.property(pairs, fc.bigInt({ min: 1n, max: 4n }), (list, max) => {
        const cut = list.flatMap((pair) => [...splitPair(pair, max)]).reverse()
        const map = RangeMap.from(list)
        expect(RangeMap.from(cut).canonical()).toEqual(map.canonical())
        expect(RangeMap.fromCanonical(map.canonical()).pairs).toEqual(map.pairs)
        expect(entries(model(map.pairs))).toEqual(entries(model(list)))
      }),
    )
  })

  it('cuts out the part in a range, on either side', () => {
    fc.assert(
      fc.property(
        pairs,
        fc.bigInt({ min: 0n, max: 160n }),
        fc.bigInt({ min: 1n, max: 30n }),
        (list, first, count) => {
          const map = RangeMap.from(list)
          const inRange = (index: bigint): boolean => index >= first && index < first + count
          const all = entries(model(list))
          expect(entries(model(map.withinFirst({ first, count })))).toEqual(
            all.filter(([index]) => inRange(index)),
          )
          expect(entries(model(map.withinSecond({ first, count })))).toEqual(
            all.filter(([, second]) => inRange(second)),
          )
        },
      ),
    )
  })

  it('joins only what continues on both sides', () => {
    const joined = RangeMap.from([
      { first: 4n, second: 14n, count: 2n },
      { first: 0n, second: 10n, count: 4n },
      { first: 6n, second: 30n, count: 1n },
    ])
    expect(joined.canonical()).toEqual([
      [0n, 10n, 6n],
      [6n, 30n, 1n],
    ])
  })

  it('refuses an index that occurs twice on either side', () => {
    const a = { first: 0n, second: 100n, count: 4n }
    expect(() => RangeMap.from([a, { first: 3n, second: 200n, count: 1n }])).toThrow(
      /each first index.*found 3 /,
    )
    expect(() => RangeMap.from([a, { first: 50n, second: 97n, count: 4n }])).toThrow(
      /each second index.*found 100 /,
    )
    expect(() => RangeMap.from([a, { first: 4n, second: 104n, count: 1n }])).not.toThrow()
  })

  it('refuses pairs beyond 2^64, on either side, and takes the last index', () => {
    for (const pair of [
      { first: LAST, second: 0n, count: 2n },
      { first: 0n, second: LAST, count: 2n },
      { first: 0n, second: 0n, count: 0n },
      { first: -1n, second: 0n, count: 1n },
    ]) {
      expect(() => {
        validatePair(pair)
      }).toThrow(RangeError)
      expect(() => RangeMap.from([pair])).toThrow(RangeError)
      expect(() => RangeMap.fromCanonical([[pair.first, pair.second, pair.count]])).toThrow(BlockError)
    }
    const edge = RangeMap.from([{ first: LAST, second: LAST, count: 1n }])
    expect(edge.toSecond(LAST)).toBe(LAST)
  })

  it('fromCanonical refuses every form but the normal one', () => {
    const bad: unknown[] = [
      'text',
      [[0n, 0n]],
      [[0n, 0n, 1]],
      [[0n, 0n, 1n, 0n]],
      [{ first: 0n }],
      [
        [5n, 5n, 1n],
        [0n, 0n, 1n],
      ],
      [
        [0n, 10n, 1n],
        [1n, 11n, 1n],
      ],
      [
        [0n, 10n, 1n],
        [0n, 11n, 1n],
      ],
    ]
    for (const value of bad) expect(() => RangeMap.fromCanonical(value)).toThrow(BlockError)
    expect(RangeMap.fromCanonical([]).size).toBe(0n)
    expect(
      RangeMap.fromCanonical([
        [0n, 10n, 1n],
        [1n, 12n, 1n],
      ]).size,
    ).toBe(2n)
  })

  it('tells whether two mappings share a second index', () => {
    const a = RangeMap.from([{ first: 0n, second: 10n, count: 5n }])
    expect(a.sharesSecondWith(RangeMap.from([{ first: 90n, second: 14n, count: 2n }]))).toBe(true)
    expect(a.sharesSecondWith(RangeMap.from([{ first: 0n, second: 15n, count: 2n }]))).toBe(false)
  })
})
