// Block ids: which 4096-byte block of which VM is meant, and which incarnation of it.
// Text form, one spelling per id so that text can be compared:
//   id         = vm "/" kind "/" index "@" generation          vm-a/memory-page/0x12@3
//   vm         = 1 to 64 of A-Z a-z 0-9 "." "_" "-", the first a letter or digit
//   kind       = "memory-page" / "disk-block"
//   index      = "0x" and lower-case hexadecimal without leading zeros, below 2^64
//   generation = decimal without leading zeros, below 2^64

import { assertU64, U64_MAX } from './u64.ts'
import { BlockError } from './errors.ts'

/** Bytes of a block, the unit of identity of memory and disks alike. */
export const BLOCK_SIZE = 4096

/** A page of guest memory, or 4096 bytes of a volume. */
export type BlockKind = 'memory-page' | 'disk-block'

/** The kinds of block. */
export const blockKinds: readonly BlockKind[] = ['memory-page', 'disk-block']

/** Names one block. The host supplies ids, so they are claims until a signature or an ownership table confirms them. */
export interface BlockId {
  /** The VM's name, see the grammar above. */
  readonly vm: string
  readonly kind: BlockKind
  /** Guest physical address >> 12, or byte offset in the volume >> 12; below 2^64. */
  readonly index: bigint
  /** Counts the writes of the block's place by new owners; a copy is bound to one generation; below 2^64. */
  readonly generation: bigint
}

const VM_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const TEXT_FORM =
  /^(?<vm>[A-Za-z0-9][A-Za-z0-9._-]{0,63})\/(?<kind>memory-page|disk-block)\/(?<index>0x(?:0|[1-9a-f][0-9a-f]{0,15}))@(?<generation>0|[1-9][0-9]{0,19})$/

/** Throws TypeError for a field of a wrong type and RangeError for a value outside the grammar. */
export function validateBlockId(id: BlockId): void {
  if (typeof id.vm !== 'string') throw new TypeError(`"vm" expected string, got ${typeof id.vm}`)
  if (!VM_NAME.test(id.vm)) {
    throw new RangeError(
      '"vm" expected 1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit',
    )
  }
  if (!blockKinds.includes(id.kind)) {
    throw new RangeError(`"kind" expected one of ${blockKinds.join(', ')}, got another`)
  }
  assertU64('index', id.index)
  assertU64('generation', id.generation)
}

/** The text form of a valid id. Throws as {@link validateBlockId}. */
export function formatBlockId(id: BlockId): string {
  validateBlockId(id)
  return `${id.vm}/${id.kind}/0x${id.index.toString(16)}@${id.generation.toString()}`
}

/** The id of a text form. Throws {@link BlockError} for any other text. */
export function parseBlockId(text: string): BlockId {
  const { vm, kind, index, generation } = TEXT_FORM.exec(text)?.groups ?? {}
  if (vm === undefined || kind === undefined || index === undefined || generation === undefined) {
    throw new BlockError(
      `expected a block id like vm-a/memory-page/0x12@3, found ${JSON.stringify(text.slice(0, 100))}`,
    )
  }
  const id: BlockId = {
    vm,
    kind: kind === 'memory-page' ? kind : 'disk-block',
    index: BigInt(index),
    generation: BigInt(generation),
  }
  if (id.generation > U64_MAX) throw new BlockError(`expected a generation below 2^64, found ${generation}`)
  return id
}

/** Whether both name the same block and generation. */
export function equalBlockIds(a: BlockId, b: BlockId): boolean {
  return a.vm === b.vm && a.kind === b.kind && a.index === b.index && a.generation === b.generation
}
