// A writer of UEFI firmware volumes: header, block map, FFS2 files with sections, padding, and a volume top file that
// ends where the processor starts. Enough for an image that UEFI tools parse; not a general firmware builder.
// Source: UEFI Platform Initialization Specification 1.8, Volume 3, clauses 3.2.1 (EFI_FIRMWARE_VOLUME_HEADER), 3.2.3
// (EFI_FFS_FILE_HEADER), 3.2.4 (EFI_COMMON_SECTION_HEADER), 3.2.2 (EFI_FIRMWARE_FILE_SYSTEM2_GUID, volume top file).

import { concatBytes } from '../../../sdk/crypto/index.ts'

const FFS2_GUID = '8c8ce578-8a3d-4f1c-9935-896185c32dd3'
const VOLUME_TOP_GUID = '1ba0062e-c779-4582-8566-336ae8f78f09'
const PAD_GUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** EFI_FV_FILETYPE_*. */
const FILE_TYPE = { RAW: 0x01, FREEFORM: 0x02, PAD: 0xf0 } as const
/** EFI_SECTION_*. */
const SECTION_TYPE = { VERSION: 0x14, USER_INTERFACE: 0x15, RAW: 0x19 } as const

/** Readable and writable flash that erases to ones, files aligned to 8 (EFI_FVB_ATTRIBUTES_2). */
const VOLUME_ATTRIBUTES = 0x0004feff
const VOLUME_REVISION = 2
const BLOCK_SIZE = 4096
const HEADER_LENGTH = 72
const FILE_HEADER_LENGTH = 24
const FILE_ALIGNMENT = 8
const MAX_UINT24 = 0xffffff

/** FFS_ATTRIB_CHECKSUM: the file's data have a checksum of their own. */
const ATTRIB_CHECKSUM = 0x40
/** FFS_FIXED_CHECKSUM: stands where the data have none. */
const FIXED_CHECKSUM = 0xaa
/** Header and data are valid (bits 0, 1, 2), written inverted because the volume erases to ones. */
const STATE_VALID = 0xf8
const ERASED = 0xff

/** A file of a volume: free form, with a raw section, a name and a version. */
export interface VolumeFile {
  /** 8-4-4-4-12 hexadecimal digits, lower case */
  readonly guid: string
  readonly name: string
  readonly version: string
  readonly content: Uint8Array
}

function unsigned(size: 2 | 3 | 4 | 8, value: number): Uint8Array {
  const eight = new Uint8Array(8)
  new DataView(eight.buffer).setBigUint64(0, BigInt(value), true)
  return eight.slice(0, size)
}

/** A GUID's 16 octets: the first three fields little-endian, the rest as written. Source: RFC 9562 and UEFI, appendix A. */
function guidBytes(guid: string): Uint8Array {
  const octets = new Uint8Array(Buffer.from(guid.replaceAll('-', ''), 'hex'))
  const field = (start: number, end: number): Uint8Array => octets.slice(start, end).reverse()
  return concatBytes(field(0, 4), field(4, 6), field(6, 8), octets.subarray(8))
}

function utf16(text: string): Uint8Array {
  const terminated = `${text}\0`
  return concatBytes(
    ...Array.from({ length: terminated.length }, (_, index) => unsigned(2, terminated.charCodeAt(index))),
  )
}

/** The octet that makes the sum of all octets zero. */
function checksum8(bytes: Uint8Array): number {
  return -bytes.reduce((sum, octet) => sum + octet, 0) & 0xff
}

/** The 16-bit value that makes the sum of all little-endian 16-bit values zero. */
function checksum16(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let sum = 0
  for (let offset = 0; offset < bytes.length; offset += 2) sum += view.getUint16(offset, true)
  return -sum & 0xffff
}

function padTo(bytes: Uint8Array, alignment: number, fill: number): Uint8Array {
  const rest = (alignment - (bytes.length % alignment)) % alignment
  return concatBytes(bytes, new Uint8Array(rest).fill(fill))
}

