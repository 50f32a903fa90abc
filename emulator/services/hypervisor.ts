/**
 * HypervisorService: the host's own API. Checks who calls, hands the request to the object that decides, and shapes its
 * answer.
 */
import {
  type ClientOf,
  type Clone,
  type CreateCloneRequest,
  type CreateVmRequest,
  type Fault,
  type FinishCloneResponse,
  type FrameRow,
  type HostPortService,
  type HandlersOf,
  type Hypercall,
  HypervisorService,
  implement,
  type Mapping,
  PalimpsestError,
  type Receipt,
  required,
  type ServiceImplementation,
  type Vm,
  type Volume,
  type WorkerService,
  invalidField,
} from '../../sdk/rpc/index.ts'
import { requireOperator, requireReader } from './access.ts'

/** A client without its connection. */
type Port<S> = Omit<ClientOf<S>, 'close' | 'waitForReady'>

interface StartedWorker {
  readonly name: string
  readonly measurement: Uint8Array
  readonly pid: number
}

/** A clone, as the service needs it. */
interface OneClone {
  readonly view: Clone
  renew(): Promise<string>
  revoke(): Promise<void>
}

/** What the service needs of the host. */
export interface HypervisorDomain<V = unknown> {
  readonly platform: Port<typeof HostPortService>
  readonly vms: {
    create(request: CreateVmRequest): Promise<V>
    get(vm: string): V
    list(): Vm[]
    view(record: V): Vm
  }
  deleteVm(vm: string): Promise<void>
  memoryMap(vm: string, index: bigint, count: number): Mapping[]
  inspectFrames(frames: readonly bigint[]): Promise<{ ciphertext: Uint8Array; rows: readonly FrameRow[] }>
  readonly volumes: {
    list(): Volume[]
    inspect(volume: string, block: bigint, count: number): Promise<{ ciphertext: Uint8Array; own: boolean[] }>
  }
  createVolume(volume: string, vm: string, size: bigint): Promise<Volume>
  deleteVolume(volume: string): Promise<void>
  readonly clones: {
    create(request: CreateCloneRequest): Promise<OneClone>
    get(clone: string): OneClone
    list(): Clone[]
    finish(clone: string, signal: AbortSignal): AsyncIterable<FinishCloneResponse>
    delete(clone: string): Promise<void>
  }
  readonly faults: { watch(signal: AbortSignal): AsyncIterable<Fault> }
  readonly hypercalls: { since(since: bigint): Hypercall[] }
  readonly receipts: { list(clone: string): Receipt[] }
  readonly audit: { read(worker: string, since: bigint): { entries: Uint8Array[]; next: bigint } }
  readonly workers: {
    readonly running: StartedWorker | undefined
    readonly worker: Port<typeof WorkerService>
    start(image: { path: string; faultPoints: boolean }): Promise<StartedWorker>
  }
}

/** extraData of a quote: a digest with its algorithm id. */
const mostQualifyingData = 34

/** The API of a host. */
export function hypervisorService<V>(host: HypervisorDomain<V>): ServiceImplementation {
  return implement(HypervisorService, {
    ...platformRpcs(host),
    ...vmRpcs(host),
    ...volumeRpcs(host),
    ...cloneRpcs(host),
    ...recordRpcs(host),
    ...workerRpcs(host),
  })
}

type Handlers = HandlersOf<typeof HypervisorService>

/** What the platform says about itself, passed on. */
function platformRpcs<V>(host: HypervisorDomain<V>): Handlers {
  const { platform } = host
  return {
    async getPlatform(_request, { peer }) {
      requireReader(peer)
      const [keys, { firmware }] = await Promise.all([
        platform.getEndorsement({}),
        platform.getFirmware({ includeImage: false }),
      ])
      const { endorsement, guestPortAddress, frames, resetCount } = keys
      return { endorsement, firmware, guestPortAddress, frames, resetCount }
    },
    async getPcrs({ selection }, { peer }) {
      requireReader(peer)
      const { values } = await platform.readPcrs({ selection: required(selection, 'selection') })
      return { values }
    },
    async getQuote({ selection, qualifyingData }, { peer }) {
      requireReader(peer)
      if (qualifyingData.length > mostQualifyingData) {
        const description = `expected at most ${mostQualifyingData} bytes, found ${qualifyingData.length}`
        throw invalidField('qualifyingData', description)
      }
      return platform.quote({ selection: required(selection, 'selection'), qualifyingData })
    },
    async getEventLog(_request, { peer }) {
      requireReader(peer)
      return platform.readEventLog({})
    },
    async enrolPlatform(request, { peer }) {
      requireReader(peer)
      return platform.activateCredential(request)
    },
    async inspectFrames({ frames }, { peer }) {
      requireReader(peer)
      return host.inspectFrames(frames)
    },
    async getWriteLog({ since, frame }, { peer }) {
      requireReader(peer)
      return platform.readWriteLog({ since, frame, limit: 0 })
    },
  }
}

