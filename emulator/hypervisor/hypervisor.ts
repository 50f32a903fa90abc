/**
 * The host software as one object: owns VMs, maps, volumes, clones, plugins and the worker, and knows no sockets. It is
 * untrusted: all that it sees of guests is ciphertext, names and numbers.
 * Source: design.md sections 3, 4 and 6.
 */
import type { Fault, FrameRow, Logger, Mapping, TlsIdentity, Volume } from '../../sdk/rpc/index.ts'
import type { VolumeStore } from '../storage/index.ts'
import { AuditStore } from './audit-store.ts'
import { checkCount } from './checks.ts'
import { Clones } from './clones.ts'
import { DiskPath } from './disk-path.ts'
import { PlatformEvents } from './events.ts'
import { FaultHandler } from './fault-handler.ts'
import { WaitingFaults } from './faults.ts'
import { FrameAllocator } from './frames.ts'
import { GuestMemory } from './guest-memory.ts'
import { HypercallLog, ReceiptLog } from './logs.ts'
import type { MemoryClone } from './memory-clone.ts'
import type { MemoryHost } from './memory-host.ts'
import { MemoryShares } from './memory-shares.ts'
import { NestedMaps } from './nested-maps.ts'
import { PluginRelay, type RelayTampering } from './plugin-relay.ts'
import type { PlatformPort } from './ports.ts'
import { Registrar } from './registrar.ts'
import { Vms } from './vms.ts'
import { Volumes } from './volumes.ts'
import { Gates } from './waiting.ts'
import { type WorkerConnection, WorkerLink } from './worker-link.ts'

/** What a hypervisor is made of. */
export interface HypervisorParts {
  readonly platform: PlatformPort
  readonly store: VolumeStore
  readonly volumesDirectory: string
  readonly runDirectory: string
  readonly workerTls: TlsIdentity
  readonly connectWorker: (address: string) => WorkerConnection
  /** Where WorkerDataService is served; asked for when a worker is launched. */
  readonly dataAddress: () => string
  readonly stallTimeoutMs: number
  readonly poolFrames: number
  readonly logLevel: string
  readonly log: Logger
  /** Makes the host lie to plugins; for tests of what they refuse. */
  readonly tampering?: RelayTampering | undefined
}

/** Rows of the ownership table in one answer. */
const rowsPerCall = 65_536n
/** Frames and mappings in one answer of the API: at most 16 MiB, and about 2 MiB. */
const mostFrames = 4096
const mostMappings = 65_536

/** The untrusted host. */
export class Hypervisor {
  readonly platform: PlatformPort
  readonly relay: PluginRelay
  readonly workers: WorkerLink
  readonly maps: NestedMaps
  readonly vms: Vms
  readonly volumes: Volumes
  readonly clones: Clones
  readonly disk: DiskPath
  readonly faults: FaultHandler
  readonly hypercalls = new HypercallLog()
  readonly receipts = new ReceiptLog()
  readonly audit: AuditStore
  readonly #frames = new FrameAllocator()
  readonly #waiting: WaitingFaults
  readonly #events: PlatformEvents

