/**
 * The layers' maps in memory: a bounded cache of chunks over the durable map, and the chunks that changed since.
 *
 * A changed chunk stays in memory until its bits are durable; all others can be read again at any time.
 * Cost: about 700 bytes a chunk, so at most some 3 MB of clean ones, plus what waits to be saved
 * (the store begins a checkpoint at DIRTY_CHUNKS_WANTED and lets writers wait at PENDING_CHUNKS_LIMIT).
 */
import { CHUNK_BYTES, setRange } from './bitmap.ts'

/** Changed chunks that start a checkpoint. */
export const DIRTY_CHUNKS_WANTED = 2_048

/** Chunks not yet durable at which writers wait for the checkpoint. */
export const PENDING_CHUNKS_LIMIT = 4_096

/** Clean chunks kept: two generations of this size. */
const GENERATION = 2_048

/** Chunks of one layer are numbered below this; the durable map's key is `layer * CHUNKS_PER_LAYER + chunk`. */
export const CHUNKS_PER_LAYER = 2 ** 24

/** How marking blocks changes what a volume counts. */
export interface CountChange {
  /** Blocks that the top layer gained. */
  present: number
  /** Of these, blocks that were holes. */
  allocated: number
  /** Of these, blocks that were foreign; counts down. */
  foreign: number
}

/** A chunk as it was when a save began. */
export interface ChunkSave {
  readonly key: number
  readonly bits: Uint8Array
  readonly change: CountChange
}

interface Chunk {
  readonly key: number
  bits: Uint8Array | undefined
  change: CountChange
  dirty: boolean
  saving: number
}

/** The maps of every layer of one store. */
export class LayerMaps {
  readonly #load: (key: number) => Uint8Array | undefined
  #young = new Map<number, Chunk>()
  #old = new Map<number, Chunk>()
  /** Chunks that differ from the durable map, whether or not a save has begun. */
  readonly #held = new Map<number, Chunk>()
  readonly #dirty = new Map<number, Set<Chunk>>()
  #dirtyCount = 0
  #savingCount = 0

  /** `load` reads a chunk of the durable map: 512 bytes that the cache may keep, or undefined for an empty chunk. */
  constructor(load: (key: number) => Uint8Array | undefined) {
    this.#load = load
  }

  /** Changed chunks for which no save has begun. */
  get dirtyCount(): number {
    return this.#dirtyCount
  }

  /** Changed chunks that are not durable yet, whether or not a save has begun. */
  get pendingCount(): number {
    return this.#dirtyCount + this.#savingCount
  }

  /** Layers with changed chunks for which no save has begun. */
  dirtyLayers(): number[] {
    return [...this.#dirty.keys()]
  }

  /** The bits of a chunk, undefined when none is set. Valid until the next change; not to be written. */
  bits(layer: number, chunk: number): Uint8Array | undefined {
    return this.#chunk(layer * CHUNKS_PER_LAYER + chunk).bits
  }

  /** Sets the bits [from, end) of a chunk and adds up what that changes in the volume's counts. */
  set(layer: number, chunk: number, from: number, end: number, change: CountChange): void {
    const found = this.#chunk(layer * CHUNKS_PER_LAYER + chunk)
    found.bits ??= new Uint8Array(CHUNK_BYTES)
    setRange(found.bits, from, end)
    found.change.present += change.present
    found.change.allocated += change.allocated
    found.change.foreign += change.foreign
    if (!found.dirty) this.#markDirty(layer, found)
  }

  /** Begins a save of a layer: copies its changed chunks, which from now on collect new changes. */
  beginSave(layer: number): ChunkSave[] {
    const chunks = [...(this.#dirty.get(layer) ?? [])].sort((left, right) => left.key - right.key)
    this.#dirty.delete(layer)
    this.#dirtyCount -= chunks.length
    this.#savingCount += chunks.length
    return chunks.map((chunk) => {
      const { key, change } = chunk
      chunk.change = noChange()
      chunk.dirty = false
      chunk.saving += 1
      return { key, bits: (chunk.bits ?? new Uint8Array(CHUNK_BYTES)).slice(), change }
    })
  }

  /** Ends a save: the chunks are in the durable map, and a read of it shows them. */
  endSave(saves: readonly ChunkSave[]): void {
    this.#savingCount -= saves.length
    for (const { key } of saves) {
      const chunk = this.#held.get(key)
      if (chunk === undefined) continue
      chunk.saving -= 1
      if (chunk.saving === 0 && !chunk.dirty) this.#held.delete(key)
    }
  }

  /** Ends a failed save: the layer's changes stay readable, but nobody waits for them to become durable. */
  abandonSave(layer: number, saves: readonly ChunkSave[]): void {
    this.#savingCount -= saves.length
    this.#dirtyCount -= this.#dirty.get(layer)?.size ?? 0
    this.#dirty.delete(layer)
  }

  /** Forgets a layer that is being deleted. No save of it may be under way. */
  drop(layer: number): void {
    this.#dirtyCount -= this.#dirty.get(layer)?.size ?? 0
    this.#dirty.delete(layer)
    const isOfLayer = (key: number): boolean => Math.floor(key / CHUNKS_PER_LAYER) === layer
    for (const map of [this.#held, this.#young, this.#old]) {
      for (const key of map.keys()) if (isOfLayer(key)) map.delete(key)
    }
  }

  #chunk(key: number): Chunk {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const chunk = this.#held.get(key) ?? this.#old.get(key) ?? this.#read(key)
    if (this.#young.size >= GENERATION) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, chunk)
    return chunk
  }

  #read(key: number): Chunk {
    return { key, bits: this.#load(key), change: noChange(), dirty: false, saving: 0 }
  }

  #markDirty(layer: number, chunk: Chunk): void {
    chunk.dirty = true
    this.#held.set(chunk.key, chunk)
    const set = this.#dirty.get(layer)
    if (set === undefined) this.#dirty.set(layer, new Set([chunk]))
    else set.add(chunk)
    this.#dirtyCount += 1
  }
}

function noChange(): CountChange {
  return { present: 0, allocated: 0, foreign: 0 }
}
