/** What the writer that gets killed writes, and how it reports it: shared by the writer and its test. */

/** Sectors of a volume. */
export const SECTORS = 24 * 8

/** One operation that the store acknowledged. */
export type Acknowledged =
  | {
      readonly kind: 'write'
      readonly volume: string
      readonly sectors: readonly number[]
      readonly version: number
    }
  | { readonly kind: 'clone'; readonly volume: string }

/** Volume -> sector -> version. */
export type Volumes = Map<string, Map<number, number>>

/** Content of a sector: its version in the first four bytes, and all of it a function of both numbers. */
export function sectorBytes(sector: number, version: number): Buffer {
  const bytes = Buffer.alloc(512, (sector * 31 + version * 7) & 0xff)
  bytes.writeUInt32LE(version, 0)
  return bytes
}
