// What UEFI firmware measures besides images: variables, lists of signatures, boot options, partition tables, tables
// handed over. Every decoder answers undefined for bytes that are none.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 10.2.3 to 10.2.6; UEFI
// Specification 2.10, clauses 3.1.3 (EFI_LOAD_OPTION), 5.3 (GPT) and 32.4.1 (EFI_SIGNATURE_LIST).

import { X509Certificate } from 'node:crypto'
import { concatBytes, hex, sha256 } from '../crypto/index.ts'
import { devicePathText } from './device-path.ts'
import { guidBytes, guidText, terminatedUtf16, utf16Text } from './efi.ts'
import { littleEndian, readAll, readStart } from './little-endian.ts'

/** UEFI_VARIABLE_DATA. */
export interface VariableData {
  /** the vendor's GUID */
  readonly guid: string
  readonly name: string
  readonly data: Uint8Array
}

/** One entry of db, dbx, KEK and their like. */
export interface Signature {
  /** the key or hash in words: "CN=… (SHA-256 …)" or "sha256 …"; equal words, equal entry */
  readonly text: string
  /** GUID of who entered it */
  readonly owner: string
}

/** EFI_LOAD_OPTION. */
export interface LoadOption {
  readonly active: boolean
  readonly description: string
  /** device path as text */
  readonly path: string
  readonly optionalData: Uint8Array
}

/** A partition of a GPT. */
export interface Partition {
  /** GUID of its type */
  readonly type: string
  readonly id: string
  readonly name: string
  /** first and last block */
  readonly first: bigint
  readonly last: bigint
}

/** UEFI_GPT_DATA. */
export interface PartitionTable {
  readonly disk: string
  readonly partitions: readonly Partition[]
}

/** UEFI_HANDOFF_TABLE_POINTERS and _POINTERS2. */
export interface HandoffTables {
  readonly description: string
  /** GUIDs of the tables */
  readonly tables: readonly string[]
}

const ascii = (bytes: Uint8Array) => new TextDecoder('latin1').decode(bytes)

/** Writes UEFI_VARIABLE_DATA. Throws RangeError for a GUID that is none. */
export function encodeVariable({ guid, name, data }: VariableData): Uint8Array {
  const units = Array.from({ length: name.length }, (_, at) => littleEndian(2, name.charCodeAt(at)))
  const lengths = [littleEndian(8, name.length), littleEndian(8, data.length)]
  return concatBytes(guidBytes(guid), ...lengths, ...units, data)
}

/** Reads UEFI_VARIABLE_DATA, and passes over what shim may log behind it; undefined when the bytes are none. */
export function decodeVariable(bytes: Uint8Array): VariableData | undefined {
  return readStart(bytes, (reader) => {
    const guid = guidText(reader.bytes(16, 'VariableName'))
    const nameLength = Number(reader.uint64('UnicodeNameLength'))
    const dataLength = Number(reader.uint64('VariableDataLength'))
    // Some firmware counts the name's terminator.
    const name = utf16Text(reader.bytes(nameLength * 2, 'UnicodeName')).replace(/\0+$/, '')
    return { guid, name, data: reader.bytes(dataLength, 'VariableData') }
  })
}

const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
/** Names of the other EFI_SIGNATURE_LIST types. */
const SIGNATURE_TYPES = new Map([
  ['826ca512-cf10-4ac9-b187-be01496631bd', 'sha1'],
  ['c1c41626-504c-4092-aca9-41f936934328', 'sha256'],
  ['ff3e5307-9fd0-48c9-85f1-8ad56c701e01', 'sha384'],
  ['093e0fae-a6c4-4f50-9f1b-d41e2b89c19a', 'sha512'],
  ['3c5766e8-269c-4e34-aa14-ed776e85b3b6', 'rsa2048'],
  ['3bd2a492-96c0-4079-b420-fcf98ef103ed', 'x509-sha256'],
  ['7076876e-80c2-4ee6-aad2-28b349a6865b', 'x509-sha384'],
  ['446dbf63-2502-4cda-bcfa-2465d2b0fe9d', 'x509-sha512'],
])

/** A certificate in words: its subject's common name (or all of it) and the digest by which it can be found. */
function certificateText(der: Uint8Array): string | undefined {
  let subject: string
  try {
    subject = new X509Certificate(der).subject
  } catch {
    return undefined
  }
  const lines = subject.split('\n')
  const name = lines.find((line) => line.startsWith('CN=')) ?? lines.join(', ')
  return `${name} (SHA-256 ${hex(sha256(der)).slice(0, 16)}…)`
}

