/** Memory clones through the real processes: platform, hypervisor, worker and plugins over their sockets. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  defaultWorkerImage,
  startTestbed,
  type Testbed,
  type TestVm,
} from '../../../emulator/testbed/index.ts'
import { Secret } from '../../../sdk/crypto/index.ts'
import { at, blockBytes, isSame, pattern, patterns } from './support.ts'

const pages = 64

let bed: Testbed
beforeAll(async () => {
  bed = await startTestbed({ stallTimeoutMs: 20_000 })
})
afterAll(async () => {
  await bed.close()
})

let count = 0
/** A source with a pattern in its pages, and a destination that has cloned them. */
async function clonedPair(
  options: { size?: number; common?: boolean; grantMs?: number } = {},
): Promise<{ clone: string; source: TestVm; destination: TestVm; sourcePlugin: { close(): Promise<void> } }> {
  const n = ++count
  const size = options.size ?? pages
  const keys = options.common === true ? { mode: 'common' as const, group: Secret.random(32) } : {}
  const memoryBytes = size * blockBytes
  const lease = options.grantMs === undefined ? {} : { grantMs: options.grantMs }
  const source = await bed.vm(`source-${n}`, { memoryBytes, ...keys })
  const destination = await bed.vm(`destination-${n}`, { memoryBytes, unmapped: true, ...keys })
  for (let i = 0; i < size; i += 256) await source.guest.store(at(i), patterns(i, Math.min(i + 256, size)))
  const sourcePlugin = await source.serveSource({ peers: [destination.identity], ...lease })
  await destination.serveDestination({ peers: [source.identity] })
  const clone = `clone-${n}`
  await bed.cloneMemory(clone, source, destination)
  return { clone, source, destination, sourcePlugin }
}

async function cloneView(
  clone: string,
): Promise<{ state: string; copied: bigint; blocks: bigint; registration: string }> {
  const { clones } = await bed.hypervisor.listClones({})
  const found = clones.find((one) => one.clone === clone)
  if (!found) throw new Error(`no clone ${clone}`)
  return found
}

