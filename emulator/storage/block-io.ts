/**
 * Reads and writes of a volume's blocks. Every method runs to its end without a pause, so what it checks still
 * holds when it writes: that is the lock of each block (disks.md, Durability).
 *
 * Order of a write: data into the file, then the journal record for blocks that the top layer gains, then the map in
 * memory. A crash in between leaves the block as it was, because nothing points at the new data.
 */
import { BLOCK_SIZE, CHUNK_BLOCKS, nextClear } from './bitmap.ts'
import type { DataFiles } from './data-files.ts'
import { StorageError } from './errors.ts'
import type { Journal } from './journal.ts'
import type { CountChange, LayerMaps } from './layer-maps.ts'
import { addCounts } from './metadata.ts'
import type { BlockRun, ForeignRun, Placement, PutResult, ReadResult, WriteResult } from './types.ts'
import { type Layer, type Segment, type Volume, placementOf, walk } from './volume.ts'
import type { WriteClock } from './write-clock.ts'

const NOTHING = new Uint8Array(0)

type PutOutcome = keyof PutResult

/** The parts of an open store that hold blocks. */
export interface BlockParts {
  readonly maps: LayerMaps
  readonly files: DataFiles
  readonly clock: WriteClock
  readonly journal: Journal
}

/** Synchronous block operations on the parts of an open store. Ranges have been checked by the caller. */
export class BlockIo {
  readonly #parts: BlockParts

  constructor(parts: BlockParts) {
    this.#parts = parts
  }

  /** Fills `out` with the blocks from `first` on, except foreign ones, which it returns. */
  read(volume: Volume, first: number, out: Uint8Array): ReadResult {
    const foreign: ForeignRun[] = []
    const { maps, files } = this.#parts
    for (const segment of walk(maps, volume.chain, first, first + out.length / BLOCK_SIZE)) {
      const begin = (segment.first - first) * BLOCK_SIZE
      const target = out.subarray(begin, begin + segment.count * BLOCK_SIZE)
      const placement = placementOf(volume, segment.depth)
      if (placement.state === 'hole') target.fill(0)
      else if (placement.state === 'foreign') foreign.push({ ...placement, ...publicRun(segment) })
      else files.read(placement.layer, segment.first, target)
    }
    return foreign.length === 0 ? { status: 'READ' } : { status: 'NEEDS_COPY', foreign }
  }

  /**
   * Fills `out` with blocks of one layer.
   * @throws StorageError NOT_IN_LAYER when the layer lacks one of them.
   */
  readLayer(layer: Layer, first: number, out: Uint8Array): void {
    for (const { depth, first: at } of walk(
      this.#parts.maps,
      [layer],
      first,
      first + out.length / BLOCK_SIZE,
    )) {
      if (depth >= 0) continue
      const message = `layer ${String(layer.id)} does not hold block ${String(at)}; resolve the block again`
      throw new StorageError('NOT_IN_LAYER', message, { layer: layer.id, block: at })
    }
    this.#parts.files.read(layer.id, first, out)
  }

  /** Writes whole sectors into the top layer; blocks covered in part are completed from this volume's own content. */
  write(volume: Volume, position: number, bytes: Uint8Array): WriteResult {
    const end = position + bytes.length
    const first = Math.floor(position / BLOCK_SIZE)
    const last = Math.ceil(end / BLOCK_SIZE) - 1
    const head = position % BLOCK_SIZE === 0 ? undefined : this.#content(volume, first)
    const tail = end % BLOCK_SIZE === 0 ? undefined : this.#content(volume, last)
    const foreign = [head, first === last && head !== undefined ? undefined : tail].flatMap(
      (edge) => edge?.foreign ?? [],
    )
    if (foreign.length > 0) return { status: 'NEEDS_COPY', foreign }

    const before = head?.rest?.subarray(0, position - first * BLOCK_SIZE) ?? NOTHING
    const after = tail?.rest?.subarray(end - last * BLOCK_SIZE) ?? NOTHING
    const whole = before.length + after.length === 0 ? bytes : Buffer.concat([before, bytes, after])
    this.#store(volume.chain, first, last - first + 1, position - before.length, whole)
    return { status: 'WRITTEN' }
  }

