// What control registers and processor model say about paging (Intel SDM Vol. 3A, 2.5 and 4.1; AMD APM Vol. 2, 3.1 and
// 5.1), as the masks and switches that a walk needs. Only long mode is emulated: 4-level paging, or 5-level with LA57.

import { invalid } from '../refusals.ts'
import { tableAddress } from './entry.ts'

/** The registers as a processor holds them. */
export interface ControlRegisters {
  readonly cr0: bigint
  readonly cr3: bigint
  readonly cr4: bigint
  readonly efer: bigint
}

/** Properties of a processor that a guest cannot change. */
export interface ProcessorModel {
  /** MAXPHYADDR, 36 to 52: higher address bits of an entry are reserved. */
  readonly physicalBits: number
  /** Place of the C-bit, 32 to 51, in an encrypted guest; without it, all of a VM's memory is private. */
  readonly encryptionBit?: number
  /**
   * How accesses to guest tables count in the nested translation. `npt`: each is a write of user level, whether flags
   * need an update or not (AMD APM Vol. 2, 15.25.5). `ept`: each is a read, and one that sets A or D a write (Intel SDM
   * Vol. 3C, EPT violations, without accessed and dirty flags for EPT).
   */
  readonly nestedRule: 'npt' | 'ept'
}

/** What a walk needs of registers and model. */
export interface PagingMode {
  /** Guest physical address of the top table. */
  readonly root: number
  readonly levels: 4 | 5
  /** CR0.WP: supervisor stores obey R/W. */
  readonly writeProtect: boolean
  readonly smep: boolean
  readonly smap: boolean
  /** EFER.NXE: bit 63 of an entry is NX; else it is reserved. */
  readonly noExecute: boolean
  /** CR4.PGE: entries with G outlive a change of CR3 in the TLB. */
  readonly globalPages: boolean
  /** Address bits in an entry's high half, without the C-bit. */
  readonly addressHigh: number
  /** Bits of the high half that must be clear. */
  readonly reservedHigh: number
  /** The C-bit in the high half, 0 when there is none. */
  readonly encryptionHigh: number
}

const CR0_PE = 1n << 0n
const CR0_WP = 1n << 16n
const CR0_PG = 1n << 31n
const CR4_PAE = 1n << 5n
const CR4_PGE = 1n << 7n
const CR4_LA57 = 1n << 12n
const CR4_SMEP = 1n << 20n
const CR4_SMAP = 1n << 21n
/** Address-space ids, protection keys, shadow stacks and address masking change what a walk means: not emulated. */
const CR4_NOT_EMULATED = {
  PCIDE: 1n << 17n,
  PKE: 1n << 22n,
  CET: 1n << 23n,
  PKS: 1n << 24n,
  LAM_SUP: 1n << 28n,
}
const EFER_LME = 1n << 8n
const EFER_LMA = 1n << 10n
const EFER_NXE = 1n << 11n

/** Registers as a 64-bit kernel of today sets them: write protection, NX, SMEP, SMAP and global pages are on. */
export function kernelRegisters(cr3: bigint, levels: 4 | 5): ControlRegisters {
  return {
    cr0: CR0_PG | CR0_WP | CR0_PE,
    cr3,
    cr4: CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP | (levels === 5 ? CR4_LA57 : 0n),
    efer: EFER_LME | EFER_LMA | EFER_NXE,
  }
}

/** @throws INVALID_ARGUMENT for a model that no processor is */
export function checkModel({ physicalBits, encryptionBit }: ProcessorModel): void {
  if (!Number.isInteger(physicalBits) || physicalBits < 36 || physicalBits > 52) {
    throw invalid('physicalBits', `expected 36 to 52, found ${physicalBits}`)
  }
  if (encryptionBit === undefined) return
  if (!Number.isInteger(encryptionBit) || encryptionBit < 32 || encryptionBit > 51) {
    throw invalid('encryptionBit', `expected 32 to 51, found ${encryptionBit}`)
  }
}

/** @throws INVALID_ARGUMENT where a processor refuses the registers with #GP, or when they ask for what is not emulated */
export function pagingMode(model: ProcessorModel, registers: ControlRegisters): PagingMode {
  const { cr0, cr3, cr4, efer } = registers
  expectBits('cr0', cr0, { PE: CR0_PE, PG: CR0_PG })
  expectBits('cr4', cr4, { PAE: CR4_PAE })
  expectBits('efer', efer, { LME: EFER_LME, LMA: EFER_LMA })
  for (const [name, bit] of Object.entries(CR4_NOT_EMULATED)) {
    if ((cr4 & bit) !== 0n) throw invalid('cr4', `expected ${name} clear, found it set: it is not emulated`)
  }
  const noExecute = (efer & EFER_NXE) !== 0n
  const encryptionHigh = model.encryptionBit === undefined ? 0 : 1 << (model.encryptionBit - 32)
  const physicalHigh = 2 ** (model.physicalBits - 32) - 1
  const addressHigh = physicalHigh & ~encryptionHigh
  const rootHigh = Number(cr3 >> 32n)
  if (cr3 >> 64n !== 0n || (rootHigh & ~(physicalHigh | encryptionHigh)) !== 0) {
    throw invalid('cr3', `expected an address of ${model.physicalBits} bits, found 0x${cr3.toString(16)}`)
  }
  return {
    root: tableAddress(Number(cr3 & 0xffff_ffffn), rootHigh, addressHigh),
    levels: (cr4 & CR4_LA57) === 0n ? 4 : 5,
    writeProtect: (cr0 & CR0_WP) !== 0n,
    smep: (cr4 & CR4_SMEP) !== 0n,
    smap: (cr4 & CR4_SMAP) !== 0n,
    noExecute,
    globalPages: (cr4 & CR4_PGE) !== 0n,
    addressHigh,
    reservedHigh: (0x000f_ffff & ~physicalHigh & ~encryptionHigh) | (noExecute ? 0 : 1 << 31),
    encryptionHigh,
  }
}

/** Whether the bits above a linear address all equal its top bit (Intel SDM Vol. 1, 3.3.7.1). */
export function isCanonical(mode: PagingMode, high: number): boolean {
  const top = (high | 0) >> (mode.levels === 4 ? 15 : 24)
  return top === 0 || top === -1
}

function expectBits(register: string, value: bigint, bits: Readonly<Record<string, bigint>>): void {
  for (const [name, bit] of Object.entries(bits)) {
    if ((value & bit) === 0n) {
      throw invalid(register, `expected ${name} set, found it clear: only 64-bit paging is emulated`)
    }
  }
}
