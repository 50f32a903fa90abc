// The page walk: from a guest virtual address through the tables of the guest to a guest physical one, every access on
// the way put to the nested translation (Intel SDM Vol. 3A, 4.5 to 4.8; AMD APM Vol. 2, 5.3 to 5.6 and 15.25).
//
// Order: canonical; level by level the nested check, presence, reserved bits; rights of all levels together; the nested
// checks of flag updates; the nested check of the page itself. Flags are written last, so that an access that faults, be
// it to the guest or to the host, has changed nothing and runs again from the start. Processors may set them earlier.
//
// A walk allocates nothing: its results are fields, valid until the next walk.

import type { FaultReason } from '../../../sdk/rpc/index.ts'
import {
  ACCESSED,
  DIRTY,
  ENTRY_BYTES,
  entryValue,
  isLeaf,
  levelShift,
  pageAddress,
  PRESENT,
  reservedLow,
  tableAddress,
  tableIndex,
} from './entry.ts'
import type { AccessKind, GuestAccess, GuestPhysical } from './guest-physical.ts'
import { isCanonical, type PagingMode, type ProcessorModel } from './mode.ts'
import { ALL_RIGHTS, allows, pageFaultCode, RESERVED_BITS, restrict } from './rights.ts'

/** How a walk ends. */
export type WalkEnd = 'mapped' | 'page-fault' | 'general-protection' | 'nested-fault'

/** Whether the nested translation refused a table of the walk, or the page that the walk led to. */
export type NestedStage = 'walk' | 'final'

/** One entry that a walk read. */
export interface WalkStep {
  /** 5 is the PML5, 4 the PML4, 3 the PDPT, 2 the page directory, 1 the page table. */
  readonly level: number
  /** Guest physical address of the entry. */
  readonly gpa: number
  readonly entry: bigint
}

/** Highest level plus one: arrays are indexed by level. */
const LEVELS = 6

/** A page walker of one processor. */
export class Walker {
  /** After `mapped`: guest physical address of the byte. */
  gpa = 0
  /** After `mapped`: log2 of the page's size. */
  pageShift = 0
  /** After `mapped`: see rights.ts. */
  rights = 0
  /** After `mapped`: low half of the entry that maps the page, as it was read. */
  leaf = 0
  /** After `mapped`: the effective C-bit. */
  encrypted = true
  /** After `page-fault`. */
  errorCode = 0
  /** After `nested-fault`: what was refused, where and why. */
  stage: NestedStage = 'walk'
  nestedGpa = 0
  nestedKind: AccessKind = 'read'
  reason: FaultReason = 'not-present'

  readonly #memory: GuestPhysical
  readonly #tableKind: AccessKind
  // The entries of the last walk by level, from #top down to #bottom.
  readonly #addresses = new Float64Array(LEVELS)
  readonly #lows = new Uint32Array(LEVELS)
  readonly #highs = new Uint32Array(LEVELS)
  readonly #entry = new Uint32Array(2)
  #top = 0
  #bottom = 1

  constructor(memory: GuestPhysical, model: ProcessorModel) {
    this.#memory = memory
    this.#tableKind = model.nestedRule === 'npt' ? 'write' : 'read'
  }

