// A reader of UEFI firmware volumes: volumes of a flash file, files of a volume (FFS2 and FFS3), sections of a file, LZMA
// sections unpacked. It opens one level at a time, so nothing can be nested deeper than a caller goes.
// Source: UEFI Platform Initialization Specification 1.8, Volume 3, clauses 3.2.1 (EFI_FIRMWARE_VOLUME_HEADER), 3.2.2
// (file systems), 3.2.3 (EFI_FFS_FILE_HEADER), 3.2.4 (sections); EDK II for the LZMA section's GUID.

import {
  ATTRIB_CHECKSUM,
  checksum16,
  checksum8,
  FFS2_GUID,
  FILE_ALIGNMENT,
  FILE_HEADER_LENGTH,
  FIXED_CHECKSUM,
  SECTION_ALIGNMENT,
  VOLUME_SIGNATURE,
} from '../volume-format.ts'
import { Area } from './area.ts'
import { decodeLzma } from './lzma.ts'

const FFS3_GUID = '5473c07a-3dcb-4dca-bd6f-1e9689e7349a'
const LZMA_GUID = 'ee4e5898-3914-4259-9d6e-dc7bd79403cf'
/** Volumes start at pages of the flash. */
const PAGE = 4096
/** Unpacked bytes of one section: the largest flash of a PC unpacks to less. */
const MAX_UNPACKED = 64 * 1024 * 1024
/** Files of a volume, and sections of a file: real firmware has some hundred. */
const MAX_PARTS = 4096

/** A volume that can be searched for files, or, as a store of variables, by its file system's own rules. */
export interface Volume {
  /** all of it, header included */
  readonly area: Area
  readonly fileSystem: string
  readonly headerLength: number
  /** what erased flash reads as: 0x00 or 0xff */
  readonly erased: number
  /** where the first file starts, behind the extended header if there is one */
  readonly firstFile: number
}

/** A file of a volume. */
export interface FirmwareFile {
  readonly guid: string
  /** EFI_FV_FILETYPE_* */
  readonly type: number
  readonly body: Area
}

/** A section of a file, or of what an LZMA section unpacks to. */
export interface Section {
  /** EFI_SECTION_* */
  readonly type: number
  /** all of it, header included */
  readonly area: Area
  readonly body: Area
}

const align = (value: number, alignment: number) => Math.ceil(value / alignment) * alignment

function hasSignature(flash: Area, at: number): boolean {
  const found = flash.bytes.subarray(at + 40, at + 44)
  return found.length === 4 && Buffer.from(found).toString('latin1') === VOLUME_SIGNATURE
}

/** The volume that `area` is, or starts with. Throws FirmwareError IMAGE_MALFORMED when there is none. */
export function readVolume(area: Area): Volume {
  if (!hasSignature(area, 0))
    area.malformed(40, `expected the signature ${VOLUME_SIGNATURE} of a firmware volume`)
  const whole = area.part(0, area.uint64(32, 'FvLength'), 'a firmware volume')
  const headerLength = whole.uint16(48, 'HeaderLength')
  if (headerLength < 56 || headerLength % 2 !== 0) {
    whole.malformed(48, `expected an even HeaderLength from 56 on, found ${String(headerLength)}`)
  }
  if (checksum16(whole.part(0, headerLength, 'the volume header').bytes) !== 0) {
    whole.malformed(50, 'expected a volume header whose 16-bit words add up to zero, found another sum')
  }
  const extended = whole.uint16(52, 'ExtHeaderOffset')
  const firstFile = extended === 0 ? headerLength : extended + whole.uint32(extended + 16, 'ExtHeaderSize')
  const attributes = whole.uint32(44, 'Attributes')
  return {
    area: whole,
    fileSystem: whole.guid(16, 'FileSystemGuid'),
    headerLength,
    erased: (attributes & 0x800) === 0 ? 0x00 : 0xff,
    firstFile: align(firstFile, FILE_ALIGNMENT),
  }
}

/** The volumes of a flash file, in their order. */
export function volumesOf(flash: Area): Volume[] {
  const volumes: Volume[] = []
  let at = 0
  while (at < flash.length) {
    if (!hasSignature(flash, at)) {
      at += PAGE
      continue
    }
    const volume = readVolume(flash.part(at))
    volumes.push(volume)
    at = align(at + volume.area.length, PAGE)
  }
  return volumes
}

