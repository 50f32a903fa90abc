// What the two copiers share: the request checked against the terms, and the outcome.

import type { KeyKind } from '../grant/index.ts'
import { PalimpsestError, type BlockCopy, type CopyRequest, type Role } from '../rpc/index.ts'
import type { Registration } from './registration.ts'

/** Most blocks of one session: 4 MiB. */
const MAX_BLOCKS = 1024

/** One stored copy, as receipts name it. */
export interface StoredCopy {
  readonly first: bigint
  readonly second: bigint
  /** Generation of the first block that was read. */
  readonly generation: bigint
  /** Generation of the second block after the store; 0 for disks, whose store is the host's. */
  readonly secondGeneration: bigint
}

/** What a session did. */
export type CopyOutcome =
  | {
      readonly kind: 'stored'
      readonly copies: readonly StoredCopy[]
      /** Positions in the request that were stored. */
      readonly positions: readonly number[]
      readonly firstCiphertext: Uint8Array
      readonly secondCiphertext: Uint8Array
      /** Kinds of the keys that were used, each once. */
      readonly keys: readonly KeyKind[]
    }
  | { readonly kind: 'transient'; readonly ciphertext: Uint8Array }

/** A copier for one kind of storage. */
export interface Copier {
  copy(registration: Registration, writer: Role, request: CopyRequest): Promise<CopyOutcome>
}

/** Checks size, writer and that every pair is in the terms; returns the writer. @throws PalimpsestError */
export function checkRequest(registration: Registration, request: CopyRequest): Role {
  const { blocks, writer } = request
  if (blocks.length < 1 || blocks.length > MAX_BLOCKS) {
    throw new PalimpsestError(
      'INVALID_ARGUMENT',
      `blocks expected 1 to ${String(MAX_BLOCKS)} entries, found ${String(blocks.length)}`,
    )
  }
  for (const block of blocks) checkPair(registration, writer, block)
  return writer
}

function checkPair(registration: Registration, writer: Role, { first, second }: BlockCopy): void {
  const mapped = registration.pairs.toSecond(first)
  const expected = writer === 'source' && mapped !== undefined ? first : mapped
  if (expected === second) return
  throw new PalimpsestError(
    'REFUSED_BINDING',
    `the pair ${first.toString()} -> ${second.toString()} is not in the terms of ${registration.id}; copy only what both VMs agreed to`,
  )
}
