// Entries of x86-64 page tables, bit by bit (Intel SDM Vol. 3A, 4.5; AMD APM Vol. 2, 5.3 and 5.4). An entry is two
// 32-bit halves, because a walk that makes a BigInt of each entry spends most of its time on making them; physical
// addresses lie below 2^52, so they are plain numbers.

/** Bits of the low half. */
export const PRESENT = 1 << 0
export const WRITABLE = 1 << 1
export const USER = 1 << 2
export const WRITE_THROUGH = 1 << 3
export const CACHE_DISABLE = 1 << 4
export const ACCESSED = 1 << 5
export const DIRTY = 1 << 6
/** PS: the entry of a PDPT or page directory maps a page. In an entry of a page table this place is PAT's. */
export const LARGE = 1 << 7
export const GLOBAL = 1 << 8
/** Bit of the high half, XD to Intel and NX to AMD; as a signed number, as JavaScript's bit operations make it. */
export const NO_EXECUTE = 1 << 31

export const ENTRY_BYTES = 8
export const TABLE_ENTRIES = 512

const ADDRESS_LOW = 0xffff_f000
const TWO_32 = 2 ** 32

/** log2 of the bytes that one entry of a table of `level` covers; 1 is the page table, 4 the PML4, 5 the PML5. */
export function levelShift(level: number): number {
  return 3 + 9 * level
}

/** The place of an address's entry in its table of `level`. */
export function tableIndex(high: number, low: number, level: number): number {
  const shift = levelShift(level)
  const bits = shift < 32 ? (low >>> shift) | (high << (32 - shift)) : high >>> (shift - 32)
  return bits & (TABLE_ENTRIES - 1)
}

/** Whether an entry maps a page; if not, it leads to the next table. */
export function isLeaf(low: number, level: number): boolean {
  return level === 1 || (level <= 3 && (low & LARGE) !== 0)
}

/** Physical address in an entry that leads to a table; `highMask` takes what is no address out of the high half. */
export function tableAddress(low: number, high: number, highMask: number): number {
  return (high & highMask) * TWO_32 + ((low & ADDRESS_LOW) >>> 0)
}

/** Physical address of the first byte of the page that a leaf maps: PAT lies in bit 12 of large ones. */
export function pageAddress(low: number, high: number, highMask: number, level: number): number {
  return (high & highMask) * TWO_32 + ((low & -(1 << levelShift(level))) >>> 0)
}

/**
 * Bits of the low half that must be clear in a present entry: PS above the PDPT, and the bits of a large page's
 * address between PAT and the page's size.
 */
export function reservedLow(low: number, level: number): number {
  if (level >= 4) return low & LARGE
  if (level === 1 || (low & LARGE) === 0) return 0
  return low & ((1 << levelShift(level)) - 1) & ~0x1fff
}

/** One entry as a 64-bit number, for people and lists. */
export function entryValue(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

/** The flags of a leaf in the letters and places of QEMU's `info tlb`: XGPDACTUW, P for a large page. */
export function flagText(entry: bigint, large: boolean): string {
  const low = Number(entry & 0xffn) | (Number((entry >> 8n) & 1n) << 8)
  const letters: readonly (readonly [string, boolean])[] = [
    ['X', entry >> 63n === 1n],
    ['G', (low & GLOBAL) !== 0],
    ['P', large],
    ['D', (low & DIRTY) !== 0],
    ['A', (low & ACCESSED) !== 0],
    ['C', (low & CACHE_DISABLE) !== 0],
    ['T', (low & WRITE_THROUGH) !== 0],
    ['U', (low & USER) !== 0],
    ['W', (low & WRITABLE) !== 0],
  ]
  return letters.map(([letter, set]) => (set ? letter : '-')).join('')
}
