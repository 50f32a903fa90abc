// Makes page tables from a short description, for tests, examples and programs that play a guest: pages of bytes, which
// whoever owns the memory stores where the description says. Entries as in Intel SDM Vol. 3A, 4.5.

import {
  ACCESSED,
  CACHE_DISABLE,
  DIRTY,
  ENTRY_BYTES,
  GLOBAL,
  LARGE,
  levelShift,
  PRESENT,
  USER,
  WRITABLE,
  WRITE_THROUGH,
} from './entry.ts'
import { type ControlRegisters, kernelRegisters } from './mode.ts'

const PAGE_BYTES = 4096n
const MAX_PHYSICAL_BITS = 52
const NX = 1n << 63n
/** Level of the table whose entries map pages of a size. */
const SIZES = { '4K': 1, '2M': 2, '1G': 3 } as const
const WORDS: Readonly<Record<string, number>> = {
  user: USER,
  global: GLOBAL,
  uncached: CACHE_DISABLE,
  'write-through': WRITE_THROUGH,
  accessed: ACCESSED,
  dirty: DIRTY,
}
const SHARED = 'shared'

/** Pages that lie one after the other in both spaces. */
export interface MappingDescription {
  readonly gva: bigint
  readonly gpa: bigint
  /** Size of a page; 4K by default. */
  readonly size?: keyof typeof SIZES
  /** Number of pages; 1 by default. */
  readonly count?: number
  /**
   * `r`, `rw`, `rx` or `rwx`, then any of `user`, `global`, `uncached`, `write-through`, `accessed`, `dirty`, and
   * `shared` for pages outside the VM's encryption. Tables allow everything; these flags alone decide.
   */
  readonly flags: string
}

/** An address space. */
export interface AddressSpaceDescription {
  readonly levels: 4 | 5
  /** Guest physical address from which on the tables lie, one page each. */
  readonly tables: bigint
  /** Place of the C-bit, if the guest has one: it is set in all entries but those of `shared` pages. */
  readonly encryptionBit?: number
  readonly map: readonly MappingDescription[]
}

/** Tables, ready to be stored. */
export interface AddressSpace {
  /** CR3 of these tables, the others as a kernel sets them: CR0.WP, NX, SMEP, SMAP and global pages on. */
  readonly registers: ControlRegisters
  /** The tables' pages, the top table first. */
  readonly tables: readonly { readonly gpa: bigint; readonly bytes: Uint8Array }[]
}

/** Makes the tables of a description. @throws RangeError when it asks for what tables cannot hold */
export function addressSpace(description: AddressSpaceDescription): AddressSpace {
  const tables = new TableSet(description)
  for (const mapping of description.map) {
    const { gva, gpa, size = '4K', count = 1 } = mapping
    const level = SIZES[size]
    const bytes = 1n << BigInt(levelShift(level))
    const leaf = leafBits(mapping, tables.encryption) | (level > 1 ? BigInt(LARGE) : 0n)
    for (let page = 0n; page < BigInt(count); page++) {
      tables.map(gva + page * bytes, gpa + page * bytes, level, leaf)
    }
  }
  return { registers: kernelRegisters(description.tables, description.levels), tables: tables.pages() }
}

/** The tables under construction; entries of one are reached through a view of its page. */
class TableSet {
  /** The C-bit, or 0. */
  readonly encryption: bigint
  readonly #physicalBits: number
  readonly #levels: 4 | 5
  readonly #first: bigint
  readonly #tables: DataView[] = []

