/**
 * Checks of what callers of the host's API send, before anything is changed. Each names the field, what was expected
 * and what was found.
 * Source: hypervisor.proto, disk_port.proto.
 */
import { BlockError, RangeMap } from '../../sdk/block/index.ts'
import { PalimpsestError, type RangePair, invalidField } from '../../sdk/rpc/index.ts'

export const pageBytes = 4096n
/** Guest physical addresses of the emulated machine have 44 bits: page numbers have 32. */
const memoryLimit = 1n << 44n
/** Pages in one memory clone: the keys of so many, 64 bytes each, fit into one message of 64 MiB. */
const clonePages = 524_288n
const sectorBytes = 512n
const diskRequestLimit = 4 << 20

/** A name of a VM, volume or clone. */
export function checkName(field: string, name: string): string {
  if (/^[a-z0-9-]{1,64}$/.test(name)) return name
  throw invalidField(field, `expected 1 to 64 of a-z 0-9 and -, found ${JSON.stringify(name.slice(0, 80))}`)
}

/** Bytes of guest memory; 0 is a VM without memory. */
export function checkMemoryBytes(field: string, bytes: bigint): bigint {
  if (bytes % pageBytes === 0n && bytes <= memoryLimit) return bytes
  throw invalidField(
    field,
    `expected a multiple of 4096, at most ${String(memoryLimit)}, found ${String(bytes)}`,
  )
}

/** Where memory without frames begins, or the end of memory. */
export function checkUnmappedFrom(from: bigint | undefined, memoryBytes: bigint): bigint {
  if (from === undefined) return memoryBytes
  if (from % pageBytes === 0n && from <= memoryBytes) return from
  const most = String(memoryBytes)
  throw invalidField(
    'unmappedFrom',
    `expected a multiple of 4096, at most memoryBytes (${most}), found ${String(from)}`,
  )
}

/** Bytes of a volume. */
export function checkVolumeSize(size: bigint): bigint {
  if (size > 0n && size % pageBytes === 0n) return size
  throw invalidField('size', `expected a multiple of 4096 above 0, found ${String(size)}`)
}

/** Pairs of page ranges, each page once on each side. @throws PalimpsestError INVALID_ARGUMENT, OUT_OF_RANGE. */
export function checkPairs(pairs: readonly RangePair[]): RangeMap {
  if (pairs.length === 0) throw invalidField('memory.pairs', 'expected at least one pair, found none')
  const map = rangeMap(pairs)
  if (map.size <= clonePages) return map
  const message = `expected at most ${String(clonePages)} pages in a memory clone, found ${String(map.size)}: make several`
  throw new PalimpsestError('OUT_OF_RANGE', message)
}

function rangeMap(pairs: readonly RangePair[]): RangeMap {
  try {
    return RangeMap.from(pairs)
  } catch (error) {
    const isRefusal = error instanceof RangeError || error instanceof BlockError
    if (isRefusal) throw invalidField('memory.pairs', error.message)
    throw error
  }
}

/** A number of things that may be asked for at once. */
export function checkCount(field: string, count: number, most: number): number {
  if (count >= 1 && count <= most) return count
  throw invalidField(field, `expected 1 to ${most}, found ${count}`)
}

/** Offset and length of a guest's disk access. */
export function checkSectors(offset: bigint, length: number): void {
  if (offset % sectorBytes !== 0n) {
    throw invalidField('offset', `expected a multiple of 512, found ${String(offset)}`)
  }
  if (length === 0 || length % Number(sectorBytes) !== 0 || length > diskRequestLimit) {
    throw invalidField(
      'length',
      `expected a multiple of 512 from 512 to ${diskRequestLimit} bytes, found ${length}`,
    )
  }
}
