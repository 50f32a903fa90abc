/**
 * All clones of this host by name: made, registered again when workers and plugins come and go, finished, deleted.
 * Source: hypervisor.proto (CreateClone ... RevokeRegistration).
 */
import {
  type Clone as CloneView,
  type FinishCloneResponse,
  type CreateCloneRequest,
  type Logger,
  PalimpsestError,
  type RangePair,
  required,
} from '../../sdk/rpc/index.ts'
import { checkName, checkPairs, pageBytes } from './checks.ts'
import { Clone, type CloneNames } from './clone.ts'
import type { CloneLink, CloneStorage } from './clone-storage.ts'
import { DiskClone, type DiskHost } from './disk-clone.ts'
import { MemoryClone } from './memory-clone.ts'
import type { MemoryHost } from './memory-host.ts'
import type { PluginRelay } from './plugin-relay.ts'
import type { Registrar } from './registrar.ts'
import type { Vms } from './vms.ts'
import { Deferred } from './waiting.ts'

/** What clones need of the host. */
export interface CloneHost {
  readonly registrar: Registrar
  readonly relay: Pick<PluginRelay, 'attachedRoles'>
  readonly vms: Vms
  readonly memory: MemoryHost<MemoryClone>
  readonly disks: DiskHost
  readonly log: Logger
}

/** How often progress is reported while nothing happens, in milliseconds. */
const progressEveryMs = 500

/** Clones by name. */
export class Clones {
  readonly #host: CloneHost
  readonly #clones = new Map<string, Clone>()

  constructor(host: CloneHost) {
    this.#host = host
  }

