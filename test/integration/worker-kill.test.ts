// The worker's process is killed between decrypting and storing, from outside, while writers wait for it: it comes back,
// both sides validate and register again by themselves, and every waiting write completes once.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { Secret } from '../../sdk/crypto/index.ts'
import { type KeyRequest, memoryKeys } from '../../sdk/plugin/index.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK, openDisk, openPage } from './support/independent.ts'
import { at, bytesOf, changed, pattern, patterns, type Stage, stage, until } from './support/stage.ts'

const PAGES = 16
const PATCH = Uint8Array.of(0xca, 0xfe)

let bed: Testbed
let host: HostView
let log = ''

beforeAll(async () => {
  bed = await startTestbed({ stallTimeoutMs: 60_000, onLog: (text) => (log += text) })
  host = new HostView(bed)
})
afterAll(async () => {
  host.close()
  await bed.close()
})

/** Has the worker stop at the fault point, starts `work`, and resolves when the worker is there, with its pid. */
async function stopped<T>(work: () => Promise<T>): Promise<{ pid: number; work: Promise<T> }> {
  const { pid } = await host.workerIdentity()
  await bed.hypervisor.armFaultPoint({ point: 'copier.afterDecrypt', action: 'pause' })
  const running = work()
  running.catch(() => undefined)
  const line = new RegExp(
    `copier\\.afterDecrypt.*\\\\?"pid\\\\?":${String(pid)}|pid\\\\?":${String(pid)}.*copier\\.afterDecrypt`,
  )
  await until('the worker to reach the fault point', () => Promise.resolve(line.test(log) || undefined))
  return { pid, work: running }
}

/** Kills the worker and resolves when another runs. */
async function killed(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await until('another worker', async () => {
    const found = await host.workerIdentity().catch(() => undefined)
    return found !== undefined && found.pid !== pid ? true : undefined
  })
}

/** Registrations that a side validated and gave keys for, in order. */
function given({ events }: Stage, role: 'source' | 'destination'): string[] {
  return events.all(role, 'KEYS_SENT').map(({ registration }) => registration)
}

