// One processor's translations, case by case: the two nested rules, the C-bit, flags, the TLB and its shootdowns,
// registers that are refused.

import { describe, expect, it } from 'vitest'
import {
  type AccessKind,
  addressSpace,
  type AddressSpaceDescription,
  kernelRegisters,
  Mmu,
  type ProcessorModel,
  type Translation,
} from '../../../../../emulator/platform/paging/index.ts'
import { GuestMemory, supervisor, user } from './guest-memory.ts'

const TABLES = 0x10_0000n
const PAGE = 4096
const [A, D] = [1n << 5n, 1n << 6n]
const npt: ProcessorModel = { physicalBits: 48, nestedRule: 'npt' }
const ept: ProcessorModel = { physicalBits: 48, nestedRule: 'ept' }
const SEV: ProcessorModel = { ...npt, encryptionBit: 51 }

const GVA = 0x40_0000n
const GPA = 0x20_0000n

/** A memory with the tables of a few mappings in it, and a processor that uses them. */
function machine(map: AddressSpaceDescription['map'], model: ProcessorModel = npt, levels: 4 | 5 = 4) {
  const memory = new GuestMemory(0x20_0000)
  const { encryptionBit } = model
  const space = addressSpace({
    levels,
    tables: TABLES,
    map,
    ...(encryptionBit === undefined ? {} : { encryptionBit }),
  })
  memory.store(space)
  const mmu = new Mmu(memory, model, space.registers)
  /** The address of the entry that maps a page. */
  const leafAt = (gva: bigint) => mmu.explain(gva, supervisor('read')).steps.at(-1)?.gpa ?? -1
  return { memory, mmu, space, leafAt }
}

const one = (flags: string) => [{ gva: GVA, gpa: GPA, flags }]
const pageFault = (errorCode: number): Translation => ({ kind: 'fault', vector: 14, errorCode })
const at = (gpa: bigint, encrypted = true): Translation => ({
  kind: 'mapped',
  gpa: Number(gpa),
  encrypted,
})

describe('translation', () => {
  it.each([
    ['4K', 4],
    ['2M', 4],
    ['1G', 4],
    ['4K', 5],
    ['2M', 5],
    ['1G', 5],
  ] as const)('finds bytes of a %s page through %i levels, in both halves', (size, levels) => {
    const bytes = { '4K': 1n << 12n, '2M': 1n << 21n, '1G': 1n << 30n }[size]
    const top = levels === 4 ? 0xffff_8000_0000_0000n : 0xff00_0000_0000_0000n
    const map = [0n, top].map((gva, turn) => ({
      gva,
      gpa: BigInt(turn + 1) << 32n,
      size,
      flags: 'rw',
      count: 2,
    }))
    const { mmu } = machine(map, npt, levels)
    for (const { gva, gpa } of map) {
      for (const offset of [0n, 5n, bytes - 1n, bytes, 2n * bytes - 1n]) {
        expect(mmu.translate(gva + offset, supervisor('write'))).toEqual(at(gpa + offset))
      }
      expect(mmu.translate(gva + 2n * bytes, supervisor('write'))).toEqual(pageFault(2))
    }
  })

  it.each([
    [4, 0x0000_7fff_ffff_f000n, 0x0000_8000_0000_0000n],
    [5, 0x00ff_ffff_ffff_f000n, 0x0100_0000_0000_0000n],
  ] as const)(
    'with %i levels the last canonical address is legal, the next raises #GP',
    (levels, last, next) => {
      const { mmu } = machine([{ gva: last, gpa: GPA, flags: 'r' }], npt, levels)
      expect(mmu.translate(last + 0xfffn, supervisor('read'))).toEqual(at(GPA + 0xfffn))
      expect(mmu.translate(next, supervisor('read'))).toEqual({ kind: 'fault', vector: 13, errorCode: 0 })
    },
  )

  it('sets A on the way and D at the page, and nothing when it faults', () => {
    const { memory, mmu, leafAt } = machine(one('r'))
    const flags = () => mmu.explain(GVA, supervisor('read')).steps.map(({ entry }) => entry & (A | D))
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(pageFault(3))
    expect(flags()).toEqual([0n, 0n, 0n, 0n])
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(at(GPA))
    expect(flags()).toEqual([A, A, A, A])
    memory.set(leafAt(GVA), memory.get(leafAt(GVA)) | 2n)
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(at(GPA))
    expect(flags()).toEqual([A, A, A, A | D])
  })

  it('walks again when another processor changes an entry between its reading and its update', () => {
    const { memory, mmu, leafAt } = machine(one('rw'))
    const leaf = leafAt(GVA)
    memory.beforeSet = (gpa) => {
      if (gpa !== leaf) return
      memory.beforeSet = () => undefined
      memory.set(leaf, memory.get(leaf) & ~2n)
    }
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(pageFault(3))
    expect(memory.get(leaf) & D).toBe(0n)
  })

  it('takes the C-bit out of addresses before it looks at reserved bits, and reports it', () => {
    const map = [
      { gva: GVA, gpa: GPA, flags: 'rwx' },
      { gva: GVA + 4096n, gpa: GPA + 4096n, flags: 'rwx shared' },
    ]
    const { memory, mmu, space } = machine(map, SEV)
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(at(GPA))
    expect(mmu.translate(GVA + 4096n, supervisor('read'))).toEqual(at(GPA + 4096n, false))
    const plain = new Mmu(memory, npt, space.registers)
    expect(plain.translate(GVA, supervisor('read'))).toEqual(pageFault(9))
  })

  it('reads tables and fetches instructions as private, whatever the C-bit says', () => {
    const { memory, mmu } = machine(one('rwx shared'), SEV)
    // Neither the root nor the tables carry the C-bit any more.
    for (const { gpa } of mmu.explain(GVA, supervisor('read')).steps) {
      memory.set(gpa, memory.get(gpa) & ~(1n << 51n))
    }
    for (const _turn of ['walk', 'TLB']) {
      memory.asked = []
      expect(mmu.translate(GVA, supervisor('execute'))).toEqual(at(GPA, true))
      expect(memory.asked.every(({ encrypted }) => encrypted)).toBe(true)
      memory.asked = []
      expect(mmu.translate(GVA, supervisor('read'))).toEqual(at(GPA, false))
      expect(memory.asked.filter(({ encrypted }) => !encrypted)).toEqual([
        { gpa: Number(GPA), kind: 'read', encrypted: false },
      ])
      mmu.invalidatePage(GVA)
    }
  })
})

