/**
 * A clone of a volume: both sides get a new empty layer, blocks below stay under the source's key until the worker has
 * copied them. For disks the platform is not in the path: that a first block is frozen is this host's word.
 * Source: design.md sections 6 and 8; worker_data.proto.
 */
import { type BlockCopy, type Logger, PalimpsestError, type RangePair } from '../../sdk/rpc/index.ts'
import { BLOCK_SIZE, type BlockRun, type ForeignRun } from '../storage/index.ts'
import { type CloneLink, type CloneStorage, type Terms, isLoss } from './clone-storage.ts'
import { type BatchOutcome, CopyQueue } from './copy-queue.ts'
import type { CopyStream } from './copy-stream.ts'
import type { ReceiptLog } from './logs.ts'
import { type Volumes, stored } from './volumes.ts'

/** Blocks in one session: 1 MiB of ciphertext. */
const batchBlocks = 256
const sessionsInFlight = 4

/** What disk clones need of the host. */
export interface DiskHost {
  readonly volumes: Volumes
  readonly workers: { readonly stream: Pick<CopyStream, 'store' | 'transient'> }
  readonly receipts: ReceiptLog
  readonly log: Logger
}

/** A piece of first blocks, as the worker reads it. */
export interface FirstBlocks {
  readonly ciphertext: Uint8Array
  readonly generations: readonly bigint[]
}

/** The disk of one clone. */
export class DiskClone implements CloneStorage {
  readonly kind = 'disk-block'
  readonly volumes: { readonly source: string; readonly destination: string }
  readonly blocks: bigint
  readonly #link: CloneLink
  readonly #host: DiskHost
  readonly #queue: CopyQueue
  /** First blocks of sessions under way: a block that its owner writes meanwhile still has its first block. */
  readonly #reading = new Map<bigint, { readonly run: ForeignRun; users: number }>()
  #waiters: (() => void)[] = []
  #isShared: boolean

  /** `isShared` is true for a clone of an earlier host process. */
  constructor(
    volumes: { readonly source: string; readonly destination: string },
    link: CloneLink,
    host: DiskHost,
    isShared = false,
  ) {
    this.volumes = volumes
    this.#link = link
    this.#host = host
    this.#isShared = isShared
    this.blocks = host.volumes.get(volumes.source).size / BigInt(BLOCK_SIZE)
    const work = {
      ready: () => link.live() !== undefined,
      copy: (blocks: readonly bigint[]) => this.#copy(blocks),
    }
    this.#queue = new CopyQueue(work, { batch: batchBlocks, inFlight: sessionsInFlight })
  }

  get isShared(): boolean {
    return this.#isShared
  }

  get copied(): bigint {
    return this.#isShared ? this.blocks - this.#foreign : 0n
  }

  /** The whole volume, until nothing is left: the worker copies each block once under the same terms anyway. */
  pairs(): readonly RangePair[] {
    return this.#isShared && this.#foreign === 0n ? [] : [{ first: 0n, second: 0n, count: this.blocks }]
  }

  prepare(registration: string): Promise<Terms> {
    const { source, destination } = this.volumes
    const value = { sourceVolume: source, destinationVolume: destination }
    return Promise.resolve({ registration, pairs: this.pairs(), storage: { case: 'disk', value } })
  }

  async share(): Promise<void> {
    const { source, destination } = this.volumes
    const note = { clone: this.#link.name, source: this.#link.source, sourceVolume: source }
    await this.#host.volumes.clone(note, destination, this.#link.destination)
    this.#isShared = true
    this.#checkFinished()
  }

  settle(): Promise<void> {
    return Promise.resolve()
  }

  complete(): Promise<void> {
    return Promise.resolve()
  }

  resume(): void {
    this.#queue.wake()
    const waiters = this.#waiters
    this.#waiters = []
    for (const resume of waiters) resume()
  }

  cancel(error: PalimpsestError): void {
    this.#queue.close(error)
    this.resume()
  }

  discard(): Promise<void> {
    if (this.#isShared && this.#foreign > 0n) this.#host.volumes.abandon(this.volumes.destination)
    return Promise.resolve()
  }

  async *finish(signal: AbortSignal): AsyncGenerator<void, void, undefined> {
    const { store } = this.#host.volumes
    const isStopped = (): boolean => signal.aborted
    while (this.#foreign > 0n && !isStopped()) {
      let before: Promise<unknown> = Promise.resolve()
      for await (const run of store.foreignRuns(this.volumes.destination, { maxBlocks: batchBlocks })) {
        const copies = indexesOf(run).map((block) => this.#queue.request(block, 'background'))
        const batch = Promise.all(copies)
        batch.catch(() => undefined)
        // Two batches at a time, so that the worker always has one while the other is being answered.
        await before
        before = batch
        if (isStopped()) return
        yield
      }
      await before
    }
    yield
  }

  /** Resolves when the block is the destination's own, whoever wrote it. */
  async copyBlock(block: bigint, timeoutMs: number): Promise<void> {
    await this.#inTime(this.#queue.request(block, 'fault'), timeoutMs)
  }

  /** Re-encrypts foreign blocks for a read, without storing them. */
  async transient(run: ForeignRun, timeoutMs: number): Promise<Uint8Array> {
    const until = Date.now() + timeoutMs
    while (true) {
      const live = this.#link.live()
      if (live === undefined) {
        await this.#inTime(new Promise<void>((resume) => this.#waiters.push(resume)), until - Date.now())
        continue
      }
      const { registration } = live.terms
      try {
        const read = this.#reads([run], (blocks) =>
          this.#host.workers.stream.transient({ registration, writer: 'destination', blocks }),
        )
        return await this.#inTime(read, until - Date.now())
      } catch (error) {
        if (this.#link.live() !== live || !isLoss(error)) throw error
        this.#link.lost(registration, error)
      }
    }
  }

  /** Whether the last foreign block is gone; to be called after a guest's write too. */
  wrote(): void {
    this.#checkFinished()
  }

  /** First blocks for the worker, in pieces of at most 1 MiB. @throws PalimpsestError NOT_WRITE_PROTECTED. */
  async *firstBlocks(runs: readonly BlockRun[]): AsyncGenerator<FirstBlocks, void, undefined> {
    for (const run of runs) {
      for (let at = 0; at < run.count;) {
        const piece = this.#frozen(run.first + BigInt(at), Math.min(run.count - at, batchBlocks))
        const ciphertext = new Uint8Array(piece.count * BLOCK_SIZE)
        await stored(() =>
          this.#host.volumes.store.readLayer(piece.layer, piece.first, piece.count, ciphertext),
        )
        yield { ciphertext, generations: new Array<bigint>(piece.count).fill(piece.generation) }
        at += piece.count
      }
    }
  }

  /** Stores second blocks that nobody has written yet. @returns positions of those that were stored. */
  async putSecondBlocks(
    runs: readonly BlockRun[],
    ciphertext: Uint8Array,
    generations: readonly bigint[],
  ): Promise<number[]> {
    const positions: number[] = []
    let at = 0
    for (const { first, count } of runs) {
      const bytes = ciphertext.subarray(at * BLOCK_SIZE, (at + count) * BLOCK_SIZE)
      const expected = generations.slice(at, at + count)
      const { store } = this.#host.volumes
      const put = await stored(() => store.putIfUnmodified(this.volumes.destination, first, bytes, expected))
      for (const run of put.stored) {
        for (let i = 0; i < run.count; i++) positions.push(at + Number(run.first - first) + i)
      }
      at += count
    }
    return positions
  }

  get #foreign(): bigint {
    return this.#host.volumes.store.sharedCount(this.volumes.destination)
  }

  #checkFinished(): void {
    if (this.#isShared && this.#foreign === 0n) this.#link.finished()
  }

  async #inTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => {
          reject(this.#link.stalled())
        },
        Math.max(timeoutMs, 0),
      )
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }

  async #copy(blocks: readonly bigint[]): Promise<BatchOutcome> {
    const foreign = blocks.flatMap((block) => this.#foreignRun(block) ?? [])
    const live = this.#link.live()
    if (foreign.length === 0) return { again: [], failed: [] }
    if (live === undefined) return { again: foreign.map(({ first }) => first), failed: [] }
    const { registration } = live.terms
    try {
      const { receipt } = await this.#reads(foreign, (copies) =>
        this.#host.workers.stream.store({ registration, writer: 'destination', blocks: copies }),
      )
      this.#host.receipts.note(this.#link.name, receipt)
      this.#checkFinished()
      return { again: [], failed: [] }
    } catch (error) {
      const left = foreign.filter(({ first }) => this.#foreignRun(first)).map(({ first }) => first)
      if (isLoss(error)) {
        this.#link.lost(registration, error)
        return { again: left, failed: [] }
      }
      if (left.length > 1) return this.#oneByOne(left)
      this.#host.log.warn({ clone: this.#link.name, err: error }, 'a block can not be copied')
      return { again: [], failed: left.map((block) => ({ block, error })) }
    }
  }

  /** Finds out which block of a refused session can not be copied, so that the others are. */
  async #oneByOne(blocks: readonly bigint[]): Promise<BatchOutcome> {
    const again: bigint[] = []
    const failed: BatchOutcome['failed'][number][] = []
    for (const block of blocks) {
      const outcome = await this.#copy([block])
      again.push(...outcome.again)
      failed.push(...outcome.failed)
    }
    return { again, failed }
  }

  /** Runs a session whose first blocks the worker will read. */
  async #reads<T>(runs: readonly ForeignRun[], session: (blocks: BlockCopy[]) => Promise<T>): Promise<T> {
    const blocks = runs.flatMap((run) => indexesOf(run).map((block) => ({ block, run })))
    for (const { block, run } of blocks) {
      const entry = this.#reading.get(block) ?? { run, users: 0 }
      entry.users += 1
      this.#reading.set(block, entry)
    }
    try {
      return await session(
        blocks.map(({ block, run }) => ({ first: block, second: block, generation: run.generation })),
      )
    } finally {
      for (const { block } of blocks) {
        const entry = this.#reading.get(block)
        if (entry && --entry.users === 0) this.#reading.delete(block)
      }
    }
  }

  /** The longest run of one frozen layer from a block on. */
  #frozen(first: bigint, most: number): { layer: number; first: bigint; count: number; generation: bigint } {
    const head = this.#firstBlock(first)
    let count = 1
    while (count < most && this.#isInLayer(first + BigInt(count), head.layer)) count += 1
    return { layer: head.layer, first, count, generation: head.generation }
  }

  #isInLayer(block: bigint, layer: number): boolean {
    return (this.#reading.get(block)?.run ?? this.#foreignRun(block))?.layer === layer
  }

  #firstBlock(block: bigint): ForeignRun {
    const run = this.#reading.get(block)?.run ?? this.#foreignRun(block)
    if (run) return run
    const place = `block ${String(block)} of ${this.volumes.destination}`
    throw new PalimpsestError(
      'NOT_WRITE_PROTECTED',
      `expected ${place} to be shared, found that it is its own`,
    )
  }

  #foreignRun(block: bigint): ForeignRun | undefined {
    const [run] = this.#host.volumes.store.resolveRuns(this.volumes.destination, block, 1)
    return run?.state === 'foreign' ? run : undefined
  }
}

function indexesOf(run: BlockRun): bigint[] {
  return Array.from({ length: run.count }, (_, i) => run.first + BigInt(i))
}
