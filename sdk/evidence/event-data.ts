// Data of the events that this project's boot measures. An event's data explains its digest; it is trusted only where
// the digest is the data's own hash (tagged events here), never for blobs and images.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 10.2.3 (UEFI_IMAGE_LOAD_EVENT,
// UEFI_PLATFORM_FIRMWARE_BLOB) and 10.4.2 (TCG_PCClientTaggedEvent); UEFI Specification 2.10, clause 10.3 (device path).

import { concatBytes } from '../crypto/index.ts'
import { littleEndian, LittleEndianReader, sized } from './little-endian.ts'

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

function read<T>(bytes: Uint8Array, parse: (reader: LittleEndianReader) => T): T | undefined {
  const short = new Error('event data are short')
  const reader = new LittleEndianReader(bytes, () => {
    throw short
  })
  try {
    const value = parse(reader)
    return reader.remaining === 0 ? value : undefined
  } catch (error) {
    if (error === short) return undefined
    throw error
  }
}

/** Writes UEFI_PLATFORM_FIRMWARE_BLOB. */
export function encodeFirmwareBlob(blob: FirmwareBlob): Uint8Array {
  return concatBytes(littleEndian(8, blob.base), littleEndian(8, blob.length))
}

/** Reads UEFI_PLATFORM_FIRMWARE_BLOB; undefined when the bytes are none. */
export function decodeFirmwareBlob(bytes: Uint8Array): FirmwareBlob | undefined {
  return read(bytes, (reader) => ({ base: reader.uint64('base'), length: reader.uint64('length') }))
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

/** Reads UEFI_IMAGE_LOAD_EVENT; undefined when the bytes are none. */
export function decodeImageLoadEvent(bytes: Uint8Array): ImageLoadEvent | undefined {
  return read(bytes, (reader) => {
    const imageLocationInMemory = reader.uint64('location')
    const imageLengthInMemory = reader.uint64('length')
    const imageLinkTimeAddress = reader.uint64('link time address')
    const length = reader.uint64('device path length')
    const devicePath = reader.bytes(Number(length), 'device path')
    return { imageLocationInMemory, imageLengthInMemory, imageLinkTimeAddress, devicePath }
  })
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
  return read(bytes, (reader) => {
    const taggedEventID = reader.uint32('taggedEventID')
    return { taggedEventID, taggedEventData: reader.bytes(reader.uint32('taggedEventDataSize'), 'data') }
  })
}
