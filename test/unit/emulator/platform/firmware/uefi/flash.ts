// Firmware volumes, PE images and flash files for tests, as small as they may be and as wrong as a test wants them.

import { concatBytes, utf8 } from '../../../../../../sdk/crypto/index.ts'
import { guid, le, utf16 } from '../../../../sdk/evidence/logs.ts'
import { lzma } from './lzma-encoder.ts'

const FFS2 = '8c8ce578-8a3d-4f1c-9935-896185c32dd3'
export const FFS3 = '5473c07a-3dcb-4dca-bd6f-1e9689e7349a'
export const LZMA = 'ee4e5898-3914-4259-9d6e-dc7bd79403cf'
const NV_DATA = 'fff12b8d-7696-4c8b-a985-2747075b4f50'
/** The first file of volume() starts here. */
export const FIRST_FILE = 72

const sum8 = (bytes: Uint8Array) => -bytes.reduce((sum, octet) => sum + octet, 0) & 0xff

function pad(bytes: Uint8Array, alignment: number, fill = 0xff): Uint8Array {
  const rest = -bytes.length & (alignment - 1)
  return concatBytes(bytes, new Uint8Array(rest).fill(fill))
}

/** EFI_COMMON_SECTION_HEADER and a body. */
export function section(type: number, body: Uint8Array): Uint8Array {
  return concatBytes(le(3, 4 + body.length), Uint8Array.of(type), body)
}

/** EFI_COMMON_SECTION_HEADER2 and a body: the size has 32 bits. */
export function extendedSection(type: number, body: Uint8Array): Uint8Array {
  return concatBytes(le(3, 0xffffff), Uint8Array.of(type), le(4, 8 + body.length), body)
}

export function sections(...parts: readonly Uint8Array[]): Uint8Array {
  return parts.reduce((all, part) => concatBytes(pad(all, 4, 0), part), new Uint8Array())
}

/** EFI_GUID_DEFINED_SECTION. */
export function guidedSection(definition: string, data: Uint8Array): Uint8Array {
  return section(0x02, concatBytes(guid(definition), le(2, 24), le(2, 1), data))
}

/** EFI_FFS_FILE_HEADER, or _HEADER2 when `large`, and a body. */
export function file(options: {
  guid: string
  type?: number
  body: Uint8Array
  checksum?: boolean
  large?: boolean
  state?: number
}): Uint8Array {
  const { guid: name, type = 0x02, body, checksum = false, large = false, state = 0xf8 } = options
  const size = (large ? 32 : 24) + body.length
  const attributes = (checksum ? 0x40 : 0) | (large ? 0x01 : 0)
  const header = (headerSum: number, dataSum: number, stateNow: number) =>
    concatBytes(
      guid(name),
      Uint8Array.of(headerSum, dataSum, type, attributes),
      le(3, large ? 0 : size),
      Uint8Array.of(stateNow),
      large ? le(8, size) : new Uint8Array(),
    )
  return concatBytes(header(sum8(header(0, 0, 0)), checksum ? sum8(body) : 0xaa, state), body)
}

/** EFI_FIRMWARE_VOLUME_HEADER, files, and erased flash up to a multiple of `block` bytes. */
export function volume(
  files: readonly Uint8Array[],
  { fileSystem = FFS2, block = 64, length }: { fileSystem?: string; block?: number; length?: number } = {},
): Uint8Array {
  const content = concatBytes(...files.map((one) => pad(one, 8)))
  const body = pad(concatBytes(new Uint8Array(FIRST_FILE), content), block)
  const header = (checksum: number) =>
    concatBytes(
      new Uint8Array(16),
      guid(fileSystem),
      le(8, length ?? body.length),
      utf8('_FVH'),
      le(4, 0x0004feff),
      le(2, FIRST_FILE),
      le(2, checksum),
      le(4, 0x02000000),
      le(4, body.length / block),
      le(4, block),
      new Uint8Array(8),
    )
  const view = new DataView(header(0).buffer)
  let sum = 0
  for (let at = 0; at < FIRST_FILE; at += 2) sum += view.getUint16(at, true)
  return concatBytes(header(-sum & 0xffff), body.subarray(FIRST_FILE))
}

