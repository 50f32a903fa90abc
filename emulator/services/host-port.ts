/**
 * HostPortService: the platform as its untrusted host sees it. Checks who calls, turns the contract's messages into the
 * platform's terms and back. Nothing here can return plaintext or a key: the platform offers it none.
 */
import {
  guarded,
  type CallContext,
  type Endorsement,
  type ErrorCode,
  type FrameRow,
  type FrameRun,
  type FrameState,
  type HandlersOf,
  HostPortService,
  implement,
  invalidField,
  isErrorCode,
  PalimpsestError,
  type PcrSelection,
  type PcrValue,
  type Quote,
  type RangePair,
  required,
  type ServiceImplementation,
  type WatchEventsResponse,
  type WriteCause,
  type WriteLogEntry,
} from '../../sdk/rpc/index.ts'
import { count, ordinal, place, places } from './numbers.ts'

/** Longest message that a host may give a guest. */
const MAX_FAULT_MESSAGE = 500

interface Run {
  readonly index: number
  readonly frame: number
  readonly count: number
}

interface Pair {
  readonly first: number
  readonly second: number
  readonly count: number
}

interface RowOfFrame {
  readonly frame: number
  readonly state: FrameState
  readonly generation: number
  readonly names: readonly { readonly vm: string; readonly index: number }[]
  readonly registration: string
}

interface LoggedWrite {
  readonly sequence: number
  readonly frame: number
  readonly writer: string
  readonly cause: WriteCause
  readonly generation: number
}

interface FaultEvent {
  readonly id: number
  readonly vm: string
  readonly index: number
  readonly access: 'read' | 'write'
  readonly reason: 'not-present' | 'write-protected' | 'key'
}

type HostEvent =
  | { readonly case: 'ready' }
  | { readonly case: 'fault'; readonly fault: FaultEvent }
  | { readonly case: 'workerExit'; readonly exit: { readonly vm: string; readonly reason: string } }

/** What the service needs of the platform. */
export interface HostPortDomain {
  readonly guestPortAddress: string
  readonly attestation: {
    readonly endorsement: Endorsement
    readonly firmware: { readonly image: Uint8Array; readonly digest: Uint8Array; readonly origin: string }
    readonly firmwareManifest: Uint8Array
    state(): { readonly resetCount: number }
    readPcrs(selection: PcrSelection): { readonly values: PcrValue[]; readonly updateCounter: number }
    extendPcr(pcr: number, eventType: number, data: Uint8Array): number
    quote(selection: PcrSelection, qualifyingData: Uint8Array): Quote
    eventLog(): Uint8Array
    activateCredential(credentialBlob: Uint8Array, secret: Uint8Array): Uint8Array
  }
  readonly launches: {
    launchGuest(launch: { vm: string; ownerPublicKey: Uint8Array; memoryBytes: bigint }): Uint8Array
    launchWorker(launch: { vm: string; imagePath: string; hostConfiguration: Uint8Array }): Promise<{
      readonly report: Uint8Array
      readonly worker: { readonly measurement: Uint8Array; readonly process: { readonly pid: number } }
    }>
    terminate(vm: string): Promise<void>
  }
  readonly feed: { watch(signal: AbortSignal): AsyncIterable<HostEvent> }
  readonly memory: {
    readonly frames: number
    readonly totals: Readonly<Record<FrameState, number>>
    resolveFaults(
      retry: readonly number[],
      fail: readonly { id: number; code: ErrorCode; message: string }[],
    ): void
    assign(vm: string, runs: readonly Run[]): void
    reserve(registration: string, vm: string, frames: readonly number[]): void
    release(registration: string, frames: readonly number[]): number
    upgrade(vm: string, indexes: readonly number[]): void
    describe(frames: readonly number[]): readonly RowOfFrame[]
    readonly writtenFrames: number
    readonly tableBytes: number
    read(frames: readonly number[]): Uint8Array
    overwrite(frames: readonly number[], content: Uint8Array): void
    setMappings(
      vm: string,
      changes: readonly { index: number; frame: number | undefined; writable: boolean }[],
      retry: readonly number[],
    ): void
    readWriteLog(query: { since: number; frame: number | undefined; limit: number }): {
      readonly entries: readonly LoggedWrite[]
      readonly next: number
    }
  }
  shareFrames(owner: string, peer: string, pairs: readonly Pair[], statement: Uint8Array): readonly Run[]
}

