/**
 * Checks of what callers pass to the volume store. Wrong types are programmer errors (TypeError, RangeError); ids,
 * sizes and ranges may come from a guest or an operator and are refused with a StorageError.
 */
import { randomUUID } from 'node:crypto'
import { BLOCK_SIZE, CHUNK_BLOCKS, SECTOR_SIZE } from './bitmap.ts'
import { StorageError } from './errors.ts'
import { CHUNKS_PER_LAYER } from './layer-maps.ts'

/** Largest volume in blocks: 256 TiB, as many as a layer's map has keys for. */
const MAX_BLOCKS = BigInt(CHUNKS_PER_LAYER) * BigInt(CHUNK_BLOCKS)

const VOLUME_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** The id to use: the caller's, or a new one. */
export function volumeId(id: string | undefined): string {
  if (id === undefined) return `vol-${randomUUID()}`
  if (VOLUME_ID.test(id)) return id
  throw new StorageError(
    'BAD_VOLUME_ID',
    `a volume id has 1 to 128 of A-Z a-z 0-9 . _ - and begins with a letter or digit, got ${JSON.stringify(id.slice(0, 140))}`,
  )
}

/** A volume's size in blocks. */
export function blocksOfSize(sizeBytes: bigint): number {
  const blocks = sizeBytes / BigInt(BLOCK_SIZE)
  if (sizeBytes > 0n && sizeBytes % BigInt(BLOCK_SIZE) === 0n && blocks <= MAX_BLOCKS) return Number(blocks)
  throw new StorageError(
    'BAD_SIZE',
    `a volume's size is a multiple of ${String(BLOCK_SIZE)} bytes from ${String(BLOCK_SIZE)} to ` +
      `${(MAX_BLOCKS * BigInt(BLOCK_SIZE)).toString()}, got ${sizeBytes.toString()}`,
  )
}

/** First block and end of a range inside a volume, as numbers. */
export function blockRange(
  volume: { id: string; blocks: number },
  first: bigint,
  count: number,
): [number, number] {
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new RangeError(`"count" expected a whole number of blocks, got ${String(count)}`)
  }
  if (first >= 0n && first + BigInt(count) <= BigInt(volume.blocks))
    return [Number(first), Number(first) + count]
  throw new StorageError(
    'OUT_OF_RANGE',
    `blocks ${first.toString()} to ${(first + BigInt(count)).toString()} lie outside volume ${volume.id}, ` +
      `which has ${String(volume.blocks)} blocks`,
    { volume: volume.id },
  )
}

/** The number of blocks in a buffer of whole blocks. */
export function wholeBlocks(name: string, bytes: Uint8Array): number {
  if (!(bytes instanceof Uint8Array))
    throw new TypeError(`"${name}" expected Uint8Array, got ${typeof bytes}`)
  if (bytes.length % BLOCK_SIZE === 0) return bytes.length / BLOCK_SIZE
  throw new RangeError(
    `"${name}" expected a multiple of ${String(BLOCK_SIZE)} bytes, got length=${String(bytes.length)}`,
  )
}

/** The byte position of a guest write, as a number. */
export function sectorPosition(
  volume: { id: string; blocks: number },
  byteOffset: bigint,
  bytes: Uint8Array,
): number {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`"bytes" expected Uint8Array, got ${typeof bytes}`)
  if (byteOffset % BigInt(SECTOR_SIZE) !== 0n || bytes.length % SECTOR_SIZE !== 0) {
    throw new StorageError(
      'MISALIGNED',
      `a write covers whole sectors of ${String(SECTOR_SIZE)} bytes, got ${String(bytes.length)} bytes ` +
        `at byte ${byteOffset.toString()}`,
      { volume: volume.id },
    )
  }
  const sizeBytes = BigInt(volume.blocks) * BigInt(BLOCK_SIZE)
  if (byteOffset >= 0n && byteOffset + BigInt(bytes.length) <= sizeBytes) return Number(byteOffset)
  throw new StorageError(
    'OUT_OF_RANGE',
    `${String(bytes.length)} bytes at byte ${byteOffset.toString()} lie outside volume ${volume.id}, ` +
      `which has ${sizeBytes.toString()} bytes`,
    { volume: volume.id },
  )
}
