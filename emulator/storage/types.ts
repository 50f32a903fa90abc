/**
 * What callers of the volume store see. Blocks are 4096 bytes and counted from the start of the volume; a volume's
 * bytes are ciphertext throughout. Generations: see write-clock.ts; they rise with every write of a block.
 */

/** Fields and a message of something worth knowing; never data. A pino logger fits. */
export interface StorageLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** A volume. */
export interface VolumeInfo {
  readonly id: string
  readonly sizeBytes: bigint
  readonly blocks: bigint
  readonly description: string
  /** ISO 8601. */
  readonly createdAt: string
  /** The volume that this one began as a clone of; it may be gone by now. */
  readonly clonedFrom: string | null
  /** Layers that a lookup may have to ask. */
  readonly layers: number
  /** Blocks that are not holes. */
  readonly allocatedBlocks: bigint
  /** Blocks still encrypted under another volume's key. */
  readonly foreignBlocks: bigint
}

/** `count` blocks from `first` on. */
export interface BlockRun {
  readonly first: bigint
  readonly count: number
}

/** The block was never written, in no layer: it reads as zeros, in a clone too. */
export interface HolePlacement {
  readonly state: 'hole'
  readonly generation: bigint
}

/** The block lies in the volume's own top layer. */
export interface OwnPlacement {
  readonly state: 'own'
  readonly layer: number
}

/** The block lies in a frozen layer under the volume's own key: readable as it is. */
export interface SharedOwnPlacement {
  readonly state: 'shared-own'
  readonly layer: number
  readonly generation: bigint
}

/**
 * The block lies in a frozen layer under the key of `originVolume`: the worker must re-encrypt it.
 * It is that layer's block of the same index and never changes.
 */
export interface ForeignPlacement {
  readonly state: 'foreign'
  readonly layer: number
  readonly originVolume: string
  readonly generation: bigint
}

/** Where blocks of a volume lie. */
export type Placement = HolePlacement | OwnPlacement | SharedOwnPlacement | ForeignPlacement

/** Where one block lies, and the generation of its content. */
export type Resolution = Placement & { readonly block: bigint; readonly generation: bigint }

/** Blocks that lie in the same place; `generation` holds for each of them (`own` blocks have one each). */
export type ResolvedRun = Placement & BlockRun

/** Blocks that wait for the worker. */
export type ForeignRun = ForeignPlacement & BlockRun

/** `READ`: all of `out` is filled. `NEEDS_COPY`: all but the foreign runs, which the worker must supply. */
export type ReadResult =
  { readonly status: 'READ' } | { readonly status: 'NEEDS_COPY'; readonly foreign: readonly ForeignRun[] }

/**
 * `WRITTEN`: the write survives kill -9 of the process. `NEEDS_COPY`: nothing was written, because the write covers
 * parts of these foreign blocks (at most two); store them with `putIfUnmodified`, then write again.
 */
export type WriteResult =
  { readonly status: 'WRITTEN' } | { readonly status: 'NEEDS_COPY'; readonly foreign: readonly ForeignRun[] }

/** What `putIfUnmodified` did with each block. */
export interface PutResult {
  /** Stored; survives kill -9 of the process. */
  readonly stored: readonly BlockRun[]
  /** Left alone: the volume already has its own content there. */
  readonly present: readonly BlockRun[]
  /** Left alone: the block is still foreign or a hole, but not of the expected generation. */
  readonly stale: readonly BlockRun[]
}
