// The memory management unit of one virtual processor: its control registers, its TLB and its walker. An access asks it
// for a guest physical address, and what it does there happens in the same synchronous step: nothing comes between.

import type { FaultReason } from '../../../sdk/rpc/index.ts'
import type { AccessKind, GuestAccess, GuestPhysical } from './guest-physical.ts'
import {
  checkModel,
  type ControlRegisters,
  type PagingMode,
  pagingMode,
  type ProcessorModel,
} from './mode.ts'
import { Tlb, type TlbCounters } from './tlb.ts'
import { type NestedStage, type WalkEnd, Walker, type WalkStep } from './walker.ts'

/** What became of an address. */
export type Translation =
  | {
      readonly kind: 'mapped'
      /** Guest physical address of the byte; what follows lies beside it up to the end of its 4 KiB. */
      readonly gpa: number
      /** The effective C-bit: whether the bytes go through the VM's key. */
      readonly encrypted: boolean
    }
  | {
      /** An exception of the guest: 14 is #PF, whose CR2 is the address, 13 is #GP. */
      readonly kind: 'fault'
      readonly vector: 13 | 14
      readonly errorCode: number
    }
  | {
      /** Work for the host: when it is done, the same access runs again from the start. */
      readonly kind: 'nested-fault'
      readonly stage: NestedStage
      readonly gpa: number
      readonly access: AccessKind
      readonly reason: FaultReason
    }

/** A translation with the entries that lead to it. */
export interface Explanation {
  readonly steps: readonly WalkStep[]
  readonly end: Translation
}

const LOW_HALF = 0xffff_ffffn

/** One processor's way from guest virtual to guest physical addresses. */
export class Mmu {
  readonly #walker: Walker
  readonly #model: ProcessorModel
  readonly #tlb = new Tlb()
  #registers: ControlRegisters
  #mode: PagingMode

  /** @throws INVALID_ARGUMENT for registers or a model that no processor takes */
  constructor(memory: GuestPhysical, model: ProcessorModel, registers: ControlRegisters) {
    checkModel(model)
    this.#model = model
    this.#walker = new Walker(memory, model)
    this.#registers = registers
    this.#mode = pagingMode(model, registers)
  }

  /** The control registers. */
  get registers(): ControlRegisters {
    return this.#registers
  }

  /** What the TLB did. */
  get counters(): TlbCounters {
    return this.#tlb.counters
  }

  /** Where an access at a 64-bit address goes; sets A and D of the entries on the way if it can go there. */
  translate(gva: bigint, access: GuestAccess): Translation {
    const high = highHalf(gva)
    const low = lowHalf(gva)
    const { kind } = access
    const tlb = this.#tlb
    if (tlb.lookup(this.#mode, high, low, access)) {
      const allowed = this.#walker.permitsFinal(tlb.gpa, kind, tlb.encrypted)
      return allowed ? mapped(tlb.gpa, tlb.encrypted, kind) : this.#ended('nested-fault', kind)
    }
    const walker = this.#walker
    let end: WalkEnd
    do end = walker.walk(this.#mode, high, low, access)
    while (end === 'mapped' && !walker.setFlags(access))
    if (end === 'mapped') tlb.insert(this.#mode, high, low, walker, access)
    return this.#ended(end, kind)
  }

  /** A walk of the tables as they are, past the TLB; changes nothing. */
  explain(gva: bigint, access: GuestAccess): Explanation {
    const end = this.#walker.walk(this.#mode, highHalf(gva), lowHalf(gva), access)
    return { steps: this.#walker.steps(), end: this.#ended(end, access.kind) }
  }

  /** Sets all control registers; the TLB keeps nothing. @throws INVALID_ARGUMENT, and then nothing has changed */
  writeRegisters(registers: ControlRegisters): void {
    this.#mode = pagingMode(this.#model, registers)
    this.#registers = registers
    this.#tlb.invalidateAll()
  }

  /** MOV to CR3: another top table; the TLB keeps global pages. @throws INVALID_ARGUMENT, and then nothing has changed */
  writeCr3(cr3: bigint): void {
    const registers = { ...this.#registers, cr3 }
    this.#mode = pagingMode(this.#model, registers)
    this.#registers = registers
    this.#tlb.invalidateSpace()
  }

  /** INVLPG. */
  invalidatePage(gva: bigint): void {
    this.#tlb.invalidatePage(highHalf(gva), lowHalf(gva))
  }

  #ended(end: WalkEnd, kind: AccessKind): Translation {
    const walker = this.#walker
    switch (end) {
      case 'mapped':
        return mapped(walker.gpa, walker.encrypted, kind)
      case 'page-fault':
        return { kind: 'fault', vector: 14, errorCode: walker.errorCode }
      case 'general-protection':
        return { kind: 'fault', vector: 13, errorCode: 0 }
      case 'nested-fault':
        return {
          kind: 'nested-fault',
          stage: walker.stage,
          gpa: walker.nestedGpa,
          access: walker.nestedKind,
          reason: walker.reason,
        }
    }
  }
}

const lowHalf = (gva: bigint) => Number(gva & LOW_HALF)
const highHalf = (gva: bigint) => Number((gva >> 32n) & LOW_HALF)

/** Instructions are private whatever the C-bit says. */
function mapped(gpa: number, encrypted: boolean, kind: AccessKind): Translation {
  return { kind: 'mapped', gpa, encrypted: encrypted || kind === 'execute' }
}
