// Firmware images made up for tests: a pattern, and at the end the tables that OVMF has for SEV-SNP, byte by byte.

/** Base, size and type of a section. */
export type Section = readonly [address: number, length: number, type: number]

export interface ImageParts {
  readonly pages?: number
  /** absent: no SEV metadata */
  readonly sections?: readonly Section[]
  /** absent: no SEV-ES reset block */
  readonly resetAddress?: number
  /** address and length; absent: no entry for the SEV hash table */
  readonly hashTable?: readonly [address: number, length: number]
  /** entries besides those, outermost */
  readonly more?: readonly (readonly [guid: string, data: Uint8Array])[]
}

/** GUIDs of the table's entries, as they stand in memory. */
export const GUID = {
  footer: 'de82b596b21ff745baeaa366c55a082d',
  resetBlock: 'de71f7007e1acb4f890e68c77e2fb44e',
  hashTable: '1f3755723b3a044b927b1da6efa8d454',
  metadata: '666588dc4a989847a75e5585a7bf67cc',
} as const

/** Bytes after the table. */
const AFTER_TABLE = 32

/** All kinds of sections, in OVMF's places. */
export const SECTIONS: readonly Section[] = [
  [0x80_0000, 0x9000, 1],
  [0x80_d000, 0x1000, 2],
  [0x80_e000, 0x1000, 3],
  [0x80_f000, 0x1000, 4],
  [0x81_0000, 0x1000, 0x10],
  [0x81_1000, 0x2000, 1],
]

/** An image for everything: six sections, a reset block and a place for kernel hashes. */
export const COMPLETE: ImageParts = {
  sections: SECTIONS,
  resetAddress: 0x80_b004,
  hashTable: [0x81_0c00, 0x400],
}

export function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, at) => bytes.writeUInt32LE(value, 4 * at))
  return bytes
}

/** An entry: data, length of the whole, GUID. */
function entry(guid: string, data: Uint8Array, length = data.length + 18): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16LE(length)
  return Buffer.concat([data, size, Buffer.from(guid, 'hex')])
}

/** The descriptor of the sections; its bytes begin {@link METADATA_OFFSET} bytes before the image's end. */
function metadata(sections: readonly Section[]): Buffer {
  const header = words(16 + 12 * sections.length, 1, sections.length)
  return Buffer.concat([Buffer.from('ASEV'), header, ...sections.map((section) => words(...section))])
}

/** Where the SEV metadata begin, in bytes before the image's end. */
export const METADATA_OFFSET = 1024

/** The image: no two of its pages are equal. */
export function firmwareImage(parts: ImageParts): Uint8Array {
  const { pages = 2, sections, resetAddress, hashTable, more = [] } = parts
  const image = Buffer.from(Array.from({ length: pages * 4096 }, (_, at) => (at % 251) ^ ((at >> 8) % 256)))
  const entries = [
    ...more.map(([guid, data]) => entry(guid, data)),
    ...(sections === undefined ? [] : [entry(GUID.metadata, words(METADATA_OFFSET))]),
    ...(hashTable === undefined ? [] : [entry(GUID.hashTable, words(...hashTable))]),
    ...(resetAddress === undefined ? [] : [entry(GUID.resetBlock, words(resetAddress))]),
  ]
  const body = Buffer.concat(entries)
  const table = Buffer.concat([body, entry(GUID.footer, Buffer.alloc(0), body.length + 18)])
  table.copy(image, image.length - AFTER_TABLE - table.length)
  if (sections !== undefined) metadata(sections).copy(image, image.length - METADATA_OFFSET)
  return new Uint8Array(image)
}
