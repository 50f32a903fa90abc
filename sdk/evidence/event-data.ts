// Data of events: the structures that this project's boot measures, and decodeEvent(), which explains those of any
// firmware. An event's data explains its digest; it is trusted only where the digest is the data's own hash, never for
// blobs and images.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 10.2.3 (UEFI_IMAGE_LOAD_EVENT,
// UEFI_PLATFORM_FIRMWARE_BLOB), 10.4.1 (what each event type holds) and 10.4.2 (TCG_PCClientTaggedEvent); UEFI
// Specification 2.10, clause 10.3 (device path).

import { concatBytes, equalBytes, hex } from '../crypto/index.ts'
import { hash, isHash } from '../tpm2/index.ts'
import { devicePathText } from './device-path.ts'
import {
  decodeAuthority,
  decodeBootOrder,
  decodeHandoffTables,
  decodeLoadOption,
  decodePartitionTable,
  decodeSignatures,
  decodeVariable,
  type HandoffTables,
  type LoadOption,
  type PartitionTable,
  type Signature,
  type VariableData,
} from './efi-data.ts'
import { guidText, textOf } from './efi.ts'
import { type PcrEvent } from './event-log.ts'
import { EV, EVENT_TAG } from './event-types.ts'
import { littleEndian, type LittleEndianReader, readAll, readStart, sized } from './little-endian.ts'

/** UEFI_PLATFORM_FIRMWARE_BLOB: where the measured bytes lay, and how many they were. */
export interface FirmwareBlob {
  readonly base: bigint
  readonly length: bigint
}

/** UEFI_IMAGE_LOAD_EVENT. `devicePath` is empty or an EFI device path. */
export interface ImageLoadEvent {
  readonly imageLocationInMemory: bigint
  readonly imageLengthInMemory: bigint
  readonly imageLinkTimeAddress: bigint
  readonly devicePath: Uint8Array
}

/** TCG_PCClientTaggedEvent. */
export interface TaggedEvent {
  readonly taggedEventID: number
  readonly taggedEventData: Uint8Array
}

/** Writes UEFI_PLATFORM_FIRMWARE_BLOB. */
export function encodeFirmwareBlob(blob: FirmwareBlob): Uint8Array {
  return concatBytes(littleEndian(8, blob.base), littleEndian(8, blob.length))
}

/** Reads UEFI_PLATFORM_FIRMWARE_BLOB; undefined when the bytes are none. */
export function decodeFirmwareBlob(bytes: Uint8Array): FirmwareBlob | undefined {
  return readAll(bytes, (reader) => ({ base: reader.uint64('base'), length: reader.uint64('length') }))
}

/** Writes UEFI_IMAGE_LOAD_EVENT. */
export function encodeImageLoadEvent(event: ImageLoadEvent): Uint8Array {
  return concatBytes(
    littleEndian(8, event.imageLocationInMemory),
    littleEndian(8, event.imageLengthInMemory),
    littleEndian(8, event.imageLinkTimeAddress),
    littleEndian(8, event.devicePath.length),
    event.devicePath,
  )
}

function imageLoadEvent(reader: LittleEndianReader): ImageLoadEvent {
  const imageLocationInMemory = reader.uint64('location')
  const imageLengthInMemory = reader.uint64('length')
  const imageLinkTimeAddress = reader.uint64('link time address')
  const length = reader.uint64('device path length')
  const devicePath = reader.bytes(Number(length), 'device path')
  return { imageLocationInMemory, imageLengthInMemory, imageLinkTimeAddress, devicePath }
}

/** Reads UEFI_IMAGE_LOAD_EVENT; undefined when the bytes are none. */
export function decodeImageLoadEvent(bytes: Uint8Array): ImageLoadEvent | undefined {
  return readAll(bytes, imageLoadEvent)
}

/** An EFI device path of one file path node (type 4, subtype 4, UTF-16 name) and the end node. */
export function filePathDevicePath(path: string): Uint8Array {
  const text = `${path}\0`
  const units = Array.from({ length: text.length }, (_, index) => littleEndian(2, text.charCodeAt(index)))
  const name = concatBytes(...units)
  const node = concatBytes(Uint8Array.of(0x04, 0x04), littleEndian(2, 4 + name.length), name)
  return concatBytes(node, Uint8Array.of(0x7f, 0xff, 0x04, 0x00))
}

/** Writes TCG_PCClientTaggedEvent. */
export function encodeTaggedEvent(event: TaggedEvent): Uint8Array {
  return concatBytes(littleEndian(4, event.taggedEventID), sized(event.taggedEventData))
}

/** Reads TCG_PCClientTaggedEvent; undefined when the bytes are none. */
export function decodeTaggedEvent(bytes: Uint8Array): TaggedEvent | undefined {
  return readAll(bytes, (reader) => {
    const taggedEventID = reader.uint32('taggedEventID')
    return { taggedEventID, taggedEventData: reader.bytes(reader.uint32('taggedEventDataSize'), 'data') }
  })
}