  /** Stores the blocks that this volume has no content of its own for, and that have the expected generation. */
  putIfUnmodified(
    volume: Volume,
    first: number,
    bytes: Uint8Array,
    generations: readonly bigint[] | undefined,
  ): PutResult {
    const result: Record<PutOutcome, BlockRun[]> = { stored: [], present: [], stale: [] }
    const end = first + bytes.length / BLOCK_SIZE
    // The whole plan before the first store: storing changes the map under a walk.
    const segments = [...walk(this.#parts.maps, volume.chain, first, end)]
    for (const segment of segments) {
      const placement = placementOf(volume, segment.depth)
      for (const run of splitByOutcome(segment, first, placement, generations)) {
        if (run.outcome === 'stored') {
          const begin = (run.first - first) * BLOCK_SIZE
          const part = bytes.subarray(begin, begin + run.count * BLOCK_SIZE)
          this.#store(volume.chain, run.first, run.count, run.first * BLOCK_SIZE, part)
        }
        result[run.outcome].push(publicRun(run))
      }
    }
    return result
  }

  /** Writes whole blocks into a layer that no volume has yet: an import, which counts only when it is complete. */
  fill(layer: Layer, first: number, bytes: Uint8Array): void {
    this.#parts.files.write(layer.id, first * BLOCK_SIZE, bytes)
    layer.unsynced = true
    this.mark([layer], first, bytes.length / BLOCK_SIZE)
  }

  /** Enters blocks into the map of the chain's top layer, and into its volume's counts. */
  mark(chain: readonly [Layer, ...Layer[]], first: number, count: number): void {
    const top = chain[0]
    for (let at = first; at < first + count;) {
      const chunk = Math.floor(at / CHUNK_BLOCKS)
      const base = chunk * CHUNK_BLOCKS
      const stop = Math.min(first + count, base + CHUNK_BLOCKS)
      const change = this.#changeOf(chain, at, stop)
      if (change.present > 0) {
        this.#parts.maps.set(top.id, chunk, at - base, stop - base, change)
        top.counts = addCounts(top.counts, change)
      }
      at = stop
    }
  }

  #store(
    chain: readonly [Layer, ...Layer[]],
    first: number,
    count: number,
    position: number,
    bytes: Uint8Array,
  ): void {
    const top = chain[0]
    const { files, journal, clock } = this.#parts
    // Noted first: should the write fail half-way, a copier must still not trust what it read before.
    top.unsynced = true
    clock.touch(top.id, first, count)
    files.write(top.id, position, bytes)
    if (this.#hasAll(top, first, first + count)) return
    journal.append(top.id, first, count)
    this.mark(chain, first, count)
  }

  #hasAll(layer: Layer, first: number, end: number): boolean {
    for (let at = first; at < end;) {
      const chunk = Math.floor(at / CHUNK_BLOCKS)
      const base = chunk * CHUNK_BLOCKS
      const stop = Math.min(end, base + CHUNK_BLOCKS)
      const bits = this.#parts.maps.bits(layer.id, chunk)
      if (bits === undefined || nextClear(bits, at - base, stop - base) < stop - base) return false
      at = stop
    }
    return true
  }

  #changeOf(chain: readonly [Layer, ...Layer[]], first: number, end: number): CountChange {
    const change = { present: 0, allocated: 0, foreign: 0 }
    for (const { depth, count } of walk(this.#parts.maps, chain, first, end)) {
      if (depth === 0) continue
      change.present += count
      if (depth === -1) change.allocated += count
      else if (chain[depth]?.lineage !== chain[0].lineage) change.foreign -= count
    }
    return change
  }

  /**
   * What completes a write that covers a part of a block: nothing when the top layer holds the block (`rest`
   * undefined), its content when this volume may copy it as it is, or the news that it is foreign.
   */
  #content(volume: Volume, block: number): { readonly rest?: Uint8Array; readonly foreign?: ForeignRun } {
    const { value: segment } = walk(this.#parts.maps, volume.chain, block, block + 1).next()
    const placement = placementOf(volume, segment?.depth ?? -1)
    if (placement.state === 'own') return {}
    if (placement.state === 'foreign') return { foreign: { ...placement, first: BigInt(block), count: 1 } }
    const rest = new Uint8Array(BLOCK_SIZE)
    if (placement.state === 'shared-own') this.#parts.files.read(placement.layer, block, rest)
    return { rest }
  }
}

/** What happens to a block that is put. */
function outcomeOf(placement: Placement, expected: bigint | undefined): PutOutcome {
  if (placement.state === 'own' || placement.state === 'shared-own') return 'present'
  return expected === undefined || expected === placement.generation ? 'stored' : 'stale'
}

function* splitByOutcome(
  segment: Segment,
  putFirst: number,
  placement: Placement,
  generations: readonly bigint[] | undefined,
): Generator<{ first: number; count: number; outcome: PutOutcome }, void> {
  const end = segment.first + segment.count
  for (let first = segment.first; first < end;) {
    const outcome = outcomeOf(placement, generations?.[first - putFirst])
    let stop = first + 1
    while (stop < end && outcomeOf(placement, generations?.[stop - putFirst]) === outcome) stop += 1
    yield { first, count: stop - first, outcome }
    first = stop
  }
}

/** A run as callers see it. */
export function publicRun(run: { readonly first: number; readonly count: number }): BlockRun {
  return { first: BigInt(run.first), count: run.count }
}