function vmRpcs<V>(host: HypervisorDomain<V>): Handlers {
  return {
    async createVm(request, { peer }) {
      requireOperator(peer)
      return { vm: host.vms.view(await host.vms.create(request)) }
    },
    listVms(_request, { peer }) {
      requireReader(peer)
      return { vms: host.vms.list() }
    },
    async deleteVm({ vm }, { peer }) {
      requireOperator(peer)
      await host.deleteVm(vm)
      return {}
    },
    getMemoryMap({ vm, index, count }, { peer }) {
      requireReader(peer)
      return { mappings: host.memoryMap(vm, index, count) }
    },
  }
}

function volumeRpcs<V>(host: HypervisorDomain<V>): Handlers {
  return {
    async createVolume({ volume, vm, size }, { peer }) {
      requireOperator(peer)
      return { volume: await host.createVolume(volume, vm, size) }
    },
    listVolumes(_request, { peer }) {
      requireReader(peer)
      return { volumes: host.volumes.list() }
    },
    async deleteVolume({ volume }, { peer }) {
      requireOperator(peer)
      await host.deleteVolume(volume)
      return {}
    },
    async inspectVolume({ volume, block, count }, { peer }) {
      requireReader(peer)
      return host.volumes.inspect(volume, block, count)
    },
  }
}

function cloneRpcs<V>(host: HypervisorDomain<V>): Handlers {
  return {
    async createClone(request, { peer }) {
      requireOperator(peer)
      return { clone: (await host.clones.create(request)).view }
    },
    listClones(_request, { peer }) {
      requireReader(peer)
      return { clones: host.clones.list() }
    },
    async *finishClone({ clone }, { peer, signal }) {
      requireOperator(peer)
      yield* host.clones.finish(clone, signal)
    },
    async deleteClone({ clone }, { peer }) {
      requireOperator(peer)
      await host.clones.delete(clone)
      return {}
    },
    async listRegistrations(_request, { peer }) {
      requireReader(peer)
      return host.workers.worker.listRegistrations({})
    },
    async renewRegistration({ clone }, { peer }) {
      requireOperator(peer)
      return { registration: await host.clones.get(clone).renew() }
    },
    async revokeRegistration({ clone }, { peer }) {
      requireOperator(peer)
      await host.clones.get(clone).revoke()
      return {}
    },
  }
}

/** What the host has noted. */
function recordRpcs<V>(host: HypervisorDomain<V>): Handlers {
  return {
    async *watchFaults(_request, { peer, signal }) {
      requireReader(peer)
      for await (const fault of host.faults.watch(signal)) yield { fault }
    },
    listHypercalls({ since }, { peer }) {
      requireReader(peer)
      return { calls: host.hypercalls.since(since) }
    },
    listReceipts({ clone }, { peer }) {
      requireReader(peer)
      return { receipts: host.receipts.list(clone) }
    },
    getAuditLog({ worker, since }, { peer }) {
      requireReader(peer)
      const name = worker === '' ? (host.workers.running?.name ?? '') : worker
      if (!/^[a-z0-9-]{1,64}$/.test(name))
        throw invalidField('worker', 'expected the name of a worker, found none')
      return host.audit.read(name, since)
    },
  }
}

function workerRpcs<V>(host: HypervisorDomain<V>): Handlers {
  return {
    async startWorker({ imagePath, faultPoints }, { peer }) {
      requireOperator(peer)
      if (imagePath === '') throw invalidField('imagePath', 'expected the path of a worker image, found none')
      const { name, measurement, pid } = await host.workers.start({ path: imagePath, faultPoints })
      return { worker: name, measurement, pid }
    },
    async getWorker(_request, { peer }) {
      requireReader(peer)
      const status = await host.workers.worker.getStatus({})
      const { running } = host.workers
      if (running === undefined)
        throw new PalimpsestError('WORKER_UNAVAILABLE', 'the worker has just ended: try again')
      return { status, measurement: running.measurement, pid: running.pid }
    },
    async armFaultPoint(request, { peer }) {
      requireOperator(peer)
      await host.workers.worker.setFaultPoint(request)
      return {}
    },
  }
}
