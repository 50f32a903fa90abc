/**
 * A clone of guest memory: shared frames, and a copy by the worker for whoever writes first. The map switches only
 * after the receipt, and in the same step the waiting access runs again.
 * Source: design.md section 6; systems.md 2.6 (phases C to H) and 2.8.
 */
import { expandRanges, RangeMap, RunSet, coalesceIndexes } from '../../sdk/block/index.ts'
import {
  type BlockCopy,
  type Mapping,
  PalimpsestError,
  type RangePair,
  type Role,
} from '../../sdk/rpc/index.ts'
import type { CloneLink, CloneStorage, Terms } from './clone-storage.ts'
import { CopyQueue } from './copy-queue.ts'
import { FramePool } from './frame-pool.ts'
import { MemoryCopier, type OwnPage } from './memory-copier.ts'
import type { MemoryHost } from './memory-host.ts'
import type { SharedFrame, SharedPages } from './memory-shares.ts'

/** Blocks in one copy session; answers stay well below a second and below 4 MiB. */
const batchBlocks = 256
const sessionsInFlight = 4

/** What the platform is asked to share. */
interface Sharing {
  readonly statement: Uint8Array
  readonly pairs: readonly RangePair[]
}

/** The memory of one clone. */
export class MemoryClone implements CloneStorage, SharedPages {
  readonly kind = 'memory-page'
  readonly volumes = { source: '', destination: '' }
  readonly source: string
  readonly destination: string
  abandoned = false
  readonly #host: MemoryHost
  readonly #link: CloneLink
  readonly #pairs: RangeMap
  /** First page -> frame; fixed by the first registration's terms. */
  #frames: RangeMap | undefined
  /** Second pages that are still shared. */
  readonly #destinationPages = new RunSet()
  /** First pages that are still shared. */
  readonly #sourcePages = new RunSet()
  readonly #copier: MemoryCopier
  readonly #queues: Readonly<Record<Role, CopyQueue>>
  /** Whether the clone has begun: its pages are shared. */
  #isShared = false
  /** What the platform was asked to share, until it is certain what became of it and both sides' maps say so. */
  #sharing: Sharing | undefined

