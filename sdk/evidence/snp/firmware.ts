// What an OVMF image says of its own launch as an SEV-SNP guest: a table of GUIDed entries that ends 32 bytes before the
// image does, and the sections of guest memory that the VMM must prepare. Whoever computes a launch digest reads it from
// files of strangers, so nothing in it is believed.
// Source: EDK II, OvmfPkg/ResetVector (Ia16/ResetVectorVtf0.asm and X64/OvmfSevMetadata.asm), as QEMU reads it in
// hw/i386/pc_sysfw_ovmf.c and target/i386/sev.c.

import { EvidenceError } from '../errors.ts'
import { guidText } from '../efi.ts'
import { LittleEndianReader } from '../little-endian.ts'
import { PAGE_BYTES } from './page-chain.ts'

/** Where firmware ends: at the top of the 32-bit address space, so that the reset vector lies in its last 16 bytes. */
export const FIRMWARE_END = 0x1_0000_0000

/** Largest image, and most memory in sections: many times what any OVMF has. */
const MAX_BYTES = 64 << 20
const MAX_SECTIONS = 256

/** What follows the table: the reset vector's code. */
const AFTER_TABLE = 32
/** Length and GUID of an entry; its data lie before them. */
const ENTRY_HEADER = 2 + 16
const GUID = {
  footer: '96b582de-1fb2-45f7-baea-a366c55a082d',
  resetBlock: '00f771de-1a7e-4fcb-890e-68c77e2fb44e',
  hashTable: '7255371f-3a3b-4b04-927b-1da6efa8d454',
  metadata: 'dc886566-984a-4798-a75e-5585a7bf67cc',
} as const

const METADATA_HEADER = 16
const METADATA_SIGNATURE = 'ASEV'
const METADATA_VERSION = 1
const SECTION_BYTES = 12
const SECTION_TYPES = new Map<number, SectionType>([
  [0x01, 'SNP_SEC_MEM'],
  [0x02, 'SNP_SECRETS'],
  [0x03, 'CPUID'],
  [0x04, 'SVSM_CAA'],
  [0x10, 'KERNEL_HASHES'],
])
/** Sections that are one page by what is put there. */
const ONE_PAGE: readonly SectionType[] = ['SNP_SECRETS', 'CPUID', 'KERNEL_HASHES']

/** Kinds of sections, in the words of EDK II. */
export type SectionType = 'SNP_SEC_MEM' | 'SNP_SECRETS' | 'CPUID' | 'SVSM_CAA' | 'KERNEL_HASHES'

/** Guest memory that the VMM prepares before the launch. */
export interface SnpSection {
  readonly type: SectionType
  readonly address: number
  readonly length: number
}

/** What a firmware image says. */
export interface SevFirmware {
  /** in the order in which they are measured; undefined: the image is not made for SEV-SNP */
  readonly sections: readonly SnpSection[] | undefined
  /** where all vCPUs but the first begin (SEV-ES reset block) */
  readonly apResetAddress: number | undefined
  /** where the firmware looks for the hashes of what is booted directly */
  readonly hashTable: { readonly address: number; readonly length: number } | undefined
}

function malformed(message: string): never {
  throw new EvidenceError('FIRMWARE_MALFORMED', message)
}

const hexadecimal = (value: number): string => `0x${value.toString(16)}`

/**
 * Reads an image; one without a table is firmware that says nothing.
 * Throws EvidenceError FIRMWARE_MALFORMED for a size that no firmware has, and for a table that can not be right.
 */
export function readSevFirmware(image: Uint8Array): SevFirmware {
  const { length } = image
  if (length === 0 || length % PAGE_BYTES !== 0 || length > MAX_BYTES) {
    malformed(
      `expected 1 to ${String(MAX_BYTES / PAGE_BYTES)} whole pages of firmware, found ${String(length)} bytes`,
    )
  }
  const table = readTable(image)
  const [offset] = numbersOf(table, GUID.metadata, 'SEV metadata', 1) ?? []
  const [reset = 0] = numbersOf(table, GUID.resetBlock, 'SEV-ES reset block', 1) ?? []
  const [address = 0, size = 0] = numbersOf(table, GUID.hashTable, 'SEV hash table', 2) ?? []
  return {
    sections: offset === undefined ? undefined : readSections(image, offset),
    // Firmware that has the entry and not the feature leaves zeros there.
    apResetAddress: reset === 0 ? undefined : reset,
    hashTable: size === 0 ? undefined : { address, length: size },
  }
}