/** What a variable's value means. */
export type VariableValue =
  | { readonly kind: 'flag'; readonly on: boolean }
  | { readonly kind: 'signatures'; readonly signatures: readonly Signature[] }
  | { readonly kind: 'authority'; readonly key: string }
  | { readonly kind: 'bootOrder'; readonly order: readonly string[] }
  | { readonly kind: 'bootOption'; readonly option: LoadOption }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'bytes' }

/** What an event's data say, by the event's type. `bytes` is what nothing is known about. */
export type EventDetails =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'version'; readonly version: string }
  | { readonly kind: 'separator'; readonly error: boolean; readonly value: string }
  | ({ readonly kind: 'blob'; readonly description: string } & FirmwareBlob)
  | { readonly kind: 'image'; readonly path: string; readonly length: bigint; readonly location: bigint }
  | ({ readonly kind: 'variable'; readonly value: VariableValue } & VariableData)
  | ({ readonly kind: 'partitions' } & PartitionTable)
  | ({ readonly kind: 'tables' } & HandoffTables)
  | { readonly kind: 'tag'; readonly tag: number; readonly name: string | undefined; readonly text: string }
  | { readonly kind: 'locality'; readonly locality: number }
  | { readonly kind: 'bytes' }

/** Variables that hold EFI_SIGNATURE_LISTs, and those that hold one octet, 0 or 1. */
const SIGNATURE_VARIABLES = ['PK', 'KEK', 'db', 'dbx', 'dbt', 'dbr', 'MokList', 'MokListX']
const FLAG_VARIABLES = [
  'SecureBoot',
  'SetupMode',
  'AuditMode',
  'DeployedMode',
  'MokSBState',
  'MokDBState',
  'MokListTrusted',
]
/** Tags that Linux' EFI stub, systemd and this project write. */
const TAG_NAMES = new Map<number, string>([
  [0x8f3b22ec, 'Linux initrd'],
  [0x8f3b22ed, 'Linux load options'],
  [0xf5bc582a, 'systemd-boot loader.conf'],
  [0x6c46f751, 'systemd-stub device tree'],
  [0x49dffe0f, 'systemd-stub initrd addon'],
  [0xdac08e1a, 'systemd-stub microcode addon'],
  [0x13aed6db, 'systemd-stub profile'],
  [EVENT_TAG.CONFIGURATION, 'palimpsest platform configuration'],
  [EVENT_TAG.FIRMWARE_MANIFEST, 'palimpsest firmware manifest'],
  [EVENT_TAG.FIRMWARE_IMAGE, 'palimpsest firmware image digest'],
])
const STARTUP_LOCALITY = 'StartupLocality\0'
const BYTES = { kind: 'bytes' } as const

function variableValue(eventType: number, { name, data }: VariableData): VariableValue {
  if (eventType === EV.EFI_VARIABLE_AUTHORITY) {
    const key = decodeAuthority(data)
    if (key !== undefined) return { kind: 'authority', key }
  }
  if (FLAG_VARIABLES.includes(name) && data.length <= 1) return { kind: 'flag', on: data[0] === 1 }
  if (SIGNATURE_VARIABLES.includes(name)) {
    const signatures = decodeSignatures(data)
    if (signatures !== undefined) return { kind: 'signatures', signatures }
  }
  if (name === 'BootOrder') {
    const order = decodeBootOrder(data)
    if (order !== undefined) return { kind: 'bootOrder', order }
  }
  if (/^Boot[0-9A-Fa-f]{4}$/.test(name)) {
    const option = decodeLoadOption(data)
    if (option !== undefined) return { kind: 'bootOption', option }
  }
  const text = data.length > 2 ? textOf(data) : undefined
  return text === undefined ? BYTES : { kind: 'text', text }
}

function describedBlob(bytes: Uint8Array): EventDetails {
  const blob = readAll(bytes, (reader) => {
    const name = reader.bytes(reader.uint8('size'), 'BlobDescription')
    const description = textOf(name) ?? hex(name)
    return { description, base: reader.uint64('base'), length: reader.uint64('length') }
  })
  return blob === undefined ? BYTES : { kind: 'blob', ...blob }
}

function blob(bytes: Uint8Array): EventDetails | undefined {
  const found = decodeFirmwareBlob(bytes)
  return found && { kind: 'blob', description: '', ...found }
}

function text(bytes: Uint8Array): EventDetails | undefined {
  const found = textOf(bytes)
  return found === undefined ? undefined : { kind: 'text', text: found }
}

/** Text, but not an empty one: octets of zero are rather a number. */
function written(bytes: Uint8Array): EventDetails | undefined {
  const found = textOf(bytes)
  return found === undefined || found === '' ? undefined : { kind: 'text', text: found }
}

/** A version in UTF-16, or the GUID of one; OVMF writes an empty string. */
function version(bytes: Uint8Array): EventDetails {
  return { kind: 'version', version: textOf(bytes) ?? (bytes.length === 16 ? guidText(bytes) : hex(bytes)) }
}