function section(type: number, body: Uint8Array): Uint8Array {
  return concatBytes(unsigned(3, 4 + body.length), Uint8Array.of(type), body)
}

/** Sections one after the other, each starting at a multiple of 4. */
function sections(...parts: readonly Uint8Array[]): Uint8Array {
  return parts.reduce((whole, part) => concatBytes(padTo(whole, 4, 0), part), new Uint8Array(0))
}

function ffsFile(guid: string, type: number, data: Uint8Array): Uint8Array {
  const size = FILE_HEADER_LENGTH + data.length
  if (size > MAX_UINT24)
    throw new RangeError(`expected a file of at most ${String(MAX_UINT24)} bytes, got ${String(size)}`)
  const attributes = type === FILE_TYPE.PAD ? 0 : ATTRIB_CHECKSUM
  const header = (headerSum: number, dataSum: number, state: number): Uint8Array =>
    concatBytes(
      guidBytes(guid),
      Uint8Array.of(headerSum, dataSum, type, attributes),
      unsigned(3, size),
      Uint8Array.of(state),
    )
  const dataSum = attributes === 0 ? FIXED_CHECKSUM : checksum8(data)
  return concatBytes(header(checksum8(header(0, 0, 0)), dataSum, STATE_VALID), data)
}

function freeformFile(file: VolumeFile): Uint8Array {
  const body = sections(
    section(SECTION_TYPE.RAW, file.content),
    section(SECTION_TYPE.USER_INTERFACE, utf16(file.name)),
    section(SECTION_TYPE.VERSION, concatBytes(unsigned(2, 0), utf16(file.version))),
  )
  return ffsFile(file.guid, FILE_TYPE.FREEFORM, body)
}

function volumeHeader(length: number): Uint8Array {
  const header = (checksum: number): Uint8Array =>
    concatBytes(
      new Uint8Array(16),
      guidBytes(FFS2_GUID),
      unsigned(8, length),
      new TextEncoder().encode('_FVH'),
      unsigned(4, VOLUME_ATTRIBUTES),
      unsigned(2, HEADER_LENGTH),
      unsigned(2, checksum),
      unsigned(2, 0),
      Uint8Array.of(0, VOLUME_REVISION),
      unsigned(4, length / BLOCK_SIZE),
      unsigned(4, BLOCK_SIZE),
      new Uint8Array(8),
    )
  return header(checksum16(header(0)))
}

/**
 * Builds a volume of `length` bytes (a multiple of 4096): the files, one pad file over the free space, and the volume
 * top file whose data `top` end at the volume's last byte. The same arguments give the same bytes.
 * Throws RangeError when the contents do not fit.
 */
export function buildVolume(options: {
  readonly length: number
  readonly files: readonly VolumeFile[]
  readonly top: Uint8Array
}): Uint8Array {
  const { length, files, top } = options
  if (length % BLOCK_SIZE !== 0 || (FILE_HEADER_LENGTH + top.length) % FILE_ALIGNMENT !== 0) {
    throw new RangeError('expected a volume of whole blocks and a volume top file of whole 8-byte units')
  }
  const aligned = files.map((file) => padTo(freeformFile(file), FILE_ALIGNMENT, ERASED))
  const topFile = ffsFile(VOLUME_TOP_GUID, FILE_TYPE.RAW, top)
  const used = [...aligned, topFile].reduce((sum, file) => sum + file.length, HEADER_LENGTH)
  const free = length - used - FILE_HEADER_LENGTH
  if (free < 0) {
    throw new RangeError(`expected contents of at most ${String(length)} bytes, got ${String(length - free)}`)
  }
  const pad = ffsFile(PAD_GUID, FILE_TYPE.PAD, new Uint8Array(free).fill(ERASED))
  return concatBytes(volumeHeader(length), ...aligned, pad, topFile)
}