describe('the nested translation', () => {
  const protect = (page: number) => (found: number, kind: AccessKind) =>
    found === page && kind === 'write' ? ('write-protected' as const) : undefined

  it('npt: a table that may not be written faults at any access, as a write of the walk', () => {
    const { memory, mmu, leafAt } = machine(one('rw accessed dirty'))
    mmu.translate(GVA, supervisor('write'))
    mmu.invalidatePage(GVA)
    const leaf = leafAt(GVA)
    memory.nested = protect(Math.floor(leaf / PAGE))
    expect(mmu.translate(GVA, supervisor('read'))).toEqual({
      kind: 'nested-fault',
      stage: 'walk',
      gpa: leaf,
      access: 'write',
      reason: 'write-protected',
    })
  })

  it('ept: the same table faults only when A or D must be set', () => {
    const { memory, mmu, leafAt } = machine(one('rw'), ept)
    const leaf = leafAt(GVA)
    const refused = {
      kind: 'nested-fault',
      stage: 'walk',
      gpa: leaf,
      access: 'write',
      reason: 'write-protected',
    }
    memory.nested = protect(Math.floor(leaf / PAGE))
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(refused)
    memory.set(leaf, memory.get(leaf) | A)
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(at(GPA))
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(refused)
    memory.set(leaf, memory.get(leaf) | D)
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(at(GPA))
  })

  it('[C-19] a page whose nested mapping has no write bit faults as final at a store, and the tables keep their flags', () => {
    const { memory, mmu, leafAt } = machine(one('rw'))
    memory.nested = protect(Number(GPA) / PAGE)
    const before = memory.copy()
    expect(mmu.translate(GVA + 8n, supervisor('write'))).toEqual({
      kind: 'nested-fault',
      stage: 'final',
      gpa: Number(GPA) + 8,
      access: 'write',
      reason: 'write-protected',
    })
    expect(Buffer.from(memory.bytes).equals(before.bytes)).toBe(true)
    // The host resolves it; the same store runs again.
    memory.nested = () => undefined
    expect(mmu.translate(GVA + 8n, supervisor('write'))).toEqual(at(GPA + 8n))
    expect(memory.get(leafAt(GVA)) & D).toBe(D)
  })

  it('[C-19 control] loads of that page go through', () => {
    const { memory, mmu } = machine(one('rw'))
    memory.nested = protect(Number(GPA) / PAGE)
    expect(mmu.translate(GVA + 8n, supervisor('read'))).toEqual(at(GPA + 8n))
  })

  it('is asked for the page at every access, so a change by the host needs no shootdown', () => {
    const { memory, mmu } = machine(one('rw'))
    mmu.translate(GVA, supervisor('write'))
    memory.nested = protect(Number(GPA) / PAGE)
    expect(mmu.translate(GVA, supervisor('write'))).toMatchObject({ stage: 'final' })
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(at(GPA))
    expect(mmu.counters).toMatchObject({ hits: 2, misses: 1 })
  })

  it('a fault of the guest comes before one of the host at the page, and after those at its tables', () => {
    const { memory, mmu } = machine(one('r'))
    memory.nested = () => 'not-present'
    expect(mmu.translate(GVA, supervisor('write'))).toMatchObject({ stage: 'walk', gpa: Number(TABLES) })
    memory.nested = (page) => (page === Number(GPA) / PAGE ? 'not-present' : undefined)
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(pageFault(3))
    expect(mmu.translate(GVA, supervisor('read'))).toMatchObject({ stage: 'final' })
  })
})

