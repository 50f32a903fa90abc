// Device paths as text: where firmware found what it started. Unknown nodes are shown as Path(type,subtype,octets).
// Source: UEFI Specification 2.10, clauses 10.3 (nodes) and 10.6.1.6 (text).

import { hex } from '../crypto/index.ts'
import { guidText, printable, terminatedUtf16, textOf, utf16Text } from './efi.ts'
import { LittleEndianReader } from './little-endian.ts'

const HEADER = 4
const END_TYPE = 0x7f
const END_INSTANCE = 0x01
/** _HID of a PCI and a PCI Express root: compressed EISA "PNP0A03" and "PNP0A08". */
const PCI_ROOTS: readonly number[] = [0x0a0341d0, 0x0a0841d0]
const EISA_PNP = 0x41d0

type Show = (reader: LittleEndianReader, data: Uint8Array) => string

const number = (value: number | bigint) => `0x${value.toString(16)}`
const ipv4 = (bytes: Uint8Array) => bytes.join('.')

function acpi(reader: LittleEndianReader): string {
  const hid = reader.uint32('_HID')
  const uid = number(reader.uint32('_UID'))
  if (PCI_ROOTS.includes(hid)) return `${hid === PCI_ROOTS[0] ? 'PciRoot' : 'PcieRoot'}(${uid})`
  const product = (hid >>> 16).toString(16).padStart(4, '0').toUpperCase()
  return (hid & 0xffff) === EISA_PNP ? `Acpi(PNP${product},${uid})` : `Acpi(${number(hid)},${uid})`
}

function hardDrive(reader: LittleEndianReader): string {
  const partition = String(reader.uint32('partition'))
  const start = number(reader.uint64('start'))
  const size = number(reader.uint64('size'))
  const signature = reader.bytes(16, 'signature')
  const format = reader.uint8('format')
  const guid = reader.uint8('signature type') === 2
  const id = guid ? guidText(signature) : number(new DataView(signature.buffer).getUint32(0, true))
  return `HD(${partition},${format === 2 ? 'GPT' : 'MBR'},${id},${start},${size})`
}

function mac(reader: LittleEndianReader): string {
  const address = reader.bytes(32, 'address')
  const kind = reader.uint8('interface type')
  return `MAC(${hex(address.subarray(0, kind <= 1 ? 6 : 32))},${number(kind)})`
}

const vendor =
  (name: string): Show =>
  (reader) => {
    const guid = guidText(reader.bytes(16, 'GUID'))
    const data = hex(reader.bytes(reader.remaining, 'data'))
    return `${name}(${data === '' ? guid : `${guid},${data}`})`
  }

const numbers =
  (name: string, ...sizes: readonly (1 | 2 | 4 | 8)[]): Show =>
  (reader) => {
    const read = { 1: 'uint8', 2: 'uint16', 4: 'uint32', 8: 'uint64' } as const
    return `${name}(${sizes.map((size) => number(reader[read[size]]('number'))).join(',')})`
  }

/** PCI functions and devices are written the other way round than they are stored. */
const pci: Show = (reader) => {
  const at = number(reader.uint8('function'))
  return `Pci(${number(reader.uint8('device'))},${at})`
}

/** How nodes are shown, by type << 8 | subtype. */
const NODES: Readonly<Record<number, Show>> = {
  0x0101: pci,
  0x0103: numbers('MemoryMapped', 4, 8, 8),
  0x0104: vendor('VenHw'),
  0x0105: numbers('Ctrl', 4),
  0x0201: acpi,
  0x0301: numbers('Ata', 1, 1, 2),
  0x0302: numbers('Scsi', 2, 2),
  0x0305: numbers('USB', 1, 1),
  0x030a: vendor('VenMsg'),
  0x030b: mac,
  0x030c: (reader) => {
    const local = reader.bytes(4, 'local address')
    return `IPv4(${ipv4(reader.bytes(4, 'remote address'))},${ipv4(local)})`
  },
  0x030d: (reader) => {
    const local = hex(reader.bytes(16, 'local address'))
    return `IPv6(${hex(reader.bytes(16, 'remote address'))},${local})`
  },
  0x0311: numbers('Unit', 1),
  0x0312: numbers('Sata', 2, 2, 2),
  0x0317: (reader) => {
    const namespace = number(reader.uint32('namespace'))
    const id = reader.bytes(8, 'EUI-64').reverse()
    return `NVMe(${namespace},${Array.from(id, (octet) => hex(Uint8Array.of(octet))).join('-')})`
  },
  0x0318: (_, data) => `Uri(${printable(textOf(data) ?? hex(data))})`,
  0x031a: numbers('SD', 1),
  0x031d: numbers('eMMC', 1),
  0x0401: hardDrive,
  0x0402: numbers('CDROM', 4, 8, 8),
  0x0403: vendor('VenMedia'),
  0x0404: (_, data) => printable(terminatedUtf16(data)?.text ?? utf16Text(data)),
  0x0406: (reader) => `FvFile(${guidText(reader.bytes(16, 'GUID'))})`,
  0x0407: (reader) => `Fv(${guidText(reader.bytes(16, 'GUID'))})`,
  0x0501: (reader) => {
    const type = number(reader.uint16('device type'))
    reader.uint16('status')
    return `BBS(${type},${printable(textOf(reader.bytes(reader.remaining, 'description')) ?? '')})`
  },
  0x0408: (reader) => {
    reader.bytes(4, 'reserved')
    return numbers('Offset', 8, 8)(reader, new Uint8Array())
  },
}

class Short extends Error {}

function nodeText(type: number, subtype: number, data: Uint8Array): string {
  const unknown = `Path(${[type, subtype].join(',')}${data.length > 0 ? `,${hex(data)}` : ''})`
  const show = NODES[(type << 8) | subtype]
  if (show === undefined) return unknown
  try {
    const reader = new LittleEndianReader(data, (message) => {
      throw new Short(message)
    })
    return show(reader, data)
  } catch (error) {
    if (error instanceof Short) return unknown
    throw error
  }
}

/**
 * A device path as text, for people: `PciRoot(0x0)/Pci(0x1f,0x2)/…/\EFI\BOOT\BOOTX64.EFI`. Instances are separated by
 * ",", several paths by ";". What is no device path is shown in hexadecimal, so nothing is lost.
 */
export function devicePathText(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let text = ''
  let at = 0
  while (at + HEADER <= bytes.length) {
    const type = view.getUint8(at)
    const subtype = view.getUint8(at + 1)
    const length = view.getUint16(at + 2, true)
    if (length < HEADER || at + length > bytes.length) return `${text}/?${hex(bytes.subarray(at))}`
    const node = nodeText(type, subtype, bytes.subarray(at + HEADER, at + length))
    at += length
    if (type !== END_TYPE) text += text === '' || text.endsWith(',') ? node : `/${node}`
    else if (subtype === END_INSTANCE) text += ','
    else return at === bytes.length ? text : `${text}; ${devicePathText(bytes.subarray(at))}`
  }
  return at === bytes.length ? text : `${text}/?${hex(bytes.subarray(at))}`
}
