/** The queue of blocks that wait to be copied. */
import { describe, expect, it } from 'vitest'
import { type BatchOutcome, CopyQueue } from '../../../../emulator/hypervisor/copy-queue.ts'
import { Deferred } from '../../../../emulator/hypervisor/waiting.ts'
import { settled } from './fakes.ts'

/** A queue whose batches end when the test says so. */
function controlled(limits = { batch: 4, inFlight: 1 }): {
  queue: CopyQueue
  batches: { blocks: readonly bigint[]; end: Deferred<BatchOutcome> }[]
  gate: { isOpen: boolean }
} {
  const batches: { blocks: readonly bigint[]; end: Deferred<BatchOutcome> }[] = []
  const gate = { isOpen: true }
  const queue = new CopyQueue(
    {
      ready: () => gate.isOpen,
      copy: (blocks) => {
        const end = new Deferred<BatchOutcome>()
        batches.push({ blocks, end })
        return end.promise
      },
    },
    limits,
  )
  return { queue, batches, gate }
}

const done: BatchOutcome = { again: [], failed: [] }

describe('the copy queue', () => {
  it('[C-10] copies a block once for all who ask', async () => {
    const { queue, batches } = controlled()
    const requests = [1n, 1n, 1n].map((block) => queue.request(block, 'fault'))
    await settled()
    expect(batches.map(({ blocks }) => blocks)).toEqual([[1n]])
    requests.push(queue.request(1n, 'fault'))
    batches[0]?.end.resolve(done)
    await Promise.all(requests)
    await settled()
    expect(batches).toHaveLength(1)
  })

  it('lets faults pass background blocks, also those that were background before', async () => {
    const { queue, batches } = controlled({ batch: 2, inFlight: 1 })
    for (const block of [1n, 2n, 3n, 4n]) void queue.request(block, 'background')
    void queue.request(9n, 'fault')
    void queue.request(4n, 'fault')
    await settled()
    expect(batches[0]?.blocks).toEqual([9n, 4n])
    batches[0]?.end.resolve(done)
    await settled()
    expect(batches[1]?.blocks).toEqual([1n, 2n])
  })

  it('keeps to its limits', async () => {
    const { queue, batches } = controlled({ batch: 2, inFlight: 2 })
    for (let block = 0n; block < 7n; block++) void queue.request(block, 'fault')
    await settled()
    expect(batches.map(({ blocks }) => blocks.length)).toEqual([2, 2])
  })

  it('asks again for what was not copied, once that makes sense', async () => {
    const { queue, batches, gate } = controlled()
    const request = queue.request(5n, 'fault')
    await settled()
    gate.isOpen = false
    batches[0]?.end.resolve({ again: [5n], failed: [] })
    await settled()
    expect(batches).toHaveLength(1)
    gate.isOpen = true
    queue.wake()
    await settled()
    batches[1]?.end.resolve(done)
    await request
  })

  it('tells each who asked what became of his block', async () => {
    const { queue, batches } = controlled()
    const [good, bad] = [queue.request(1n, 'fault'), queue.request(2n, 'fault')]
    await settled()
    batches[0]?.end.resolve({ again: [], failed: [{ block: 2n, error: new Error('spent') }] })
    await expect(good).resolves.toBeUndefined()
    await expect(bad).rejects.toThrow('spent')
    const third = queue.request(3n, 'fault')
    await settled()
    batches[1]?.end.reject(new Error('broken'))
    await expect(third).rejects.toThrow('broken')
    expect(queue.has(3n)).toBe(false)
  })

  it('rejects what waits when it is closed', async () => {
    const { queue, gate } = controlled()
    gate.isOpen = false
    const request = queue.request(1n, 'background')
    queue.close(new Error('deleted'))
    await expect(request).rejects.toThrow('deleted')
  })
})
