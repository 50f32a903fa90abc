/** Memory clones and faults against a platform and a worker that refuse what the real ones refuse. */
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { RangeMap } from '../../../../sdk/block/index.ts'
import { PalimpsestError, type Role, silentLogger } from '../../../../sdk/rpc/index.ts'
import type { CloneLink, LiveRegistration } from '../../../../emulator/hypervisor/clone-storage.ts'
import { FaultHandler } from '../../../../emulator/hypervisor/fault-handler.ts'
import { WaitingFaults } from '../../../../emulator/hypervisor/faults.ts'
import { FrameAllocator } from '../../../../emulator/hypervisor/frames.ts'
import { GuestMemory } from '../../../../emulator/hypervisor/guest-memory.ts'
import { HypercallLog, ReceiptLog } from '../../../../emulator/hypervisor/logs.ts'
import { MemoryClone } from '../../../../emulator/hypervisor/memory-clone.ts'
import type { MemoryHost } from '../../../../emulator/hypervisor/memory-host.ts'
import { MemoryShares } from '../../../../emulator/hypervisor/memory-shares.ts'
import { NestedMaps } from '../../../../emulator/hypervisor/nested-maps.ts'
import { Gates } from '../../../../emulator/hypervisor/waiting.ts'
import { FakePlatform, FakeWorker, settled } from './fakes.ts'

const source = 'vm-a'
const destination = 'vm-b'
const pages = 16n
const dramFrames = 128

/** A host with one source VM in frames 0 to 15 and one clone of it at pages 100 and up of the destination. */
class Host {
  readonly platform = new FakePlatform(dramFrames)
  readonly worker = new FakeWorker(this.platform, { source, destination })
  readonly shares = new MemoryShares<MemoryClone>()
  readonly frames = new FrameAllocator()
  readonly maps = new NestedMaps(this.platform)
  readonly receipts = new ReceiptLog()
  readonly hypercalls = new HypercallLog()
  readonly refills: bigint[][] = []
  readonly losses: string[] = []
  isFinished = false
  live: LiveRegistration | undefined
  readonly handler: FaultHandler
  readonly clone: MemoryClone
  #registrations = 0

  constructor(poolFrames = 8n, stallTimeoutMs = 60_000) {
    const faults = new WaitingFaults(stallTimeoutMs, (fault) => {
      this.handler.expired(fault)
    })
    const host: MemoryHost<MemoryClone> = {
      platform: this.platform,
      frames: this.frames,
      guests: new GuestMemory({ platform: this.platform, frames: this.frames, maps: this.maps }),
      maps: this.maps,
      shares: this.shares,
      faults,
      gates: new Gates(),
      workers: this.worker,
      hypercalls: this.hypercalls,
      receipts: this.receipts,
      poolFrames,
      log: silentLogger,
    }
    this.handler = new FaultHandler(host)
    this.clone = new MemoryClone(
      RangeMap.from([{ first: 0n, second: 100n, count: pages }]),
      this.#link(),
      host,
    )
  }

  async start(): Promise<void> {
    await this.populate()
    const terms = await this.register()
    await this.clone.share(terms, new Uint8Array())
    this.live = { terms, leaseUntil: 1n }
  }

  /** Gives the source its pages. */
  async populate(): Promise<void> {
    this.frames.release(0n, BigInt(dramFrames))
    this.frames.allocate(pages)
    await this.platform.assignFrames({ vm: source, runs: [{ index: 0n, frame: 0n, count: pages }] })
    const own = Array.from({ length: Number(pages) }, (_, i) => ({
      index: BigInt(i),
      frame: BigInt(i),
      writable: true,
    }))
    await this.maps.set(source, own)
  }

  async register(): Promise<LiveRegistration['terms']> {
    this.#registrations += 1
    return this.clone.prepare(`clone-${this.#registrations}`)
  }

  /** A write that faults, as a guest's store does; resolves when the platform was told to run it again. */
  async write(vm: string, index: bigint): Promise<void> {
    const fault = this.platform.fault(vm, index)
    this.handler.handle(fault)
    await settled()
    expect(this.platform.retried).toContain(fault.id)
  }

  #link(): CloneLink {
    return {
      name: 'clone',
      source,
      destination,
      live: () => this.live,
      lost: (_registration, error) => {
        this.losses.push(error.code)
        this.live = undefined
      },
      finished: () => {
        this.isFinished = true
      },
      refill: (_registration: string, _role: Role, frames) => {
        this.refills.push([...frames])
        return Promise.resolve()
      },
      stalled: () => new PalimpsestError('STALLED', 'stalled'),
    }
  }
}

let host: Host
beforeEach(async () => {
  host = new Host()
  await host.start()
})

