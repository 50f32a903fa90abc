// A writer of UEFI firmware volumes: header, block map, FFS2 files with sections, padding, and a volume top file that
// ends where the processor starts. Enough for an image that UEFI tools parse; not a general firmware builder.
// Source: UEFI Platform Initialization Specification 1.8, Volume 3, clauses 3.2.1 (EFI_FIRMWARE_VOLUME_HEADER), 3.2.3
// (EFI_FFS_FILE_HEADER), 3.2.4 (EFI_COMMON_SECTION_HEADER), 3.2.2 (EFI_FIRMWARE_FILE_SYSTEM2_GUID, volume top file).

import { concatBytes } from '../../../sdk/crypto/index.ts'
import { guidBytes } from '../../../sdk/evidence/index.ts'
import {
  ATTRIB_CHECKSUM,
  checksum16,
  checksum8,
  FFS2_GUID,
  FILE_ALIGNMENT,
  FILE_HEADER_LENGTH,
  FILE_TYPE,
  FIXED_CHECKSUM,
  SECTION_ALIGNMENT,
  SECTION_TYPE,
  VOLUME_SIGNATURE,
} from './volume-format.ts'

const VOLUME_TOP_GUID = '1ba0062e-c779-4582-8566-336ae8f78f09'
const PAD_GUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** Readable and writable flash that erases to ones, files aligned to 8 (EFI_FVB_ATTRIBUTES_2). */
const VOLUME_ATTRIBUTES = 0x0004feff
const VOLUME_REVISION = 2
const BLOCK_SIZE = 4096
const HEADER_LENGTH = 72
const MAX_UINT24 = 0xffffff

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

function utf16(text: string): Uint8Array {
  const terminated = `${text}\0`
  return concatBytes(
    ...Array.from({ length: terminated.length }, (_, index) => unsigned(2, terminated.charCodeAt(index))),
  )
}

function padTo(bytes: Uint8Array, alignment: number, fill: number): Uint8Array {
  const rest = (alignment - (bytes.length % alignment)) % alignment
  return concatBytes(bytes, new Uint8Array(rest).fill(fill))
}

function section(type: number, body: Uint8Array): Uint8Array {
  return concatBytes(unsigned(3, 4 + body.length), Uint8Array.of(type), body)
}

/** Sections one after the other, each aligned. */
function sections(...parts: readonly Uint8Array[]): Uint8Array {
  return parts.reduce(
    (whole, part) => concatBytes(padTo(whole, SECTION_ALIGNMENT, 0), part),
    new Uint8Array(0),
  )
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
      new TextEncoder().encode(VOLUME_SIGNATURE),
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