/** The entries' data by GUID. The footer is the last entry; its length is that of the whole table. */
function readTable(image: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const table = new Map<string, Uint8Array>()
  let end = image.length - AFTER_TABLE
  const footer = entryEndingAt(image, end)
  if (footer.guid !== GUID.footer) return table
  const start = end - footer.length
  if (footer.length < ENTRY_HEADER || start < 0) {
    malformed(
      `expected a table of ${String(ENTRY_HEADER)} to ${String(end)} bytes, found ${String(footer.length)}`,
    )
  }
  for (end -= ENTRY_HEADER; end > start;) {
    if (end - start < ENTRY_HEADER) {
      malformed(`expected whole entries in the table, found ${String(end - start)} bytes before them`)
    }
    const { guid, length } = entryEndingAt(image, end)
    if (length < ENTRY_HEADER || length > end - start) {
      const most = `${String(ENTRY_HEADER)} to ${String(end - start)}`
      malformed(`expected a table entry of ${most} bytes, found ${String(length)} at ${guid}`)
    }
    if (table.has(guid)) malformed(`expected one table entry ${guid}, found two`)
    table.set(guid, image.subarray(end - length, end - ENTRY_HEADER))
    end -= length
  }
  return table
}

/** Length and GUID that stand before `end`. */
function entryEndingAt(image: Uint8Array, end: number): { guid: string; length: number } {
  const reader = new LittleEndianReader(image.subarray(end - ENTRY_HEADER, end), malformed)
  const length = reader.uint16('table entry length')
  return { length, guid: guidText(reader.bytes(16, 'table entry GUID')) }
}

/** The 32-bit values of an entry, which has exactly `count`. */
function numbersOf(
  table: ReadonlyMap<string, Uint8Array>,
  guid: string,
  what: string,
  count: number,
): number[] | undefined {
  const data = table.get(guid)
  if (data === undefined) return undefined
  if (data.length !== 4 * count) {
    malformed(`expected ${String(4 * count)} bytes of ${what} in the table, found ${String(data.length)}`)
  }
  const reader = new LittleEndianReader(data, malformed)
  return Array.from({ length: count }, () => reader.uint32(what))
}

/** The sections, whose descriptor begins `offset` bytes before the image's end. */
function readSections(image: Uint8Array, offset: number): readonly SnpSection[] {
  if (offset < METADATA_HEADER || offset > image.length) {
    malformed(`expected SEV metadata inside the image, found them ${String(offset)} bytes before its end`)
  }
  const reader = new LittleEndianReader(image.subarray(image.length - offset), malformed)
  const signature = new TextDecoder('latin1').decode(reader.bytes(4, 'signature'))
  const [length, version, count] = [reader.uint32('length'), reader.uint32('version'), reader.uint32('count')]
  if (signature !== METADATA_SIGNATURE || version !== METADATA_VERSION) {
    const found = `${JSON.stringify(signature)} version ${String(version)}`
    malformed(
      `expected SEV metadata "${METADATA_SIGNATURE}" version ${String(METADATA_VERSION)}, found ${found}`,
    )
  }
  if (count > MAX_SECTIONS || length !== METADATA_HEADER + count * SECTION_BYTES) {
    const found = `${String(count)} in ${String(length)} bytes`
    malformed(
      `expected up to ${String(MAX_SECTIONS)} SEV metadata sections of ${String(SECTION_BYTES)} bytes, found ${found}`,
    )
  }
  const sections = Array.from({ length: count }, () => readSection(reader))
  checkLayout(sections, FIRMWARE_END - image.length)
  return sections
}

function readSection(reader: LittleEndianReader): SnpSection {
  const [address, length, code] = [reader.uint32('base'), reader.uint32('size'), reader.uint32('type')]
  const type =
    SECTION_TYPES.get(code) ?? malformed(`expected a known SEV metadata section, found ${hexadecimal(code)}`)
  if (address % PAGE_BYTES !== 0 || length % PAGE_BYTES !== 0 || length === 0) {
    malformed(
      `expected whole pages in section ${type}, found ${hexadecimal(length)} bytes at ${hexadecimal(address)}`,
    )
  }
  if (ONE_PAGE.includes(type) && length !== PAGE_BYTES) {
    malformed(`expected one page in section ${type}, found ${hexadecimal(length)} bytes`)
  }
  return { type, address, length }
}

/** SEV-SNP lets no page be added twice. */
function checkLayout(sections: readonly SnpSection[], firmware: number): void {
  let [end, total] = [0, 0]
  for (const { type, address, length } of [...sections].sort((a, b) => a.address - b.address)) {
    if (address < end || address + length > firmware) {
      const room = `${hexadecimal(end)} to ${hexadecimal(firmware)}`
      malformed(
        `expected section ${type} in free memory, ${room}, found ${hexadecimal(length)} bytes at ${hexadecimal(address)}`,
      )
    }
    end = address + length
    total += length
  }
  if (total > MAX_BYTES)
    malformed(`expected at most ${hexadecimal(MAX_BYTES)} bytes in sections, found ${hexadecimal(total)}`)
}
