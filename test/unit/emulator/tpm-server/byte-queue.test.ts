// The queue of waiting bytes: the same bytes come out, in any pieces, and memory does not grow without need.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ByteQueue } from '../../../../emulator/tpm-server/byte-queue.ts'

it('gives back what was put in, whatever the pieces', () => {
  const step = fc.oneof(
    fc.uint8Array({ maxLength: 5000 }).map((chunk) => ({ append: chunk })),
    fc.nat(6000).map((count) => ({ drop: count })),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const queue = new ByteQueue()
      let model: Buffer = Buffer.alloc(0)
      for (const taken of steps) {
        if ('append' in taken) {
          const promised = queue.capacityWith(taken.append.length)
          queue.append(taken.append)
          expect(queue.capacity).toBe(promised)
          model = Buffer.concat([model, taken.append])
        } else {
          queue.drop(taken.drop)
          model = model.subarray(taken.drop)
        }
        expect(queue.length).toBe(model.length)
        expect(Buffer.from(queue.slice(0, queue.length)).equals(model)).toBe(true)
        if (model.length >= 4) expect(queue.u32(0)).toBe(model.readUInt32BE(0))
        if (model.length > 0) expect(queue.u8(model.length - 1)).toBe(model.at(-1))
      }
    }),
  )
})

it('holds at most twice what waits, and gives a large array back', () => {
  const queue = new ByteQueue()
  for (let round = 0; round < 1_000_000; round += 1) queue.append(Uint8Array.of(round % 256))
  expect(queue.capacity).toBeLessThanOrEqual(2 * 1024 * 1024)
  queue.drop(999_999)
  expect(queue.length).toBe(1)
  queue.clear()
  expect(queue.capacity).toBe(0)
  // A steady stream of small messages needs no more memory than the first ones.
  for (let round = 0; round < 100_000; round += 1) {
    queue.append(new Uint8Array(100))
    queue.drop(99)
    if (queue.length > 1000) queue.drop(1000)
  }
  expect(queue.capacity).toBeLessThanOrEqual(8192)
})

it('refuses to look beyond what waits', () => {
  const queue = new ByteQueue()
  queue.append(Uint8Array.of(1, 2, 3))
  expect(() => queue.u32(0)).toThrow(RangeError)
  expect(() => queue.u8(3)).toThrow(RangeError)
  expect(() => queue.slice(1, 3)).toThrow(RangeError)
})

it('gives copies, since it uses its memory again', () => {
  const queue = new ByteQueue()
  queue.append(Uint8Array.of(1, 2))
  const slice = queue.slice(0, 2)
  queue.drop(2)
  queue.append(Uint8Array.of(9, 9))
  expect([...slice]).toEqual([1, 2])
})