describe('a clone of memory', () => {
  it('[C-19] leaves no writable mapping of a shared frame on either side, and copies nothing', () => {
    for (let i = 0n; i < pages; i++) {
      expect(host.platform.mapping(source, i)).toEqual({ index: i, frame: i, writable: false })
      expect(host.platform.mapping(destination, 100n + i)).toEqual({
        index: 100n + i,
        frame: i,
        writable: false,
      })
    }
    expect(host.worker.copied).toBe(0)
  })

  it('[C-10] [C-11] one faulting write makes one copy, and the map switches after it', async () => {
    host.platform.calls.length = 0
    await host.write(destination, 103n)
    expect(host.worker.sessions).toHaveLength(1)
    expect(host.worker.copied).toBe(1)
    expect(host.platform.calls).toEqual(['copied', `map ${destination}`])
    const mapping = host.platform.mapping(destination, 103n)
    expect(mapping?.writable).toBe(true)
    expect(mapping?.frame).not.toBe(3n)
    expect(host.platform.mapping(source, 3n)?.frame).toBe(3n)
    expect(host.receipts.list('clone')).toHaveLength(1)
  })

  it('[C-34] many faults on one page are one copy, and each of them runs again', async () => {
    const faults = Array.from({ length: 64 }, () => host.platform.fault(destination, 105n))
    for (const fault of faults) host.handler.handle(fault)
    await settled()
    expect(host.worker.copied).toBe(1)
    expect([...host.platform.retried].sort()).toEqual(faults.map(({ id }) => id).sort())
  })

  it('[C-34] faults on neighbours travel in one session', async () => {
    for (let i = 0n; i < 8n; i++) host.handler.handle(host.platform.fault(destination, 100n + i))
    await settled()
    expect(host.worker.sessions).toHaveLength(1)
    expect(host.worker.copied).toBe(8)
  })

  it('a fault that is sent twice is counted once', async () => {
    const fault = host.platform.fault(destination, 101n)
    host.handler.handle(fault)
    host.handler.handle(fault)
    await settled()
    expect(host.platform.retried).toEqual([fault.id])
  })

  it('[C-34] a write of the source is copied into a frame of the source', async () => {
    await host.write(source, 4n)
    expect(host.worker.sessions.map(({ writer }) => writer)).toEqual(['source'])
    expect(host.platform.mapping(source, 4n)?.frame).not.toBe(4n)
    expect(host.platform.mapping(destination, 104n)?.frame).toBe(4n)
  })

  it('[C-34] the last sharer is upgraded in place when its key opens the frame', async () => {
    await host.write(destination, 106n)
    await host.write(source, 6n)
    expect(host.worker.copied).toBe(1)
    expect(host.platform.calls).toContain('upgrade')
    expect(host.platform.mapping(source, 6n)).toEqual({ index: 6n, frame: 6n, writable: true })
  })

  it('[C-34 control] the last sharer is copied when its key does not open the frame', async () => {
    await host.write(source, 7n)
    const free = host.frames.free
    await host.write(destination, 107n)
    expect(host.worker.copied).toBe(2)
    expect(host.platform.row(7n).state).toBe('free')
    expect(host.frames.free).toBe(free + 1n)
  })

  it('a page without memory fails its access', async () => {
    const fault = host.platform.fault(destination, 5n)
    host.handler.handle(fault)
    await settled()
    expect(host.platform.failed).toMatchObject([{ id: fault.id, code: 'OUT_OF_RANGE' }])
  })

  it('asks for more frames before it runs out, and never for more than it needs', async () => {
    for (let i = 0n; i < pages; i++) await host.write(destination, 100n + i)
    expect(host.isFinished).toBe(true)
    expect(host.refills.length).toBeGreaterThan(0)
    const granted = 8 + host.refills.flat().length
    expect(granted).toBe(Number(pages))
  })

  it('copies in the background what is left, and tells of it', async () => {
    await host.write(destination, 101n)
    const steps: bigint[] = []
    for await (const _step of host.clone.finish(new AbortController().signal)) steps.push(host.clone.copied)
    expect(host.clone.copied).toBe(pages)
    expect(steps.at(-1)).toBe(pages)
    expect(host.worker.copied).toBe(Number(pages))
    expect(host.isFinished).toBe(true)
  })
})

