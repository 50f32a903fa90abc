/**
 * Opens a volume directory: takes its lock, reads its metadata, replays what a crash left in the journal and
 * finishes removals that a crash interrupted.
 */
import { join } from 'node:path'
import { BlockIo } from './block-io.ts'
import { DataFiles } from './data-files.ts'
import { Journal, type LeftJournals, readJournals, removeJournals } from './journal.ts'
import { LayerMaps } from './layer-maps.ts'
import { Metadata } from './metadata.ts'
import { Persister } from './persister.ts'
import { bootIdentity } from './process-identity.ts'
import type { StorageLog } from './types.ts'
import { type Layer, type Volume, layerOf, volumeOf } from './volume.ts'
import { WriteClock } from './write-clock.ts'

/** What an open store is made of. */
export interface StoreParts {
  readonly directory: string
  readonly metadata: Metadata
  readonly maps: LayerMaps
  readonly files: DataFiles
  readonly journal: Journal
  readonly clock: WriteClock
  readonly io: BlockIo
  readonly persister: Persister
  /** Every layer, by id. */
  readonly layers: Map<number, Layer>
  /** Every volume, by id. */
  readonly volumes: Map<string, Volume>
  readonly log: StorageLog | undefined
}

/**
 * Opens a directory, creating it when there is none.
 * @throws StorageError STORE_LOCKED, UNSUPPORTED_FORMAT.
 */
export async function openParts(directory: string, log: StorageLog | undefined): Promise<StoreParts> {
  const metadata = await Metadata.open(directory)
  try {
    const boot = bootIdentity()
    const left = readJournals(join(directory, 'journal'), boot)
    const journal = new Journal(join(directory, 'journal'), boot, left.nextNumber)
    const parts = assemble(directory, metadata, journal, log)
    await replay(parts, left)
    await removeDoomed(parts, metadata.doomed())
    return parts
  } catch (error) {
    await metadata.close()
    throw error
  }
}

/** Removes maps and files of doomed layers; a crash leaves the rest for the next opening. */
export async function removeDoomed(parts: StoreParts, doomed: readonly number[]): Promise<void> {
  for (const layer of doomed) {
    parts.files.remove(layer)
    await parts.metadata.removeMap(layer)
  }
  if (doomed.length > 0) parts.metadata.commit({ spareLayers: doomed })
}

function assemble(
  directory: string,
  metadata: Metadata,
  journal: Journal,
  log: StorageLog | undefined,
): StoreParts {
  const maps = new LayerMaps((key) => metadata.readChunk(key))
  const files = new DataFiles(join(directory, 'layers'))
  const clock = new WriteClock(metadata.session)
  const layers = new Map(metadata.layers().map(({ record, counts }) => [record.id, layerOf(record, counts)]))
  const volumes = new Map(metadata.volumes().map((record) => [record.id, volumeOf(record, layers)]))
  const io = new BlockIo({ maps, files, clock, journal })
  const persister = new Persister({ metadata, maps, files, journal, layers })
  return { directory, metadata, maps, files, journal, clock, io, persister, layers, volumes, log }
}

/** Enters the blocks that writes gained before a crash of the process, and makes them durable. */
async function replay(parts: StoreParts, left: LeftJournals): Promise<void> {
  const { io, persister, volumes, log } = parts
  const byTopLayer = new Map([...volumes.values()].map((volume) => [volume.chain[0].id, volume]))
  const touched = new Set<Layer>()
  for (const { layer, first, count } of left.runs) {
    // A frozen layer was made durable before it was frozen; a deleted one needs nothing.
    const volume = byTopLayer.get(layer)
    if (volume === undefined) continue
    io.mark(volume.chain, first, count)
    volume.chain[0].unsynced = true
    touched.add(volume.chain[0])
  }
  for (const layer of touched) await persister.flush(layer)
  removeJournals(left.paths)
  if (left.runs.length > 0)
    log?.warn({ runs: left.runs.length }, 'writes of a process that died were recovered')
  if (left.dropped > 0)
    log?.warn({ files: left.dropped }, 'writes not flushed before the machine stopped were dropped')
}
