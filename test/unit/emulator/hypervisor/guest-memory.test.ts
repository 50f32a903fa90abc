/** Memory that VMs get as they touch it: how much at a time, what is promised, and what becomes of it. */
import { describe, expect, it } from 'vitest'
import { FrameAllocator } from '../../../../emulator/hypervisor/frames.ts'
import { GuestMemory } from '../../../../emulator/hypervisor/guest-memory.ts'
import { NestedMaps } from '../../../../emulator/hypervisor/nested-maps.ts'
import { FakePlatform } from './fakes.ts'

const dramFrames = 64

class Host {
  readonly platform = new FakePlatform(dramFrames)
  readonly frames = new FrameAllocator()
  readonly maps = new NestedMaps(this.platform)
  readonly memory = new GuestMemory({ platform: this.platform, frames: this.frames, maps: this.maps })

  constructor() {
    this.frames.release(0n, BigInt(dramFrames))
  }

  touch(vm: string, index: bigint, waiting: readonly bigint[] = []): Promise<boolean> {
    return this.memory.touch(vm, index, () => waiting)
  }

  /** Guest pages from `first` on that are mapped. */
  mapped(vm: string, first = 0n): number[] {
    return this.maps.range(vm, first, 64n).map(({ index }) => Number(index))
  }
}

const refused = (code: string): unknown => expect.objectContaining({ code })

describe('memory of a VM', () => {
  it('comes as it is touched: one page, and twice as much for touches that go upwards', async () => {
    const host = new Host()
    host.memory.promise('a', 40n)
    expect(host.platform.count('private')).toBe(0)
    for (const page of [0n, 1n, 3n, 7n]) expect(await host.touch('a', page)).toBe(true)
    expect(host.mapped('a')).toHaveLength(15)
    for (const page of [30n, 31n, 33n]) expect(await host.touch('a', page)).toBe(true)
    expect(host.mapped('a', 16n)).toEqual([30, 31, 32, 33, 34, 35, 36])
    // What has memory already is left out, and so is what was never promised.
    for (const page of [24n, 25n, 27n, 37n]) expect(await host.touch('a', page)).toBe(true)
    expect(host.mapped('a', 16n)).toEqual([24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37])
    expect(await host.touch('a', 40n)).toBe(false)
    expect(await host.touch('b', 0n)).toBe(false)
    expect(host.platform.count('private')).toBe(29)
  })

  it('comes once for touches at once, and whole for a range', async () => {
    const host = new Host()
    host.memory.promise('a', 40n)
    expect(await Promise.all(Array.from({ length: 8 }, () => host.touch('a', 5n)))).toEqual(
      Array(8).fill(true),
    )
    expect(host.mapped('a')).toEqual([5])
    // The access that waits runs again in the step that maps its page.
    await host.touch('a', 20n, [7n, 8n])
    expect(host.platform.retried).toEqual([7n, 8n])
    await host.memory.populate('a', { first: 3n, count: 5n })
    expect(host.mapped('a')).toEqual([3, 4, 5, 6, 7, 20])
    expect(host.memory.firstUsed('a', { first: 0n, count: 64n })).toBe(0n)
    expect(host.memory.firstUsed('a', { first: 7n, count: 64n })).toBe(7n)
    expect(host.memory.firstUsed('a', { first: 40n, count: 24n })).toBeUndefined()
  })

  it('is promised whole or not at all, and what was not touched is free for others after the end', async () => {
    const host = new Host()
    host.memory.promise('a', 60n)
    expect(() => {
      host.memory.promise('b', 5n)
    }).toThrow(refused('RESOURCE_EXHAUSTED'))
    expect(() => host.frames.allocate(5n)).toThrow(refused('RESOURCE_EXHAUSTED'))
    expect(host.frames.allocate(4n)).toHaveLength(1)
    await host.memory.populate('a', { first: 0n, count: 60n })
    expect(host.frames.free).toBe(0n)

    const other = new Host()
    other.memory.promise('a', 60n)
    await other.touch('a', 3n)
    await other.memory.end('a', () => other.platform.terminateVm({ vm: 'a' }))
    expect(other.frames.free).toBe(63n)
    expect(await other.touch('a', 4n)).toBe(false)
  })

  it('stays promised when the platform does not give it', async () => {
    const host = new Host()
    host.memory.promise('a', 10n)
    const { assignFrames } = host.platform
    host.platform.assignFrames = () => Promise.reject(new Error('lost'))
    await expect(host.touch('a', 0n)).rejects.toThrow('lost')
    host.platform.assignFrames = assignFrames
    expect(host.frames.free).toBe(54n)
    expect(await host.touch('a', 0n)).toBe(true)
    expect(host.frames.free).toBe(54n)
  })
})