describe('a write to a shared page', () => {
  it('[C-19] [C-16] finds both mappings read-only and on one frame while nobody has written', async () => {
    const { clone, source, destination } = await clonedPair()
    const maps = await Promise.all(
      [source, destination].map((vm) =>
        bed.hypervisor.getMemoryMap({ vm: vm.name, index: 0n, count: pages }),
      ),
    )
    expect(maps[0]?.mappings).toHaveLength(pages)
    expect(maps[0]?.mappings.every((mapping) => !mapping.writable)).toBe(true)
    expect(maps[1]?.mappings).toEqual(maps[0]?.mappings)
    expect(await cloneView(clone)).toMatchObject({ state: 'live', copied: 0n, blocks: BigInt(pages) })
  })

  it('[C-10] [C-11] [C-07] makes one copy, written by the worker alone, and lands after it', async () => {
    const { clone, source, destination } = await clonedPair({ common: true })
    expect(await destination.guest.load(at(5), blockBytes)).toEqual(pattern(5))
    expect((await cloneView(clone)).copied).toBe(0n)
    await destination.guest.store(at(5, 100), Uint8Array.of(1, 2, 3))
    expect((await cloneView(clone)).copied).toBe(1n)
    const expected = pattern(5)
    expected.set([1, 2, 3], 100)
    expect(await destination.guest.load(at(5), blockBytes)).toEqual(expected)
    expect(await source.guest.load(at(5), blockBytes)).toEqual(pattern(5))
    const { receipts } = await bed.hypervisor.listReceipts({ clone })
    expect(receipts).toHaveLength(1)
    const { mappings } = await bed.hypervisor.getMemoryMap({ vm: destination.name, index: 5n, count: 1 })
    const { entries } = await bed.hypervisor.getWriteLog({ since: 0n, frame: mappings[0]?.frame })
    const { worker } = await bed.hypervisor.getWorker({}).then(({ status }) => ({ worker: status?.vm }))
    expect(
      entries.filter((entry) => entry.cause !== 'scrub').map(({ writer, cause }) => ({ writer, cause })),
    ).toEqual([
      { writer: worker, cause: 'copy' },
      { writer: destination.name, cause: 'store' },
    ])
  })

  it('[C-34] [C-12] 64 concurrent writers lose and double nothing', async () => {
    const { clone, source, destination } = await clonedPair()
    const before = await destination.guest.load(at(0), 8)
    const start = new DataView(before.buffer, before.byteOffset).getBigUint64(0, true)
    const sums = await Promise.all(Array.from({ length: 64 }, () => destination.guest.fetchAdd(at(1), 1n)))
    expect(new Set(sums).size).toBe(64)
    const stores = Array.from({ length: 64 }, (_, i) =>
      [source, destination].map((vm) => vm.guest.fetchAdd(at(i % 16), 1n)),
    )
    await Promise.all(stores.flat())
    const counter = await destination.guest.load(at(0), 8)
    expect(new DataView(counter.buffer, counter.byteOffset).getBigUint64(0, true)).toBe(start + 4n)
    expect((await cloneView(clone)).copied).toBe(16n)
  })

  it('[C-34] a write of the source goes to a frame of its own; the destination keeps the old data', async () => {
    const { source, destination } = await clonedPair()
    await source.guest.store(at(9), new Uint8Array(blockBytes).fill(7))
    expect(await destination.guest.load(at(9), blockBytes)).toEqual(pattern(9))
    expect(await source.guest.load(at(9), blockBytes)).toEqual(new Uint8Array(blockBytes).fill(7))
  })

  it('[C-23] the log of hypercalls names guest physical addresses', async () => {
    const { source, destination } = await clonedPair()
    await destination.guest.store(at(3), Uint8Array.of(1))
    const { calls } = await bed.hypervisor.listHypercalls({ since: 0n })
    const seen = calls.filter(({ vm }) => vm === source.name || vm === destination.name)
    expect(seen).toContainEqual(
      expect.objectContaining({ call: 'share', caller: source.name, gpa: 0n, pages: BigInt(pages) }),
    )
    expect(seen).toContainEqual(expect.objectContaining({ call: 'grant', caller: destination.name }))
    expect(seen).toContainEqual(
      expect.objectContaining({ call: 'copied', vm: destination.name, gpa: at(3), pages: 1n }),
    )
  })
})

describe('the rest of a clone', () => {
  it('is copied in the background, with refills of the pool, around what writers wrote', async () => {
    const size = 1500
    const { clone, source, destination } = await clonedPair({ size })
    const writer = destination.guest.store(at(1400), Uint8Array.of(42))
    expect(await bed.finish(clone)).toBe(BigInt(size))
    await writer
    for (let i = 0; i < size; i += 500) {
      const expected = patterns(i, i + 500)
      if (i === 1000) expected.set([42], 400 * blockBytes)
      expect(isSame(await destination.guest.load(at(i), 500 * blockBytes), expected)).toBe(true)
      expect(isSame(await source.guest.load(at(i), 500 * blockBytes), patterns(i, i + 500))).toBe(true)
    }
    expect(await cloneView(clone)).toMatchObject({ state: 'finished', copied: BigInt(size) })
    await source.guest.store(at(0), Uint8Array.of(9))
    const { totals } = await totalsOf(destination.name, size)
    expect(totals).toEqual({ private: size })
  })

  it('gives back every frame when both VMs are deleted', async () => {
    const { clone, source, destination } = await clonedPair()
    await destination.guest.store(at(1), Uint8Array.of(1))
    await source.guest.store(at(2), Uint8Array.of(1))
    await expect(bed.hypervisor.deleteVm({ vm: source.name })).rejects.toMatchObject({ code: 'STATE' })
    await bed.hypervisor.deleteClone({ clone })
    await bed.hypervisor.deleteVm({ vm: destination.name })
    await source.guest.store(at(3), Uint8Array.of(5))
    await bed.hypervisor.deleteVm({ vm: source.name })
    const after = await bed.vm(`after-${count}`, { memoryBytes: pages * blockBytes })
    await after.guest.store(0n, patterns(0, pages))
    await bed.hypervisor.deleteVm({ vm: after.name })
  })
})

