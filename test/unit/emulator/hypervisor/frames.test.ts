/** The host's list of free frames. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { eachOf, FrameAllocator, toRuns } from '../../../../emulator/hypervisor/frames.ts'

describe('the list of free frames', () => {
  it('gives frames in as few runs as the list allows, and joins what comes back', () => {
    const frames = new FrameAllocator()
    frames.release(0n, 100n)
    expect(frames.allocate(10n)).toEqual([{ start: 0n, count: 10n }])
    frames.release(3n, 2n)
    expect(frames.allocate(4n)).toEqual([
      { start: 3n, count: 2n },
      { start: 10n, count: 2n },
    ])
    frames.releaseAll([11n, 10n])
    frames.release(0n, 10n)
    expect(frames.allocate(100n)).toEqual([{ start: 0n, count: 100n }])
  })

  it('gives nothing when there is not enough', () => {
    const frames = new FrameAllocator()
    frames.release(0n, 3n)
    expect(() => frames.allocate(4n)).toThrow(expect.objectContaining({ code: 'RESOURCE_EXHAUSTED' }))
    expect(frames.free).toBe(3n)
  })

  it('refuses a frame that is free already', () => {
    const frames = new FrameAllocator()
    frames.release(10n, 5n)
    for (const [start, count] of [
      [14n, 1n],
      [8n, 3n],
      [10n, 5n],
    ] as const) {
      expect(() => {
        frames.release(start, count)
      }).toThrow(RangeError)
    }
  })

  it('never gives a frame twice, and never loses one', () => {
    const sizes = fc.array(fc.bigInt(1n, 20n), { maxLength: 30 })
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.nat(100)), (requests, choices) => {
        const frames = new FrameAllocator()
        frames.release(0n, 64n)
        const held: bigint[] = []
        for (const size of requests) {
          if (size <= frames.free) held.push(...eachOf(frames.allocate(size)))
          else {
            const keep = Number(choices.next().value) % (held.length + 1)
            frames.releaseAll(held.splice(keep))
          }
          expect(new Set(held).size).toBe(held.length)
          expect(BigInt(held.length) + frames.free).toBe(64n)
        }
      }),
    )
  })

  it('joins neighbours into runs whatever their order', () => {
    expect(toRuns([5n, 1n, 2n, 9n, 3n])).toEqual([
      { start: 1n, count: 3n },
      { start: 5n, count: 1n },
      { start: 9n, count: 1n },
    ])
  })
})
