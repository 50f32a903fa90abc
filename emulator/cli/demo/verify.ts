// An independent reader: decrypts what the host holds with node:crypto alone, block by block, and compares it with the
// file. It shares no code with the worker, so that both being wrong in the same way would have to be a coincidence.

import { createDecipheriv, hkdfSync } from 'node:crypto'

const BLOCK = 4096
const SECTOR = 512

/** Little-endian 128-bit tweak. */
function tweak(value: bigint): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64LE(value & 0xffff_ffff_ffff_ffffn, 0)
  bytes.writeBigUInt64LE(value >> 64n, 8)
  return bytes
}

/** Plaintext of a guest page whose key depends on its location: key from root and frame, tweak the frame. */
export function openPage(rootKey: Uint8Array, frame: bigint, ciphertext: Uint8Array): Buffer {
  const place = Buffer.alloc(8)
  place.writeBigUInt64LE(frame)
  const info = Buffer.concat([Buffer.from('palimpsest/v1/location/aes-256-xts'), place])
  const key = Buffer.from(hkdfSync('sha256', rootKey, new Uint8Array(), info, 64))
  const decipher = createDecipheriv('aes-256-xts', key, tweak(frame))
  return Buffer.concat([decipher.update(ciphertext), decipher.final()])
}

/** Plaintext of a disk block: one data unit per 512-byte sector, tweak the sector number (plain64). */
export function openDiskBlock(volumeKey: Uint8Array, block: bigint, ciphertext: Uint8Array): Buffer {
  const sectors: Buffer[] = []
  for (let index = 0; index < BLOCK / SECTOR; index += 1) {
    const number = block * BigInt(BLOCK / SECTOR) + BigInt(index)
    const decipher = createDecipheriv('aes-256-xts', volumeKey, tweak(number))
    sectors.push(decipher.update(ciphertext.subarray(index * SECTOR, (index + 1) * SECTOR)), decipher.final())
  }
  return Buffer.concat(sectors)
}

/** Blocks that were compared, and those that differ. */
export interface Comparison {
  readonly blocks: number
  readonly different: readonly number[]
}

/** Compares `blocks` opened blocks with `expected`, which is zero beyond its end. */
export async function compareBlocks(
  blocks: number,
  expected: Uint8Array,
  open: (first: number, count: number) => Promise<readonly Buffer[]>,
): Promise<Comparison> {
  const different: number[] = []
  const step = 256
  for (let first = 0; first < blocks; first += step) {
    const opened = await open(first, Math.min(step, blocks - first))
    for (const [index, plaintext] of opened.entries()) {
      if (!plaintext.equals(wanted(expected, first + index))) different.push(first + index)
    }
  }
  return { blocks, different }
}

function wanted(expected: Uint8Array, block: number): Uint8Array {
  const part = expected.subarray(block * BLOCK, (block + 1) * BLOCK)
  if (part.length === BLOCK) return part
  const whole = new Uint8Array(BLOCK)
  whole.set(part)
  return whole
}
