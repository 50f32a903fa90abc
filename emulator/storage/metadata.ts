/**
 * Metadata and durable maps of a volume directory, in LMDB (design.md section 8). The only file that knows lmdb.
 *
 * A change of volumes and layers is one synchronous transaction, so a crash leaves the old or the new state and
 * nothing between. Map chunks are saved in asynchronous batches, each atomic with the counts that belong to it.
 * The default of lmdb resolves a write at commit and syncs later; here `overlappingSync` is off, so a commit is
 * synced, and `flushed` is awaited besides. Its callback transactions (`transaction`) are not used: lmdb 3.5.6
 * under Node 20 never calls back.
 */
import { type Database, type RootDatabase, open } from 'lmdb'
import { join } from 'node:path'
import { mkdirSync, statSync } from 'node:fs'
import { StorageError } from './errors.ts'
import { type ProcessIdentity, isAlive, ownIdentity } from './process-identity.ts'
import { type ChunkSave, CHUNKS_PER_LAYER } from './layer-maps.ts'

/** Version of the directory's layout. A reader refuses every other one. */
const FORMAT = 1

const CHUNKS_PER_BATCH = 256

/** A volume as stored. */
export interface VolumeRecord {
  readonly id: string
  readonly blocks: number
  readonly topLayer: number
  readonly lineage: number
  readonly description: string
  readonly createdAt: string
  readonly clonedFrom: string | null
}

/** A layer as stored. */
export interface LayerRecord {
  readonly id: number
  readonly parent: number | null
  /** The key under which its blocks are encrypted: the number of the lineage's first layer. */
  readonly lineage: number
  /** The volume that wrote it. */
  readonly volume: string
  /** Generation of its blocks since it was frozen, in decimal; null for a top layer. */
  readonly frozen: string | null
}

/** Blocks that the volume with this top layer has, and blocks that the layer itself has. */
export interface LayerCounts {
  readonly present: number
  readonly allocated: number
  readonly foreign: number
}

/** One atomic change. */
export interface MetadataChange {
  readonly putVolumes?: readonly VolumeRecord[]
  readonly putLayers?: readonly { readonly record: LayerRecord; readonly counts: LayerCounts }[]
  readonly removeVolumes?: readonly string[]
  /** Layers to remove; their data and maps are removed afterwards, also after a crash. */
  readonly doomLayers?: readonly number[]
  /** Layers that are not doomed any more. */
  readonly spareLayers?: readonly number[]
}

interface Owner extends ProcessIdentity {
  /** Device and inode: a copy of the directory does not carry the lock of the original. */
  readonly directory: string
}

type Setting = number | Owner

/** The LMDB environment of one volume directory, held by this process alone. */
export class Metadata {
  readonly #root: RootDatabase<Setting, string>
  readonly #settings: Database<Setting, string>
  readonly #volumes: Database<VolumeRecord, string>
  readonly #layers: Database<LayerRecord, number>
  readonly #counts: Database<LayerCounts, number>
  readonly #map: Database<Uint8Array, number>
  readonly #doomed: Database<boolean, number>
  #session = 0
  #nextLayer = 1

  private constructor(root: RootDatabase<Setting, string>) {
    this.#root = root
    this.#settings = root.openDB<Setting, string>({ name: 'settings', encoding: 'json' })
    this.#volumes = root.openDB<VolumeRecord, string>({ name: 'volumes', encoding: 'json' })
    this.#layers = root.openDB<LayerRecord, number>({ name: 'layers', encoding: 'json' })
    this.#counts = root.openDB<LayerCounts, number>({ name: 'counts', encoding: 'json' })
    this.#map = root.openDB<Uint8Array, number>({ name: 'map', encoding: 'binary' })
    this.#doomed = root.openDB<boolean, number>({ name: 'doomed', encoding: 'json' })
  }

  /**
   * Opens a directory, creating it when there is none, and takes its lock.
   * @throws StorageError STORE_LOCKED while another process has it open, UNSUPPORTED_FORMAT for another layout.
   */
  static async open(directory: string): Promise<Metadata> {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const metadata = new Metadata(
      open<Setting, string>({
        path: join(directory, 'metadata'),
        encoding: 'json',
        maxDbs: 8,
        overlappingSync: false,
        noSubdir: false,
      }),
    )
    try {
      metadata.#takeOver(directory)
    } catch (error) {
      await metadata.#root.close()
      throw error
    }
    return metadata
  }

  /** The durable number of this opening, at least 1. */
  get session(): number {
    return this.#session
  }

