/**
 * Makes layers durable (design.md section 8): first the data in the layer's file, then the map that points at it.
 * The durable map therefore never promises data that a power cut could have taken; what it does not yet promise is
 * in the journal (journal.ts).
 */
import type { DataFiles } from './data-files.ts'
import { StorageError } from './errors.ts'
import { type Journal, removeJournals } from './journal.ts'
import type { LayerMaps } from './layer-maps.ts'
import type { Metadata } from './metadata.ts'
import type { Layer } from './volume.ts'

/** A journal of this length starts a checkpoint: half a megabyte of records, 128 MiB of blocks written singly. */
const JOURNAL_RECORDS_WANTED = 32_768

/** The parts of an open store that a flush touches. */
export interface DurableParts {
  readonly metadata: Metadata
  readonly maps: LayerMaps
  readonly files: DataFiles
  readonly journal: Journal
  /** Every layer of the store, by id. */
  readonly layers: ReadonlyMap<number, Layer>
}

interface Flushes {
  running: Promise<void> | undefined
  queued: Promise<void> | undefined
}

/** Flushes of single layers and checkpoints of all. */
export class Persister {
  readonly #parts: DurableParts
  readonly #flushes = new Map<number, Flushes>()
  #checkpoint: Promise<void> | undefined

  constructor(parts: DurableParts) {
    this.#parts = parts
  }

  /** True when it is time for a checkpoint. */
  get isJournalLong(): boolean {
    return this.#parts.journal.records >= JOURNAL_RECORDS_WANTED
  }

  /**
   * Resolves when everything acknowledged before the call is on disk. Calls made while one runs share the next one.
   * @throws StorageError SYNC_FAILED, then and ever after: the system has forgotten which data it lost.
   */
  flush(layer: Layer): Promise<void> {
    const flushes = this.#flushes.get(layer.id) ?? { running: undefined, queued: undefined }
    this.#flushes.set(layer.id, flushes)
    if (flushes.running === undefined) return this.#start(layer, flushes)
    flushes.queued ??= flushes.running
      .catch(() => undefined)
      .then(() => {
        flushes.queued = undefined
        return this.#start(layer, flushes)
      })
    return flushes.queued
  }

  /** True while a flush of the layer runs or waits. */
  isFlushing(layer: Layer): boolean {
    return this.#flushes.has(layer.id)
  }

  /** Resolves when the flushes of a layer that run or wait now are over, well or not. */
  async settled(layer: Layer): Promise<void> {
    const flushes = this.#flushes.get(layer.id)
    await Promise.allSettled([flushes?.running, flushes?.queued])
  }

  /** Makes every layer durable and begins a new journal; one at a time. */
  checkpoint(): Promise<void> {
    this.#checkpoint ??= this.#runCheckpoint().finally(() => {
      this.#checkpoint = undefined
    })
    return this.#checkpoint
  }

  async #runCheckpoint(): Promise<void> {
    const old = this.#parts.journal.rotate()
    // Flushes under way count too: records in the old journal may belong to them.
    const ids = new Set([...this.#parts.maps.dirtyLayers(), ...this.#flushes.keys()])
    const layers = [...ids].flatMap((id) => this.#parts.layers.get(id) ?? [])
    const results = await Promise.allSettled(layers.map((layer) => this.flush(layer)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
    removeJournals([old])
  }

  #start(layer: Layer, flushes: Flushes): Promise<void> {
    const running = this.#flush(layer).finally(() => {
      flushes.running = undefined
      if (flushes.queued === undefined) this.#flushes.delete(layer.id)
    })
    flushes.running = running
    return running
  }

  async #flush(layer: Layer): Promise<void> {
    if (layer.failure !== undefined) throw layer.failure
    const { maps, files, metadata } = this.#parts
    const saves = maps.beginSave(layer.id)
    try {
      if (layer.unsynced) {
        layer.unsynced = false
        await files.sync(layer.id)
      }
      if (saves.length === 0) return
      layer.savedCounts = await metadata.saveChunks(layer.id, saves, layer.savedCounts)
      maps.endSave(saves)
    } catch (cause) {
      maps.abandonSave(layer.id, saves)
      layer.failure = syncFailed(layer, cause)
      throw layer.failure
    }
  }
}

function syncFailed(layer: Layer, cause: unknown): StorageError {
  return new StorageError(
    'SYNC_FAILED',
    `data of volume ${layer.volume} (layer ${String(layer.id)}) could not be made durable; ` +
      'check the disk, then open the volume directory again',
    { volume: layer.volume, layer: layer.id },
    cause,
  )
}
