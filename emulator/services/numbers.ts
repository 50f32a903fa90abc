/**
 * 64-bit values of the contract as the platform counts: frames, pages, generations and sequence numbers are exact
 * JavaScript integers there. A value that does not fit is refused here, never rounded.
 */
import { invalidField } from '../../sdk/rpc/index.ts'

/** Frames and guest pages have numbers below 2^32. */
const MAX_PLACE = 0xffff_ffffn

/** A frame or page number, or a count of them. @throws INVALID_ARGUMENT */
export function place(value: bigint, field: string): number {
  if (value <= MAX_PLACE) return Number(value)
  throw invalidField(field, `expected at most ${String(MAX_PLACE)}, found ${String(value)}`)
}

/** At least one frame or page. @throws INVALID_ARGUMENT */
export function count(value: bigint, field: string): number {
  if (value >= 1n) return place(value, field)
  throw invalidField(field, 'expected at least 1, found 0')
}

/** Frame or page numbers. @throws INVALID_ARGUMENT */
export function places(values: readonly bigint[], field: string): number[] {
  return values.map((value, position) => place(value, `${field}[${position}]`))
}

/** A number that only ever grows, as a sequence number; one that was never given out becomes the largest integer. */
export function ordinal(value: bigint): number {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.MAX_SAFE_INTEGER
}
