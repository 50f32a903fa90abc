// Tables from descriptions, and lists from tables: what is described is listed, and a list says what walks find.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addressSpace,
  flagText,
  type GuestPhysical,
  kernelRegisters,
  listMappings,
  type MappedPage,
  type ProcessorModel,
} from '../../../../../emulator/platform/paging/index.ts'
import { GuestMemory } from './guest-memory.ts'
import { scene } from './random-tables.ts'
import { modelOf, registersOf, translate } from './reference.ts'

const TABLES = 0x10_0000n
const model: ProcessorModel = { physicalBits: 48, nestedRule: 'npt' }

describe('addressSpace', () => {
  it.each([4, 5] as const)('%i levels: what is described is what the tables list', (levels) => {
    const space = addressSpace({
      levels,
      tables: TABLES,
      encryptionBit: 47,
      map: [
        { gva: 0x40_0000n, gpa: 0x5000n, flags: 'rwx user', count: 2 },
        { gva: 0x4000_0000n, gpa: 0x8000_0000n, size: '1G', flags: 'r global' },
        { gva: 0x60_0000n, gpa: 0x20_0000n, size: '2M', flags: 'rx accessed' },
        { gva: 0xffff_ffff_ffff_f000n, gpa: 0n, flags: 'rw shared uncached write-through dirty' },
      ],
    })
    const memory = new GuestMemory(0x20_0000)
    memory.store(space)
    const lines = Array.from(
      listMappings(memory, { ...model, encryptionBit: 47 }, space.registers),
      (found) => {
        if (found.kind !== 'page') return found.kind
        const { gva, gpa, size, entry, encrypted } = found
        const flags = flagText(entry, size > 4096)
        return `${gva.toString(16)} ${gpa.toString(16)} ${size.toString(16)} ${flags} ${String(encrypted)}`
      },
    )
    expect(lines).toEqual([
      '400000 5000 1000 -------UW true',
      '401000 6000 1000 -------UW true',
      '600000 200000 200000 --P-A---- true',
      '40000000 80000000 40000000 XGP------ true',
      'fffffffffffff000 0 1000 X--D-CT-W false',
    ])
    expect(space.tables[0]?.gpa).toBe(space.registers.cr3)
  })

  const good = { gva: 0x40_0000n, gpa: 0x20_0000n, flags: 'rw' }
  it.each([
    ['an unaligned page', [{ ...good, size: '1G' as const }], /"gpa" expected a multiple of 0x40000000/],
    ['an unaligned address', [{ ...good, gva: 0x40_0800n }], /"gva" expected a canonical multiple of 0x1000/],
    ['a hole between the halves', [{ ...good, gva: 1n << 47n }], /"gva" expected a canonical/],
    ['a physical address above 2^52', [{ ...good, gpa: 1n << 52n }], /"gpa" expected .* below 2\^52/],
    ['an address twice', [good, good], /expected an address that nothing maps yet/],
    ['a page in a large one', [{ ...good, size: '2M' as const }, good], /expected an address outside large/],
    ['a large page over others', [good, { ...good, size: '2M' as const }], /that nothing maps yet/],
    ['flags without r', [{ ...good, flags: 'wx' }], /"flags" expected r, rw, rx or rwx/],
    ['an unknown flag', [{ ...good, flags: 'rw users' }], /"flags" .* got "rw users"/],
    ['shared without a C-bit', [{ ...good, flags: 'rw shared' }], /"encryptionBit" expected for shared/],
  ])('refuses %s', (_name, map, message) => {
    expect(() => addressSpace({ levels: 4, tables: TABLES, map })).toThrow(message)
  })

  it('takes that description without the flaw', () => {
    expect(addressSpace({ levels: 4, tables: TABLES, map: [good] }).tables).toHaveLength(4)
  })
})