describe('faults', () => {
  const keyFaults = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) host.handler.handle(host.platform.fault(source, 20n, 'read', 'key'))
    await settled()
  }
  const mapOwn = (): Promise<void> => host.maps.set(source, [{ index: 20n, frame: 60n, writable: true }])

  const writeProtected = (): Promise<void> => {
    host.handler.handle(host.platform.fault(source, 20n, 'write', 'write-protected'))
    return settled()
  }

  it.each([
    ['it is mapped anew', mapOwn],
    ['its key was found to be right', writeProtected],
  ])('for the key of a frame are counted from the start when %s', async (_title, resolve) => {
    await mapOwn()
    for (let round = 0; round < 3; round++) {
      await keyFaults(1000)
      await resolve()
      await settled()
    }
    expect(host.platform.failed).toEqual([])
  })

  it('for the key of a frame end with an error when the platform insists', async () => {
    await mapOwn()
    await keyFaults(1024)
    expect(host.platform.failed).toEqual([])
    await keyFaults(1)
    expect(host.platform.failed).toMatchObject([{ code: 'OWNERSHIP_FAULT' }])
  })

  it('reach whoever watches, until they stop', async () => {
    const stop = new AbortController()
    const seen: bigint[] = []
    const watch = (async () => {
      for await (const fault of host.handler.watch(stop.signal)) seen.push(fault.index)
    })()
    await settled()
    await host.write(destination, 101n)
    await host.write(source, 2n)
    expect(seen).toEqual([101n, 2n])
    stop.abort()
    await watch
    await host.write(destination, 102n)
    expect(seen).toHaveLength(2)
  })

  it('that a watcher does not take are kept, the newest 10000 of them', async () => {
    const faults = host.handler.watch(new AbortController().signal)
    const first = faults.next()
    await mapOwn()
    await host.write(destination, 101n)
    for (let i = 0; i < 50; i++) await keyFaults(201).then(mapOwn)
    expect((await first).value).toMatchObject({ index: 101n })
    const kept: bigint[] = []
    for (let i = 0; i < 10_000; i++) kept.push((await faults.next()).value?.id ?? -1n)
    expect(kept[0]).toBe(1n + 1n + 50n)
    await faults.return()
  })
})

describe('when sharing breaks off', () => {
  const lost = new PalimpsestError('UNAVAILABLE', 'the connection broke')
  let terms: LiveRegistration['terms']
  beforeEach(async () => {
    host = new Host()
    await host.populate()
    terms = await host.register()
  })

  async function renewed(): Promise<void> {
    await host.clone.settle(terms)
    host.live = { terms: await host.register(), leaseUntil: 2n }
    host.clone.resume()
    expect(host.platform.calls.filter((call) => call === 'share')).toHaveLength(1)
    expect(host.platform.mapping(source, 3n)).toMatchObject({ frame: 3n, writable: false })
    expect(host.platform.mapping(destination, 103n)).toMatchObject({ frame: 3n, writable: false })
    await host.write(destination, 103n)
    await host.write(source, 4n)
  }

  it.each([source, destination])(
    'maps of %s that were not set are set by the next registration',
    async (vm) => {
      const set = host.platform.setMappings
      host.platform.setMappings = (request) => (request.vm === vm ? Promise.reject(lost) : set(request))
      await expect(host.clone.share(terms, new Uint8Array())).rejects.toBe(lost)
      expect(host.clone.isShared).toBe(true)
      host.platform.setMappings = set
      await renewed()
    },
  )

  it('an answer that is lost is looked up', async () => {
    const share = host.platform.shareFrames
    host.platform.shareFrames = (request) => share(request).then(() => Promise.reject(lost))
    await host.clone.share(terms, new Uint8Array())
    expect(host.clone.isShared).toBe(true)
    await renewed()
  })

  it.each([true, false])('what can not be looked up is found out later (shared: %s)', async (isShared) => {
    const { shareFrames, describeFrames } = host.platform
    host.platform.shareFrames = async (request) => {
      if (isShared) await shareFrames(request)
      throw lost
    }
    host.platform.describeFrames = () => Promise.reject(lost)
    await expect(host.clone.share(terms, new Uint8Array())).rejects.toBe(lost)
    expect(host.clone.isShared).toBe(true)
    Object.assign(host.platform, { shareFrames, describeFrames })
    await renewed()
  })

  it('a refusal leaves nothing shared', async () => {
    host.platform.shareFrames = () => Promise.reject(new PalimpsestError('REFUSED_PEER', 'no'))
    await expect(host.clone.share(terms, new Uint8Array())).rejects.toMatchObject({ code: 'REFUSED_PEER' })
    expect(host.clone.isShared).toBe(false)
  })

  it('a clone that is deleted then has its frames come back with its VMs', async () => {
    host.platform.setMappings = () => Promise.reject(lost)
    await expect(host.clone.share(terms, new Uint8Array())).rejects.toBe(lost)
    host.platform.setMappings = () => Promise.resolve({})
    await host.clone.discard()
    expect(host.clone.abandoned).toBe(true)
    expect(host.shares.vmEnded(destination).shared.size).toBe(Number(pages))
  })
})