  /** Every volume. */
  volumes(): VolumeRecord[] {
    return [...this.#volumes.getRange()].map(({ value }) => value)
  }

  /** Every layer with its counts. */
  layers(): { record: LayerRecord; counts: LayerCounts }[] {
    return [...this.#layers.getRange()].map(({ value: record }) => {
      return { record, counts: this.#counts.get(record.id) ?? { present: 0, allocated: 0, foreign: 0 } }
    })
  }

  /** Layers whose removal a crash interrupted. */
  doomed(): number[] {
    return [...this.#doomed.getKeys()]
  }

  /** A number that no layer has had. It counts as used once a change names it. */
  newLayerId(): number {
    const id = this.#nextLayer
    this.#nextLayer += 1
    return id
  }

  /** Applies a change atomically; durable on return. */
  commit(change: MetadataChange): void {
    this.#root.transactionSync(() => {
      void this.#settings.put('nextLayer', this.#nextLayer)
      for (const volume of change.putVolumes ?? []) void this.#volumes.put(volume.id, volume)
      for (const { record, counts } of change.putLayers ?? []) {
        void this.#layers.put(record.id, record)
        void this.#counts.put(record.id, counts)
      }
      for (const id of change.removeVolumes ?? []) void this.#volumes.remove(id)
      for (const id of change.doomLayers ?? []) {
        void this.#layers.remove(id)
        void this.#counts.remove(id)
        void this.#doomed.put(id, true)
      }
      for (const id of change.spareLayers ?? []) void this.#doomed.remove(id)
    })
    this.#root.resetReadTxn()
  }

  /** A chunk of the durable map, or undefined when none of its bits is set. */
  readChunk(key: number): Uint8Array | undefined {
    const stored = this.#map.getBinary(key)
    // A plain array over the copy that getBinary made: `slice` of a Buffer would share memory.
    return stored === undefined ? undefined : new Uint8Array(stored.buffer, stored.byteOffset, stored.length)
  }

  /**
   * Saves chunks of a layer, each batch with the counts that it leads to.
   * @returns the layer's counts afterwards; they and the chunks are on disk, and reads show them.
   */
  async saveChunks(layer: number, saves: readonly ChunkSave[], before: LayerCounts): Promise<LayerCounts> {
    let counts = before
    for (let at = 0; at < saves.length; at += CHUNKS_PER_BATCH) {
      const batch = saves.slice(at, at + CHUNKS_PER_BATCH)
      for (const { change } of batch) counts = addCounts(counts, change)
      await this.#root.batch(() => {
        for (const { key, bits } of batch) void this.#map.put(key, bits)
        void this.#counts.put(layer, counts)
      })
    }
    await this.#root.flushed
    this.#root.resetReadTxn()
    return counts
  }

  /** Removes the map of a doomed layer. */
  async removeMap(layer: number): Promise<void> {
    const range = {
      start: layer * CHUNKS_PER_LAYER,
      end: (layer + 1) * CHUNKS_PER_LAYER,
      limit: CHUNKS_PER_BATCH,
    }
    for (;;) {
      const keys = [...this.#map.getKeys(range)]
      if (keys.length === 0) return
      await this.#root.batch(() => {
        for (const key of keys) void this.#map.remove(key)
      })
      this.#root.resetReadTxn()
    }
  }

  /** Gives the lock back and closes the environment. */
  async close(): Promise<void> {
    this.#root.transactionSync(() => {
      void this.#settings.remove('owner')
    })
    await this.#root.flushed
    await this.#root.close()
  }

  /** One write transaction: LMDB lets one process at a time into it, so two openings cannot both succeed. */
  #takeOver(directory: string): void {
    const { dev, ino } = statSync(directory)
    const owner: Owner = { ...ownIdentity(), directory: `${String(dev)}:${String(ino)}` }
    this.#root.transactionSync(() => {
      const format = this.#settings.get('format') ?? FORMAT
      if (format !== FORMAT) throw unsupported(directory, format)
      const previous = this.#settings.get('owner')
      if (typeof previous === 'object' && previous.directory === owner.directory && isAlive(previous)) {
        throw locked(directory, previous.pid)
      }
      this.#session = numberSetting(this.#settings.get('session'), 0) + 1
      this.#nextLayer = numberSetting(this.#settings.get('nextLayer'), 1)
      void this.#settings.put('format', FORMAT)
      void this.#settings.put('session', this.#session)
      void this.#settings.put('owner', owner)
    })
    this.#root.resetReadTxn()
  }
}

/** The sum of counts and a change of them. */
export function addCounts(counts: LayerCounts, change: LayerCounts): LayerCounts {
  return {
    present: counts.present + change.present,
    allocated: counts.allocated + change.allocated,
    foreign: counts.foreign + change.foreign,
  }
}

function numberSetting(value: Setting | undefined, fallback: number): number {
  return typeof value === 'number' ? value : fallback
}

function unsupported(directory: string, format: Setting): StorageError {
  return new StorageError(
    'UNSUPPORTED_FORMAT',
    `volume directory ${directory} has format ${JSON.stringify(format)}, this program reads format ` +
      `${String(FORMAT)}; open it with the version that wrote it and export its volumes`,
    { expected: FORMAT },
  )
}

function locked(directory: string, pid: number): StorageError {
  return new StorageError(
    'STORE_LOCKED',
    `volume directory ${directory} is open in process ${String(pid)}; a directory has one writer: ` +
      'stop that process or use another directory',
    { pid },
  )
}