describe('listMappings', () => {
  const GB = 1n << 30n

  /** The listed page that holds an address. */
  function pageOf(pages: ReadonlyMap<bigint, MappedPage>, gva: bigint): MappedPage | undefined {
    for (const size of [1n << 12n, 1n << 21n, GB]) {
      const page = pages.get(gva - (gva % size))
      if (page !== undefined && BigInt(page.size) === size) return page
    }
    return undefined
  }

  it('agrees with walks of the same tables, page by page and right by right', () => {
    let met = 0
    fc.assert(
      fc.property(scene(60, 40), ({ machine, memory, probes }) => {
        memory.nested = () => undefined
        const open = { ...machine, smep: false, smap: false, wp: true }
        const pages = new Map<bigint, MappedPage>()
        for (const found of listMappings(memory, modelOf(machine), registersOf(machine))) {
          if (found.kind === 'page') pages.set(found.gva, found)
        }
        const walk = (gva: bigint, kind: 'read' | 'write' | 'execute', user: boolean) =>
          translate(memory, open, gva, { kind, user, ac: false }).end
        for (const { gva } of probes) {
          const page = pageOf(pages, gva)
          const read = walk(gva, 'read', false)
          expect(read.kind === 'mapped').toBe(page !== undefined)
          if (page === undefined) continue
          met++
          const gpa = page.gpa + Number(gva - page.gva)
          expect(read).toEqual({ kind: 'mapped', gpa, encrypted: page.encrypted })
          expect(walk(gva, 'write', false).kind === 'mapped').toBe(page.writable)
          expect(walk(gva, 'read', true).kind === 'mapped').toBe(page.user)
          expect(walk(gva, 'execute', false).kind === 'mapped').toBe(page.executable)
        }
      }),
      { numRuns: 30 },
    )
    expect(met).toBeGreaterThan(100)
  })

  it('names entries with reserved bits and tables that cannot be read, and goes on behind them', () => {
    const memory = new GuestMemory(0x20_0000)
    const space = addressSpace({
      levels: 4,
      tables: TABLES,
      map: [1n, 2n, 3n, 4n].map((turn) => ({ gva: turn * GB, gpa: turn * 4096n, flags: 'r' })),
    })
    memory.store(space)
    const pdpt = Number(TABLES) + 4096
    const directory = Number(memory.get(pdpt + 8 * 2) & ~0xfffn)
    memory.set(pdpt + 8, memory.get(pdpt + 8) | (1n << 50n))
    memory.nested = (page) => (page === directory / 4096 ? 'not-present' : undefined)
    const found = [...listMappings(memory, model, space.registers)]
    expect(found.map(({ kind, gva }) => [kind, gva])).toEqual([
      ['reserved-bits', GB],
      ['unreadable-table', 2n * GB],
      ['page', 3n * GB],
      ['page', 4n * GB],
    ])
    expect(found[1]).toMatchObject({ level: 2, gpa: directory, reason: 'not-present' })
    memory.nested = () => 'not-present'
    expect([...listMappings(memory, model, space.registers)]).toEqual([
      { kind: 'unreadable-table', gva: 0n, level: 4, gpa: Number(TABLES), reason: 'not-present' },
    ])
  })

  it.each([4, 5] as const)(
    'a table of %i levels that leads to itself everywhere is listed as far as one asks',
    (levels) => {
      const memory = new GuestMemory(4096)
      for (let at = 0; at < 4096; at += 8) memory.set(at, 7n)
      let reads = 0
      const counted: GuestPhysical = {
        refusal: () => undefined,
        compareAndSet64: () => false,
        read64: (gpa, into) => {
          reads++
          memory.read64(gpa, into)
        },
      }
      const wanted = 100_000
      let next = 0n
      for (const { gva } of listMappings(counted, model, kernelRegisters(0n, levels))) {
        if (gva !== next) break
        next += 4096n
        if (next === BigInt(wanted) * 4096n) break
      }
      expect(next).toBe(BigInt(wanted) * 4096n)
      // One read for each page, and one for each table on the way there: nothing is read ahead or kept.
      expect(reads).toBeLessThan(wanted * 1.01)
    },
  )
})