describe('kill -9 of the worker at copier.afterDecrypt', () => {
  it('[C-34] [C-12] a store of the destination completes once after both sides registered again', async () => {
    const made = await stage(bed, 'store', { pages: PAGES })
    const { source, destination } = made
    await bed.cloneMemory('store', source, destination)
    const { frame } = await host.mapping(source.name, 3)
    const before = await host.ciphertext(frame)
    const { pid, work } = await stopped(() => destination.guest.store(at(3, 64), PATCH))
    const waiting = await settledWithin(work, 200)
    expect(waiting).toBe(false)
    await killed(pid)
    await work
    expect(await destination.guest.load(at(3), BLOCK)).toEqual(changed(pattern(3), 64, PATCH))
    expect(await source.guest.load(at(3), BLOCK)).toEqual(pattern(3))
    expect(await host.ciphertext(frame)).toEqual(before)
    for (const role of ['source', 'destination'] as const) {
      const registrations = given(made, role)
      expect(registrations.length).toBeGreaterThanOrEqual(2)
      expect(made.events.all(role, 'VALIDATED').map(({ registration }) => registration)).toEqual(
        registrations,
      )
    }
    expect((await host.clone('store')).state).toBe('live')
    const { name } = await host.workerIdentity()
    const own = await host.mapping(destination.name, 3)
    expect((await host.writesOf(own.frame)).map(({ writer }) => writer)).toEqual([name, destination.name])
    expect(await host.receipts('store')).toHaveLength(1)
  })

  it('[C-12] an addition that is killed, retried and retried too early counts exactly once', async () => {
    const gate = new Gate()
    const root = Secret.random(32)
    const give = memoryKeys({ root, mode: 'location' })
    const keys = async (request: KeyRequest) => {
      await gate.passed
      return give(request)
    }
    const options = { destinationKeys: { root }, destinationPlugin: { keys } }
    const { source, destination } = await stage(bed, 'counter', { pages: PAGES, ...options })
    await bed.cloneMemory('counter', source, destination)
    const start = counterOf(pattern(5))
    const faults = await host.watchFaults(destination, [8, 9, 10, 11, 12, 13])
    let running: Promise<bigint> | undefined
    for (let round = 0; round < 2; round++) {
      const { pid } = await stopped(() => {
        gate.open()
        running ??= destination.guest.fetchAdd(at(5), 1n)
        return running
      })
      // A host that retries the access before the copy is there: it faults again, and nothing is added.
      for (const { id } of faults.now()) await host.platform.resolveFaults({ retry: [id], fail: [] })
      // The next worker gets no keys before its fault point is armed.
      if (round < 1) gate.close()
      await killed(pid)
    }
    expect(await running).toBe(start + 1n)
    expect(counterOf(await destination.guest.load(at(5), 8))).toBe(start + 1n)
    expect(counterOf(await source.guest.load(at(5), 8))).toBe(start)
    const seen = (await faults.stop()).filter(({ index }) => index === 5n)
    expect(seen.length).toBeGreaterThan(1)
  })

  it('[C-12 control] an addition that a guest asks for twice counts twice', async () => {
    const { source, destination } = await stage(bed, 'twice', { pages: PAGES })
    await bed.cloneMemory('twice', source, destination)
    await Promise.all([destination.guest.fetchAdd(at(5), 1n), destination.guest.fetchAdd(at(5), 1n)])
    expect(counterOf(await destination.guest.load(at(5), 8))).toBe(counterOf(pattern(5)) + 2n)
  })

  it('a batch in the background is torn nowhere: each page is copied whole, once', async () => {
    const { source, destination } = await stage(bed, 'batch', { pages: 200 })
    await bed.cloneMemory('batch', source, destination)
    const { pid, work } = await stopped(() => bed.finish('batch'))
    await killed(pid)
    expect(await work).toBe(200n)
    const mappings = await host.mappings(destination.name, 0, 200)
    for (const [page, { frame }] of mappings.entries()) {
      const opened = openPage(bytesOf(destination.root), frame, await host.ciphertext(frame))
      expect(opened, `page ${String(page)}`).toEqual(Buffer.from(pattern(page)))
    }
    // Frames that the dead worker's registration held came back: each VM has its pages and nothing is left reserved.
    const { totals } = await host.platform.describeFrames({ frames: [], includeTotals: true })
    await bed.hypervisor.deleteVm({ vm: destination.name })
    await bed.hypervisor.deleteVm({ vm: source.name })
    const after = await host.platform.describeFrames({ frames: [], includeTotals: true })
    expect((after.totals?.free ?? 0n) - (totals?.free ?? 0n)).toBe(400n)
  })

  it('[C-36] [C-34] a write of a part of a disk block completes after both sides registered again', async () => {
    const made = await stage(bed, 'disk', { pages: 1 })
    const { source, destination } = made
    const original = await source.createVolume('disk-original', PAGES * BLOCK)
    await original.write(0n, patterns(0, PAGES))
    await bed.cloneVolume('disk', source, destination, { source: 'disk-original', destination: 'disk-copy' })
    const copy = destination.disk('disk-copy')
    const sector = new Uint8Array(512).fill(9)
    const { pid, work } = await stopped(() => copy.write(at(4, 1024), sector))
    expect(await settledWithin(work, 200)).toBe(false)
    const { ciphertext: shared } = await bed.hypervisor.inspectVolume({
      volume: 'disk-copy',
      block: 4n,
      count: 1,
    })
    await killed(pid)
    await work
    const { ciphertext, own } = await bed.hypervisor.inspectVolume({
      volume: 'disk-copy',
      block: 4n,
      count: 1,
    })
    expect(own).toEqual([true])
    expect(ciphertext).not.toEqual(shared)
    const opened = openDisk(bytesOf(destination.volumeKey), 4n, ciphertext)
    expect(opened).toEqual(Buffer.from(changed(pattern(4), 1024, sector)))
    expect(await original.read(at(4), BLOCK)).toEqual(pattern(4))
    for (const role of ['source', 'destination'] as const)
      expect(given(made, role).length).toBeGreaterThanOrEqual(2)
  })
})

/** A gate that starts open. */
class Gate {
  passed: Promise<void> = Promise.resolve()
  open: () => void = () => undefined

  close(): void {
    this.passed = new Promise((resolve) => (this.open = resolve))
  }
}

function counterOf(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
}

/** Whether `work` ends within so many milliseconds. */
function settledWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, ms, false))
  return Promise.race([work.then(() => true), late])
}
