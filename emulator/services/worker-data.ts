/** WorkerDataService: ciphertext of disk blocks for the worker, and a place for its audit log. */
import {
  type BlockRun,
  implement,
  invalidField,
  type ServiceImplementation,
  WorkerDataService,
} from '../../sdk/rpc/index.ts'
import { requireWorker } from './access.ts'

/** The disk of a clone, as the service needs it. */
export interface ClonedDisk {
  /** Number of blocks. */
  readonly blocks: bigint
  firstBlocks(
    runs: readonly BlockRun[],
  ): AsyncIterable<{ ciphertext: Uint8Array; generations: readonly bigint[] }>
  putSecondBlocks(
    runs: readonly BlockRun[],
    ciphertext: Uint8Array,
    generations: readonly bigint[],
  ): Promise<number[]>
}

/** What the service needs of the host. */
export interface WorkerDataDomain {
  readonly clones: { diskOfRegistration(registration: string): ClonedDisk }
  readonly audit: { append(worker: string, entries: readonly Uint8Array[]): void }
}

const blockBytes = 4096
/** Blocks of one copy session. */
const blocksPerCall = 1024

/** The data service of a host. */
export function workerDataService(host: WorkerDataDomain): ServiceImplementation {
  return implement(WorkerDataService, {
    async *readFirstBlocks({ registration, runs }, { peer }) {
      requireWorker(peer)
      const disk = host.clones.diskOfRegistration(registration)
      checkRuns(runs, disk.blocks)
      yield* disk.firstBlocks(runs)
    },
    async putSecondBlocks({ registration, runs, ciphertext, generations }, { peer }) {
      requireWorker(peer)
      const disk = host.clones.diskOfRegistration(registration)
      const count = checkRuns(runs, disk.blocks)
      if (ciphertext.length !== count * blockBytes) {
        throw invalidField('ciphertext', `expected ${count * blockBytes} bytes, found ${ciphertext.length}`)
      }
      if (generations.length !== count) {
        throw invalidField('generations', `expected ${count}, found ${generations.length}`)
      }
      return { stored: await disk.putSecondBlocks(runs, ciphertext, generations) }
    },
    appendAudit({ worker, entries }, { peer }) {
      requireWorker(peer)
      if (!/^[a-z0-9-]{1,64}$/.test(worker)) throw invalidField('worker', 'expected 1 to 64 of a-z 0-9 and -')
      host.audit.append(worker, entries)
      return {}
    },
  })
}

/** Number of blocks in runs that lie in a volume of so many blocks. */
function checkRuns(runs: readonly BlockRun[], blocks: bigint): number {
  const count = runs.reduce((sum, run) => sum + run.count, 0)
  const isInside = runs.every((run) => run.count > 0 && run.first + BigInt(run.count) <= blocks)
  if (!isInside) throw invalidField('runs', `expected runs of at least one block, below ${String(blocks)}`)
  if (count > blocksPerCall)
    throw invalidField('runs', `expected at most ${blocksPerCall} blocks, found ${count}`)
  return count
}
