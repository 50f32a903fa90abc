/**
 * What a clone of memory and a clone of a disk have in common: terms for a registration, blocks that remain, copies on
 * demand. The life of the clone itself (plugins, registrations, stalls) is the same for both and lives in clone.ts.
 * Source: design.md section 6; worker.proto (OpenRegistration).
 */
import {
  type BlockId,
  type BlockKind,
  type ErrorCode,
  type OpenRegistrationRequest,
  PalimpsestError,
  type RangePair,
  type Role,
} from '../../sdk/rpc/index.ts'
import type { FramePool } from './frame-pool.ts'

/** What a registration is opened with, and what the host set aside for it. */
export interface Terms {
  readonly registration: string
  readonly pairs: readonly RangePair[]
  readonly storage: NonNullable<OpenRegistrationRequest['storage']>
  /** Reserved frames by side; memory only. */
  readonly pools?: Readonly<Record<Role, FramePool>>
}

/** A registration in force. */
export interface LiveRegistration {
  readonly terms: Terms
  /** When the lease ends, in milliseconds of platform time. */
  readonly leaseUntil: bigint
}

/** The clone as its storage sees it. */
export interface CloneLink {
  readonly name: string
  readonly source: string
  readonly destination: string
  /** The registration in force, if copies can be made now. */
  live(): LiveRegistration | undefined
  /** Copies under `registration` are not possible any more. Synchronous: `live` knows at once. */
  lost(registration: string, error: PalimpsestError): void
  /** No block is shared any more. */
  finished(): void
  /** Gets further grants for frames of one side. */
  refill(registration: string, role: Role, frames: readonly bigint[]): Promise<void>
  /** The error for somebody who waited too long. */
  stalled(): PalimpsestError
}

/** The storage of a clone. */
export interface CloneStorage {
  readonly kind: BlockKind
  /** Volumes, for the plugins; empty for memory. */
  readonly volumes: { readonly source: string; readonly destination: string }
  /** Number of blocks. */
  readonly blocks: bigint
  /** Blocks that the destination has of its own. */
  readonly copied: bigint
  /** Whether blocks are shared, or may be: then the clone must not be forgotten before it is finished or discarded. */
  readonly isShared: boolean
  /** Pairs that are still to be copied; all of them before `share`. */
  pairs(): readonly RangePair[]
  /** Sets aside what a registration needs. @throws PalimpsestError with nothing set aside. */
  prepare(registration: string): Promise<Terms>
  /** Makes the blocks shared: the moment of the clone. Called once, when the first registration is live. */
  share(terms: Terms, statement: Uint8Array): Promise<void>
  /** Takes back what is left of a registration, and completes copies whose receipt was lost. */
  settle(terms: Terms): Promise<void>
  /** Copies are possible again. */
  resume(): void
  /** Whoever waits for a copy is told that there will be none. */
  cancel(error: PalimpsestError): void
  /** Copies everything that is still shared; yields whenever there is progress. */
  finish(signal: AbortSignal): AsyncGenerator<void, void, undefined>
  /** Nothing is shared with the destination any more, and the last registration is settled. */
  complete(): Promise<void>
  /** The clone is deleted; blocks that were never copied are lost to the destination. */
  discard(): Promise<void>
}

/** Codes after which a registration can not copy any more, whatever the blocks. */
const lossCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'GRANT_EXPIRED',
  'REGISTRATION_UNKNOWN',
  'REGISTRATION_STATE',
  'WORKER_UNAVAILABLE',
  'UNAVAILABLE',
  'CANCELLED',
  'DEADLINE_EXCEEDED',
])

/** Whether an error of a copy session means that the registration is gone, and not that a block can not be copied. */
export function isLoss(error: unknown): error is PalimpsestError {
  return error instanceof PalimpsestError && lossCodes.has(error.code)
}

/** Whatever was thrown, as an error of the family. */
export function asError(thrown: unknown): PalimpsestError {
  if (thrown instanceof PalimpsestError) return thrown
  return new PalimpsestError('INTERNAL', 'the copy failed on the host: its log has the cause', {
    cause: thrown,
  })
}

/** The first pair's block ids, for the message of claim 1(a). */
export function firstBlockIds(
  link: Pick<CloneLink, 'source' | 'destination'>,
  kind: BlockKind,
  pairs: readonly RangePair[],
): { first: BlockId; second: BlockId } {
  const pair = pairs[0]
  if (pair === undefined)
    throw new PalimpsestError('STATE', 'expected a block that is still shared, found none')
  return {
    first: { vm: link.source, kind, index: pair.first, generation: 0n },
    second: { vm: link.destination, kind, index: pair.second, generation: 0n },
  }
}
