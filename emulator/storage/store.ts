/**
 * The volume store: the one object that owns a volume directory (design.md sections 6 and 8; disks.md, Durability).
 *
 * Directory: `metadata/` (LMDB: volumes, layers, durable maps), `layers/N.data` (sparse files of ciphertext),
 * `journal/` (blocks gained since the last flush). It knows no keys; it knows whose key a block is under.
 *
 * - An acknowledged write survives kill -9 of this process. A flushed write survives loss of power.
 * - A hole of the source is a hole of its clone: it reads as zeros, and what the guest decrypts from them is
 *   unspecified, as after a discard.
 * - The first block of a copy never changes: it lies in a frozen layer.
 */
import { setImmediate } from 'node:timers/promises'
import { blockRange, sectorPosition, wholeBlocks } from './arguments.ts'
import { BLOCK_SIZE, CHUNK_BLOCKS } from './bitmap.ts'
import { publicRun } from './block-io.ts'
import { Catalog, type NewVolume } from './catalog.ts'
import { StorageError } from './errors.ts'
import { removeJournals } from './journal.ts'
import { DIRTY_CHUNKS_WANTED, PENDING_CHUNKS_LIMIT } from './layer-maps.ts'
import { type StoreParts, openParts } from './open-parts.ts'
import type {
  ForeignRun,
  PutResult,
  ReadResult,
  Resolution,
  ResolvedRun,
  StorageLog,
  VolumeInfo,
  WriteResult,
} from './types.ts'
import { type Volume, placementOf, walk } from './volume.ts'

/** Chunks that one step of a search for foreign blocks looks at. */
const SEARCH_CHUNKS = 16

/** Blocks in a run of `foreignRuns` unless the caller says otherwise: hydration's step of 1 MiB. */
const STEP_BLOCKS = 256

/** Volumes as stacks of ciphertext layers. Every method that takes a volume's id may throw NO_SUCH_VOLUME. */
export class VolumeStore {
  readonly #parts: StoreParts
  readonly #catalog: Catalog
  #isClosed = false

  private constructor(parts: StoreParts) {
    this.#parts = parts
    this.#catalog = new Catalog(parts, () => this.#room())
  }

  /**
   * Opens a volume directory, creating it when there is none, and recovers what a crash left.
   *
   * @throws StorageError STORE_LOCKED while another process has it open, UNSUPPORTED_FORMAT for another version's.
   */
  static async open(options: {
    readonly directory: string
    readonly log?: StorageLog
  }): Promise<VolumeStore> {
    return new VolumeStore(await openParts(options.directory, options.log))
  }