describe('the TLB', () => {
  it('counts hits, misses and shootdowns', () => {
    const { mmu } = machine(one('rw'))
    for (let time = 0; time < 3; time++) mmu.translate(GVA, supervisor('read'))
    expect(mmu.counters).toEqual({ hits: 2, misses: 1, shootdowns: 0, entries: 1 })
    mmu.invalidatePage(GVA + 0x123n)
    expect(mmu.counters).toEqual({ hits: 2, misses: 1, shootdowns: 1, entries: 0 })
    mmu.translate(GVA, supervisor('read'))
    expect(mmu.counters).toEqual({ hits: 2, misses: 2, shootdowns: 1, entries: 1 })
  })

  it('the first store through a clean entry walks and sets D, later ones do not walk', () => {
    const { memory, mmu, leafAt } = machine(one('rw'))
    mmu.translate(GVA, supervisor('read'))
    expect(memory.get(leafAt(GVA)) & D).toBe(0n)
    mmu.translate(GVA, supervisor('write'))
    expect(memory.get(leafAt(GVA)) & D).toBe(D)
    mmu.translate(GVA, supervisor('write'))
    expect(mmu.counters).toMatchObject({ hits: 1, misses: 2, entries: 1 })
  })

  it('rights that tables took away stay until the shootdown, rights that they gave are there at once', () => {
    const { memory, mmu, leafAt } = machine(one('rw dirty'))
    const leaf = leafAt(GVA)
    mmu.translate(GVA, supervisor('write'))
    memory.set(leaf, memory.get(leaf) & ~2n)
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(at(GPA))
    mmu.invalidatePage(GVA)
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(pageFault(3))
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(at(GPA))
    memory.set(leaf, memory.get(leaf) | 2n)
    expect(mmu.translate(GVA, supervisor('write'))).toEqual(at(GPA))
  })

  it.each(['4K', '2M', '1G'] as const)('a shootdown of any byte forgets the whole %s page', (size) => {
    const bytes = { '4K': 1n << 12n, '2M': 1n << 21n, '1G': 1n << 30n }[size]
    const { memory, mmu, leafAt } = machine([{ gva: 1n << 30n, gpa: 1n << 30n, size, flags: 'r' }])
    const leaf = leafAt(1n << 30n)
    const [first, last] = [1n << 30n, (1n << 30n) + bytes - 1n]
    mmu.translate(first, supervisor('read'))
    memory.set(leaf, 0n)
    expect(mmu.translate(last, supervisor('read'))).toEqual(at(last))
    mmu.invalidatePage(first)
    expect(mmu.translate(last, supervisor('read'))).toEqual(pageFault(0))
  })

  it('another CR3 forgets all but global pages; registers, and a shootdown of the page, forget those too', () => {
    const map = [
      { gva: GVA, gpa: GPA, flags: 'r' },
      { gva: GVA + 4096n, gpa: GPA + 4096n, flags: 'r global' },
    ]
    const { memory, mmu, space } = machine(map)
    const both = () => map.map(({ gva }) => mmu.translate(gva, supervisor('read')).kind)
    const warm = () => {
      mmu.writeRegisters(space.registers)
      expect(both()).toEqual(['mapped', 'mapped'])
    }
    const empty = 0x18_0000n
    warm()
    mmu.writeCr3(empty)
    expect(both()).toEqual(['fault', 'mapped'])
    mmu.invalidatePage(GVA + 4096n)
    expect(both()).toEqual(['fault', 'fault'])
    warm()
    mmu.writeRegisters({ ...space.registers, cr3: empty })
    expect(both()).toEqual(['fault', 'fault'])

    // Without CR4.PGE there are no global pages.
    const without = new Mmu(memory, npt, { ...space.registers, cr4: space.registers.cr4 & ~(1n << 7n) })
    without.translate(GVA + 4096n, supervisor('read'))
    without.writeCr3(empty)
    expect(without.translate(GVA + 4096n, supervisor('read')).kind).toBe('fault')
  })

  it('obeys the rights of each access, whoever brought the page in', () => {
    const map = [
      { gva: GVA, gpa: GPA, flags: 'rwx user' },
      { gva: GVA + 4096n, gpa: GPA + 4096n, flags: 'rw' },
    ]
    const { mmu } = machine(map)
    expect(mmu.translate(GVA, user('write'))).toEqual(at(GPA))
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(pageFault(1)) // SMAP
    expect(mmu.translate(GVA, { ...supervisor('read'), ac: true })).toEqual(at(GPA))
    expect(mmu.translate(GVA, supervisor('execute'))).toEqual(pageFault(0x11)) // SMEP
    expect(mmu.translate(GVA, user('execute'))).toEqual(at(GPA))
    expect(mmu.translate(GVA + 4096n, supervisor('write'))).toEqual(at(GPA + 4096n))
    expect(mmu.translate(GVA + 4096n, user('read'))).toEqual(pageFault(5))
    expect(mmu.translate(GVA + 4096n, supervisor('execute'))).toEqual(pageFault(0x11)) // NX
  })

  it('stays bounded, and forgets by making room', () => {
    const count = 3000
    const { mmu } = machine([{ gva: GVA, gpa: GPA, flags: 'r', count }])
    for (let page = 0; page < count; page++) mmu.translate(GVA + BigInt(page * PAGE), supervisor('read'))
    expect(mmu.counters).toEqual({ hits: 0, misses: count, shootdowns: 0, entries: 1024 })
    mmu.translate(GVA + BigInt((count - 1) * PAGE), supervisor('read'))
    mmu.translate(GVA, supervisor('read'))
    expect(mmu.counters).toEqual({ hits: 1, misses: count + 1, shootdowns: 0, entries: 1024 })
  })
})

