// The walker against independent MMUs: 12,000 accesses that Bochs executed, and all mappings of a booted Linux as QEMU
// lists them (test/fixtures/pagetables/README.md).

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import {
  type AccessKind,
  flagText,
  type GuestAccess,
  kernelRegisters,
  listMappings,
  Mmu,
  type ProcessorModel,
} from '../../../../../emulator/platform/paging/index.ts'
import { GuestMemory, supervisor } from './guest-memory.ts'

const model: ProcessorModel = { physicalBits: 40, nestedRule: 'npt' }

function fixture(name: string): Buffer {
  return gunzipSync(readFileSync(new URL(`../../../../fixtures/pagetables/${name}.gz`, import.meta.url)))
}

describe('12,000 accesses that Bochs executed', () => {
  const BASE = 0x100_0000
  const KINDS: readonly AccessKind[] = ['read', 'write', 'execute']
  const NO_FAULT = 0xff
  const RETURN = 0xc3
  const WP = 1n << 16n
  const [SMEP, SMAP] = [1n << 20n, 1n << 21n]
  const NXE = 1n << 11n
  const before = fixture('ptprobe-4level.bin')
  const after = fixture('ptprobe-4level.bochs27.result')
  const [, , probes = 0, probesAt = 0, resultsAt = 0, , firstRoot = 0, tablesAt = 0] = Array.from(
    { length: 8 },
    (_, index) => before.readUInt32LE(4 * index),
  )

  function registersOf(cr3: bigint, controls: number) {
    const on = (bit: number, flag: bigint) => ((controls & bit) === 0 ? 0n : flag)
    const { cr0, cr4, efer } = kernelRegisters(cr3, 4)
    return {
      cr0: (cr0 & ~WP) | on(1, WP),
      cr3,
      cr4: (cr4 & ~(SMEP | SMAP)) | on(2, SMEP) | on(4, SMAP),
      efer: (efer & ~NXE) | on(16, NXE),
    }
  }

  interface Result {
    readonly vector: number
    readonly errorCode: number
    readonly cr2: bigint
    readonly value: bigint
  }

  /** One probe, as the harness runs it: a processor with these registers accesses 8 bytes, or fetches one. */
  function run(memory: GuestMemory, at: number): Result {
    const gva = before.readBigUInt64LE(at)
    const controls = before[at + 14] ?? 0
    const access: GuestAccess = {
      kind: KINDS[before[at + 12] ?? 0] ?? 'read',
      user: before[at + 13] === 3,
      ac: (controls & 8) !== 0,
    }
    const mmu = new Mmu(memory, model, registersOf(BigInt(before.readUInt32LE(at + 8)), controls))
    const result = mmu.translate(gva, access)
    if (result.kind === 'nested-fault') throw new Error('expected no nested fault')
    if (result.kind === 'fault') {
      const { vector, errorCode } = result
      return { vector, errorCode, cr2: vector === 14 ? gva : 0n, value: 0n }
    }
    const given = before.readBigUInt64LE(at + 24)
    if (access.kind === 'write') memory.set(result.gpa, given)
    if (access.kind === 'execute') expect(Number(memory.get(result.gpa) & 0xffn)).toBe(RETURN)
    const value = access.kind === 'read' ? memory.get(result.gpa) : given
    return { vector: NO_FAULT, errorCode: 0, cr2: 0n, value }
  }

  function expected(at: number): Result {
    return {
      vector: after.readUInt32LE(at),
      errorCode: after.readUInt32LE(at + 4),
      cr2: after.readBigUInt64LE(at + 8),
      value: after.readBigUInt64LE(at + 16),
    }
  }

  it('each ends as it did there, and all tables and pages have the same bits afterwards', () => {
    const memory = new GuestMemory(Uint8Array.from(before), BASE)
    const different: unknown[] = []
    for (let probe = 0; probe < probes; probe++) {
      const [found, wanted] = [run(memory, probesAt + 32 * probe), expected(resultsAt + 32 * probe)]
      const equal = (Object.keys(wanted) as (keyof Result)[]).every((key) => found[key] === wanted[key])
      if (!equal) different.push({ probe, found, wanted })
    }
    expect({ probes, different: different.slice(0, 5) }).toEqual({ probes: 12_000, different: [] })

    const ownEntries = new Set<number>()
    for (let probe = 0; probe < probes; probe++) {
      ownEntries.add(before.readUInt32LE(probesAt + 32 * probe + 8))
    }
    expect(ownEntries.has(firstRoot)).toBe(true)
    const changed: string[] = []
    for (let at = tablesAt; at < BASE + before.length; at += 8) {
      const mask = ownEntries.has(at) ? ~0x20n : ~0n
      const bochs = after.readBigUInt64LE(at - BASE)
      if ((memory.get(at) & mask) !== (bochs & mask)) changed.push(`0x${at.toString(16)}`)
    }
    expect(changed).toEqual([])
  })
})

describe('the tables of a booted Linux 6.1, as QEMU lists them', () => {
  interface Oracle {
    readonly cr3: string
    readonly cr4: number
    readonly tlb: readonly string[]
    readonly gva2gpa: readonly (readonly [string, string])[]
  }
  const oracle = JSON.parse(fixture('linux61-4level.oracle.json').toString()) as Oracle
  const pages = fixture('linux61-4level.ptpages')

  /** Memory that holds tables only. */
  function memory(): GuestMemory {
    const count = pages.readUInt32LE(8)
    const places = Array.from({ length: count }, (_, index) => 16 + index * (8 + 4096))
    const end = Math.max(...places.map((at) => Number(pages.readBigUInt64LE(at)))) + 4096
    const filled = new GuestMemory(end)
    for (const at of places) {
      filled.bytes.set(pages.subarray(at + 8, at + 8 + 4096), Number(pages.readBigUInt64LE(at)))
    }
    return filled
  }
  const registers = { ...kernelRegisters(BigInt(oracle.cr3), 4), cr4: BigInt(oracle.cr4) }

  it('all 8,389 mappings, flags included, and nothing else', () => {
    const hex = (value: bigint) => value.toString(16).padStart(16, '0')
    const listed = Array.from(listMappings(memory(), model, registers), (found) => {
      if (found.kind !== 'page') return found.kind
      return `${hex(found.gva)}: ${hex(BigInt(found.gpa))} ${flagText(found.entry, found.size > 4096)}`
    })
    expect(listed).toHaveLength(8389)
    expect(listed).toEqual(oracle.tlb)
  })

  it('all 300 translations, and no flag changes', () => {
    const linux = memory()
    const tables = linux.bytes.slice()
    const mmu = new Mmu(linux, model, registers)
    const found = oracle.gva2gpa.map(([gva]) => {
      const { end } = mmu.explain(BigInt(gva), { ...supervisor('read'), ac: true })
      return [gva, end.kind === 'mapped' ? `gpa: 0x${end.gpa.toString(16)}` : end.kind]
    })
    expect(found).toHaveLength(300)
    expect(found).toEqual(oracle.gva2gpa)
    expect(Buffer.from(linux.bytes).equals(tables)).toBe(true)
  })
})