/** A PE image that executes in place: headers, .text at 0x100, .data behind. */
export function peImage(options: {
  machine: 'ia32' | 'x64'
  base?: number | bigint
  text?: Uint8Array
  data?: Uint8Array
}): Uint8Array {
  const { machine, base = 0x820000, text = new Uint8Array(16), data = new Uint8Array(16) } = options
  const sectionHeader = (name: string, offset: number, length: number) =>
    concatBytes(
      utf8(name.padEnd(8, '\0')),
      le(4, length),
      le(4, offset),
      le(4, length),
      le(4, offset),
      new Uint8Array(16),
    )
  const optional =
    machine === 'ia32'
      ? concatBytes(le(2, 0x10b), new Uint8Array(26), le(4, base))
      : concatBytes(le(2, 0x20b), new Uint8Array(22), le(8, base))
  const headers = concatBytes(
    utf8('MZ'),
    new Uint8Array(58),
    le(4, 0x40),
    utf8('PE\0\0'),
    le(2, machine === 'ia32' ? 0x14c : 0x8664),
    le(2, 2),
    new Uint8Array(12),
    le(2, optional.length),
    le(2, 0),
    optional,
    sectionHeader('.text', PE_TEXT, text.length),
    sectionHeader('.data', PE_TEXT + text.length, data.length),
  )
  return concatBytes(headers, new Uint8Array(PE_TEXT - headers.length), text, data)
}

/** Where .text of peImage() starts. */
export const PE_TEXT = 0x100

/** A variable of a store. */
export interface StoredVariable {
  readonly guid: string
  readonly name: string
  readonly data: Uint8Array
  readonly state?: number
}

/** A flash file with an authenticated variable store. */
export function variablesFlash(
  variables: readonly StoredVariable[],
  {
    signature = 'aaf32c78-947b-439a-a180-2e144ec37792',
    format = 0x5a,
  }: { signature?: string; format?: number } = {},
): Uint8Array {
  const entries = variables.map(({ guid: vendor, name, data, state = 0x3f }) =>
    pad(
      concatBytes(
        le(2, 0x55aa),
        Uint8Array.of(state, 0),
        le(4, 7),
        new Uint8Array(28),
        le(4, 2 * name.length + 2),
        le(4, data.length),
        guid(vendor),
        utf16(`${name}\0`),
        data,
      ),
      4,
    ),
  )
  const content = concatBytes(...entries, new Uint8Array(64).fill(0xff))
  const header = concatBytes(
    guid(signature),
    le(4, 28 + content.length),
    Uint8Array.of(format, 0xfe),
    new Uint8Array(6),
  )
  return volume([concatBytes(header, content)], { fileSystem: NV_DATA, block: 4096 })
}

/** A flash file as OVMF's: a volume with an LZMA section that holds `images`, and a volume with SEC. */
export function compressedFlash(
  images: readonly Uint8Array[],
  {
    compression = LZMA,
    pack = lzma,
  }: { compression?: string; pack?: (content: Uint8Array) => Uint8Array } = {},
): Uint8Array {
  const content = sections(section(0x19, new Uint8Array(12)), ...images.map((image) => section(0x17, image)))
  const packed = file({
    guid: '9e21fd93-9c72-4c15-8c4b-e77f1db2d792',
    type: 0x0b,
    body: guidedSection(compression, pack(content)),
  })
  const sec = file({
    guid: 'df1ccef6-f301-4a63-9661-fc6030dcc880',
    type: 0x03,
    body: section(0x19, utf8('SEC!')),
  })
  return concatBytes(volume([packed], { block: 4096 }), volume([sec], { block: 4096 }))
}
