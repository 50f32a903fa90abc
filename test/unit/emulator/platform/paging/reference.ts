// The rules of paging once more, as plain as they can be said, to compare the walker with: BigInts, one question after
// the other, no masks prepared, no shared code. Source: Intel SDM Vol. 3A, 4.5 to 4.8; AMD APM Vol. 2, 5.3 to 5.6, 15.25.

import type {
  ControlRegisters,
  GuestAccess,
  ProcessorModel,
  Translation,
} from '../../../../../emulator/platform/paging/index.ts'
import type { Asked, GuestMemory } from './guest-memory.ts'

/** A processor, register by flag. */
export interface Machine {
  readonly levels: 4 | 5
  readonly root: number
  readonly wp: boolean
  readonly smep: boolean
  readonly smap: boolean
  readonly nxe: boolean
  readonly pge: boolean
  readonly physicalBits: number
  readonly encryptionBit: number | undefined
  readonly nestedRule: 'npt' | 'ept'
}

/** The machine's registers as a processor holds them. */
export function registersOf(machine: Machine): ControlRegisters {
  const flag = (on: boolean, place: number) => (on ? 1n << BigInt(place) : 0n)
  return {
    cr0: flag(true, 0) | flag(machine.wp, 16) | flag(true, 31),
    cr3: BigInt(machine.root),
    cr4:
      flag(true, 5) |
      flag(machine.pge, 7) |
      flag(machine.levels === 5, 12) |
      flag(machine.smep, 20) |
      flag(machine.smap, 21),
    efer: flag(true, 8) | flag(true, 10) | flag(machine.nxe, 11),
  }
}

/** The machine's model. */
export function modelOf({ physicalBits, encryptionBit, nestedRule }: Machine): ProcessorModel {
  return { physicalBits, nestedRule, ...(encryptionBit === undefined ? {} : { encryptionBit }) }
}

interface Visited {
  readonly at: number
  readonly entry: bigint
}

/** A translation, the questions put to the nested translation on the way, and the entries that were read. */
export interface Reference {
  readonly end: Translation
  readonly asked: readonly Asked[]
  readonly path: readonly number[]
}

const bit = (value: bigint, place: number) => ((value >> BigInt(place)) & 1n) === 1n
const bits = (value: bigint, top: number, bottom: number) =>
  (value >> BigInt(bottom)) & ((1n << BigInt(top - bottom + 1)) - 1n)

/** Translates, and sets flags in `memory`. */
export function translate(
  memory: GuestMemory,
  machine: Machine,
  gva: bigint,
  access: GuestAccess,
): Reference {
  const asked: Asked[] = []
  const path: Visited[] = []
  const end = walk()
  return { end, asked, path: path.map(({ at }) => at) }

  function walk(): Translation {
    if (!canonical(machine, gva)) return { kind: 'fault', vector: 13, errorCode: 0 }
    let table = machine.root
    for (let level: number = machine.levels; ; level--) {
      const low = 12 + 9 * (level - 1)
      const at = table + 8 * Number(bits(gva, low + 8, low))
      const refused = ask('walk', at, machine.nestedRule === 'npt' ? 'write' : 'read', true)
      if (refused !== undefined) return refused
      const entry = memory.get(at)
      path.push({ at, entry })
      if (!bit(entry, 0)) return pageFault(false, false)
      const plain = machine.encryptionBit === undefined ? entry : without(entry, machine.encryptionBit)
      if (hasReservedBits(machine, plain, level)) return pageFault(true, true)
      const leaf = level === 1 || (level <= 3 && bit(entry, 7))
      if (leaf) return arrive(entry, bits(plain, 51, low) << BigInt(low), low)
      table = Number(bits(plain, 51, 12) << 12n)
    }
  }

  function arrive(leaf: bigint, page: bigint, size: number): Translation {
    if (!permitted(machine, access, path)) return pageFault(true, false)
    if (machine.nestedRule === 'ept') {
      for (const step of path) {
        if (flagsFor(step) === step.entry) continue
        const refused = ask('walk', step.at, 'write', true)
        if (refused !== undefined) return refused
      }
    }
    const gpa = Number(page | bits(gva, size - 1, 0))
    const cBit = machine.encryptionBit === undefined || bit(leaf, machine.encryptionBit)
    const encrypted = cBit || access.kind === 'execute'
    const refused = ask('final', gpa, access.kind, encrypted)
    if (refused !== undefined) return refused
    for (const step of path) memory.set(step.at, memory.get(step.at) | flagsFor(step))
    return { kind: 'mapped', gpa, encrypted }
  }

  function flagsFor(step: Visited): bigint {
    const dirty = access.kind === 'write' && step === path.at(-1)
    return step.entry | (1n << 5n) | (dirty ? 1n << 6n : 0n)
  }

  function ask(
    stage: 'walk' | 'final',
    gpa: number,
    kind: Asked['kind'],
    encrypted: boolean,
  ): Translation | undefined {
    asked.push({ gpa, kind, encrypted })
    const reason = memory.nested(Math.floor(gpa / 4096), kind, encrypted)
    return reason === undefined ? undefined : { kind: 'nested-fault', stage, gpa, access: kind, reason }
  }

  function pageFault(present: boolean, reserved: boolean): Translation {
    const fetch = access.kind === 'execute' && (machine.nxe || machine.smep)
    const code = [present, access.kind === 'write', access.user, reserved, fetch]
    return {
      kind: 'fault',
      vector: 14,
      errorCode: code.reduce((sum, on, place) => sum + (on ? 2 ** place : 0), 0),
    }
  }
}

function canonical({ levels }: Machine, gva: bigint): boolean {
  const top = levels === 4 ? 47 : 56
  const above = bits(gva, 63, top)
  return above === 0n || above === (1n << BigInt(64 - top)) - 1n
}

function without(entry: bigint, place: number): bigint {
  return bit(entry, place) ? entry - (1n << BigInt(place)) : entry
}

function hasReservedBits({ physicalBits, nxe }: Machine, entry: bigint, level: number): boolean {
  if (physicalBits < 52 && bits(entry, 51, physicalBits) !== 0n) return true
  if (!nxe && bit(entry, 63)) return true
  if (level >= 4) return bit(entry, 7)
  if (level === 3 && bit(entry, 7)) return bits(entry, 29, 13) !== 0n
  return level === 2 && bit(entry, 7) && bits(entry, 20, 13) !== 0n
}

function permitted(machine: Machine, access: GuestAccess, path: readonly Visited[]): boolean {
  const userPage = path.every(({ entry }) => bit(entry, 2))
  const writable = path.every(({ entry }) => bit(entry, 1))
  const notExecutable = machine.nxe && path.some(({ entry }) => bit(entry, 63))
  if (access.user && !userPage) return false
  if (access.kind === 'execute') {
    if (notExecutable) return false
    if (!access.user && userPage && machine.smep) return false
    return true
  }
  if (!access.user && userPage && machine.smap && !access.ac) return false
  if (access.kind === 'read' || writable) return true
  return !access.user && !machine.wp
}