type HostPortHandlers = HandlersOf<typeof HostPortService>

/** The host port of a platform. */
export function hostPortService(platform: HostPortDomain): ServiceImplementation {
  const handlers: HostPortHandlers = {
    ...evidenceHandlers(platform),
    ...launchHandlers(platform),
    ...ownershipHandlers(platform),
    ...memoryHandlers(platform),
  }
  return implement(HostPortService, guarded(handlers, requireHost))
}

/** @throws PERMISSION_DENIED unless the host or its operator calls */
function requireHost({ peer }: CallContext): void {
  if (peer.unit === 'hypervisor' || peer.unit === 'operator') return
  const found = `${peer.subject ?? 'no name'} (${peer.unit ?? 'no role'})`
  throw new PalimpsestError(
    'PERMISSION_DENIED',
    `expected a hypervisor's or an operator's identity, found ${found}: use such an identity`,
    { metadata: { expected: 'hypervisor, operator', found: peer.unit ?? '' } },
  )
}

function evidenceHandlers({ attestation, guestPortAddress, memory }: HostPortDomain): HostPortHandlers {
  return {
    getEndorsement: () => ({
      endorsement: attestation.endorsement,
      guestPortAddress,
      frames: BigInt(memory.frames),
      resetCount: attestation.state().resetCount,
    }),
    getFirmware: ({ includeImage }) => {
      const { image, digest, origin } = attestation.firmware
      const manifest = attestation.firmwareManifest
      return {
        firmware: { imageDigest: digest, imageSize: BigInt(image.length), manifest, origin },
        image: includeImage ? image : new Uint8Array(0),
      }
    },
    readPcrs: ({ selection }) => attestation.readPcrs(required(selection, 'selection')),
    extendPcr: ({ pcr, event, eventType }) => ({
      updateCounter: attestation.extendPcr(pcr, eventType, event),
    }),
    quote: ({ selection, qualifyingData }) => ({
      quote: attestation.quote(required(selection, 'selection'), qualifyingData),
    }),
    readEventLog: () => ({ log: attestation.eventLog() }),
    activateCredential: ({ credentialBlob, secret }) => ({
      certInfo: attestation.activateCredential(credentialBlob, secret),
    }),
  }
}

function launchHandlers({ launches, feed, memory }: HostPortDomain): HostPortHandlers {
  return {
    launchGuest: (request) => ({ report: launches.launchGuest(request) }),
    async launchWorker(request) {
      const { report, worker } = await launches.launchWorker(request)
      return { report, measurement: worker.measurement, pid: worker.process.pid }
    },
    async terminateVm({ vm }) {
      await launches.terminate(vm)
      return {}
    },
    async *watchEvents(_request, { signal }) {
      for await (const event of feed.watch(signal)) yield eventMessage(event)
    },
    resolveFaults({ retry, fail }) {
      memory.resolveFaults(retry.map(ordinal), fail.map(failedFault))
      return {}
    },
  }
}