  /** Walks for one access at the address `high`:`low`; changes no memory. */
  walk(mode: PagingMode, high: number, low: number, access: GuestAccess): WalkEnd {
    this.#top = 0
    this.#bottom = 1
    if (!isCanonical(mode, high)) return 'general-protection'
    const end = this.#descend(mode, high, low, access)
    if (end !== 'mapped') return end
    if (!allows(mode, access, this.rights)) return this.#pageFault(mode, access, PRESENT)
    if (this.#tableKind === 'read' && !this.#mayUpdate(access)) return 'nested-fault'
    return this.permitsFinal(this.gpa, access.kind, this.encrypted) ? 'mapped' : 'nested-fault'
  }

  /**
   * Sets the A and D flags that the walked access needs, from the top table down. False when an entry has changed since
   * it was read: walk again, as a processor does.
   */
  setFlags(access: GuestAccess): boolean {
    for (let level = this.#top; level >= this.#bottom; level--) {
      const low = this.#lows[level] ?? 0
      const needed = this.#neededFlags(level, access)
      if ((low & needed) === needed) continue
      const high = this.#highs[level] ?? 0
      const at = this.#addresses[level] ?? 0
      if (!this.#memory.compareAndSet64(at, low, high, (low | needed) >>> 0, high)) return false
    }
    return true
  }

  /** Whether the nested translation lets the page itself be accessed; instructions are private whatever the C-bit says. */
  permitsFinal(gpa: number, kind: AccessKind, encrypted: boolean): boolean {
    return this.#permits('final', gpa, kind, encrypted || kind === 'execute')
  }

  /** The entries that the last walk read, from the top table down. */
  steps(): WalkStep[] {
    const steps: WalkStep[] = []
    for (let level = this.#top; level >= this.#bottom; level--) {
      steps.push({
        level,
        gpa: this.#addresses[level] ?? 0,
        entry: entryValue(this.#lows[level] ?? 0, this.#highs[level] ?? 0),
      })
    }
    return steps
  }

  #descend(mode: PagingMode, high: number, low: number, access: GuestAccess): WalkEnd {
    let table = mode.root
    let rights = ALL_RIGHTS
    this.#top = mode.levels
    for (let level: number = mode.levels; ; level--) {
      const at = table + tableIndex(high, low, level) * ENTRY_BYTES
      this.#bottom = level + 1
      if (!this.#permits('walk', at, this.#tableKind, true)) return 'nested-fault'
      this.#memory.read64(at, this.#entry)
      const entryLow = this.#entry[0] ?? 0
      const entryHigh = this.#entry[1] ?? 0
      this.#bottom = level
      this.#addresses[level] = at
      this.#lows[level] = entryLow
      this.#highs[level] = entryHigh
      if ((entryLow & PRESENT) === 0) return this.#pageFault(mode, access, 0)
      if ((entryHigh & mode.reservedHigh) !== 0 || reservedLow(entryLow, level) !== 0) {
        return this.#pageFault(mode, access, RESERVED_BITS)
      }
      rights = restrict(rights, entryLow, entryHigh)
      if (isLeaf(entryLow, level)) {
        this.#found(mode, level, low, rights)
        return 'mapped'
      }
      table = tableAddress(entryLow, entryHigh, mode.addressHigh)
    }
  }

  #found(mode: PagingMode, level: number, low: number, rights: number): void {
    const entryLow = this.#lows[level] ?? 0
    const entryHigh = this.#highs[level] ?? 0
    this.pageShift = levelShift(level)
    this.gpa = pageAddress(entryLow, entryHigh, mode.addressHigh, level) + (low & ((1 << this.pageShift) - 1))
    this.rights = rights
    this.leaf = entryLow
    this.encrypted = mode.encryptionHigh === 0 || (entryHigh & mode.encryptionHigh) !== 0
  }

  /** Under the rule `ept`: whether every entry whose flags must change may be written. */
  #mayUpdate(access: GuestAccess): boolean {
    for (let level = this.#top; level >= this.#bottom; level--) {
      const needed = this.#neededFlags(level, access)
      if (((this.#lows[level] ?? 0) & needed) === needed) continue
      if (!this.#permits('walk', this.#addresses[level] ?? 0, 'write', true)) return false
    }
    return true
  }

  #neededFlags(level: number, access: GuestAccess): number {
    return level === this.#bottom && access.kind === 'write' ? ACCESSED | DIRTY : ACCESSED
  }

  #permits(stage: NestedStage, gpa: number, kind: AccessKind, encrypted: boolean): boolean {
    const reason = this.#memory.refusal(gpa, kind, encrypted)
    if (reason === undefined) return true
    this.stage = stage
    this.nestedGpa = gpa
    this.nestedKind = kind
    this.reason = reason
    return false
  }

  #pageFault(mode: PagingMode, access: GuestAccess, cause: number): WalkEnd {
    this.errorCode = pageFaultCode(mode, access, cause)
    return 'page-fault'
  }
}
