// The translation lookaside buffer of one processor (Intel SDM Vol. 3A, 4.10; AMD APM Vol. 2, 5.5): the last translations
// of guest virtual to guest physical pages, with the combined rights of their entries. Bounded, one set-associative part
// per size of page; the oldest entry of a full set makes room. It caches the guest's tables only: the nested translation
// is asked at every access, so a change by the host needs no shootdown, and a change by the guest does.

import { DIRTY, GLOBAL } from './entry.ts'
import type { GuestAccess } from './guest-physical.ts'
import type { PagingMode } from './mode.ts'
import { allows } from './rights.ts'
import type { Walker } from './walker.ts'

const WAYS = 4
const NONE = -1
/** Among the flags of a translation, which else are bits of entries: the C-bit of the page. */
const ENCRYPTED = 1 << 9

/** What happened since the TLB was made. */
export interface TlbCounters {
  /** Translations that the TLB gave. */
  readonly hits: number
  /** Translations that needed a walk. */
  readonly misses: number
  /** Invalidations: of one page, of an address space, of everything. */
  readonly shootdowns: number
  /** Translations that are in it now. */
  readonly entries: number
}

/** The translations of one page size, in sets of four slots. */
class TlbPart {
  readonly shift: number
  entries = 0
  readonly #highFactor: number
  readonly #setMask: number
  readonly #tags: Float64Array
  readonly #pages: Float64Array
  readonly #flags: Int32Array
  /** The way of each set that is replaced next. */
  readonly #next: Uint8Array

  constructor(shift: number, sets: number) {
    this.shift = shift
    this.#highFactor = 2 ** (32 - shift)
    this.#setMask = sets - 1
    this.#tags = new Float64Array(sets * WAYS).fill(NONE)
    this.#pages = new Float64Array(sets * WAYS)
    this.#flags = new Int32Array(sets * WAYS)
    this.#next = new Uint8Array(sets)
  }

  /** The slot of an address's translation, or -1. */
  find(high: number, low: number): number {
    return this.entries === 0 ? NONE : this.#slotOf(this.#set(high, low), this.#tag(high, low))
  }

  page(slot: number): number {
    return this.#pages[slot] ?? 0
  }

  flags(slot: number): number {
    return this.#flags[slot] ?? 0
  }

  /** Adds the translation of an address that has none. */
  insert(high: number, low: number, page: number, flags: number): void {
    const set = this.#set(high, low)
    let slot = this.#slotOf(set, NONE)
    if (slot === NONE) {
      const way = this.#next[set] ?? 0
      this.#next[set] = (way + 1) % WAYS
      slot = set * WAYS + way
    } else this.entries++
    this.#tags[slot] = this.#tag(high, low)
    this.#pages[slot] = page
    this.#flags[slot] = flags
  }

  remove(slot: number): void {
    this.#tags[slot] = NONE
    this.entries--
  }

  /** Removes every translation that has none of the flags `kept`. */
  clear(kept: number): void {
    for (let slot = 0; slot < this.#tags.length && this.entries > 0; slot++) {
      if (this.#tags[slot] !== NONE && (this.flags(slot) & kept) === 0) this.remove(slot)
    }
  }

  #slotOf(set: number, tag: number): number {
    const first = set * WAYS
    for (let slot = first; slot < first + WAYS; slot++) if (this.#tags[slot] === tag) return slot
    return NONE
  }

  /** The number of the virtual page: below 2^52, and different for all of them. */
  #tag(high: number, low: number): number {
    return high * this.#highFactor + (low >>> this.shift)
  }

  #set(high: number, low: number): number {
    return ((low >>> this.shift) | (high << (32 - this.shift))) & this.#setMask
  }
}

/** A TLB of 1024 pages of 4 KiB, 256 of 2 MiB and 16 of 1 GiB. */
export class Tlb {
  /** After `lookup` found a translation: guest physical address of the byte, and the C-bit of its page. */
  gpa = 0
  encrypted = true
  readonly #parts = [new TlbPart(12, 256), new TlbPart(21, 64), new TlbPart(30, 4)] as const
  #hits = 0
  #misses = 0
  #shootdowns = 0

  get counters(): TlbCounters {
    const entries = this.#parts.reduce((sum, part) => sum + part.entries, 0)
    return { hits: this.#hits, misses: this.#misses, shootdowns: this.#shootdowns, entries }
  }

  /**
   * Looks for a translation of the address `high`:`low` that the access may use, and leaves it in the fields. One that
   * it may not use goes away: the tables may allow more by now, and the first store through a clean entry has to set D.
   */
  lookup(mode: PagingMode, high: number, low: number, access: GuestAccess): boolean {
    for (const part of this.#parts) {
      const slot = part.find(high, low)
      if (slot === NONE) continue
      const flags = part.flags(slot)
      if (allows(mode, access, flags) && (access.kind !== 'write' || (flags & DIRTY) !== 0)) {
        this.gpa = part.page(slot) + (low & ((1 << part.shift) - 1))
        this.encrypted = (flags & ENCRYPTED) !== 0
        this.#hits++
        return true
      }
      part.remove(slot)
    }
    this.#misses++
    return false
  }

  /** Keeps what a walk for the access found, after its flags were set. */
  insert(mode: PagingMode, high: number, low: number, walked: Walker, access: GuestAccess): void {
    const { pageShift, leaf, gpa } = walked
    const dirty = access.kind === 'write' ? DIRTY : leaf & DIRTY
    const global = mode.globalPages ? leaf & GLOBAL : 0
    const flags = walked.rights | dirty | global | (walked.encrypted ? ENCRYPTED : 0)
    for (const part of this.#parts) {
      if (part.shift === pageShift) part.insert(high, low, gpa - (low & ((1 << pageShift) - 1)), flags)
    }
  }

  /** Forgets the page of one address, a global one too. */
  invalidatePage(high: number, low: number): void {
    this.#shootdowns++
    for (const part of this.#parts) {
      const slot = part.find(high, low)
      if (slot !== NONE) part.remove(slot)
    }
  }

  /** Forgets all but global pages. */
  invalidateSpace(): void {
    this.#shootdowns++
    for (const part of this.#parts) part.clear(GLOBAL)
  }

  /** Forgets everything. */
  invalidateAll(): void {
    this.#shootdowns++
    for (const part of this.#parts) part.clear(0)
  }
}