describe('registers and models', () => {
  const registers = kernelRegisters(TABLES, 4)
  const memory = new GuestMemory(PAGE)
  const clear = (value: bigint, place: number) => value & ~(1n << BigInt(place))

  it.each([
    ['CR0.PG clear', { cr0: clear(registers.cr0, 31) }, /cr0: expected PG set/],
    ['CR4.PAE clear', { cr4: clear(registers.cr4, 5) }, /cr4: expected PAE set/],
    ['EFER.LMA clear', { efer: clear(registers.efer, 10) }, /efer: expected LMA set/],
    ['CR4.PCIDE set', { cr4: registers.cr4 | (1n << 17n) }, /cr4: expected PCIDE clear/],
    ['CR4.LAM_SUP set', { cr4: registers.cr4 | (1n << 28n) }, /cr4: expected LAM_SUP clear/],
    ['CR4.PKE set', { cr4: registers.cr4 | (1n << 22n) }, /cr4: expected PKE clear/],
    ['CR3 above MAXPHYADDR', { cr3: 1n << 48n }, /cr3: expected an address of 48 bits/],
  ])('%s is refused, and nothing changes', (_name, changed, message) => {
    const mmu = new Mmu(memory, npt, registers)
    expect(() => {
      mmu.writeRegisters({ ...registers, ...changed })
    }).toThrow(message)
    expect(mmu.registers).toEqual(registers)
    expect(() => new Mmu(memory, npt, { ...registers, ...changed })).toThrow(message)
  })

  it('a CR3 that is refused changes nothing, one with the C-bit is taken', () => {
    const { mmu, space } = machine(one('r'), SEV)
    expect(() => {
      mmu.writeCr3(1n << 50n)
    }).toThrow(/cr3/)
    expect(mmu.registers).toEqual(space.registers)
    mmu.writeCr3(TABLES | (1n << 51n) | 0x18n)
    expect(mmu.translate(GVA, supervisor('read'))).toEqual(at(GPA))
  })

  it.each([
    [{ physicalBits: 35 }, /physicalBits: expected 36 to 52, found 35/],
    [{ physicalBits: 53 }, /physicalBits: expected 36 to 52, found 53/],
    [{ encryptionBit: 31 }, /encryptionBit: expected 32 to 51, found 31/],
    [{ encryptionBit: 52 }, /encryptionBit: expected 32 to 51, found 52/],
  ])('the model %o is refused', (changed, message) => {
    expect(() => new Mmu(memory, { ...npt, ...changed }, registers)).toThrow(message)
  })

  it.each([{ physicalBits: 36 }, { physicalBits: 52 }, { encryptionBit: 32 }, { encryptionBit: 51 }])(
    'the model %o is taken',
    (changed) => {
      expect(new Mmu(memory, { ...npt, ...changed }, registers).registers).toEqual(registers)
    },
  )
})
