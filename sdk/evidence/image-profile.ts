// The `image` boot profile, read back from a log: PCR 0 = the whole firmware image in one event, PCR 4 = the
// hypervisor's image in one event, PCR 7 = configuration and firmware manifest as tagged events. Anything else in
// these PCRs is refused, so that their meaning is never guessed. The log must already have been replayed to a quote.

import { equalBytes } from '../crypto/index.ts'
import { hash, TPM_ALG } from '../tpm2/index.ts'
import { EvidenceError } from './errors.ts'
import { decodeTaggedEvent, type TaggedEvent } from './event-data.ts'
import { type EventLog, type PcrEvent } from './event-log.ts'
import { EV, EVENT_TAG, eventTypeName } from './event-types.ts'

/** What a boot of profile `image` measured. */
export interface ImageProfile {
  /** digest of the firmware's whole memory image, in the log's bank that was read */
  readonly firmwareImageDigest: Uint8Array
  /** digest of the hypervisor's image */
  readonly hypervisorDigest: Uint8Array
  /** the platform's configuration, canonical CBOR; its hash was measured */
  readonly configuration: Uint8Array
  /** the signed firmware manifest (COSE_Sign1), if the firmware has one; its hash was measured */
  readonly firmwareManifest: Uint8Array | undefined
}

function refuse(message: string, event?: PcrEvent): never {
  throw new EvidenceError('LOG_PROFILE', message, event === undefined ? {} : { event: event.number })
}

function measuredInto(log: EventLog, pcr: number): PcrEvent[] {
  return log.events.filter((event) => event.pcrIndex === pcr && event.eventType !== EV.NO_ACTION)
}

function digestIn(event: PcrEvent, bank: number): Uint8Array {
  return (
    event.digests.get(bank) ?? refuse(`expected a digest of bank 0x${bank.toString(16)}, found none`, event)
  )
}

/** The digest of the one event of `pcr`, which must be of type `eventType`. */
function onlyEvent(log: EventLog, bank: number, pcr: number, eventType: number): Uint8Array {
  const [event, extra] = measuredInto(log, pcr)
  if (event === undefined) return refuse(`expected one event in PCR ${String(pcr)}, found none`)
  if (extra !== undefined) return refuse(`expected one event in PCR ${String(pcr)}, found another`, extra)
  if (event.eventType !== eventType) {
    return refuse(`expected ${eventTypeName(eventType)}, found ${eventTypeName(event.eventType)}`, event)
  }
  return digestIn(event, bank)
}

/** A tagged event whose digest is the hash of its data: so that the data are what was measured. */
function taggedEvent(event: PcrEvent, bank: number): TaggedEvent {
  const tagged = event.eventType === EV.EVENT_TAG ? decodeTaggedEvent(event.data) : undefined
  if (tagged === undefined) {
    return refuse(`expected an EV_EVENT_TAG in PCR 7, found ${eventTypeName(event.eventType)}`, event)
  }
  if (!equalBytes(hash(bank, event.data), digestIn(event, bank))) {
    return refuse('expected the digest of a tagged event to be the hash of its data, found another', event)
  }
  return tagged
}

/**
 * Reads what the profile measured from `bank` (TPM_ALG, SHA-256 by default).
 * Throws EvidenceError LOG_PROFILE naming the event that does not belong there, or the one that is missing.
 */
export function readImageProfile(log: EventLog, bank: number = TPM_ALG.SHA256): ImageProfile {
  const firmwareImageDigest = onlyEvent(log, bank, 0, EV.EFI_PLATFORM_FIRMWARE_BLOB)
  const hypervisorDigest = onlyEvent(log, bank, 4, EV.EFI_BOOT_SERVICES_APPLICATION)
  const found = new Map<number, Uint8Array>()
  for (const event of measuredInto(log, 7)) {
    const { taggedEventID, taggedEventData } = taggedEvent(event, bank)
    const known = Object.values(EVENT_TAG).some((tag) => tag === taggedEventID)
    if (!known || found.has(taggedEventID)) {
      refuse(
        `expected configuration and firmware manifest once each, found tag 0x${taggedEventID.toString(16)}`,
        event,
      )
    }
    found.set(taggedEventID, taggedEventData)
  }
  const configuration = found.get(EVENT_TAG.CONFIGURATION)
  if (configuration === undefined) return refuse('expected the configuration in PCR 7, found none')
  const firmwareManifest = found.get(EVENT_TAG.FIRMWARE_MANIFEST)
  return { firmwareImageDigest, hypervisorDigest, configuration, firmwareManifest }
}
