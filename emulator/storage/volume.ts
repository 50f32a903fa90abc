/**
 * Volumes and layers in memory, and how a block is found in a stack of layers (design.md section 8).
 *
 * A volume is a chain of layers, its own top layer first. A block belongs to the first layer of the chain that holds
 * it. Every layer has a lineage: the key under which its blocks are encrypted. A volume's key is its lineage too, so
 * a block found in a layer of another lineage is foreign: only the worker can turn it into this volume's ciphertext.
 */
import { CHUNK_BLOCKS, hasBit, nextClear, nextSet } from './bitmap.ts'
import type { StorageError } from './errors.ts'
import type { LayerMaps } from './layer-maps.ts'
import type { LayerCounts, LayerRecord, VolumeRecord } from './metadata.ts'
import type { Placement } from './types.ts'
import { HOLE_GENERATION } from './write-clock.ts'

/** Longest chain: a lookup asks one map per layer. */
export const MAX_LAYERS = 1_024

/** A layer of an open store. */
export interface Layer {
  readonly id: number
  readonly parent: number | null
  readonly lineage: number
  readonly volume: string
  /** Generation of its blocks once it is frozen; null while it is a top layer. */
  frozen: bigint | null
  /** Live counts. */
  counts: LayerCounts
  /** The counts in the durable map. */
  savedCounts: LayerCounts
  /** True when data was written that no sync has covered. */
  unsynced: boolean
  /** Set when a sync failed: what the layer's file holds is then unknown. */
  failure: StorageError | undefined
}

/** A volume of an open store. */
export interface Volume {
  readonly id: string
  readonly blocks: number
  readonly lineage: number
  readonly description: string
  readonly createdAt: string
  readonly clonedFrom: string | null
  /** Top layer first; never empty. */
  chain: readonly [Layer, ...Layer[]]
  /** Pending while the chain is being changed: writers wait. */
  gate: Promise<void> | undefined
}

/** Blocks [first, first + count) that one layer of the chain holds; depth -1 for holes. */
export interface Segment {
  readonly first: number
  readonly count: number
  readonly depth: number
}

/** A layer from its record. */
export function layerOf(record: LayerRecord, counts: LayerCounts): Layer {
  const { id, parent, lineage, volume, frozen } = record
  return {
    id,
    parent,
    lineage,
    volume,
    frozen: frozen === null ? null : BigInt(frozen),
    counts,
    savedCounts: counts,
    unsynced: false,
    failure: undefined,
  }
}

/** What is stored of a layer. */
export function layerRecord(layer: Layer): LayerRecord {
  const { id, parent, lineage, volume, frozen } = layer
  return { id, parent, lineage, volume, frozen: frozen === null ? null : frozen.toString() }
}

/** A volume from its record and every layer of the store. */
export function volumeOf(record: VolumeRecord, layers: ReadonlyMap<number, Layer>): Volume {
  const { id, blocks, lineage, description, createdAt, clonedFrom } = record
  const chain = chainOf(record.topLayer, layers)
  return { id, blocks, lineage, description, createdAt, clonedFrom, chain, gate: undefined }
}

/** What is stored of a volume. */
export function volumeRecord(volume: Volume): VolumeRecord {
  const { id, blocks, lineage, description, createdAt, clonedFrom } = volume
  return { id, blocks, lineage, description, createdAt, clonedFrom, topLayer: volume.chain[0].id }
}

/** The blocks [first, end) of a volume as the longest possible runs of one layer each, in order. */
export function* walk(
  maps: LayerMaps,
  chain: readonly Layer[],
  first: number,
  end: number,
): Generator<Segment, void> {
  let open: Segment | undefined
  for (let at = first; at < end;) {
    const chunk = Math.floor(at / CHUNK_BLOCKS)
    const stop = Math.min(end, (chunk + 1) * CHUNK_BLOCKS)
    for (const part of walkChunk(maps, chain, chunk, at, stop)) {
      if (open?.depth === part.depth) {
        open = { first: open.first, count: open.count + part.count, depth: open.depth }
      } else {
        if (open !== undefined) yield open
        open = part
      }
    }
    at = stop
  }
  if (open !== undefined) yield open
}

/** Where a segment's blocks are, for the volume that has the chain. */
export function placementOf(volume: Volume, depth: number): Placement {
  const layer = volume.chain[depth]
  if (layer === undefined) return { state: 'hole', generation: HOLE_GENERATION }
  if (layer.frozen === null) return { state: 'own', layer: layer.id }
  const generation = layer.frozen
  if (layer.lineage === volume.lineage) return { state: 'shared-own', layer: layer.id, generation }
  return { state: 'foreign', layer: layer.id, originVolume: layer.volume, generation }
}

function* walkChunk(
  maps: LayerMaps,
  chain: readonly Layer[],
  chunk: number,
  first: number,
  stop: number,
): Generator<Segment, void> {
  const base = chunk * CHUNK_BLOCKS
  const stack: { depth: number; bits: Uint8Array }[] = []
  for (const [depth, layer] of chain.entries()) {
    const bits = maps.bits(layer.id, chunk)
    if (bits !== undefined) stack.push({ depth, bits })
  }
  for (let at = first - base; at < stop - base;) {
    let end = stop - base
    let depth = -1
    for (const entry of stack) {
      if (hasBit(entry.bits, at)) {
        depth = entry.depth
        end = nextClear(entry.bits, at, end)
        break
      }
      end = nextSet(entry.bits, at, end)
    }
    yield { first: base + at, count: end - at, depth }
    at = end
  }
}

function chainOf(topLayer: number, layers: ReadonlyMap<number, Layer>): readonly [Layer, ...Layer[]] {
  const find = (id: number): Layer => {
    const layer = layers.get(id)
    if (layer === undefined) throw new TypeError(`metadata names layer ${String(id)}, which has no record`)
    return layer
  }
  const top = find(topLayer)
  const rest: Layer[] = []
  for (let parent = top.parent; parent !== null; parent = rest.at(-1)?.parent ?? null) rest.push(find(parent))
  return [top, ...rest]
}
