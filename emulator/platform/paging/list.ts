// Every mapping of an address space, for `palimpsest memory map`: what walks would find, without walking each address and
// without setting flags. Tables may be hostile (a loop, or one table at many places, gives more mappings than anybody
// can store), so this is a generator that remembers one position per level and nothing else: whoever asks stops it.

import type { FaultReason } from '../../../sdk/rpc/index.ts'
import {
  ENTRY_BYTES,
  entryValue,
  isLeaf,
  levelShift,
  NO_EXECUTE,
  pageAddress,
  PRESENT,
  reservedLow,
  TABLE_ENTRIES,
  tableAddress,
  USER,
  WRITABLE,
} from './entry.ts'
import type { GuestPhysical } from './guest-physical.ts'
import {
  checkModel,
  type ControlRegisters,
  type PagingMode,
  pagingMode,
  type ProcessorModel,
} from './mode.ts'
import { ALL_RIGHTS, restrict } from './rights.ts'

/** A page that is mapped. */
export interface MappedPage {
  readonly kind: 'page'
  readonly gva: bigint
  readonly gpa: number
  /** Bytes: 4 KiB, 2 MiB or 1 GiB. */
  readonly size: number
  /** The entry that maps it. */
  readonly entry: bigint
  /** What the entries of all levels allow together. */
  readonly writable: boolean
  readonly user: boolean
  readonly executable: boolean
  /** The C-bit; true where there is none. */
  readonly encrypted: boolean
}

/** A present entry from which no page can be reached; `gva` is the first address that it covers. */
export type BrokenEntry =
  | { readonly kind: 'reserved-bits'; readonly gva: bigint; readonly level: number; readonly entry: bigint }
  | {
      /** The nested translation does not let the table be read that the entry leads to. */
      readonly kind: 'unreadable-table'
      readonly gva: bigint
      /** Level of the table. */
      readonly level: number
      readonly gpa: number
      readonly reason: FaultReason
    }

/**
 * What the tables hold, in ascending order of guest virtual addresses, the lower half first.
 * @throws INVALID_ARGUMENT for registers or a model that no processor takes
 */
export function* listMappings(
  memory: GuestPhysical,
  model: ProcessorModel,
  registers: ControlRegisters,
): Generator<MappedPage | BrokenEntry> {
  checkModel(model)
  const mode = pagingMode(model, registers)
  const position = new Position(memory, mode)
  const unreadable = position.enter(mode.levels, mode.root, ALL_RIGHTS)
  if (unreadable !== undefined) yield unreadable
  while (position.next()) {
    const found = position.examine()
    if (found !== undefined) yield found
  }
}

/** One place in each table on the way from the top table down. */
class Position {
  readonly #memory: GuestPhysical
  readonly #mode: PagingMode
  readonly #tables = new Float64Array(6)
  readonly #rights = new Int32Array(6)
  /** The entry under examination, by level; -1 before the first. */
  readonly #indexes = new Int16Array(6)
  readonly #entry = new Uint32Array(2)
  /** The table under examination; above all levels when there is none left. */
  #level: number

  constructor(memory: GuestPhysical, mode: PagingMode) {
    this.#memory = memory
    this.#mode = mode
    this.#level = mode.levels + 1
  }

  /** Goes down into a table, unless it cannot be read. */
  enter(level: number, table: number, rights: number): BrokenEntry | undefined {
    const reason = this.#memory.refusal(table, 'read', true)
    if (reason !== undefined) {
      return { kind: 'unreadable-table', gva: this.#gva(level + 1), level, gpa: table, reason }
    }
    this.#level = level
    this.#tables[level] = table
    this.#rights[level] = rights
    this.#indexes[level] = -1
    return undefined
  }

  /** Goes on to the next entry; false at the end. */
  next(): boolean {
    while (this.#level <= this.#mode.levels) {
      const index = (this.#indexes[this.#level] ?? 0) + 1
      this.#indexes[this.#level] = index
      if (index < TABLE_ENTRIES) return true
      this.#level++
    }
    return false
  }

  /** Reads the entry, and goes down into the table that it leads to. */
  examine(): MappedPage | BrokenEntry | undefined {
    const level = this.#level
    const mode = this.#mode
    this.#memory.read64((this.#tables[level] ?? 0) + (this.#indexes[level] ?? 0) * ENTRY_BYTES, this.#entry)
    const [low = 0, high = 0] = this.#entry
    if ((low & PRESENT) === 0) return undefined
    if ((high & mode.reservedHigh) !== 0 || reservedLow(low, level) !== 0) {
      return { kind: 'reserved-bits', gva: this.#gva(level), level, entry: entryValue(low, high) }
    }
    const rights = restrict(this.#rights[level] ?? 0, low, high)
    if (isLeaf(low, level)) return this.#page(level, low, high, rights)
    return this.enter(level - 1, tableAddress(low, high, mode.addressHigh), rights)
  }

  #page(level: number, low: number, high: number, rights: number): MappedPage {
    const { addressHigh, encryptionHigh } = this.#mode
    return {
      kind: 'page',
      gva: this.#gva(level),
      gpa: pageAddress(low, high, addressHigh, level),
      size: 2 ** levelShift(level),
      entry: entryValue(low, high),
      writable: (rights & WRITABLE) !== 0,
      user: (rights & USER) !== 0,
      executable: (rights & NO_EXECUTE) === 0,
      encrypted: encryptionHigh === 0 || (high & encryptionHigh) !== 0,
    }
  }

  /** First address under the entries from the top table down to `level`. */
  #gva(level: number): bigint {
    const { levels } = this.#mode
    let gva = 0n
    for (let at: number = levels; at >= level; at--) {
      gva |= BigInt(this.#indexes[at] ?? 0) << BigInt(levelShift(at))
    }
    return BigInt.asUintN(64, BigInt.asIntN(levelShift(levels) + 9, gva))
  }
}
