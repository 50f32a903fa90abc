// Measured boot, profile `image`: what runs and how it is configured goes into PCRs, and into the event log, before
// anything runs. PCR 0 = the whole firmware image in one event, PCR 4 = the hypervisor's image, PCR 7 = configuration
// and firmware manifest. sdk/evidence reads the same profile back (readImageProfile).
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 3.3.4 (PCR usage) and 10.4.1.
// Unlike there, PCR 4 takes the hash of the image file as it is: it is no PE image, so it has no Authenticode digest.

import { type CanonicalMap, encodeCanonical } from '../../../sdk/crypto/index.ts'
import {
  digestsOf,
  encodeFirmwareBlob,
  encodeImageLoadEvent,
  encodeTaggedEvent,
  EV,
  EVENT_TAG,
  EventLogWriter,
  filePathDevicePath,
  type FirmwareManifest,
} from '../../../sdk/evidence/index.ts'
import { BANKS, type PlatformTpm } from '../platform-tpm.ts'
import { checkManifest, type Firmware } from './image.ts'

const PCR = { FIRMWARE: 0, BOOT: 4, CONFIGURATION: 7 } as const
/** Flash is mapped to end here. */
const FOUR_GIB = 1n << 32n

/** What a boot needs. */
export interface MeasuredBootOptions {
  /** powered on, not started: the boot sends TPM2_Startup */
  readonly device: PlatformTpm
  readonly firmware: Firmware
  /** signed manifest; default the one that was found beside the image, if any */
  readonly manifest?: Uint8Array | undefined
  /** the bytes of the hypervisor that will be started */
  readonly hypervisorImage: Uint8Array
  /** the platform's configuration; measured and logged as canonical CBOR, so nothing secret may be in it */
  readonly configuration: CanonicalMap
}

/** A booted platform's log and what its manifest states. */
export interface MeasuredBoot {
  /** goes on taking events as long as the platform runs: see measureEvent() */
  readonly log: EventLogWriter
  /** the manifest's statement; undefined without one */
  readonly manifest: FirmwareManifest | undefined
  /** the manifest's bytes, as measured */
  readonly manifestBytes: Uint8Array | undefined
}

/**
 * Boots: checks the manifest, starts the TPM, measures firmware, hypervisor, configuration and manifest in that order
 * into both banks and the log.
 * Throws FirmwareError MANIFEST_INVALID or MANIFEST_MISMATCH before anything is measured.
 */
export function measureBoot(options: MeasuredBootOptions): MeasuredBoot {
  const { device, firmware, hypervisorImage, configuration } = options
  const manifestBytes = options.manifest ?? firmware.manifest
  const manifest = manifestBytes === undefined ? undefined : checkManifest(firmware, manifestBytes)
  device.startup()
  const log = new EventLogWriter(BANKS)
  const length = BigInt(firmware.image.length)
  measure(device, log, {
    pcr: PCR.FIRMWARE,
    eventType: EV.EFI_PLATFORM_FIRMWARE_BLOB,
    measured: firmware.image,
    data: encodeFirmwareBlob({ base: FOUR_GIB - length, length }),
  })
  measure(device, log, {
    pcr: PCR.BOOT,
    eventType: EV.EFI_BOOT_SERVICES_APPLICATION,
    measured: hypervisorImage,
    data: encodeImageLoadEvent({
      imageLocationInMemory: 0n,
      imageLengthInMemory: BigInt(hypervisorImage.length),
      imageLinkTimeAddress: 0n,
      devicePath: filePathDevicePath('\\EFI\\palimpsest\\hypervisor'),
    }),
  })
  measureTagged(device, log, EVENT_TAG.CONFIGURATION, encodeCanonical(configuration))
  if (manifestBytes !== undefined) measureTagged(device, log, EVENT_TAG.FIRMWARE_MANIFEST, manifestBytes)
  return { log, manifest, manifestBytes }
}

/**
 * Measures a later event: its data's hash is what the PCR is extended with, in both banks, and the log gets the same.
 * Throws RangeError when the log is full and TpmResponseError when the TPM refuses, with neither changed.
 */
export function measureEvent(
  device: PlatformTpm,
  log: EventLogWriter,
  event: { readonly pcr: number; readonly eventType: number; readonly data: Uint8Array },
): void {
  measure(device, log, { ...event, measured: event.data })
}

interface Measurement {
  readonly pcr: number
  readonly eventType: number
  /** what is hashed */
  readonly measured: Uint8Array
  /** what the log says about it */
  readonly data: Uint8Array
}

function measure(device: PlatformTpm, log: EventLogWriter, event: Measurement): void {
  const digests = digestsOf(BANKS, event.measured)
  const entry = { pcrIndex: event.pcr, eventType: event.eventType, digests, data: event.data }
  log.assertFits(entry)
  device.pcrExtend(event.pcr, digests)
  log.append(entry)
}

function measureTagged(device: PlatformTpm, log: EventLogWriter, tag: number, content: Uint8Array): void {
  const data = encodeTaggedEvent({ taggedEventID: tag, taggedEventData: content })
  measure(device, log, { pcr: PCR.CONFIGURATION, eventType: EV.EVENT_TAG, measured: data, data })
}