  constructor(parts: HypervisorParts) {
    const { platform, log } = parts
    this.platform = platform
    this.relay = new PluginRelay(log, parts.tampering)
    this.maps = new NestedMaps(platform)
    this.volumes = new Volumes(parts.store, parts.volumesDirectory)
    this.audit = new AuditStore(`${parts.runDirectory}/audit`)
    this.workers = this.#workerLink(parts)
    const shares = new MemoryShares<MemoryClone>()
    const { maps, relay } = this
    const frames = this.#frames
    const guests = new GuestMemory({ platform, frames, maps })
    this.vms = new Vms({ platform, frames, guests, maps, shares, relay, log })
    this.#waiting = new WaitingFaults(parts.stallTimeoutMs, (fault) => {
      this.faults.expired(fault)
    })
    const memory = this.#memoryHost(parts, shares, guests)
    this.faults = new FaultHandler(memory)
    this.clones = this.#makeClones(memory, log)
    this.disk = new DiskPath(this.volumes, (volume) => this.clones.diskOf(volume), parts.stallTimeoutMs)
    this.#events = this.#eventsOf(parts)
    this.#connectLives()
  }

  /** Learns which frames are free, attaches to the platform's events and takes up clones of an earlier process. */
  async start(): Promise<void> {
    await this.#learnFreeFrames()
    await this.#events.start()
    this.clones.restore()
  }

  /** Ends the worker and everything that waits. Guests keep running as far as they need no host. */
  async stop(): Promise<void> {
    this.clones.stop()
    await this.workers.stop()
    await this.#events.stop()
    this.#waiting.clear()
    this.audit.close()
    await this.volumes.store.close()
  }

  /** Deletes a VM. @throws PalimpsestError STATE while a clone needs it. */
  async deleteVm(vm: string): Promise<void> {
    this.vms.get(vm)
    this.clones.requireUnused(vm)
    await this.vms.delete(vm)
    this.clones.forgetVm(vm)
  }

  /** Makes an empty volume for a VM. */
  async createVolume(volume: string, vm: string, size: bigint): Promise<Volume> {
    this.vms.get(vm)
    return this.volumes.create(volume, vm, size)
  }

  /** Deletes a volume. @throws PalimpsestError STATE while a clone needs it. */
  async deleteVolume(volume: string): Promise<void> {
    this.volumes.get(volume)
    this.clones.requireVolumeUnused(volume)
    await this.volumes.delete(volume)
  }

  /** Present mappings of guest pages. @throws PalimpsestError UNKNOWN_VM, INVALID_ARGUMENT. */
  memoryMap(vm: string, index: bigint, count: number): Mapping[] {
    checkCount('count', count, mostMappings)
    this.vms.get(vm)
    return this.maps.range(vm, index, BigInt(count))
  }

  /** Ciphertext of frames, and their rows of the ownership table. @throws PalimpsestError INVALID_ARGUMENT. */
  async inspectFrames(
    frames: readonly bigint[],
  ): Promise<{ readonly ciphertext: Uint8Array; readonly rows: readonly FrameRow[] }> {
    checkCount('frames', frames.length, mostFrames)
    const [{ ciphertext }, { rows }] = await Promise.all([
      this.platform.readFrames({ frames }),
      this.platform.describeFrames({ frames, includeTotals: false }),
    ])
    return { ciphertext, rows }
  }

  #workerLink(parts: HypervisorParts): WorkerLink {
    return new WorkerLink({
      platform: parts.platform,
      runDirectory: parts.runDirectory,
      tls: parts.workerTls,
      dataAddress: parts.dataAddress,
      isTaken: (worker) => this.audit.has(worker),
      connect: parts.connectWorker,
      logLevel: parts.logLevel,
      log: parts.log,
    })
  }

  #memoryHost(
    parts: HypervisorParts,
    shares: MemoryShares<MemoryClone>,
    guests: GuestMemory,
  ): MemoryHost<MemoryClone> {
    return {
      platform: parts.platform,
      frames: this.#frames,
      guests,
      maps: this.maps,
      shares,
      faults: this.#waiting,
      gates: new Gates(),
      workers: this.workers,
      hypercalls: this.hypercalls,
      receipts: this.receipts,
      poolFrames: BigInt(parts.poolFrames),
      log: parts.log,
    }
  }

  #makeClones(memory: MemoryHost<MemoryClone>, log: Logger): Clones {
    const { platform, relay, workers, hypercalls, vms, volumes, receipts } = this
    const launchReport = (vm: string): Uint8Array => vms.get(vm).launchReport
    const registrar = new Registrar({ platform, relay, workers, hypercalls, launchReport, log })
    const disks = { volumes, workers, receipts, log }
    return new Clones({ registrar, relay, vms, memory, disks, log })
  }

  #eventsOf({ platform, log }: HypervisorParts): PlatformEvents {
    const sinks = {
      fault: (fault: Fault) => {
        this.faults.handle(fault)
      },
      workerExit: (vm: string, reason: string) => {
        this.workers.exited(vm, reason)
      },
    }
    return new PlatformEvents(platform, sinks, log)
  }

  #connectLives(): void {
    this.workers.observe(
      () => {
        this.clones.workerUp()
      },
      (error) => {
        this.clones.workerGone(error)
      },
    )
    this.relay.onAttach((vm) => {
      this.clones.pluginAttached(vm)
    })
  }

  async #learnFreeFrames(): Promise<void> {
    const { frames } = await this.platform.getEndorsement({})
    const { totals } = await this.platform.describeFrames({ frames: [], includeTotals: true })
    if (totals?.free === frames) {
      this.#frames.release(0n, frames)
      return
    }
    for (let start = 0n; start < frames; start += rowsPerCall) {
      const count = frames - start < rowsPerCall ? frames - start : rowsPerCall
      const asked = Array.from({ length: Number(count) }, (_, i) => start + BigInt(i))
      const { rows } = await this.platform.describeFrames({ frames: asked, includeTotals: false })
      this.#frames.releaseAll(rows.filter((row) => row.state === 'free').map((row) => row.frame))
    }
  }
}