/** The files of a volume, in their order, without those that are deleted. */
export function filesOf(volume: Volume): FirmwareFile[] {
  const { area, fileSystem, erased } = volume
  if (fileSystem !== FFS2_GUID && fileSystem !== FFS3_GUID) {
    area.unsupported(16, `expected a volume of file system FFS2 or FFS3, found ${fileSystem}`)
  }
  const files: FirmwareFile[] = []
  let deleted = 0
  let at = volume.firstFile
  while (at + FILE_HEADER_LENGTH <= area.length) {
    const header = area.part(at, FILE_HEADER_LENGTH, 'a file header')
    if (header.bytes.every((octet) => octet === erased)) break
    if (files.length + deleted >= MAX_PARTS)
      area.malformed(at, `expected at most ${String(MAX_PARTS)} files, found more`)
    const length = fileLength(area, at)
    const file = area.part(at, length, 'a file')
    const state = header.uint8(23, 'State') ^ erased
    checkFileHeader(file)
    if (isPresent(state)) files.push(readFile(file))
    else deleted += 1
    at = align(at + length, FILE_ALIGNMENT)
  }
  return files
}

/** EFI_FILE_DATA_VALID or EFI_FILE_MARKED_FOR_UPDATE is the highest bit that is set. */
function isPresent(state: number): boolean {
  return state >= 0x04 && state < 0x10
}

const isLarge = (file: Area) => (file.uint8(19, 'Attributes') & 0x01) !== 0

function headerLengthOf(file: Area): number {
  return isLarge(file) ? FILE_HEADER_LENGTH + 8 : FILE_HEADER_LENGTH
}

function fileLength(volume: Area, at: number): number {
  const rest = volume.part(at)
  const length = isLarge(rest) ? rest.uint64(24, 'ExtendedSize') : rest.uint24(20, 'Size')
  if (length < headerLengthOf(rest)) {
    rest.malformed(
      20,
      `expected a file of at least ${String(headerLengthOf(rest))} bytes, found ${String(length)}`,
    )
  }
  return length
}

/** Header and state have their own sums: the octets of the file's checksum and state count as zero. */
function checkFileHeader(file: Area): void {
  const header = file.bytes.slice(0, headerLengthOf(file))
  header[17] = 0
  header[23] = 0
  if (checksum8(header) !== 0)
    file.malformed(16, 'expected a file header whose octets add up to zero, found another sum')
}

function readFile(file: Area): FirmwareFile {
  const body = file.part(headerLengthOf(file))
  const summed = (file.uint8(19, 'Attributes') & ATTRIB_CHECKSUM) !== 0
  const expected = summed ? checksum8(body.bytes) : FIXED_CHECKSUM
  if (file.uint8(17, 'checksum of the data') !== expected) {
    file.malformed(17, `expected the checksum 0x${expected.toString(16)} of the file's data, found another`)
  }
  return { guid: file.guid(0, 'Name'), type: file.uint8(18, 'Type'), body }
}

/** Sections one after the other, each aligned from the start of `body`. */
export function sectionsOf(body: Area): Section[] {
  const sections: Section[] = []
  let at = 0
  while (at < body.length) {
    if (sections.length >= MAX_PARTS)
      body.malformed(at, `expected at most ${String(MAX_PARTS)} sections, found more`)
    const size = body.uint24(at, 'section size')
    const extended = size === 0xffffff
    const header = extended ? 8 : 4
    const length = extended ? body.uint32(at + 4, 'ExtendedSize') : size
    if (length < header)
      body.malformed(at, `expected a section of at least ${String(header)} bytes, found ${String(length)}`)
    const area = body.part(at, length, 'a section')
    sections.push({ type: area.uint8(3, 'section type'), area, body: area.part(header) })
    at = align(at + length, SECTION_ALIGNMENT)
  }
  return sections
}

/**
 * What a GUID-defined section (SECTION_TYPE.GUID_DEFINED) unpacks to: sections. Throws FirmwareError IMAGE_UNSUPPORTED for another compression than
 * LZMA, and IMAGE_MALFORMED for a damaged one or one of more than 64 MiB.
 */
export function unpackSection({ area, body }: Section): Area {
  const guid = body.guid(0, 'SectionDefinitionGuid')
  if (guid !== LZMA_GUID)
    area.unsupported(0, `expected a section compressed with LZMA (${LZMA_GUID}), found ${guid}`)
  const stream = area.part(body.uint16(16, 'DataOffset'))
  return new Area(decodeLzma(stream, MAX_UNPACKED), `${area.place(0)}, unpacked`)
}
