// Guest page tables: what a walk costs for each level, and what the TLB spares, beside the least that a walk can do: to
// read one entry after the other from the same tables. Memory is an array here, so this is the walker's own cost.

import {
  addressSpace,
  type GuestAccess,
  type GuestPhysical,
  listMappings,
  Mmu,
  type ProcessorModel,
} from '../../emulator/platform/paging/index.ts'
import { type Row, throughput } from './measure.ts'

const TABLES = 0x10_0000
const MEMORY_BYTES = 0x40_0000
const PAGE = 4096
/** Four times what the TLB holds: in turn, none of them is ever found there. */
const COLD_PAGES = 4096
const WARM_PAGES = 512
const ADDRESSES = Array.from({ length: COLD_PAGES }, (_, page) => BigInt(page * PAGE))
const MEASURE_MS = 500
const ADDRESS = 0x000f_ffff_ffff_f000n
const READ: GuestAccess = { kind: 'read', user: false, ac: false }

/** Memory without a nested translation to ask. */
class ArrayMemory implements GuestPhysical {
  readonly words = new Uint32Array(MEMORY_BYTES / 4)

  refusal(): undefined {
    return undefined
  }

  read64(gpa: number, into: Uint32Array): void {
    into[0] = this.words[gpa / 4] ?? 0
    into[1] = this.words[gpa / 4 + 1] ?? 0
  }

  compareAndSet64(
    gpa: number,
    expectedLow: number,
    expectedHigh: number,
    low: number,
    high: number,
  ): boolean {
    if (this.words[gpa / 4] !== expectedLow || this.words[gpa / 4 + 1] !== expectedHigh) return false
    this.words[gpa / 4] = low
    this.words[gpa / 4 + 1] = high
    return true
  }
}

function machine(levels: 4 | 5, model: ProcessorModel) {
  const space = addressSpace({
    levels,
    tables: BigInt(TABLES),
    map: [{ gva: 0n, gpa: 0x4000_0000n, flags: 'rw', count: COLD_PAGES }],
  })
  const memory = new ArrayMemory()
  for (const { gpa, bytes } of space.tables) memory.words.set(new Uint32Array(bytes.buffer), Number(gpa) / 4)
  return { memory, space, model, mmu: new Mmu(memory, model, space.registers) }
}

/** Nanoseconds of processor time for each of `count` things that `work` does. */
function nanoseconds(count: number, work: () => void): number {
  return 1e9 / throughput(count, MEASURE_MS, work)
}

/** Reads the entries of a walk and nothing else; the sum keeps the reads from being dropped. */
function chase(words: Uint32Array, levels: number): number {
  let sum = 0
  for (let page = 0; page < COLD_PAGES; page++) {
    let table = TABLES
    for (let level = levels; level > 0; level--) {
      const index = level > 2 ? 0 : level === 2 ? page >>> 9 : page & 511
      table = (words[table / 4 + index * 2] ?? 0) & -PAGE
    }
    sum += table
  }
  return sum
}

/** The same with entries as BigInts, to show why the walker has none. */
function chaseBigInts(words: Uint32Array, levels: number): bigint {
  const view = new DataView(words.buffer)
  let sum = 0n
  for (let page = 0; page < COLD_PAGES; page++) {
    let table = TABLES
    for (let level = levels; level > 0; level--) {
      const index = level > 2 ? 0 : level === 2 ? page >>> 9 : page & 511
      table = Number(view.getBigUint64(table + index * 8, true) & ADDRESS)
    }
    sum += BigInt(table)
  }
  return sum
}

function walks(levels: 4 | 5, model: ProcessorModel): Row {
  const { memory, mmu } = machine(levels, model)
  const each = nanoseconds(COLD_PAGES * levels, () => {
    for (const gva of ADDRESSES) mmu.translate(gva, READ)
  })
  const floor = nanoseconds(COLD_PAGES * levels, () => chase(memory.words, levels))
  const bigInts = nanoseconds(COLD_PAGES * levels, () => chaseBigInts(memory.words, levels))
  return {
    what: `guest page walk, ${levels} levels, rule ${model.nestedRule}, each level`,
    measured: `${each.toFixed(1)} ns of processor time`,
    peer: `${(each / floor).toFixed(1)}x bare reads of the entries, ${(each / bigInts).toFixed(1)}x those as BigInts`,
  }
}

function hits(): Row {
  const { mmu } = machine(4, { physicalBits: 48, nestedRule: 'npt' })
  const walked = nanoseconds(COLD_PAGES, () => {
    for (const gva of ADDRESSES) mmu.translate(gva, READ)
  })
  const warm = ADDRESSES.slice(0, WARM_PAGES)
  const found = nanoseconds(WARM_PAGES, () => {
    for (const gva of warm) mmu.translate(gva, READ)
  })
  return {
    what: 'guest address in the TLB',
    measured: `${found.toFixed(1)} ns of processor time`,
    peer: `${(walked / found).toFixed(1)}x faster than by a walk of 4 levels`,
  }
}

function lists(): Row {
  const { memory, model, space } = machine(4, { physicalBits: 48, nestedRule: 'npt' })
  const each = nanoseconds(COLD_PAGES, () => {
    let pages = 0
    for (const _page of listMappings(memory, model, space.registers)) pages++
    if (pages !== COLD_PAGES) throw new Error(`expected ${COLD_PAGES} mappings, found ${pages}`)
  })
  return { what: 'list of all mappings, each', measured: `${each.toFixed(0)} ns of processor time`, peer: '' }
}

/** Walks of 4 and 5 levels by both nested rules, the TLB, and lists. */
export function pagingRows(): Row[] {
  return [
    walks(4, { physicalBits: 48, nestedRule: 'npt' }),
    walks(4, { physicalBits: 48, nestedRule: 'ept' }),
    walks(5, { physicalBits: 48, nestedRule: 'npt' }),
    hits(),
    lists(),
  ]
}
