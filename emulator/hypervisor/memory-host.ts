/** What memory clones and faults share of the host. */
import type { Logger } from '../../sdk/rpc/index.ts'
import type { WaitingFaults } from './faults.ts'
import type { FrameAllocator } from './frames.ts'
import type { GuestMemory } from './guest-memory.ts'
import type { HypercallLog, ReceiptLog } from './logs.ts'
import type { MemoryShares, SharedPages } from './memory-shares.ts'
import type { NestedMaps } from './nested-maps.ts'
import type { PlatformPort } from './ports.ts'
import type { Gates } from './waiting.ts'
import type { CopyStream } from './copy-stream.ts'

/** The host's memory, and who copies it. */
export interface MemoryHost<C extends SharedPages = SharedPages> {
  readonly platform: Pick<
    PlatformPort,
    | 'describeFrames'
    | 'releaseFrames'
    | 'reserveFrames'
    | 'resolveFaults'
    | 'setMappings'
    | 'shareFrames'
    | 'upgradeFrames'
  >
  readonly frames: FrameAllocator
  readonly guests: GuestMemory
  readonly maps: NestedMaps
  readonly shares: MemoryShares<C>
  readonly faults: WaitingFaults
  /** Keyed by source VM: copies pass together, the making of a clone alone. */
  readonly gates: Gates
  readonly workers: {
    readonly stream: Pick<CopyStream, 'store'>
    readonly running: { readonly name: string } | undefined
  }
  readonly hypercalls: HypercallLog
  readonly receipts: ReceiptLog
  /** Frames that a registration keeps ready for the destination. */
  readonly poolFrames: bigint
  readonly log: Logger
}
