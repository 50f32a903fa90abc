// The terms of a registration as values. What they must satisfy besides their types is open-rules.ts; their bytes are
// open.ts.

import type { BlockKind, BlockRange, RangePair } from '../block/index.ts'

/** One VM of a registration. */
export interface OpenParty {
  /** Name on the host: for display and routing, never an identity. */
  readonly vm: string
  /** Digest of its identity key, 32 bytes. */
  readonly identity: Uint8Array
  /** SHA-256 of its launch report's bytes. */
  readonly report: Uint8Array
}

/** Guest pages and the frames they lie in: page index + i lies in frame + i. */
export interface PageRun {
  readonly index: bigint
  readonly frame: bigint
  readonly count: bigint
}

/** What memory registrations name in addition. No frame of a pool occurs twice or is a first block's. */
export interface OpenMemory {
  /** Where the first blocks lie; exactly the pages that `pairs` names. */
  readonly frames: readonly PageRun[]
  /** Reserved for second blocks of the destination. */
  readonly destinationPool: readonly BlockRange[]
  /** Reserved for second blocks of the source, when it is the writer. */
  readonly sourcePool: readonly BlockRange[]
}

/** What disk registrations name in addition. */
export interface OpenDisk {
  readonly sourceVolume: string
  readonly destinationVolume: string
}

/** Terms of a registration. */
export interface Open {
  /** Name of the registration on its host. */
  readonly registration: string
  readonly kind: BlockKind
  readonly source: OpenParty
  readonly destination: OpenParty
  /** First blocks and their second blocks; no block occurs twice on a side. */
  readonly pairs: readonly RangePair[]
  /** Not null exactly for memory pages. */
  readonly memory: OpenMemory | null
  /** Not null exactly for disk blocks. */
  readonly disk: OpenDisk | null
  readonly suite: 'aes-256-xts'
  /** X25519 key that grants are sealed to, 32 bytes; its suite is fixed by the format. */
  readonly workerKey: Uint8Array
  /** P-256 key that signs receipts, SubjectPublicKeyInfo. */
  readonly receiptKey: Uint8Array
  /** TPM name of the platform's endorsement key. */
  readonly platform: Uint8Array
}