  constructor({ levels, tables, encryptionBit }: AddressSpaceDescription) {
    this.#physicalBits = encryptionBit ?? MAX_PHYSICAL_BITS
    expectAddress('tables', tables, PAGE_BYTES, this.#physicalBits)
    this.#levels = levels
    this.#first = tables
    this.encryption = encryptionBit === undefined ? 0n : 1n << BigInt(encryptionBit)
    this.#add()
  }

  map(gva: bigint, gpa: bigint, level: number, leaf: bigint): void {
    const bits = levelShift(this.#levels) + 9
    const bytes = 1n << BigInt(levelShift(level))
    expectAddress('gpa', gpa, bytes, this.#physicalBits)
    if (gva % bytes !== 0n || BigInt.asUintN(64, BigInt.asIntN(bits, gva)) !== gva) {
      throw new RangeError(
        `"gva" expected a canonical multiple of 0x${bytes.toString(16)} of ${bits} bits, got 0x${gva.toString(16)}`,
      )
    }
    let table = this.#at(0)
    for (let at: number = this.#levels; at > level; at--) table = this.#descend(table, gva, at)
    const place = entryPlace(gva, level)
    if (table.getBigUint64(place, true) !== 0n) {
      throw new RangeError(`"gva" expected an address that nothing maps yet, got 0x${gva.toString(16)} again`)
    }
    table.setBigUint64(place, gpa | leaf, true)
  }

  pages(): AddressSpace['tables'] {
    return this.#tables.map((table, index) => ({
      gpa: this.#gpa(index),
      bytes: new Uint8Array(table.buffer),
    }))
  }

  /** The table below an entry, made when there is none. */
  #descend(table: DataView, gva: bigint, level: number): DataView {
    const place = entryPlace(gva, level)
    const entry = table.getBigUint64(place, true)
    if ((entry & BigInt(LARGE)) !== 0n) {
      throw new RangeError(`"gva" expected an address outside large pages, got 0x${gva.toString(16)} in one`)
    }
    if (entry !== 0n) {
      const address = entry & ~this.encryption & ~(PAGE_BYTES - 1n)
      return this.#at(Number((address - this.#first) / PAGE_BYTES))
    }
    const index = this.#add()
    const flags = BigInt(PRESENT | WRITABLE | USER)
    table.setBigUint64(place, this.#gpa(index) | this.encryption | flags, true)
    return this.#at(index)
  }

  #add(): number {
    return this.#tables.push(new DataView(new ArrayBuffer(Number(PAGE_BYTES)))) - 1
  }

  #at(index: number): DataView {
    const table = this.#tables[index]
    if (table === undefined) throw new RangeError('"index" expected a table that was made')
    return table
  }

  #gpa(index: number): bigint {
    return this.#first + BigInt(index) * PAGE_BYTES
  }
}

/** Byte offset of an address's entry in its table of `level`. */
function entryPlace(gva: bigint, level: number): number {
  return Number((gva >> BigInt(levelShift(level))) & 511n) * ENTRY_BYTES
}

/** A leaf's bits around its address. */
function leafBits({ flags }: MappingDescription, encryption: bigint): bigint {
  const [access = '', ...words] = flags.split(/\s+/)
  const unknown = words.filter((word) => word !== SHARED && !Object.hasOwn(WORDS, word))
  if (!/^rw?x?$/.test(access) || unknown.length > 0) {
    const known = [...Object.keys(WORDS), SHARED].join(', ')
    throw new RangeError(`"flags" expected r, rw, rx or rwx, then any of ${known}, got "${flags}"`)
  }
  if (words.includes(SHARED) && encryption === 0n) {
    throw new RangeError('"encryptionBit" expected for shared pages, got none')
  }
  const bits = words.reduce((sum, word) => sum | (WORDS[word] ?? 0), PRESENT)
  return (
    BigInt(bits | (access.includes('w') ? WRITABLE : 0)) |
    (access.includes('x') ? 0n : NX) |
    (words.includes(SHARED) ? 0n : encryption)
  )
}

function expectAddress(name: string, value: bigint, multiple: bigint, bits: number): void {
  if (value >= 0n && value % multiple === 0n && value >> BigInt(bits) === 0n) return
  const wanted = `a multiple of 0x${multiple.toString(16)} below 2^${bits}`
  throw new RangeError(`"${name}" expected ${wanted}, got 0x${value.toString(16)}`)
}