  /** Takes up disk clones of an earlier host process. */
  restore(): void {
    for (const { note, volume, vm } of this.#host.disks.volumes.unfinished()) {
      const names = { name: note.clone, source: note.source, destination: vm }
      const volumes = { source: note.sourceVolume, destination: volume }
      const clone = new Clone(
        names,
        (link) => new DiskClone(volumes, link, this.#host.disks, true),
        this.#host,
      )
      this.#clones.set(note.clone, clone)
      clone.restore()
    }
  }

  /** @throws PalimpsestError UNKNOWN_CLONE. */
  get(name: string): Clone {
    const clone = this.#clones.get(name)
    if (clone) return clone
    const shown = JSON.stringify(name.slice(0, 80))
    throw new PalimpsestError('UNKNOWN_CLONE', `expected a clone of this host, found ${shown}`, {
      metadata: { clone: name },
    })
  }

  /** All clones, by name. */
  list(): CloneView[] {
    const byName = [...this.#clones.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return byName.map((clone) => clone.view)
  }

  /**
   * Makes a clone; returns when its registration is live.
   * @throws PalimpsestError with nothing shared and no clone made; when sharing itself broke off, the clone stays and
   * stalls, so that it can be renewed or deleted.
   */
  async create(request: CreateCloneRequest): Promise<Clone> {
    const name = checkName('clone', request.clone)
    const { source, destination } = request
    this.#host.vms.get(source)
    this.#host.vms.get(destination)
    if (this.#clones.has(name)) {
      throw new PalimpsestError('ALREADY_EXISTS', `expected a new name, found that clone ${name} exists`)
    }
    const storage = this.#storage(request)
    const names: CloneNames = { name, source, destination }
    this.#requirePlugins(names)
    const clone = new Clone(names, storage, this.#host)
    this.#clones.set(name, clone)
    try {
      await clone.begin()
    } catch (error) {
      if (!clone.storage.isShared) {
        this.#clones.delete(name)
        clone.stop()
      }
      throw error
    }
    return clone
  }

  /** Copies what is still shared; yields progress. Leaving it pauses the copying. */
  async *finish(name: string, signal: AbortSignal): AsyncGenerator<FinishCloneResponse, void, undefined> {
    const clone = this.get(name)
    const steps = clone.storage.finish(signal)
    const ticks = setInterval(() => {
      wake()
    }, progressEveryMs)
    let tick = new Deferred<undefined>()
    const wake = (): void => {
      tick.resolve(undefined)
    }
    signal.addEventListener('abort', wake)
    try {
      let next = steps.next()
      while (!signal.aborted) {
        next.catch(() => undefined)
        const step = await Promise.race([next, tick.promise])
        tick = new Deferred<undefined>()
        const { blocks, copied } = clone.view
        yield { blocks, copied }
        if (step?.done === true) return
        if (step !== undefined) next = steps.next()
        else if (clone.isFinal && clone.state === 'stalled') throw clone.stalled()
      }
    } finally {
      clearInterval(ticks)
      signal.removeEventListener('abort', wake)
    }
  }

  /** Deletes a clone. Blocks that were never copied are lost to the destination. */
  async delete(name: string): Promise<void> {
    const clone = this.get(name)
    await clone.delete()
    this.#clones.delete(name)
  }

  /** @throws PalimpsestError STATE when a clone that is not finished needs the VM. */
  requireUnused(vm: string): void {
    for (const clone of this.#clones.values()) {
      if ((clone.source === vm || clone.destination === vm) && clone.state !== 'finished') {
        throw new PalimpsestError('STATE', `clone ${clone.name} needs VM ${vm}: finish or delete it first`)
      }
    }
  }

  /** @throws PalimpsestError STATE when a clone that is not finished needs the volume. */
  requireVolumeUnused(volume: string): void {
    for (const clone of this.#clones.values()) {
      const { source, destination } = clone.storage.volumes
      if ((source === volume || destination === volume) && clone.state !== 'finished') {
        throw new PalimpsestError(
          'STATE',
          `clone ${clone.name} needs volume ${volume}: finish or delete it first`,
        )
      }
    }
  }

  /** A VM has ended: finished clones of its memory mean nothing any more. */
  forgetVm(vm: string): void {
    for (const clone of this.#clones.values()) {
      const isOf = clone.source === vm || clone.destination === vm
      if (isOf && clone.storage.kind === 'memory-page') this.#clones.delete(clone.name)
    }
  }

  /** The disk clone that a volume is the destination of. */
  diskOf(volume: string): DiskClone | undefined {
    for (const { storage } of this.#clones.values()) {
      if (storage instanceof DiskClone && storage.volumes.destination === volume) return storage
    }
    return undefined
  }

  /** The disk clone that a registration is for. @throws PalimpsestError NOT_FOUND. */
  diskOfRegistration(registration: string): DiskClone {
    for (const clone of this.#clones.values()) {
      if (clone.storage instanceof DiskClone && clone.owns(registration)) return clone.storage
    }
    throw new PalimpsestError(
      'NOT_FOUND',
      'expected the registration of a disk clone, found none of that name',
    )
  }

  /** A worker has come up. */
  workerUp(): void {
    for (const clone of this.#clones.values()) clone.wake()
  }

  /** The worker is gone. */
  workerGone(error: PalimpsestError): void {
    for (const clone of this.#clones.values()) clone.workerGone(error)
  }

  /** A plugin has attached. */
  pluginAttached(vm: string): void {
    for (const clone of this.#clones.values()) {
      const { source, destination } = clone
      const both = this.#missingPlugins(clone).length === 0
      if ((source === vm || destination === vm) && both) clone.wake()
    }
  }

  /** No more timers. */
  stop(): void {
    for (const clone of this.#clones.values()) clone.stop()
  }

  #storage(request: CreateCloneRequest): (link: CloneLink) => CloneStorage {
    const { case: kind, value } = required(request.storage, 'storage')
    if (kind === 'memory') {
      const pairs = checkPairs(value.pairs)
      this.#checkMemory(request, pairs.pairs)
      return (link) => new MemoryClone(pairs, link, this.#host.memory)
    }
    const { volumes } = this.#host.disks
    const source = volumes.get(value.sourceVolume)
    this.#checkAttached(source.volume, source.vm, request.source)
    const destination = checkName('disk.destinationVolume', value.destinationVolume)
    const isPlanned = [...this.#clones.values()].some(
      (clone) => clone.storage.volumes.destination === destination,
    )
    if (volumes.has(destination) || isPlanned) {
      throw new PalimpsestError(
        'ALREADY_EXISTS',
        `expected a new name, found that volume ${destination} exists`,
      )
    }
    if (source.sharedBlocks > 0n) {
      const found = `found ${String(source.sharedBlocks)} blocks under the key of ${source.origin}`
      throw new PalimpsestError(
        'STATE',
        `expected ${source.volume} to be its own, ${found}: finish its clone first`,
      )
    }
    return (link) => new DiskClone({ source: source.volume, destination }, link, this.#host.disks)
  }

  #checkAttached(volume: string, attachedTo: string, vm: string): void {
    if (attachedTo === vm) return
    throw new PalimpsestError('STATE', `expected volume ${volume} at VM ${vm}, found it at ${attachedTo}`)
  }

  #checkMemory(request: CreateCloneRequest, pairs: readonly RangePair[]): void {
    const { vms, memory } = this.#host
    for (const { first, second, count } of pairs) {
      requireWithin('source', request.source, vms.get(request.source).memoryBytes, first + count)
      requireWithin(
        'destination',
        request.destination,
        vms.get(request.destination).memoryBytes,
        second + count,
      )
      const used = memory.guests.firstUsed(request.destination, { first: second, count })
      if (used !== undefined) {
        const page = `guest page ${String(used)} of ${request.destination}`
        throw new PalimpsestError(
          'DEST_IN_USE',
          `expected ${page} to be unused, found memory there: choose others`,
        )
      }
    }
  }

  #missingPlugins({ source, destination }: CloneNames): string[] {
    const { relay } = this.#host
    const missing: string[] = []
    if (!relay.attachedRoles(source).includes('source')) missing.push(`source plugin of ${source}`)
    if (!relay.attachedRoles(destination).includes('destination'))
      missing.push(`destination plugin of ${destination}`)
    return missing
  }

  #requirePlugins(names: CloneNames): void {
    const missing = this.#missingPlugins(names)
    if (missing.length === 0) return
    throw new PalimpsestError(
      'PLUGIN_UNAVAILABLE',
      `expected the ${missing.join(' and the ')} to be attached: start it`,
    )
  }
}

function requireWithin(side: string, vm: string, memoryBytes: bigint, end: bigint): void {
  if (end * pageBytes <= memoryBytes) return
  const pages = String(memoryBytes / pageBytes)
  const message = `expected ${side} pages below ${pages} of ${vm}, found page ${String(end - 1n)}`
  throw new PalimpsestError('OUT_OF_RANGE', message, { metadata: { vm } })
}
