// Random tables, processors and accesses for property tests. A dozen tables lead to one another in every way, loops
// included; only eight entries of each are used, so that random addresses find them. `soundness` says how rarely an
// entry keeps an access off: once in so many times for each reason.

import fc from 'fast-check'
import type { GuestAccess } from '../../../../../emulator/platform/paging/index.ts'
import { GuestMemory, type NestedPolicy } from './guest-memory.ts'
import type { Machine } from './reference.ts'

export const TABLES = 12
const INDEXES = [0, 1, 2, 255, 256, 257, 510, 511] as const
const PAGE = 4096
const MIXED = 16

const oneIn = (times: number) => fc.integer({ min: 1, max: times }).map((value) => value === times)
/** `made`, once in so many times. */
const sometimes = <T>(times: number, made: fc.Arbitrary<T>) =>
  fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: made })
const power = (place: number) => 1n << BigInt(place)

const machine: fc.Arbitrary<Machine> = fc.record({
  levels: fc.constantFrom(4 as const, 5 as const),
  root: fc.nat(TABLES - 1).map((page) => page * PAGE),
  wp: fc.boolean(),
  smep: fc.boolean(),
  smap: fc.boolean(),
  nxe: oneIn(4).map((value) => !value),
  pge: fc.boolean(),
  physicalBits: fc.integer({ min: 36, max: 52 }),
  encryptionBit: fc.option(fc.integer({ min: 32, max: 51 }), { nil: undefined }),
  nestedRule: fc.constantFrom('npt' as const, 'ept' as const),
})

/** Place of an entry in memory. */
export const entryAt = fc
  .tuple(fc.nat(TABLES - 1), fc.constantFrom(...INDEXES))
  .map(([table, index]) => table * PAGE + index * 8)

/** An entry, for a guest with or without a C-bit. */
export type EntryFor = (encryptionBit: number | undefined) => bigint

/** Entries: mostly such that lead on. */
export function entry(soundness: number): fc.Arbitrary<EntryFor> {
  const flaw = oneIn(soundness)
  return fc
    .record({
      absent: flaw,
      readOnly: flaw,
      supervisor: flaw,
      noExecute: flaw,
      stray: sometimes(soundness * 2, fc.integer({ min: 32, max: 51 })),
      large: sometimes(6, fc.record({ gigabytes: fc.nat(3), megabytes: fc.nat(255), low: flaw })),
      table: fc.nat(TABLES - 1),
      others: fc.nat(15),
      global: fc.boolean(),
      pat: fc.boolean(),
      available: fc.nat(0x7ff),
      encrypted: fc.boolean(),
    })
    .map((made) => (encryptionBit) => {
      const { large } = made
      const place =
        large === undefined
          ? BigInt(made.table * PAGE)
          : power(7) |
            (made.pat ? power(12) : 0n) |
            (BigInt(large.gigabytes) * power(30)) |
            (large.low ? BigInt(large.megabytes) * power(13) : BigInt(large.megabytes % 4) * power(21))
      return (
        place |
        (made.absent ? 0n : power(0)) |
        (made.readOnly ? 0n : power(1)) |
        (made.supervisor ? 0n : power(2)) |
        (BigInt(made.others) << 3n) |
        (made.global ? power(8) : 0n) |
        (BigInt(made.available) << 52n) |
        (made.noExecute ? power(63) : 0n) |
        (encryptionBit !== undefined && made.encrypted ? power(encryptionBit) : 0n) |
        (made.stray === undefined ? 0n : power(made.stray))
      )
    })
}

/** An address that the used entries lead to, sometimes one that is not canonical. */
const gva = fc
  .tuple(
    fc.array(fc.constantFrom(...INDEXES), { minLength: 5, maxLength: 5 }),
    fc.nat(PAGE - 1),
    sometimes(16, fc.nat(0xffff)),
  )
  .map(([indexes, offset, stray]) => (levels: number) => {
    const value = indexes
      .slice(0, levels)
      .reduce((sum, index, level) => sum | (BigInt(index) << BigInt(12 + 9 * level)), BigInt(offset))
    const extended = BigInt.asUintN(64, BigInt.asIntN(12 + 9 * levels, value))
    return stray === undefined ? extended : extended ^ (BigInt(stray) << 48n)
  })

const access: fc.Arbitrary<GuestAccess> = fc.record({
  kind: fc.constantFrom('read' as const, 'write' as const, 'execute' as const),
  user: fc.boolean(),
  ac: fc.boolean(),
})

/** Nested permissions of the first pages, tables among them; all others allow everything. */
function nested(soundness: number): fc.Arbitrary<NestedPolicy> {
  const page = sometimes(soundness, fc.constantFrom('read-only', 'none', 'private'))
  return fc.array(page, { minLength: TABLES, maxLength: TABLES }).map((pages) => (index, kind, encrypted) => {
    const allowed = pages[index]
    if (allowed === 'none') return 'not-present'
    if (allowed === 'read-only' && kind === 'write') return 'write-protected'
    return allowed === 'private' && !encrypted ? 'key' : undefined
  })
}

/** An access at an address. */
export interface Probe {
  readonly gva: bigint
  readonly access: GuestAccess
}

/** A machine, its memory, and accesses. */
export interface Scene {
  readonly machine: Machine
  readonly memory: GuestMemory
  readonly probes: readonly Probe[]
}

/** A scene with so many accesses. */
export function scene(probes: number, soundness = MIXED): fc.Arbitrary<Scene> {
  const used = TABLES * INDEXES.length
  return fc
    .record({
      machine,
      nested: nested(soundness),
      entries: fc.array(entry(soundness), { minLength: used, maxLength: used }),
      probes: fc.array(fc.tuple(gva, access), { minLength: probes, maxLength: probes }),
    })
    .map((made) => {
      const memory = new GuestMemory(TABLES * PAGE)
      memory.nested = made.nested
      made.entries.forEach((one, number) => {
        const index = INDEXES[number % INDEXES.length] ?? 0
        const table = Math.floor(number / INDEXES.length)
        memory.set(table * PAGE + index * 8, one(made.machine.encryptionBit))
      })
      return {
        machine: made.machine,
        memory,
        probes: made.probes.map(([where, how]) => ({ gva: where(made.machine.levels), access: how })),
      }
    })
}