/** Zero or all ones close a PCR; one says that something went wrong before, and is followed by what did. */
function separator(bytes: Uint8Array): EventDetails {
  const normal =
    bytes.length === 4 && (bytes.every((octet) => octet === 0) || bytes.every((octet) => octet === 0xff))
  return { kind: 'separator', error: !normal, value: hex(bytes) }
}

function image(bytes: Uint8Array): EventDetails | undefined {
  const found = readStart(bytes, imageLoadEvent)
  if (found === undefined) return undefined
  const { devicePath, imageLengthInMemory: length, imageLocationInMemory: location } = found
  return { kind: 'image', path: devicePathText(devicePath), length, location }
}

function variable(eventType: number, bytes: Uint8Array): EventDetails | undefined {
  const found = decodeVariable(bytes)
  return found && { kind: 'variable', ...found, value: variableValue(eventType, found) }
}

function tagged(bytes: Uint8Array): EventDetails | undefined {
  const found = decodeTaggedEvent(bytes)
  if (found === undefined) return undefined
  const { taggedEventID: tag, taggedEventData: data } = found
  return { kind: 'tag', tag, name: TAG_NAMES.get(tag), text: textOf(data) ?? '' }
}

function noAction(bytes: Uint8Array): EventDetails | undefined {
  const name = new TextDecoder('latin1').decode(bytes.subarray(0, STARTUP_LOCALITY.length))
  const locality = bytes[STARTUP_LOCALITY.length]
  if (name === STARTUP_LOCALITY && locality !== undefined) return { kind: 'locality', locality }
  return text(bytes)
}

function decode({ eventType, data }: Pick<PcrEvent, 'eventType' | 'data'>): EventDetails | undefined {
  switch (eventType) {
    case EV.NO_ACTION:
      return noAction(data)
    case EV.S_CRTM_VERSION:
      return version(data)
    case EV.SEPARATOR:
      return separator(data)
    case EV.EFI_PLATFORM_FIRMWARE_BLOB:
    case EV.POST_CODE:
    case EV.S_CRTM_CONTENTS:
    case EV.NONHOST_CODE:
      return written(data) ?? blob(data)
    case EV.EFI_PLATFORM_FIRMWARE_BLOB2:
      return describedBlob(data)
    case EV.EFI_BOOT_SERVICES_APPLICATION:
    case EV.EFI_BOOT_SERVICES_DRIVER:
    case EV.EFI_RUNTIME_SERVICES_DRIVER:
      return image(data)
    case EV.EFI_VARIABLE_DRIVER_CONFIG:
    case EV.EFI_VARIABLE_BOOT:
    case EV.EFI_VARIABLE_BOOT2:
    case EV.EFI_VARIABLE_AUTHORITY:
      return variable(eventType, data)
    case EV.EFI_GPT_EVENT: {
      const found = decodePartitionTable(data)
      return found && { kind: 'partitions', ...found }
    }
    case EV.EFI_HANDOFF_TABLES:
    case EV.EFI_HANDOFF_TABLES2: {
      const found = decodeHandoffTables(data, eventType === EV.EFI_HANDOFF_TABLES2)
      return found && { kind: 'tables', ...found }
    }
    case EV.EVENT_TAG:
      return tagged(data)
    default:
      return text(data)
  }
}

/** What an event's data say, as far as its type and data can be read; never throws. */
export function decodeEvent(event: Pick<PcrEvent, 'eventType' | 'data'>): EventDetails {
  return decode(event) ?? BYTES
}

/** Types whose digest is the hash of the event's data, by specification. */
const DATA_IS_MEASURED: readonly number[] = [
  EV.SEPARATOR,
  EV.ACTION,
  EV.EFI_ACTION,
  EV.S_CRTM_VERSION,
  EV.EFI_VARIABLE_DRIVER_CONFIG,
  EV.EFI_VARIABLE_BOOT,
  EV.EFI_VARIABLE_BOOT2,
  EV.EFI_VARIABLE_AUTHORITY,
  EV.EFI_GPT_EVENT,
]

/**
 * Whether an event's digests cover its data: true when each is the hash of the data (or of a variable's value alone, as
 * some firmware does); false when they should be and are not, so that the data explain nothing; undefined when the digest
 * is of something else by design, or no bank is known here. Every bank counts: a quote proves those that it quotes only.
 */
export function digestCoversData(
  event: Pick<PcrEvent, 'eventType' | 'digests' | 'data'>,
): boolean | undefined {
  const digests = [...event.digests].filter(([bank]) => isHash(bank))
  if (digests.length === 0 || event.eventType === EV.NO_ACTION) return undefined
  const details = decodeEvent(event)
  const candidates = [event.data, ...(details.kind === 'variable' ? [details.data] : [])]
  const covered = (bytes: Uint8Array) =>
    digests.every(([bank, digest]) => equalBytes(hash(bank, bytes), digest))
  if (candidates.some(covered)) return true
  return DATA_IS_MEASURED.includes(event.eventType) ? false : undefined
}
