/**
 * Geometry and bit operations of a layer's map: one bit per 4096-byte block, in chunks (design.md section 8).
 * Bit i of a chunk is bit `i & 7` of byte `i >> 3`, on every machine.
 */

/** Bytes in a block, the unit of identity. */
export const BLOCK_SIZE = 4096

/** Bytes in a sector, the granularity of guest writes. */
export const SECTOR_SIZE = 512

/** Blocks that one chunk of a map covers: 16 MiB of volume in 512 bytes, small enough to rewrite often. */
export const CHUNK_BLOCKS = 4096

/** Bytes of a chunk. */
export const CHUNK_BYTES = CHUNK_BLOCKS / 8

/** True when bit `index` is set. */
export function hasBit(bits: Uint8Array, index: number): boolean {
  return ((bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0
}

/** The first set bit in [from, end), or `end`. */
export function nextSet(bits: Uint8Array, from: number, end: number): number {
  return nextNonZero(bits, from, end, 0)
}

/** The first clear bit in [from, end), or `end`. */
export function nextClear(bits: Uint8Array, from: number, end: number): number {
  return nextNonZero(bits, from, end, 0xff)
}

/** Sets the bits in [from, end). */
export function setRange(bits: Uint8Array, from: number, end: number): void {
  for (let at = from; at < end;) {
    if ((at & 7) === 0 && end - at >= 8) {
      bits[at >> 3] = 0xff
      at += 8
    } else {
      bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7))
      at += 1
    }
  }
}

function nextNonZero(bits: Uint8Array, from: number, end: number, flip: number): number {
  for (let at = from; at < end; at = (at | 7) + 1) {
    const rest = ((bits[at >> 3] ?? 0) ^ flip) >> (at & 7)
    if (rest !== 0) return Math.min(end, at + 31 - Math.clz32(rest & -rest))
  }
  return end
}
