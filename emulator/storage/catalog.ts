/**
 * Which volumes and layers there are: create, clone, import, delete. One change at a time, each one transaction.
 */
import { blocksOfSize, volumeId } from './arguments.ts'
import { StorageError } from './errors.ts'
import { type StoreParts, removeDoomed } from './open-parts.ts'
import { SparseFile } from './sparse-file.ts'
import {
  type Layer,
  MAX_LAYERS,
  type Volume,
  layerOf,
  layerRecord,
  volumeOf,
  volumeRecord,
} from './volume.ts'

const NO_BLOCKS = { present: 0, allocated: 0, foreign: 0 } as const

/** A volume to be made. */
export interface NewVolume {
  /** 1 to 128 of `A-Z a-z 0-9 . _ -`; a random one when left out. */
  readonly id?: string | undefined
  readonly description?: string | undefined
}

/** Changes the set of volumes of an open store. */
export class Catalog {
  readonly #parts: StoreParts
  /** Waits for writers of the importing layer: see VolumeStore. */
  readonly #room: () => Promise<void>
  /** Ids of volumes that are being made. */
  readonly #reserved = new Set<string>()
  readonly #imports = new Set<Promise<unknown>>()
  readonly #stop = new AbortController()
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: StoreParts, room: () => Promise<void>) {
    this.#parts = parts
    this.#room = room
  }

  /** The volume. @throws StorageError NO_SUCH_VOLUME. */
  volume(id: string): Volume {
    const volume = this.#parts.volumes.get(id)
    if (volume !== undefined) return volume
    throw new StorageError('NO_SUCH_VOLUME', `there is no volume ${JSON.stringify(id)}; list the volumes`)
  }

  /** Volumes that read layers which this volume wrote. */
  dependents(id: string): string[] {
    return [...this.#parts.volumes.values()]
      .filter((other) => other.id !== id && other.chain.some((layer) => layer.volume === id))
      .map((other) => other.id)
  }

  /** A volume of holes. */
  create(options: NewVolume & { readonly sizeBytes: bigint }): Promise<Volume> {
    return this.#exclusive(() => {
      const id = this.#newId(options.id)
      const blocks = blocksOfSize(options.sizeBytes)
      return this.#addRoot(id, blocks, options.description, this.#newLayer(id))
    })
  }

  /** A volume with the bytes of a file. It appears when all of it is on disk; other changes go on meanwhile. */
  async import(
    options: NewVolume & { readonly path: string; readonly signal?: AbortSignal | undefined },
  ): Promise<Volume> {
    const id = this.#newId(options.id)
    const signal = AbortSignal.any([
      this.#stop.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ])
    const running = this.#reserving(id, () => this.#fromFile(id, { ...options, signal }))
    this.#imports.add(running)
    try {
      return await running
    } finally {
      this.#imports.delete(running)
    }
  }

  /**
   * A clone under a key of its own: the source's top layer is frozen, and both go on in new empty layers. The cost
   * does not depend on the size; data that was not flushed yet is flushed first, so that the frozen layer is whole.
   */
  clone(sourceId: string, options: NewVolume): Promise<Volume> {
    return this.#exclusive(() => {
      const id = this.#newId(options.id)
      const source = this.volume(sourceId)
      if (source.chain.length >= MAX_LAYERS) throw tooDeep(source)
      return this.#reserving(id, async () => {
        // The bulk before the gate closes, so that writers wait only for the rest.
        await this.#parts.persister.flush(source.chain[0])
        return this.#behindGate(source, async () => {
          await this.#parts.persister.flush(source.chain[0])
          return this.#split(source, id, options.description ?? '')
        })
      })
    })
  }

  /** Deletes a volume and the layers that only it reads. */
  delete(id: string): Promise<void> {
    return this.#exclusive(async () => {
      const volume = this.volume(id)
      const dependents = this.dependents(id)
      if (dependents.length > 0) throw inUse(id, dependents)
      await this.#behindGate(volume, async () => {
        const top = volume.chain[0]
        while (this.#parts.persister.isFlushing(top)) await this.#parts.persister.settled(top)
        await this.#remove(volume)
      })
      this.#parts.log?.info({ volume: id }, 'volume deleted')
    })
  }

  /** Aborts imports and resolves when no change is under way. */
  async stop(): Promise<void> {
    this.#stop.abort(
      new StorageError('STORE_CLOSED', 'the volume store was closed during the import; import again'),
    )
    await Promise.allSettled([this.#last, ...this.#imports])
  }

  async #fromFile(id: string, options: NewVolume & { path: string; signal: AbortSignal }): Promise<Volume> {
    const file = await SparseFile.open(options.path)
    try {
      const blocks = blocksOfSize(file.sizeBytes)
      const layer = await this.#fill(id, file, options.signal)
      return this.#addRoot(id, blocks, options.description, layer)
    } finally {
      await file.close()
    }
  }

  /** A durable layer with a file's blocks. */
  async #fill(id: string, file: SparseFile, signal: AbortSignal): Promise<Layer> {
    const { metadata, layers, io, persister, maps } = this.#parts
    const layer = this.#newLayer(id)
    // Doomed until it is complete, so that a crash leaves nothing behind.
    metadata.commit({ doomLayers: [layer.id] })
    layers.set(layer.id, layer)
    try {
      for await (const run of file.runs(signal)) {
        await this.#room()
        io.fill(layer, run.first, run.bytes)
      }
      await persister.flush(layer)
      return layer
    } catch (error) {
      while (persister.isFlushing(layer)) await persister.settled(layer)
      layers.delete(layer.id)
      maps.drop(layer.id)
      await removeDoomed(this.#parts, [layer.id])
      throw error
    }
  }

  /** Enters a volume whose only layer is given. */
  #addRoot(id: string, blocks: number, description: string | undefined, layer: Layer): Volume {
    const record = {
      id,
      blocks,
      topLayer: layer.id,
      lineage: layer.lineage,
      description: description ?? '',
      createdAt: new Date().toISOString(),
      clonedFrom: null,
    }
    this.#parts.metadata.commit({
      putVolumes: [record],
      putLayers: [{ record: layerRecord(layer), counts: layer.counts }],
      spareLayers: [layer.id],
    })
    this.#parts.layers.set(layer.id, layer)
    const volume = volumeOf(record, this.#parts.layers)
    this.#parts.volumes.set(id, volume)
    this.#parts.log?.info({ volume: id, blocks }, 'volume created')
    return volume
  }

  /** The transaction of a clone. An empty top layer is not frozen: a golden image stays two layers deep. */
  #split(source: Volume, id: string, description: string): Volume {
    const { metadata, layers, volumes, clock, log } = this.#parts
    const top = source.chain[0]
    const { allocated, foreign } = top.counts
    const isEmpty = top.counts.present === 0
    const base: readonly Layer[] = isEmpty ? source.chain.slice(1) : source.chain
    const parent = base[0]?.id ?? null

    const cloneTop = this.#newLayer(id, { parent, counts: { present: 0, allocated, foreign: allocated } })
    const frozenAt = clock.stamp()
    const sourceTop = isEmpty
      ? top
      : this.#newLayer(source.id, {
          parent,
          lineage: source.lineage,
          counts: { present: 0, allocated, foreign },
        })
    const cloneRecord = {
      id,
      blocks: source.blocks,
      topLayer: cloneTop.id,
      lineage: cloneTop.lineage,
      description,
      createdAt: new Date().toISOString(),
      clonedFrom: source.id,
    }
    const changed = isEmpty ? [cloneTop] : [cloneTop, sourceTop]
    metadata.commit({
      putVolumes: [cloneRecord, { ...volumeRecord(source), topLayer: sourceTop.id }],
      putLayers: [
        ...changed.map((layer) => ({ record: layerRecord(layer), counts: layer.counts })),
        ...(isEmpty
          ? []
          : [{ record: { ...layerRecord(top), frozen: frozenAt.toString() }, counts: top.counts }]),
      ],
    })

    for (const layer of changed) layers.set(layer.id, layer)
    if (!isEmpty) {
      top.frozen = frozenAt
      source.chain = [sourceTop, ...source.chain]
    }
    const volume = volumeOf(cloneRecord, layers)
    volumes.set(id, volume)
    log?.info({ volume: id, source: source.id }, 'volume cloned')
    return volume
  }

  async #remove(volume: Volume): Promise<void> {
    const { metadata, layers, volumes, maps } = this.#parts
    const others = [...volumes.values()].filter((other) => other !== volume)
    const kept = new Set(others.flatMap((other) => other.chain.map((layer) => layer.id)))
    const doomed = volume.chain.map((layer) => layer.id).filter((layer) => !kept.has(layer))
    metadata.commit({ removeVolumes: [volume.id], doomLayers: doomed })
    volumes.delete(volume.id)
    for (const layer of doomed) {
      layers.delete(layer)
      maps.drop(layer)
    }
    await removeDoomed(this.#parts, doomed)
  }

  #newId(wanted: string | undefined): string {
    const id = volumeId(wanted)
    if (!this.#parts.volumes.has(id) && !this.#reserved.has(id)) return id
    throw new StorageError('VOLUME_EXISTS', `volume ${id} exists already; choose another id`, { volume: id })
  }

  /** A layer that is in no map yet; without a lineage it begins one. */
  #newLayer(
    volume: string,
    options: { parent?: number | null; lineage?: number; counts?: Layer['counts'] } = {},
  ): Layer {
    const id = this.#parts.metadata.newLayerId()
    const record = {
      id,
      parent: options.parent ?? null,
      lineage: options.lineage ?? id,
      volume,
      frozen: null,
    }
    return layerOf(record, options.counts ?? NO_BLOCKS)
  }

  /** Runs an action that makes a volume, while no other may take its id. */
  async #reserving(id: string, action: () => Promise<Volume>): Promise<Volume> {
    this.#reserved.add(id)
    try {
      return await action()
    } finally {
      this.#reserved.delete(id)
    }
  }

  /** Runs an action while writers of the volume wait. */
  async #behindGate<Result>(volume: Volume, action: () => Promise<Result>): Promise<Result> {
    const result = action()
    volume.gate = result.then(noop, noop)
    try {
      return await result
    } finally {
      volume.gate = undefined
    }
  }

  #exclusive<Result>(action: () => Result | Promise<Result>): Promise<Result> {
    const result = this.#last.catch(noop).then(action)
    this.#last = result
    return result
  }
}

function noop(): void {}

function tooDeep(source: Volume): StorageError {
  const message =
    `volume ${source.id} already has ${String(source.chain.length)} layers, the most there may be; ` +
    'copy it to a volume of its own (export and import) and clone that'
  return new StorageError('CHAIN_TOO_DEEP', message, { volume: source.id })
}

function inUse(id: string, dependents: readonly string[]): StorageError {
  const message = `volume ${id} still holds blocks of ${dependents.join(', ')}; delete these first`
  return new StorageError('VOLUME_IN_USE', message, { volume: id, dependents })
}