function ownershipHandlers(platform: HostPortDomain): HostPortHandlers {
  const { memory } = platform
  return {
    assignFrames({ vm, runs }) {
      memory.assign(vm, runs.map(runOf))
      return {}
    },
    reserveFrames({ registration, vm, frames }) {
      memory.reserve(registration, vm, places(frames, 'frames'))
      return {}
    },
    releaseFrames: ({ registration, frames }) => ({
      released: BigInt(memory.release(registration, places(frames, 'frames'))),
    }),
    shareFrames: ({ owner, peer, pairs, statement }) => ({
      runs: platform.shareFrames(owner, peer, pairs.map(pairOf), statement).map(runMessage),
    }),
    upgradeFrames({ vm, indexes }) {
      memory.upgrade(vm, places(indexes, 'indexes'))
      return {}
    },
    describeFrames({ frames, includeTotals }) {
      const rows = memory.describe(places(frames, 'frames')).map(rowMessage)
      const { free, reserved, private: owned, 'shared-ro': shared } = memory.totals
      const totals = {
        free: BigInt(free),
        reserved: BigInt(reserved),
        private: BigInt(owned),
        shared: BigInt(shared),
        written: BigInt(memory.writtenFrames),
        tableBytes: BigInt(memory.tableBytes),
      }
      return includeTotals ? { rows, totals } : { rows }
    },
  }
}

function memoryHandlers({ memory }: HostPortDomain): HostPortHandlers {
  return {
    readFrames: ({ frames }) => ({ ciphertext: memory.read(places(frames, 'frames')) }),
    writeFrames({ frames, ciphertext }) {
      memory.overwrite(places(frames, 'frames'), ciphertext)
      return {}
    },
    setMappings({ vm, mappings, retry }) {
      const changes = mappings.map(({ index, frame, writable }, position) => ({
        index: place(index, `mappings[${position}].index`),
        frame: frame === undefined ? undefined : place(frame, `mappings[${position}].frame`),
        writable,
      }))
      memory.setMappings(vm, changes, retry.map(ordinal))
      return {}
    },
    readWriteLog({ since, frame, limit }) {
      const wanted = frame === undefined ? undefined : place(frame, 'frame')
      const { entries, next } = memory.readWriteLog({ since: ordinal(since), frame: wanted, limit })
      return { entries: entries.map(entryMessage), next: BigInt(next) }
    },
  }
}

function eventMessage(event: HostEvent): WatchEventsResponse {
  switch (event.case) {
    case 'ready':
      return { event: { case: 'ready', value: {} } }
    case 'workerExit':
      return { event: { case: 'workerExit', value: event.exit } }
    case 'fault': {
      const { id, vm, index, access, reason } = event.fault
      return { event: { case: 'fault', value: { id: BigInt(id), vm, index: BigInt(index), access, reason } } }
    }
  }
}

function failedFault(
  { id, code, message }: { readonly id: bigint; readonly code: string; readonly message: string },
  position: number,
): { id: number; code: ErrorCode; message: string } {
  if (!isErrorCode(code))
    throw invalidField(`fail[${position}].code`, 'expected a code of the error table, found another')
  if (message.length > MAX_FAULT_MESSAGE) {
    throw invalidField(
      `fail[${position}].message`,
      `expected at most ${MAX_FAULT_MESSAGE} characters, found more`,
    )
  }
  return { id: ordinal(id), code, message }
}

function runOf(run: FrameRun, position: number): Run {
  const field = `runs[${position}]`
  return {
    index: place(run.index, `${field}.index`),
    frame: place(run.frame, `${field}.frame`),
    count: count(run.count, `${field}.count`),
  }
}

function pairOf(pair: RangePair, position: number): Pair {
  const field = `pairs[${position}]`
  return {
    first: place(pair.first, `${field}.first`),
    second: place(pair.second, `${field}.second`),
    count: count(pair.count, `${field}.count`),
  }
}

function runMessage(run: Run): FrameRun {
  return { index: BigInt(run.index), frame: BigInt(run.frame), count: BigInt(run.count) }
}

function rowMessage(row: RowOfFrame): FrameRow {
  return {
    frame: BigInt(row.frame),
    state: row.state,
    generation: BigInt(row.generation),
    sharers: row.names.map(({ vm, index }) => ({ vm, index: BigInt(index) })),
    registration: row.registration,
  }
}

function entryMessage({ sequence, frame, writer, cause, generation }: LoggedWrite): WriteLogEntry {
  return { sequence: BigInt(sequence), frame: BigInt(frame), writer, cause, generation: BigInt(generation) }
}
