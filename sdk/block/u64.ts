// Unsigned 64-bit arguments, the width of every index and count here.

/** 2^64 - 1. */
export const U64_MAX = 0xffff_ffff_ffff_ffffn

/** Throws TypeError unless `value` is a bigint, and RangeError unless it fits an unsigned 64-bit field. */
export function assertU64(name: string, value: unknown): asserts value is bigint {
  if (typeof value !== 'bigint') throw new TypeError(`"${name}" expected bigint, got ${typeof value}`)
  if (value < 0n || value > U64_MAX) {
    throw new RangeError(`"${name}" expected 0..2^64-1, got ${value.toString()}`)
  }
}