/** Reads a sequence of EFI_SIGNATURE_LIST; undefined when the bytes are none. No bytes are an empty one. */
export function decodeSignatures(bytes: Uint8Array): Signature[] | undefined {
  return readAll(bytes, (reader, refuse) => {
    const signatures: Signature[] = []
    while (reader.remaining > 0) {
      const type = guidText(reader.bytes(16, 'SignatureType'))
      const listSize = reader.uint32('SignatureListSize')
      const headerSize = reader.uint32('SignatureHeaderSize')
      const size = reader.uint32('SignatureSize')
      const room = listSize - 28 - headerSize
      if (size <= 16 || room < 0 || room % size !== 0) refuse()
      reader.bytes(headerSize, 'SignatureHeader')
      for (let left = room; left > 0; left -= size) {
        const owner = guidText(reader.bytes(16, 'SignatureOwner'))
        const data = reader.bytes(size - 16, 'SignatureData')
        const certificate = type === X509 ? certificateText(data) : undefined
        signatures.push({ text: certificate ?? `${SIGNATURE_TYPES.get(type) ?? type} ${hex(data)}`, owner })
      }
    }
    return signatures
  })
}

/**
 * The key that allowed an image to start (EV_EFI_VARIABLE_AUTHORITY): an EFI_SIGNATURE_DATA, or a certificate alone as
 * shim measures its own. Undefined for what holds no certificate.
 */
export function decodeAuthority(bytes: Uint8Array): string | undefined {
  return (bytes.length > 16 ? certificateText(bytes.subarray(16)) : undefined) ?? certificateText(bytes)
}

/** Reads EFI_LOAD_OPTION; undefined when the bytes are none. */
export function decodeLoadOption(bytes: Uint8Array): LoadOption | undefined {
  return readAll(bytes, (reader, refuse) => {
    const attributes = reader.uint32('Attributes')
    const pathLength = reader.uint16('FilePathListLength')
    const rest = reader.bytes(reader.remaining, 'Description')
    const description = terminatedUtf16(rest) ?? refuse()
    const end = description.size + pathLength
    if (end > rest.length) refuse()
    return {
      active: (attributes & 1) !== 0,
      description: description.text,
      path: devicePathText(rest.subarray(description.size, end)),
      optionalData: rest.slice(end),
    }
  })
}

/** Reads the value of BootOrder: the names of boot options; undefined when the bytes are none. */
export function decodeBootOrder(bytes: Uint8Array): string[] | undefined {
  return readAll(bytes, (reader) => {
    const names: string[] = []
    while (reader.remaining > 0) {
      names.push(`Boot${reader.uint16('option').toString(16).toUpperCase().padStart(4, '0')}`)
    }
    return names
  })
}

const GPT_ENTRY = 128

/** Reads UEFI_GPT_DATA; undefined when the bytes are none. */
export function decodePartitionTable(bytes: Uint8Array): PartitionTable | undefined {
  return readAll(bytes, (reader, refuse) => {
    if (ascii(reader.bytes(8, 'signature')) !== 'EFI PART') refuse()
    reader.bytes(48, 'header up to the GUID of the disk')
    const disk = guidText(reader.bytes(16, 'DiskGUID'))
    reader.bytes(20, 'rest of the header')
    const count = Number(reader.uint64('NumberOfPartitions'))
    if (count > reader.remaining / GPT_ENTRY) refuse()
    const partitions = Array.from({ length: count }, () => {
      const type = guidText(reader.bytes(16, 'PartitionTypeGUID'))
      const id = guidText(reader.bytes(16, 'UniquePartitionGUID'))
      const first = reader.uint64('StartingLBA')
      const last = reader.uint64('EndingLBA')
      reader.bytes(8, 'Attributes')
      const name = reader.bytes(72, 'PartitionName')
      return { type, id, name: terminatedUtf16(name)?.text ?? utf16Text(name), first, last }
    })
    return { disk, partitions }
  })
}

/** Reads UEFI_HANDOFF_TABLE_POINTERS, or with a description before it _POINTERS2; undefined when the bytes are none. */
export function decodeHandoffTables(bytes: Uint8Array, described: boolean): HandoffTables | undefined {
  return readAll(bytes, (reader, refuse) => {
    const description = described ? ascii(reader.bytes(reader.uint8('size'), 'TableDescription')) : ''
    const count = Number(reader.uint64('NumberOfTables'))
    if (count > reader.remaining / 24) refuse()
    const tables = Array.from({ length: count }, () => {
      const guid = guidText(reader.bytes(16, 'VendorGuid'))
      reader.uint64('VendorTable')
      return guid
    })
    return { description, tables }
  })
}
