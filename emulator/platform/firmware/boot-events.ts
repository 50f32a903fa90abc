// What a boot measures before anything runs, by profile, in order. sdk/evidence reads the same profiles back
// (readBootProfile), and says what each of them is.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 3.3.4 (PCR usage) and 10.4.1.
// Unlike there, PCR 4 takes the hash of the image file as it is: it is no PE image, so it has no Authenticode digest.

import {
  encodeFirmwareBlob,
  encodeImageLoadEvent,
  encodeTaggedEvent,
  EV,
  EVENT_TAG,
  filePathDevicePath,
} from '../../../sdk/evidence/index.ts'
import { FirmwareError } from './errors.ts'
import type { Firmware } from './image.ts'
import { type MachineShape, type UefiMeasurement, uefiMeasurements, type UnknownBytes } from './uefi/index.ts'

const PCR = { FIRMWARE: 0, BOOT: 4, MAKER: 6, CONFIGURATION: 7 } as const
/** Flash is mapped to end here. */
const FOUR_GIB = 1n << 32n

/** One event: the hash of `measured` extends the PCR, and the log says `data` about it. */
export type BootEvent = UefiMeasurement

/** What a boot measures, whatever the profile. */
export interface BootSubject {
  readonly firmware: Pick<Firmware, 'image' | 'digest' | 'origin'>
  /** the bytes of the hypervisor that will be started */
  readonly hypervisorImage: Uint8Array
  /** canonical CBOR */
  readonly configuration: Uint8Array
  /** COSE_Sign1 */
  readonly manifest: Uint8Array | undefined
}

/** A machine that boots with profile `uefi`. */
export interface UefiMachine {
  /** the flash file with the firmware's variables; default the one inside of the image, or none */
  readonly variables?: Uint8Array | undefined
  /** what the firmware finds; 'as-in-file': measure it as it lies in its file, which no real machine does */
  readonly shape: MachineShape | 'as-in-file'
}

/** Profile `image`: the firmware in one event. */
export function imageBootEvents(subject: BootSubject): BootEvent[] {
  const { image } = subject.firmware
  const length = BigInt(image.length)
  return [
    {
      pcr: PCR.FIRMWARE,
      eventType: EV.EFI_PLATFORM_FIRMWARE_BLOB,
      measured: image,
      data: encodeFirmwareBlob({ base: FOUR_GIB - length, length }),
    },
    hypervisorEvent(subject),
    ...settings(PCR.CONFIGURATION, subject),
  ]
}

/**
 * Profile `uefi`: what the firmware measures of itself, and before its separators what this platform adds. Throws
 * FirmwareError IMAGE_MALFORMED or IMAGE_UNSUPPORTED for an image that is no UEFI firmware or of a kind that is not known,
 * SHAPE_UNKNOWN when a real boot of this shape would measure bytes that can not be known.
 */
export function uefiBootEvents(subject: BootSubject, { variables, shape }: UefiMachine): BootEvent[] {
  const { image, digest, origin } = subject.firmware
  const known = shape === 'as-in-file' ? undefined : shape
  const { measurements, unknown } = uefiMeasurements({ flash: image, variables, shape: known })
  if (known !== undefined && unknown.length > 0) throw shapeUnknown(origin, unknown)
  const first = measurements.findIndex(({ eventType }) => eventType === EV.SEPARATOR)
  return [
    ...measurements.slice(0, first),
    taggedEvent(PCR.MAKER, EVENT_TAG.FIRMWARE_IMAGE, digest),
    ...settings(PCR.MAKER, subject),
    ...measurements.slice(first),
    hypervisorEvent(subject),
  ]
}

function shapeUnknown(origin: string, unknown: readonly UnknownBytes[]): FirmwareError {
  const bytes = unknown.map(
    ({ volume, offset, length, field }) => `${volume}+0x${offset.toString(16)} (${String(length)}, ${field})`,
  )
  return new FirmwareError(
    'SHAPE_UNKNOWN',
    `expected to know all that ${origin} measures on this machine, found bytes that only a boot tells: ` +
      `${bytes.join('; ')}. Choose a shape that is known, or measure the firmware as it lies in its file`,
  )
}

function hypervisorEvent({ hypervisorImage }: BootSubject): BootEvent {
  return {
    pcr: PCR.BOOT,
    eventType: EV.EFI_BOOT_SERVICES_APPLICATION,
    measured: hypervisorImage,
    data: encodeImageLoadEvent({
      imageLocationInMemory: 0n,
      imageLengthInMemory: BigInt(hypervisorImage.length),
      imageLinkTimeAddress: 0n,
      devicePath: filePathDevicePath('\\EFI\\palimpsest\\hypervisor'),
    }),
  }
}

function settings(pcr: number, { configuration, manifest }: BootSubject): BootEvent[] {
  const event = taggedEvent(pcr, EVENT_TAG.CONFIGURATION, configuration)
  return manifest === undefined ? [event] : [event, taggedEvent(pcr, EVENT_TAG.FIRMWARE_MANIFEST, manifest)]
}

function taggedEvent(pcr: number, taggedEventID: number, taggedEventData: Uint8Array): BootEvent {
  const data = encodeTaggedEvent({ taggedEventID, taggedEventData })
  return { pcr, eventType: EV.EVENT_TAG, measured: data, data }
}