  constructor(pairs: RangeMap, link: CloneLink, host: MemoryHost) {
    this.#pairs = pairs
    this.#link = link
    this.#host = host
    this.source = link.source
    this.destination = link.destination
    this.#copier = new MemoryCopier(link, host, {
      shares: (role, index) => this.#shares(role, index),
      block: (role, index, frame) => this.#block(role, index, frame),
      switchTo: (role, pages) => this.#switch(role, pages),
    })
    this.#queues = { source: this.#queue('source'), destination: this.#queue('destination') }
  }

  get blocks(): bigint {
    return this.#pairs.size
  }

  get isShared(): boolean {
    return this.#isShared || this.#sharing !== undefined
  }

  get copied(): bigint {
    return this.#isShared ? this.#pairs.size - this.#destinationPages.size : 0n
  }

  frameOf(first: bigint): bigint | undefined {
    return this.#frames?.toSecond(first)
  }

  secondOf(first: bigint): bigint | undefined {
    return this.#pairs.toSecond(first)
  }

  firstOf(second: bigint): bigint | undefined {
    return this.#pairs.toFirst(second)
  }

  destinationShares(second: bigint): boolean {
    return this.#destinationPages.has(second)
  }

  sourceShares(first: bigint): boolean {
    return this.#sourcePages.has(first)
  }

  get sharesNothing(): boolean {
    return this.#destinationPages.size === 0n && this.#sourcePages.size === 0n
  }

  sourceLeft(first: bigint): void {
    this.#sourcePages.delete({ first, count: 1n })
  }

  leave(vm: string): SharedFrame[] {
    const firsts: bigint[] = []
    for (const run of vm === this.destination ? this.#destinationPages.runs() : []) {
      firsts.push(...[...expandRanges([run])].map((second) => this.firstOf(second) ?? 0n))
      this.#destinationPages.delete(run)
    }
    for (const run of vm === this.source ? this.#sourcePages.runs() : []) {
      firsts.push(...expandRanges([run]))
      this.#sourcePages.delete(run)
    }
    return firsts.map((first) => ({ source: this.source, first, frame: this.frameOf(first) ?? 0n }))
  }

  pairs(): readonly RangePair[] {
    if (!this.#isShared) return this.#pairs.pairs
    const left = this.#destinationPages.runs().flatMap((run) => this.#pairs.withinSecond(run))
    return RangeMap.from(left).pairs
  }

  async prepare(registration: string): Promise<Terms> {
    if (this.#sharing && this.#frames) await this.#goOnSharing(this.#sharing, this.#frames)
    const pairs = this.pairs()
    this.#frames ??= await this.#currentFrames()
    const frames = this.#frames
    const pools = {
      source: this.#pool(registration, 'source'),
      destination: this.#pool(registration, 'destination'),
    }
    const terms = { registration, pairs, pools }
    try {
      const destinationPool = await pools.destination.open()
      const sourcePool = await pools.source.open()
      const sourceFrames = pairs.flatMap(({ first, count }) =>
        frames
          .withinFirst({ first, count })
          .map((run) => ({ index: run.first, frame: run.second, count: run.count })),
      )
      return { ...terms, storage: { case: 'memory', value: { sourceFrames, destinationPool, sourcePool } } }
    } catch (error) {
      await this.#giveBack(registration, pools)
      if (!this.isShared) this.#frames = undefined
      throw error
    }
  }

  async share(terms: Terms, statement: Uint8Array): Promise<void> {
    await this.#host.gates.exclusive(this.source, async () => {
      const frames = this.#frames
      if (frames === undefined || !this.#framesAreCurrent(frames)) {
        this.#frames = undefined
        throw new PalimpsestError(
          'ABORTED',
          'the source pages moved while the clone was registered: try again',
        )
      }
      this.#sharing = { statement, pairs: terms.pairs }
      await this.#shareThere(this.#sharing, frames)
      this.#begun()
      await this.#mapShared(frames)
    })
  }

  async settle(terms: Terms): Promise<void> {
    if (terms.pools === undefined) return
    const landed = await this.#giveBack(terms.registration, terms.pools)
    if (!this.#isShared) {
      if (this.#sharing === undefined) this.#frames = undefined
      return
    }
    for (const role of ['source', 'destination'] as const) {
      const pages = landed.filter((page) => page.vm === this.#vm(role) && this.#shares(role, page.index))
      if (pages.length > 0) await this.#switch(role, pages)
    }
  }

  resume(): void {
    this.#queues.destination.wake()
    this.#queues.source.wake()
  }

  cancel(error: PalimpsestError): void {
    this.#queues.destination.close(error)
    this.#queues.source.close(error)
  }

  /** Resolves when the page of that side has a frame of its own. */
  request(role: Role, index: bigint): Promise<void> {
    return this.#queues[role].request(index, 'fault')
  }

  /** The error for an access that waited too long. */
  stalled(): PalimpsestError {
    return this.#link.stalled()
  }

  /** A page of one side has a frame of its own now, without a copy by the worker. */
  async owned(role: Role, index: bigint, frame: bigint): Promise<void> {
    await this.#switch(role, [{ vm: this.#vm(role), index, frame }])
  }

  async *finish(signal: AbortSignal): AsyncGenerator<void, void, undefined> {
    const stop = aborted(signal)
    const underWay: Promise<unknown>[] = []
    for (const pages of this.#sharedBatches()) {
      const copies = Promise.all(pages.map((page) => this.#queues.destination.request(page, 'background')))
      copies.catch(() => undefined)
      underWay.push(copies)
      if (underWay.length < sessionsInFlight) continue
      await Promise.race([underWay.shift(), stop])
      if (signal.aborted) return
      yield
    }
    await Promise.race([Promise.all(underWay), stop])
    yield
  }

  /** Pages of the destination that are shared when their turn comes, in batches. */
  *#sharedBatches(): Generator<bigint[], void, undefined> {
    let batch: bigint[] = []
    for (const run of this.#destinationPages.runs()) {
      for (const page of expandRanges([run])) {
        if (this.#destinationPages.has(page)) batch.push(page)
        if (batch.length < batchBlocks) continue
        yield batch
        batch = []
      }
    }
    if (batch.length > 0) yield batch
  }

  async discard(): Promise<void> {
    if (this.#sharing && this.#frames && !this.#isShared && (await this.#isSharedThere(this.#frames)))
      this.#begun()
    this.#sharing = undefined
    if (!this.#isShared) return
    this.abandoned = this.#destinationPages.size > 0n
    const pages = this.#destinationPages.runs().flatMap((run) => [...expandRanges([run])])
    await this.#host.maps.set(
      this.destination,
      pages.map((index) => ({ index, writable: false })),
    )
  }

  /** Pages that the source alone still has become writable again without a copy. */
  async complete(): Promise<void> {
    const alone = this.#sourcePages
      .runs()
      .flatMap((run) => [...expandRanges([run])])
      .filter((index) => this.#host.shares.names(this.source, index, this.frameOf(index) ?? -1n) === 1)
    if (alone.length > 0) {
      await this.#host.platform.upgradeFrames({ vm: this.source, indexes: alone })
      const pages = alone.map((index) => ({ vm: this.source, index, frame: this.frameOf(index) ?? 0n }))
      await this.#switch('source', pages)
    }
    this.#host.shares.prune()
  }

  /** Takes up a sharing that broke off. */
  async #goOnSharing(sharing: Sharing, frames: RangeMap): Promise<void> {
    await this.#host.gates.exclusive(this.source, async () => {
      if (!this.#isShared) {
        if (!(await this.#isSharedThere(frames))) {
          const { source: owner, destination: peer } = this
          await this.#host.platform.shareFrames({ owner, peer, ...sharing })
        }
        this.#begun()
      }
      await this.#mapShared(frames)
    })
  }

  /** Maps what is shared on both sides. */
  async #mapShared(frames: RangeMap): Promise<void> {
    const { maps } = this.#host
    const firsts = this.#sourcePages.runs().flatMap((run) => frames.withinFirst(run))
    await maps.set(this.source, readOnly(firsts))
    const seconds = this.#destinationPages
      .runs()
      .flatMap((run) => this.#pairs.withinSecond(run))
      .flatMap((pair) =>
        frames.withinFirst(pair).map((run) => ({ ...run, first: pair.second + (run.first - pair.first) })),
      )
    await maps.set(this.destination, readOnly(seconds))
    this.#sharing = undefined
  }

  /** Has the platform share the frames. Without its answer, its ownership table tells what became of it. */
  async #shareThere({ statement, pairs }: Sharing, frames: RangeMap): Promise<void> {
    const { source: owner, destination: peer } = this
    try {
      await this.#host.platform.shareFrames({ owner, peer, pairs, statement })
    } catch (error) {
      const isShared = await this.#isSharedThere(frames).catch(() => undefined)
      if (isShared === true) return
      if (isShared === false) this.#sharing = undefined
      throw error
    }
  }

  /** Whether the platform has shared the frames: it shares all of them or none. */
  async #isSharedThere(frames: RangeMap): Promise<boolean> {
    const [pair] = this.#pairs.pairs
    const frame = pair && frames.toSecond(pair.first)
    if (pair === undefined || frame === undefined) return false
    const { rows } = await this.#host.platform.describeFrames({ frames: [frame], includeTotals: false })
    return rows.some(({ sharers }) =>
      sharers.some(({ vm, index }) => vm === this.destination && index === pair.second),
    )
  }

  /** The frames are shared: from now on their pages count as names of them. */
  #begun(): void {
    for (const { first, second, count } of this.#pairs.pairs) {
      this.#destinationPages.add({ first: second, count })
      this.#sourcePages.add({ first, count })
    }
    this.#isShared = true
    this.#host.shares.add(this)
  }

  #vm(role: Role): string {
    return role === 'source' ? this.source : this.destination
  }

  #shares(role: Role, index: bigint): boolean {
    return role === 'source' ? this.sourceShares(index) : this.destinationShares(index)
  }

  #queue(role: Role): CopyQueue {
    const work = {
      ready: () => this.#link.live() !== undefined,
      copy: (indexes: readonly bigint[]) => this.#copier.copy(role, indexes),
    }
    return new CopyQueue(work, { batch: batchBlocks, inFlight: sessionsInFlight })
  }

  #pool(registration: string, role: Role): FramePool {
    const { poolFrames, frames, platform } = this.#host
    // The source keeps its frames more often than not, so that its pool is small until it is used.
    const size = role === 'destination' ? poolFrames : (poolFrames + 3n) / 4n
    return new FramePool(
      { registration, vm: this.#vm(role), size },
      {
        frames,
        platform,
        grant: (added) => this.#link.refill(registration, role, added),
        wanted: () => this.#wanted(role),
      },
    )
  }

  #wanted(role: Role): bigint {
    if (!this.#isShared) return this.#pairs.size
    return role === 'destination' ? this.#destinationPages.size : this.#sourcePages.size
  }

  /** The frames that the source's pages lie in now. @throws PalimpsestError when a page has none or is shared itself. */
  async #currentFrames(): Promise<RangeMap> {
    const { guests, maps, shares } = this.#host
    const found: RangePair[] = []
    for (const pair of this.#pairs.pairs) {
      await guests.populate(this.source, pair)
      for (const first of expandRanges([pair])) {
        const entry = maps.get(this.source, first)
        const page = `guest page ${String(first)} of ${this.source}`
        if (entry === undefined)
          throw new PalimpsestError('OUT_OF_RANGE', `expected memory at ${page}, found none`)
        if (shares.ofDestination(this.source, first)) {
          throw new PalimpsestError(
            'STATE',
            `expected ${page} to be its own, found it shared: finish its clone first`,
          )
        }
        found.push({ first, second: entry.frame, count: 1n })
      }
    }
    return RangeMap.from(found)
  }

  #framesAreCurrent(frames: RangeMap): boolean {
    return frames.pairs.every((run) =>
      [...expandRanges([run])].every((first) => {
        const frame = run.second + (first - run.first)
        return this.#host.maps.get(this.source, first)?.frame === frame
      }),
    )
  }

  #block(role: Role, page: bigint, secondFrame: bigint | undefined): BlockCopy {
    const first = role === 'source' ? page : this.#pairs.toFirst(page)
    if (first === undefined) throw new RangeError(`page ${String(page)} is not of this clone`)
    return { first, second: page, firstFrame: this.frameOf(first), secondFrame, generation: 0n }
  }

  /** Switches the map of pages that have a frame of their own now; the accesses that wait on them run again. */
  async #switch(role: Role, pages: readonly OwnPage[]): Promise<void> {
    const { maps, faults, platform, hypercalls, workers } = this.#host
    const vm = this.#vm(role)
    const runs = coalesceIndexes(pages.map(({ index }) => index))
    const caller = workers.running?.name ?? 'worker'
    hypercalls.note(
      caller,
      'copied',
      vm,
      runs.map(({ first, count }) => ({ index: first, pages: count })),
    )
    const waiting = (): bigint[] => pages.flatMap(({ index }) => faults.take(vm, index))
    const mappings = pages.map(({ index, frame }) => ({ index, frame, writable: true }))
    await maps.set(vm, mappings, waiting())
    for (const { index, frame } of pages) this.#leave(role, index, frame)
    // Faults that came while the maps were being switched.
    const late = waiting()
    if (late.length > 0) await platform.resolveFaults({ retry: late, fail: [] })
    if (role === 'destination' && this.#destinationPages.size === 0n) this.#link.finished()
  }

  /** Takes one name off a shared frame; without names it is free. */
  #leave(role: Role, index: bigint, own: bigint): void {
    const { shares, frames } = this.#host
    const first = role === 'source' ? index : this.#pairs.toFirst(index)
    const frame = first === undefined ? undefined : this.frameOf(first)
    if (role === 'destination') this.#destinationPages.delete({ first: index, count: 1n })
    else shares.sourceLeft(this.source, index)
    if (first === undefined || frame === undefined || frame === own) return
    if (shares.names(this.source, first, frame) === 0) frames.release(frame, 1n)
  }

  /** Returns what is left of the pools to the platform; yields the pages that copies have landed in. */
  async #giveBack(registration: string, pools: Readonly<Record<Role, FramePool>>): Promise<OwnPage[]> {
    const { platform, frames } = this.#host
    const left = [...(await pools.destination.close()), ...(await pools.source.close())]
    if (left.length === 0) return []
    await platform.releaseFrames({ registration, frames: [] })
    const { rows } = await platform.describeFrames({ frames: left, includeTotals: false })
    frames.releaseAll(rows.filter((row) => row.state === 'free').map((row) => row.frame))
    return rows
      .filter((row) => row.state === 'private')
      .flatMap((row) => row.sharers.map(({ vm, index }) => ({ vm, index, frame: row.frame })))
  }
}

/** Read-only mappings of runs whose second numbers are frames. */
function readOnly(runs: readonly RangePair[]): Mapping[] {
  return runs.flatMap((run) =>
    [...expandRanges([run])].map((index) => ({
      index,
      frame: run.second + (index - run.first),
      writable: false,
    })),
  )
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else
      signal.addEventListener(
        'abort',
        () => {
          resolve()
        },
        { once: true },
      )
  })
}