describe('when copies fail', () => {
  it('[C-34] a lost worker leaves the write waiting; it goes on under the next registration', async () => {
    host.worker.before = () => Promise.reject(new PalimpsestError('WORKER_UNAVAILABLE', 'gone'))
    const terms = host.live?.terms
    const fault = host.platform.fault(destination, 102n)
    host.handler.handle(fault)
    await settled()
    expect(host.losses).toEqual(['WORKER_UNAVAILABLE'])
    expect(host.platform.retried).toEqual([])
    if (terms) await host.clone.settle(terms)
    expect(host.platform.count('reserved')).toBe(0)
    host.worker.before = () => Promise.resolve()
    host.live = { terms: await host.register(), leaseUntil: 2n }
    host.clone.resume()
    await settled()
    expect(host.platform.retried).toEqual([fault.id])
  })

  it('[C-12] a copy that landed without its receipt is found, and not made again', async () => {
    host.worker.after = () => {
      throw new PalimpsestError('WORKER_UNAVAILABLE', 'killed after the commit')
    }
    const terms = host.live?.terms
    const fault = host.platform.fault(destination, 102n)
    host.handler.handle(fault)
    await settled()
    expect(host.platform.mapping(destination, 102n)?.writable).toBe(false)
    if (terms) await host.clone.settle(terms)
    await settled()
    expect(host.platform.retried).toEqual([fault.id])
    expect(host.platform.mapping(destination, 102n)?.writable).toBe(true)
    host.worker.after = () => undefined
    host.live = { terms: await host.register(), leaseUntil: 2n }
    host.clone.resume()
    await settled()
    expect(host.worker.copied).toBe(1)
    expect(host.live.terms.pairs.some(({ second, count }) => second <= 102n && 102n < second + count)).toBe(
      false,
    )
  })

  it('one page that can not be copied does not keep the others from it', async () => {
    host.worker.before = ({ blocks }) =>
      blocks.some(({ second }) => second === 104n)
        ? Promise.reject(new PalimpsestError('GRANT_SPENT', 'copied before'))
        : Promise.resolve()
    const faults = [103n, 104n, 105n].map((index) => host.platform.fault(destination, index))
    for (const fault of faults) host.handler.handle(fault)
    await settled()
    expect(host.platform.retried).toEqual([faults[0]?.id, faults[2]?.id])
    expect(host.platform.failed).toMatchObject([{ id: faults[1]?.id, code: 'GRANT_SPENT' }])
  })

  it('[C-22] a frame that turns out to be in use is replaced by another', async () => {
    let refusals = 2
    host.worker.before = () =>
      refusals-- > 0 ? Promise.reject(new PalimpsestError('DEST_IN_USE', 'in use')) : Promise.resolve()
    await host.write(destination, 100n)
    expect(host.worker.sessions).toHaveLength(3)
  })

  it('[C-34] a stalled write fails after its time, and the same write goes through later', async () => {
    host = new Host(8n, 20)
    await host.start()
    const { live } = host
    host.live = undefined
    const fault = host.platform.fault(destination, 100n)
    host.handler.handle(fault)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(host.platform.failed).toMatchObject([{ id: fault.id, code: 'STALLED' }])
    host.live = live
    host.clone.resume()
    await settled()
    await host.write(destination, 100n)
    expect(host.worker.copied).toBe(1)
  })
})

describe('invariants', () => {
  it('[C-34] hold for any order of writes of both sides', async () => {
    const write = fc.record({ vm: fc.constantFrom(source, destination), page: fc.bigInt(0n, pages - 1n) })
    await fc.assert(
      fc.asyncProperty(fc.array(write, { maxLength: 40 }), async (writes) => {
        const local = new Host(4n)
        await local.start()
        for (const { vm, page } of writes) {
          const index = vm === source ? page : page + 100n
          if (local.platform.mapping(vm, index)?.writable === true) continue
          local.handler.handle(local.platform.fault(vm, index))
          if (page % 3n === 0n) await settled()
        }
        await settled()
        expect(local.platform.failed).toEqual([])
        for (const { vm, page } of writes) {
          const index = vm === source ? page : page + 100n
          const mapping = local.platform.mapping(vm, index)
          expect(mapping?.writable).toBe(true)
          const row = local.platform.row(mapping?.frame ?? -1n)
          expect(row).toMatchObject({ state: 'private', names: [{ vm, index }] })
        }
        expect(BigInt(local.platform.count('free'))).toBe(local.frames.free)
      }),
      { numRuns: 40 },
    )
  })
})
