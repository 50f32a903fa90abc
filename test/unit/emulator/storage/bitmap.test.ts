/** Bit operations of layer maps, against arrays of booleans. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  CHUNK_BLOCKS,
  CHUNK_BYTES,
  hasBit,
  nextClear,
  nextSet,
  setRange,
} from '../../../../emulator/storage/bitmap.ts'

const position = fc.nat({ max: CHUNK_BLOCKS })

test('setRange, hasBit, nextSet and nextClear agree with an array of booleans', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(position, position), { maxLength: 6 }),
      position,
      position,
      (ranges, from, end) => {
        const bits = new Uint8Array(CHUNK_BYTES)
        const model = new Array<boolean>(CHUNK_BLOCKS).fill(false)
        for (const [begin, stop] of ranges) {
          setRange(bits, begin, stop)
          if (begin < stop) model.fill(true, begin, stop)
        }
        expect(model.every((value, index) => hasBit(bits, index) === value)).toBe(true)
        const find = (wanted: boolean): number => {
          const found = model.findIndex((value, index) => index >= from && index < end && value === wanted)
          return found === -1 ? end : found
        }
        if (from > end) return
        expect(nextSet(bits, from, end)).toBe(find(true))
        expect(nextClear(bits, from, end)).toBe(find(false))
      },
    ),
  )
})
