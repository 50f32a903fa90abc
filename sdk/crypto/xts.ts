// What AES-256-XTS over sectors means here (IEEE 1619-2018, NIST SP 800-38E), and the checks every engine makes first.
// A buffer is a row of sectors (XTS data units) of one size. Sector i of a call is encrypted with the tweak
//   LE128(firstSector + i * tweakStep)
// Memory page of frame f:        sectorSize 4096, firstSector f, tweakStep 1   (or 0 and 0 with a common key)
// dm-crypt / LUKS "plain64":     the tweak counts 512-byte units, so tweakStep = sectorSize / 512

import { assertBytes, assertU64, equalBytes, U64_MAX } from './bytes.ts'
import { WeakKeyError } from './errors.ts'
import { type KeyBytes, useKey } from './secret.ts'

/** Bytes of an AES-256-XTS key: the data key, then the tweak key. */
export const XTS_KEY_LENGTH = 64

/** Bytes of an XTS data unit. */
export type SectorSize = 512 | 1024 | 2048 | 4096

/** The sector sizes that engines take. */
export const sectorSizes: readonly SectorSize[] = [512, 1024, 2048, 4096]

/** How the bytes of a buffer divide into sectors, and which tweak each has. */
export interface SectorLayout {
  /** Tweak number of the first sector of the buffer. */
  readonly firstSector: bigint
  readonly sectorSize: SectorSize
  /** Added to the tweak number from one sector to the next; 0 gives every sector the same tweak. */
  readonly tweakStep: bigint
}

/** Caller-owned memory: `output` has the length of `input` and is the same range (in place) or disjoint from it. */
export interface SectorBuffers {
  readonly input: Uint8Array
  readonly output: Uint8Array
}

/** Throws RangeError unless the key has 64 bytes, and {@link WeakKeyError} when its two halves are equal. */
export function checkXtsKey(key: KeyBytes): void {
  useKey(key, (bytes) => {
    assertBytes('key', bytes, XTS_KEY_LENGTH)
    const half = XTS_KEY_LENGTH / 2
    if (equalBytes(bytes.subarray(0, half), bytes.subarray(half))) {
      throw new WeakKeyError(
        'expected an AES-256-XTS key whose two 32-byte halves differ, found equal halves; derive 64 bytes anew',
      )
    }
  })
}

/** Throws RangeError or TypeError unless `length` bytes are whole sectors of the layout with tweaks below 2^64. */
export function checkLayout(layout: SectorLayout, length: number): void {
  const { firstSector, sectorSize, tweakStep } = layout
  assertU64('firstSector', firstSector)
  assertU64('tweakStep', tweakStep)
  if (!sectorSizes.includes(sectorSize)) {
    throw new RangeError(`"sectorSize" expected one of ${sectorSizes.join(', ')}, got ${String(sectorSize)}`)
  }
  if (length % sectorSize !== 0) {
    throw new RangeError(
      `"input" expected whole sectors of ${String(sectorSize)} bytes, got length=${String(length)}`,
    )
  }
  const sectors = BigInt(length / sectorSize)
  if (sectors > 0n && firstSector + (sectors - 1n) * tweakStep > U64_MAX) {
    throw new RangeError(
      `expected tweak numbers below 2^64, got ${sectors.toString()} sectors from ${firstSector.toString()}`,
    )
  }
}

/** Throws RangeError or TypeError unless the buffers are as {@link SectorBuffers} says. */
export function checkBuffers({ input, output }: SectorBuffers): void {
  assertBytes('input', input)
  assertBytes('output', output, input.length)
  if (input.buffer !== output.buffer || input.byteOffset === output.byteOffset) return
  if (Math.abs(input.byteOffset - output.byteOffset) < input.length) {
    throw new RangeError(
      '"output" expected the same bytes as "input" or disjoint ones, got a partial overlap',
    )
  }
}

/**
 * The tweak numbers of `sectors` sectors from sector `start` of the layout, as LE128 blocks: 16 bytes each, to be
 * encrypted with the tweak key. Two 32-bit words with carry, not bigint: this runs for every sector.
 */
export function tweakNumbers(layout: SectorLayout, start: number, sectors: number): Uint8Array {
  const out = new Uint8Array(sectors * 16)
  const view = new DataView(out.buffer)
  const first = start === 0 ? layout.firstSector : layout.firstSector + BigInt(start) * layout.tweakStep
  if (sectors === 1) {
    view.setBigUint64(0, first, true)
    return out
  }
  const stepLow = Number(layout.tweakStep & 0xffff_ffffn)
  const stepHigh = Number(layout.tweakStep >> 32n)
  let low = Number(first & 0xffff_ffffn)
  let high = Number(first >> 32n)
  for (let offset = 0; offset < out.length; offset += 16) {
    view.setUint32(offset, low, true)
    view.setUint32(offset + 4, high, true)
    low += stepLow
    high += stepHigh
    if (low > 0xffff_ffff) {
      low -= 0x1_0000_0000
      high += 1
    }
  }
  return out
}