  /**
   * Makes a volume of holes.
   * @throws StorageError BAD_VOLUME_ID, VOLUME_EXISTS, BAD_SIZE (not a positive multiple of 4096 bytes).
   */
  async create(options: NewVolume & { readonly sizeBytes: bigint }): Promise<VolumeInfo> {
    this.#assertOpen()
    return infoOf(await this.#catalog.create(options))
  }

  /**
   * Makes a volume of a regular file's bytes, which are ciphertext. Blocks of zeros become holes. The volume appears
   * when all of it is on disk; on an error or abort nothing stays.
   *
   * @throws StorageError as `create`; the system's error when the file cannot be read.
   */
  async import(
    options: NewVolume & { readonly path: string; readonly signal?: AbortSignal },
  ): Promise<VolumeInfo> {
    this.#assertOpen()
    return infoOf(await this.#catalog.import(options))
  }

  /**
   * Makes a clone of the source as it is now, for a key of its own; all its blocks that are not holes are foreign.
   * Takes the same time whatever the size. Writes to the source that are acknowledged before the call are in it.
   *
   * @throws StorageError BAD_VOLUME_ID, VOLUME_EXISTS, CHAIN_TOO_DEEP.
   */
  async clone(sourceId: string, options: NewVolume = {}): Promise<VolumeInfo> {
    this.#assertOpen()
    return infoOf(await this.#catalog.clone(sourceId, options))
  }

  /**
   * Deletes a volume, its layers and their files.
   * @throws StorageError VOLUME_IN_USE while clones need its layers; `details.dependents` names them.
   */
  async delete(id: string): Promise<void> {
    this.#assertOpen()
    await this.#catalog.delete(id)
  }

  /** Every volume, by id. */
  list(): VolumeInfo[] {
    this.#assertOpen()
    const volumes = [...this.#parts.volumes.values()].map(infoOf)
    return volumes.sort((left, right) => (left.id < right.id ? -1 : 1))
  }

  /** One volume. */
  describe(id: string): VolumeInfo {
    return infoOf(this.#volume(id))
  }

  /** Ids of the volumes that read layers which this volume wrote, and so keep it from being deleted. */
  dependents(id: string): string[] {
    this.#volume(id)
    return this.#catalog.dependents(id)
  }

  /** Blocks of a volume that are still encrypted under another volume's key: what hydration has left to do. */
  sharedCount(id: string): bigint {
    return BigInt(this.#volume(id).chain[0].counts.foreign)
  }

  /**
   * Where a block lies, and the generation of its content.
   * @throws StorageError OUT_OF_RANGE.
   */
  resolve(id: string, block: bigint): Resolution {
    const volume = this.#volume(id)
    const [first, end] = blockRange(volume, block, 1)
    const { value: segment } = walk(this.#parts.maps, volume.chain, first, end).next()
    const placement = placementOf(volume, segment?.depth ?? -1)
    if (placement.state !== 'own') return { ...placement, block }
    return { ...placement, block, generation: this.#parts.clock.generation(placement.layer, first) }
  }

  /**
   * Where blocks lie, as few runs as possible, in order. The answer is as long as the volume is fragmented: ask for
   * parts of a large one.
   *
   * @throws StorageError OUT_OF_RANGE.
   */
  resolveRuns(id: string, first: bigint, count: number): ResolvedRun[] {
    const volume = this.#volume(id)
    const [begin, end] = blockRange(volume, first, count)
    return [...walk(this.#parts.maps, volume.chain, begin, end)].map((segment) => {
      return { ...placementOf(volume, segment.depth), ...publicRun(segment) }
    })
  }

  /**
   * The foreign runs of a volume from a block on, for a copier in the background. Memory is bounded, and other work
   * goes on in between; a run may have been written by the time it is handed out, which `putIfUnmodified` settles.
   *
   * @param options.from first block, 0 unless given: where an interrupted copy goes on
   * @param options.maxBlocks longest run, 256 unless given
   */
  async *foreignRuns(
    id: string,
    options: { readonly from?: bigint; readonly maxBlocks?: number } = {},
  ): AsyncGenerator<ForeignRun, void> {
    const { from = 0n, maxBlocks = STEP_BLOCKS } = options
    const [begin] = blockRange(this.#volume(id), from, 0)
    if (!(maxBlocks >= 1)) throw new RangeError(`"maxBlocks" expected at least 1, got ${String(maxBlocks)}`)
    for (let at = begin; at < this.#volume(id).blocks;) {
      const end = Math.min(this.#volume(id).blocks, at - (at % CHUNK_BLOCKS) + SEARCH_CHUNKS * CHUNK_BLOCKS)
      for (const run of this.resolveRuns(id, BigInt(at), end - at)) {
        if (run.state === 'foreign') yield* stepsOf(run, maxBlocks)
      }
      at = end
      await setImmediate()
    }
  }

  /**
   * Reads ciphertext of a volume into `out`: `count` blocks from `first` on. Holes give zeros. Foreign blocks are
   * left out of `out` and named in the result.
   *
   * @throws StorageError OUT_OF_RANGE, LAYER_DAMAGED; RangeError when `out` is not `count` blocks long.
   */
  readBlocks(id: string, first: bigint, count: number, out: Uint8Array): Promise<ReadResult> {
    return settle(() => {
      const volume = this.#volume(id)
      const [begin] = blockRange(volume, first, count)
      assertLength(out, count)
      return this.#parts.io.read(volume, begin, out)
    })
  }

  /**
   * Reads ciphertext of one layer, as `resolve` named it: what a worker decrypts.
   *
   * @throws StorageError NO_SUCH_LAYER, NOT_IN_LAYER, LAYER_DAMAGED; RangeError when `out` is not `count` blocks long.
   */
  readLayer(layer: number, first: bigint, count: number, out: Uint8Array): Promise<void> {
    return settle(() => {
      this.#assertOpen()
      const found = this.#parts.layers.get(layer)
      if (found === undefined) {
        throw new StorageError('NO_SUCH_LAYER', `there is no layer ${String(layer)}; resolve the block again`)
      }
      assertLength(out, count)
      this.#parts.io.readLayer(found, Number(first), out)
    })
  }

  /**
   * Writes a guest's ciphertext: whole sectors of 512 bytes, at a byte offset. A write that covers a part of a block
   * in a frozen layer under the same key copies the rest up as it is; whole blocks need no copy.
   *
   * @returns NEEDS_COPY, with nothing written, when it covers a part of a foreign block.
   * @throws StorageError MISALIGNED, OUT_OF_RANGE, SYNC_FAILED; the system's error (ENOSPC, EIO), after which whole
   * blocks new to the volume are as before and others old or new by sector.
   */
  async writeOwn(id: string, byteOffset: bigint, bytes: Uint8Array): Promise<WriteResult> {
    let volume = this.#writable(id)
    for (; volume === undefined; volume = this.#writable(id)) await this.#turn(id)
    const position = sectorPosition(volume, byteOffset, bytes)
    if (bytes.length === 0) return { status: 'WRITTEN' }
    return this.#parts.io.write(volume, position, bytes)
  }

  /**
   * Stores whole blocks that the volume has no content of its own for: what a worker re-encrypted. Never replaces
   * what the volume's guest has written, nor what an earlier copy stored.
   *
   * @param generations for each block, the generation that was copied; a block of another one is left alone
   * @throws StorageError OUT_OF_RANGE, SYNC_FAILED; RangeError when lengths do not fit; the system's error.
   */
  async putIfUnmodified(
    id: string,
    first: bigint,
    bytes: Uint8Array,
    generations?: readonly bigint[],
  ): Promise<PutResult> {
    const count = wholeBlocks('bytes', bytes)
    if (generations !== undefined && generations.length !== count) {
      throw new RangeError(
        `"generations" expected length ${String(count)}, got ${String(generations.length)}`,
      )
    }
    let volume = this.#writable(id)
    for (; volume === undefined; volume = this.#writable(id)) await this.#turn(id)
    const [begin] = blockRange(volume, first, count)
    return this.#parts.io.putIfUnmodified(volume, begin, bytes, generations)
  }

  /**
   * Resolves when every write of the volume that was acknowledged before is on disk, data first, then its map.
   * @throws StorageError SYNC_FAILED.
   */
  async flush(id: string): Promise<void> {
    await this.#parts.persister.flush(this.#volume(id).chain[0])
  }

  /**
   * Makes everything durable, gives the lock back and closes the files; imports under way are aborted. The store
   * cannot be used afterwards.
   *
   * @throws StorageError SYNC_FAILED; the store is closed all the same.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const { persister, layers, journal, metadata, files } = this.#parts
    await this.#catalog.stop()
    // One that runs already may have begun before the last write.
    await persister.checkpoint().catch(() => undefined)
    const results = await Promise.allSettled([
      persister.checkpoint(),
      ...[...layers.values()].filter((layer) => layer.unsynced).map((layer) => persister.flush(layer)),
    ])
    const current = journal.close()
    const failure = results.find((result) => result.status === 'rejected')
    if (failure === undefined) removeJournals([current])
    files.close()
    await metadata.close()
    if (failure !== undefined) throw failure.reason
  }

  /** Resolves when the volume may take writes. The caller asks again: much can happen before it goes on. */
  async #turn(id: string): Promise<void> {
    await this.#volume(id).gate
    await this.#room()
  }

  /** The volume, when it takes writes now: its layers are not being changed, and there is room for its map. */
  #writable(id: string): Volume | undefined {
    const volume = this.#volume(id)
    const { failure } = volume.chain[0]
    if (failure !== undefined) throw failure
    const isReady = volume.gate === undefined && this.#parts.maps.pendingCount < PENDING_CHUNKS_LIMIT
    if (!isReady) return undefined
    this.#checkpointWhenDue()
    return volume
  }

  /** Waits until the changed part of the maps fits in memory again. */
  async #room(): Promise<void> {
    this.#checkpointWhenDue()
    while (this.#parts.maps.pendingCount >= PENDING_CHUNKS_LIMIT) {
      await this.#parts.persister.checkpoint().catch(() => undefined)
    }
  }

  #checkpointWhenDue(): void {
    const { maps, persister, log } = this.#parts
    if (maps.dirtyCount < DIRTY_CHUNKS_WANTED && !persister.isJournalLong) return
    persister.checkpoint().catch((error: unknown) => {
      log?.warn({ err: error }, 'a checkpoint failed; flushes of the volumes concerned fail too')
    })
  }

  #volume(id: string): Volume {
    this.#assertOpen()
    return this.#catalog.volume(id)
  }

  #assertOpen(): void {
    if (!this.#isClosed) return
    throw new StorageError('STORE_CLOSED', 'the volume store has been closed; open it again')
  }
}

function infoOf(volume: Volume): VolumeInfo {
  const { id, description, createdAt, clonedFrom, chain } = volume
  const blocks = BigInt(volume.blocks)
  return {
    id,
    sizeBytes: blocks * BigInt(BLOCK_SIZE),
    blocks,
    description,
    createdAt,
    clonedFrom,
    layers: chain.length,
    allocatedBlocks: BigInt(chain[0].counts.allocated),
    foreignBlocks: BigInt(chain[0].counts.foreign),
  }
}

function* stepsOf(run: ForeignRun, maxBlocks: number): Generator<ForeignRun, void> {
  for (let done = 0; done < run.count; done += maxBlocks) {
    yield { ...run, first: run.first + BigInt(done), count: Math.min(maxBlocks, run.count - done) }
  }
}

function assertLength(out: Uint8Array, count: number): void {
  if (wholeBlocks('out', out) === count) return
  throw new RangeError(`"out" expected ${String(count * BLOCK_SIZE)} bytes, got length=${String(out.length)}`)
}

/** Runs a synchronous action, turning what it throws into a rejection. */
function settle<Result>(action: () => Result): Promise<Result> {
  return new Promise((resolve) => {
    resolve(action())
  })
}
