/**
 * WorkerPortService: a launched worker's reports, clock and frame copies. The caller is known by the certificate that
 * its launch was given, for as long as that process runs.
 */
import {
  type CallContext,
  type FrameCopy,
  implement,
  invalidField,
  type KeyMode,
  PalimpsestError,
  required,
  type ServiceImplementation,
  type Sharer,
  WorkerPortService,
} from '../../sdk/rpc/index.ts'
import { ordinal, place } from './numbers.ts'

interface FrameName {
  readonly vm: string
  readonly index: number
}

interface CopyBetweenFrames {
  readonly firstFrame: number
  readonly first: FrameName
  readonly secondFrame: number
  readonly second: FrameName
}

/** Most slots of one DescribeKeySlots: a registration has two VMs. */
const MAX_SLOTS = 16

/** What the service needs of the platform; `W` is a running worker. */
export interface WorkerPortDomain<W extends { readonly vm: string }> {
  readonly launches: {
    workerByKey(digest: Uint8Array): W | undefined
    workerReport(worker: W, reportData: Uint8Array): Uint8Array
  }
  readonly attestation: {
    state(): { readonly resetCount: number; readonly pcrUpdateCounter: number; readonly clock: bigint }
  }
  readonly memory: {
    keyMode(vm: string): KeyMode | undefined
    beginCopies(
      registration: string,
      copies: readonly CopyBetweenFrames[],
    ): {
      readonly generations: readonly number[]
      readonly ciphertext: Uint8Array
      readonly firstModes: readonly KeyMode[]
      readonly secondModes: readonly KeyMode[]
    }
    commitCopies(
      worker: string,
      registration: string,
      copies: readonly CopyBetweenFrames[],
      generations: readonly number[],
      ciphertext: Uint8Array,
    ): readonly number[]
  }
}

/** The worker port of a platform. */
export function workerPortService<W extends { readonly vm: string }>(
  platform: WorkerPortDomain<W>,
): ServiceImplementation {
  const { launches, attestation, memory } = platform
  const caller = ({ peer }: CallContext): W => {
    const worker =
      peer.certificateDigest === undefined ? undefined : launches.workerByKey(peer.certificateDigest)
    if (worker !== undefined) return worker
    throw new PalimpsestError(
      'UNAUTHENTICATED',
      'expected the certificate of a running launch, found another: be launched by the platform',
    )
  }
  return implement(WorkerPortService, {
    getWorkerReport: ({ reportData }, context) => ({
      report: launches.workerReport(caller(context), reportData),
    }),
    getPlatformState(_request, context) {
      caller(context)
      return attestation.state()
    },
    describeKeySlots({ vms }, context) {
      caller(context)
      if (vms.length > MAX_SLOTS)
        throw invalidField('vms', `expected at most ${MAX_SLOTS}, found ${vms.length}`)
      return { slots: vms.map((vm) => ({ vm, mode: memory.keyMode(vm) })) }
    },
    beginCopies({ registration, copies }, context) {
      caller(context)
      const { generations, ...begun } = memory.beginCopies(registration, copies.map(copyOf))
      return { ...begun, generations: generations.map(BigInt), state: attestation.state() }
    },
    commitCopies({ registration, copies, generations, ciphertext }, context) {
      const { vm } = caller(context)
      const known = generations.map(ordinal)
      const stored = memory.commitCopies(vm, registration, copies.map(copyOf), known, ciphertext)
      return { generations: stored.map(BigInt) }
    },
  })
}

function copyOf(copy: FrameCopy, position: number): CopyBetweenFrames {
  const field = `copies[${position}]`
  return {
    firstFrame: place(copy.firstFrame, `${field}.firstFrame`),
    first: nameOf(copy.first, `${field}.first`),
    secondFrame: place(copy.secondFrame, `${field}.secondFrame`),
    second: nameOf(copy.second, `${field}.second`),
  }
}

function nameOf(name: Sharer | undefined, field: string): FrameName {
  const { vm, index } = required(name, field)
  return { vm, index: place(index, `${field}.index`) }
}
