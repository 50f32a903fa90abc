// Measured boot: what runs and how it is configured goes into PCRs, and into the event log, before anything runs.

import { type CanonicalMap, encodeCanonical } from '../../../sdk/crypto/index.ts'
import { digestsOf, EventLogWriter, type FirmwareManifest } from '../../../sdk/evidence/index.ts'
import { BANKS, type PlatformTpm } from '../platform-tpm.ts'
import { type BootEvent, imageBootEvents, uefiBootEvents, type UefiMachine } from './boot-events.ts'
import { checkManifest, type Firmware } from './image.ts'

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
  /** boot with profile `uefi` on this machine; default profile `image` */
  readonly uefi?: UefiMachine | undefined
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
 * Boots: checks the manifest, starts the TPM, measures what the profile says into all banks and the log.
 * Throws FirmwareError MANIFEST_INVALID or MANIFEST_MISMATCH, and for profile `uefi` IMAGE_MALFORMED,
 * IMAGE_UNSUPPORTED or SHAPE_UNKNOWN, before anything is measured.
 */
export function measureBoot(options: MeasuredBootOptions): MeasuredBoot {
  const { device, firmware, hypervisorImage, uefi } = options
  const manifestBytes = options.manifest ?? firmware.manifest
  const manifest = manifestBytes === undefined ? undefined : checkManifest(firmware, manifestBytes)
  const configuration = encodeCanonical(options.configuration)
  const subject = { firmware, hypervisorImage, configuration, manifest: manifestBytes }
  const events = uefi === undefined ? imageBootEvents(subject) : uefiBootEvents(subject, uefi)
  device.startup()
  const log = new EventLogWriter(BANKS)
  for (const event of events) measure(device, log, event)
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

function measure(device: PlatformTpm, log: EventLogWriter, event: BootEvent): void {
  const digests = digestsOf(BANKS, event.measured)
  const entry = { pcrIndex: event.pcr, eventType: event.eventType, digests, data: event.data }
  log.assertFits(entry)
  device.pcrExtend(event.pcr, digests)
  log.append(entry)
}