describe('when the worker or a registration ends', () => {
  it('[C-34] a worker killed between decrypting and storing: the write goes through after it came back', async () => {
    const { source, destination } = await clonedPair()
    const before = await bed.hypervisor.getWorker({})
    await bed.hypervisor.armFaultPoint({ point: 'copier.afterDecrypt', action: 'kill' })
    await destination.guest.store(at(7), Uint8Array.of(1, 2))
    const after = await bed.hypervisor.getWorker({})
    expect(after.pid).not.toBe(before.pid)
    const expected = pattern(7)
    expected.set([1, 2])
    expect(await destination.guest.load(at(7), blockBytes)).toEqual(expected)
    expect(await source.guest.load(at(7), blockBytes)).toEqual(pattern(7))
  })

  it('a worker that is replaced takes its registrations along: clones register again with the next', async () => {
    const { destination } = await clonedPair()
    const before = await bed.hypervisor.getWorker({})
    const started = await bed.hypervisor.startWorker({ imagePath: defaultWorkerImage(), faultPoints: true })
    expect(started.pid).not.toBe(before.pid)
    await destination.guest.store(at(6), Uint8Array.of(4))
    expect((await destination.guest.load(at(6), 1))[0]).toBe(4)
  })

  it('a revoked registration stalls writes until it is renewed', async () => {
    const { clone, destination } = await clonedPair()
    const { registration } = await cloneView(clone)
    await bed.hypervisor.revokeRegistration({ clone })
    expect(await cloneView(clone)).toMatchObject({ state: 'stalled' })
    let isDone = false
    const write = destination.guest.store(at(4), Uint8Array.of(8)).then(() => (isDone = true))
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(isDone).toBe(false)
    const renewed = await bed.hypervisor.renewRegistration({ clone })
    expect(renewed.registration).not.toBe(registration)
    await write
  })

  it('[C-33] a lease that ended is renewed by the next write', async () => {
    const { clone, destination } = await clonedPair({ grantMs: 1500 })
    const { registration } = await cloneView(clone)
    await new Promise((resolve) => setTimeout(resolve, 2000))
    await destination.guest.store(at(12), Uint8Array.of(3))
    expect((await cloneView(clone)).registration).not.toBe(registration)
    expect((await destination.guest.load(at(12), 1))[0]).toBe(3)
  })

  it('[X-08] a refusal surfaces as the plugin said it, and nothing is shared', async () => {
    const n = ++count
    const memoryBytes = 4 * blockBytes
    const source = await bed.vm(`source-${n}`, { memoryBytes })
    const destination = await bed.vm(`destination-${n}`, { memoryBytes, unmapped: true })
    await source.guest.store(0n, patterns(0, 4))
    await source.serveSource({ peers: [] })
    await destination.serveDestination({ peers: [source.identity] })
    await expect(bed.cloneMemory(`clone-${n}`, source, destination)).rejects.toMatchObject({
      code: 'REFUSED_PEER',
    })
    const { mappings } = await bed.hypervisor.getMemoryMap({ vm: source.name, index: 0n, count: 4 })
    expect(mappings.every(({ writable }) => writable)).toBe(true)
    const { rows } = await bed.hypervisor.inspectFrames({
      frames: mappings.flatMap(({ frame }) => frame ?? []),
    })
    expect(rows.map(({ state }) => state)).toEqual(Array(4).fill('private'))
    expect((await bed.hypervisor.listClones({})).clones.some(({ clone }) => clone === `clone-${n}`)).toBe(
      false,
    )
  })

  it('a plugin that is started again is asked again when the clone is renewed', async () => {
    const { clone, source, destination, sourcePlugin } = await clonedPair()
    await sourcePlugin.close()
    await source.serveSource({ peers: [destination.identity] })
    await bed.hypervisor.renewRegistration({ clone })
    await destination.guest.store(at(4), Uint8Array.of(8))
  })
})

async function totalsOf(vm: string, size: number): Promise<{ totals: Record<string, number> }> {
  const { mappings } = await bed.hypervisor.getMemoryMap({ vm, index: 0n, count: size })
  const frames = mappings.flatMap(({ frame }) => (frame === undefined ? [] : [frame]))
  const { rows } = await bed.hypervisor.inspectFrames({ frames })
  const totals: Record<string, number> = {}
  for (const { state } of rows) totals[state] = (totals[state] ?? 0) + 1
  return { totals }
}
