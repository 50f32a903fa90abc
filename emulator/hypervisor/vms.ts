/**
 * The VMs of this host: launched on the platform, and promised the memory that they will get as they touch it.
 * Source: hypervisor.proto (CreateVm, DeleteVm); host_port.proto (LaunchGuest, TerminateVm).
 */
import { createHash } from 'node:crypto'
import { type Logger, PalimpsestError, type Vm } from '../../sdk/rpc/index.ts'
import { checkMemoryBytes, checkName, checkUnmappedFrom, pageBytes } from './checks.ts'
import type { FrameAllocator } from './frames.ts'
import type { GuestMemory } from './guest-memory.ts'
import type { MemoryShares } from './memory-shares.ts'
import type { NestedMaps } from './nested-maps.ts'
import type { PluginRelay } from './plugin-relay.ts'
import type { PlatformPort } from './ports.ts'

/** A VM to create. */
export interface VmRequest {
  readonly vm: string
  readonly ownerPublicKey: Uint8Array
  readonly memoryBytes: bigint
  readonly unmappedFrom?: bigint | undefined
}

/** A running VM. */
export interface VmRecord {
  readonly vm: string
  /** SHA-256 of the owner's SubjectPublicKeyInfo. */
  readonly owner: Uint8Array
  readonly memoryBytes: bigint
  readonly launchReport: Uint8Array
}

/** What VMs need of the host. */
export interface VmHost {
  readonly platform: Pick<PlatformPort, 'launchGuest' | 'terminateVm'>
  readonly frames: FrameAllocator
  readonly guests: GuestMemory
  readonly maps: NestedMaps
  readonly shares: MemoryShares
  readonly relay: Pick<PluginRelay, 'attachedRoles' | 'dropVm'>
  readonly log: Logger
}

/** All VMs by name. */
export class Vms {
  readonly #host: VmHost
  readonly #vms = new Map<string, VmRecord>()
  /** Names that are being created or deleted. */
  readonly #busy = new Set<string>()

  constructor(host: VmHost) {
    this.#host = host
  }

  /** @throws PalimpsestError UNKNOWN_VM. */
  get(vm: string): VmRecord {
    const record = this.#vms.get(vm)
    if (record) return record
    throw new PalimpsestError(
      'UNKNOWN_VM',
      `expected a VM of this host, found ${JSON.stringify(vm.slice(0, 80))}`,
      {
        metadata: { vm },
      },
    )
  }

  /** The VM as the API shows it. */
  view(record: VmRecord): Vm {
    return { ...record, plugins: this.#host.relay.attachedRoles(record.vm) }
  }

  /** All VMs, by name. */
  list(): Vm[] {
    const byName = [...this.#vms.values()].sort((a, b) => (a.vm < b.vm ? -1 : 1))
    return byName.map((record) => this.view(record))
  }

  /** Launches a VM with memory of its own. @throws PalimpsestError; then nothing is left of it. */
  async create(request: VmRequest): Promise<VmRecord> {
    const vm = checkName('vm', request.vm)
    const memoryBytes = checkMemoryBytes('memoryBytes', request.memoryBytes)
    const pages = checkUnmappedFrom(request.unmappedFrom, memoryBytes) / pageBytes
    return this.#alone(vm, async () => {
      if (this.#vms.has(vm))
        throw new PalimpsestError('ALREADY_EXISTS', `expected a new name, found that VM ${vm} runs`)
      this.#host.guests.promise(vm, pages)
      const record = await this.#launch(vm, request.ownerPublicKey, memoryBytes)
      this.#vms.set(vm, record)
      this.#host.log.info({ vm, pages: String(pages) }, 'VM created')
      return record
    })
  }

  /** Ends a VM; its memory is scrubbed. The caller has made sure that no clone needs it. */
  async delete(vm: string): Promise<void> {
    this.get(vm)
    await this.#alone(vm, async () => {
      this.get(vm)
      await this.#host.guests.end(vm, () => this.#host.platform.terminateVm({ vm }))
      this.#vms.delete(vm)
      this.#host.relay.dropVm(vm)
      this.#freeFrames(vm)
      this.#host.maps.drop(vm)
      this.#host.log.info({ vm }, 'VM deleted')
    })
  }

  async #alone<T>(vm: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(vm))
      throw new PalimpsestError('ABORTED', `VM ${vm} is being created or deleted: try again`)
    this.#busy.add(vm)
    try {
      return await work()
    } finally {
      this.#busy.delete(vm)
    }
  }

  async #launch(vm: string, ownerPublicKey: Uint8Array, memoryBytes: bigint): Promise<VmRecord> {
    try {
      const { report } = await this.#host.platform.launchGuest({ vm, ownerPublicKey, memoryBytes })
      const owner = new Uint8Array(createHash('sha256').update(ownerPublicKey).digest())
      return { vm, owner, memoryBytes, launchReport: report }
    } catch (error) {
      await this.#host.guests.end(vm, () => Promise.resolve())
      throw error
    }
  }

  /** The platform has scrubbed what only this VM had; frames that others share stay theirs. */
  #freeFrames(vm: string): void {
    const { shares, maps, frames } = this.#host
    const { shared, free } = shares.vmEnded(vm)
    const own = [...maps.frames(vm)].filter((frame) => !shared.has(frame))
    frames.releaseAll(new Set([...own, ...free]))
  }
}
