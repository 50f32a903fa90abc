/**
 * The volumes of this host: ciphertext in the store, attached to VMs by name. What a volume belongs to is kept with it,
 * so that it outlives this process.
 * Source: hypervisor.proto (CreateVolume ... InspectVolume); design.md section 8.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ErrorCode, PalimpsestError, type Volume } from '../../sdk/rpc/index.ts'
import {
  BLOCK_SIZE,
  StorageError,
  type StorageErrorCode,
  type VolumeInfo,
  type VolumeStore,
} from '../storage/index.ts'
import { checkCount, checkName, checkVolumeSize } from './checks.ts'

/** The clone that a volume began as. */
export interface CloneNote {
  readonly clone: string
  readonly source: string
  readonly sourceVolume: string
}

interface Description {
  readonly vm: string
  readonly clone?: CloneNote
}

const inspectLimit = 1024

/** Volumes by name. */
export class Volumes {
  readonly store: VolumeStore
  readonly #abandonedFile: string
  /** Volumes whose clone was deleted before all of it was copied. */
  readonly #abandoned: Set<string>

  /** `directory` is the store's; one small file of this host lies beside the store's own. */
  constructor(store: VolumeStore, directory: string) {
    this.store = store
    this.#abandonedFile = join(directory, 'abandoned-clones.json')
    this.#abandoned = new Set(readNames(this.#abandonedFile))
  }

  /** @throws PalimpsestError UNKNOWN_VOLUME. */
  get(volume: string): Volume {
    return viewOf(this.#describe(volume))
  }

  /** Whether there is a volume of that name. */
  has(volume: string): boolean {
    return this.#find(volume) !== undefined
  }

  /** All volumes, by name. */
  list(): Volume[] {
    const byName = this.store.list().sort((a, b) => (a.id < b.id ? -1 : 1))
    return byName.map(viewOf)
  }

  /** Makes an empty volume; the caller has checked the VM. */
  async create(volume: string, vm: string, size: bigint): Promise<Volume> {
    const id = checkName('volume', volume)
    const description = JSON.stringify({ vm } satisfies Description)
    return viewOf(
      await stored(() => this.store.create({ id, sizeBytes: checkVolumeSize(size), description })),
    )
  }

  /** Makes a volume that shares the blocks of another, for a key of its own. */
  async clone(note: CloneNote, destinationVolume: string, vm: string): Promise<void> {
    const description = JSON.stringify({ vm, clone: note } satisfies Description)
    await stored(() => this.store.clone(note.sourceVolume, { id: destinationVolume, description }))
  }

  /** Deletes a volume. @throws PalimpsestError STATE while clones read its blocks. */
  async delete(volume: string): Promise<void> {
    this.#describe(volume)
    await stored(() => this.store.delete(volume))
    if (this.#abandoned.delete(volume)) this.#saveAbandoned()
  }

  /** Clones of an earlier host process that still share blocks, with their volumes. */
  unfinished(): { readonly note: CloneNote; readonly volume: string; readonly vm: string }[] {
    return this.store.list().flatMap((info) => {
      const { clone, vm } = descriptionOf(info)
      if (clone === undefined || info.foreignBlocks === 0n || this.#abandoned.has(info.id)) return []
      return [{ note: clone, volume: info.id, vm }]
    })
  }

  /** The clone of a volume was deleted: what it still shares can not be read any more. */
  abandon(volume: string): void {
    this.#abandoned.add(volume)
    this.#saveAbandoned()
  }

  /** Ciphertext as it lies on the host. */
  async inspect(
    volume: string,
    block: bigint,
    count: number,
  ): Promise<{ ciphertext: Uint8Array; own: boolean[] }> {
    checkCount('count', count, inspectLimit)
    this.#describe(volume)
    return stored(async () => {
      const ciphertext = new Uint8Array(count * BLOCK_SIZE)
      const own = new Array<boolean>(count).fill(true)
      const result = await this.store.readBlocks(volume, block, count, ciphertext)
      for (const run of result.status === 'NEEDS_COPY' ? result.foreign : []) {
        const at = Number(run.first - block)
        own.fill(false, at, at + run.count)
        const part = ciphertext.subarray(at * BLOCK_SIZE, (at + run.count) * BLOCK_SIZE)
        await this.store.readLayer(run.layer, run.first, run.count, part)
      }
      return { ciphertext, own }
    })
  }

  #describe(volume: string): VolumeInfo {
    const found = this.#find(volume)
    if (found) return found
    const shown = JSON.stringify(volume.slice(0, 80))
    throw new PalimpsestError('UNKNOWN_VOLUME', `expected a volume of this host, found ${shown}`, {
      metadata: { volume },
    })
  }

  #find(volume: string): VolumeInfo | undefined {
    try {
      return this.store.describe(volume)
    } catch (error) {
      if (error instanceof StorageError && error.code === 'NO_SUCH_VOLUME') return undefined
      throw error
    }
  }

  /** Written beside and renamed into place, so that a crash leaves the old list or the new one. */
  #saveAbandoned(): void {
    const temporary = `${this.#abandonedFile}.new`
    writeFileSync(temporary, JSON.stringify([...this.#abandoned]), { mode: 0o600, flush: true })
    renameSync(temporary, this.#abandonedFile)
  }
}

const codes: Readonly<Partial<Record<StorageErrorCode, ErrorCode>>> = {
  NO_SUCH_VOLUME: 'UNKNOWN_VOLUME',
  VOLUME_EXISTS: 'ALREADY_EXISTS',
  BAD_VOLUME_ID: 'INVALID_ARGUMENT',
  BAD_SIZE: 'INVALID_ARGUMENT',
  MISALIGNED: 'INVALID_ARGUMENT',
  OUT_OF_RANGE: 'OUT_OF_RANGE',
  VOLUME_IN_USE: 'STATE',
  CHAIN_TOO_DEEP: 'RESOURCE_EXHAUSTED',
  STORE_CLOSED: 'UNAVAILABLE',
  LAYER_DAMAGED: 'DATA_LOSS',
}

/** Fields of the API that a refusal of the store is about. */
const fields: Partial<Record<StorageError['code'], string>> = {
  BAD_VOLUME_ID: 'volume',
  BAD_SIZE: 'size',
  MISALIGNED: 'offset',
}

/** Runs an action on the store; what it refuses becomes an error of the API's family. */
export async function stored<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    const code = error instanceof StorageError ? codes[error.code] : undefined
    if (!(error instanceof StorageError) || code === undefined) throw error
    const field = fields[error.code]
    const violations = field === undefined ? {} : { violations: [{ field, description: error.message }] }
    throw new PalimpsestError(code, error.message, { cause: error, ...violations })
  }
}

function viewOf(info: VolumeInfo): Volume {
  return {
    volume: info.id,
    vm: descriptionOf(info).vm,
    size: info.sizeBytes,
    origin: info.clonedFrom ?? '',
    sharedBlocks: info.foreignBlocks,
  }
}

function descriptionOf(info: VolumeInfo): Description {
  return JSON.parse(info.description) as Description
}

function readNames(file: string): string[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as string[]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
