// What a boot measured, read back from its log, for either boot profile. Anything in the PCRs of a profile that does not
// belong there is refused, so that their meaning is never guessed. The log must already have been replayed to a quote.
//
// `image`: PCR 0 = the whole firmware image in one event, PCR 4 = the hypervisor's image in one event, PCR 7 =
// configuration and firmware manifest as tagged events.
// `uefi`: PCRs 0 to 7 take what UEFI firmware measures of itself; what this platform adds goes into PCR 6, the one of the machine's
// maker, before its separator: the digest of the whole firmware image, configuration and manifest as tagged events; and
// into PCR 4 after its separator: the hypervisor's image. PCR 0 has the firmware's parts, and PCR 2 other code that runs
// before the separators and could measure what it likes: their meaning is a value that the verifier knows.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 3.3.4 (PCR usage) and 10.4.1.

import { equalBytes } from '../crypto/index.ts'
import { hash, TPM_ALG } from '../tpm2/index.ts'
import { EvidenceError } from './errors.ts'
import { decodeTaggedEvent } from './event-data.ts'
import { type EventLog, type PcrEvent } from './event-log.ts'
import { EV, EVENT_TAG, eventTypeName } from './event-types.ts'

/** Names of the profiles. */
export type BootProfileName = 'image' | 'uefi'

/** What a boot measured. */
export interface BootProfile {
  readonly name: BootProfileName
  /**
   * digest of the firmware's whole memory image: in the log's bank that was read for `image`, SHA-256 for `uefi`, where
   * it is the content of a tagged event
   */
  readonly firmwareImageDigest: Uint8Array
  /** digest of the hypervisor's image, in the bank that was read */
  readonly hypervisorDigest: Uint8Array
  /** the platform's configuration, canonical CBOR; its hash was measured */
  readonly configuration: Uint8Array
  /** the signed firmware manifest (COSE_Sign1), if the firmware has one; its hash was measured */
  readonly firmwareManifest: Uint8Array | undefined
}

/** PCRs whose values a verifier must know, since the log alone does not tell their meaning. */
export const KNOWN_PCRS: Readonly<Record<BootProfileName, readonly number[]>> = { image: [], uefi: [0, 2] }

/** The PCRs that say what booted: a quote that leaves one out says nothing. */
export const PROFILE_PCRS: Readonly<Record<BootProfileName, readonly number[]>> = {
  image: [0, 4, 7],
  uefi: [0, 2, 4, 6, 7],
}

/** EV_SEPARATOR's event data of a boot without errors. */
const SEPARATOR = new Uint8Array(4)
const SHA256_BYTES = 32

function refuse(message: string, event?: PcrEvent): never {
  throw new EvidenceError('LOG_PROFILE', message, event === undefined ? {} : { event: event.number })
}

/** The measured events of one PCR, in the bank that is read. */
class PcrEvents {
  readonly pcr: number
  readonly #bank: number
  readonly #events: readonly PcrEvent[]
  #at = 0

  constructor(log: EventLog, bank: number, pcr: number) {
    this.pcr = pcr
    this.#bank = bank
    this.#events = log.events.filter((event) => event.pcrIndex === pcr && event.eventType !== EV.NO_ACTION)
  }

  /** The next event, if there is one. */
  peek(): PcrEvent | undefined {
    return this.#events[this.#at]
  }

  /** Takes the next event, which must be of type `eventType`. */
  take(eventType: number): PcrEvent {
    const event = this.peek()
    const expected = `expected ${eventTypeName(eventType)} in PCR ${String(this.pcr)}`
    if (event === undefined) return refuse(`${expected}, found the end of the log`)
    if (event.eventType !== eventType)
      return refuse(`${expected}, found ${eventTypeName(event.eventType)}`, event)
    this.#at += 1
    return event
  }

  digestOf(event: PcrEvent): Uint8Array {
    const digest = event.digests.get(this.#bank)
    return digest ?? refuse(`expected a digest of bank 0x${this.#bank.toString(16)}, found none`, event)
  }

  /** Takes the next event, whose digest must be the hash of its data: so that the data are what was measured. */
  takeCovered(eventType: number): Uint8Array {
    const event = this.take(eventType)
    if (equalBytes(hash(this.#bank, event.data), this.digestOf(event))) return event.data
    return refuse(`expected the digest of its data with ${eventTypeName(eventType)}, found another`, event)
  }

  takeSeparator(): void {
    const event = this.peek()
    if (!equalBytes(this.takeCovered(EV.SEPARATOR), SEPARATOR)) {
      refuse('expected the separator of a boot without errors, found another', event)
    }
  }

  end(): void {
    const event = this.peek()
    if (event !== undefined)
      refuse(`expected no more events in PCR ${String(this.pcr)}, found another`, event)
  }
}

/** Takes the tagged events that come next, each known tag once. */
function takeTags(events: PcrEvents, known: readonly number[]): ReadonlyMap<number, Uint8Array> {
  const found = new Map<number, Uint8Array>()
  for (let event = events.peek(); event?.eventType === EV.EVENT_TAG; event = events.peek()) {
    const tagged = decodeTaggedEvent(events.takeCovered(EV.EVENT_TAG))
    if (tagged === undefined) return refuse('expected a tagged event, found other data', event)
    const { taggedEventID: tag, taggedEventData } = tagged
    if (!known.includes(tag) || found.has(tag)) {
      const tags = known.map((one) => `0x${one.toString(16)}`).join(', ')
      refuse(`expected the tags ${tags} once each, found tag 0x${tag.toString(16)}`, event)
    }
    found.set(tag, taggedEventData)
  }
  return found
}

function configurationIn(tags: ReadonlyMap<number, Uint8Array>, pcr: number): Uint8Array {
  const configuration = tags.get(EVENT_TAG.CONFIGURATION)
  return configuration ?? refuse(`expected the configuration in PCR ${String(pcr)}, found none`)
}

function readImageProfile(log: EventLog, bank: number): BootProfile {
  const firmware = new PcrEvents(log, bank, 0)
  const firmwareImageDigest = firmware.digestOf(firmware.take(EV.EFI_PLATFORM_FIRMWARE_BLOB))
  firmware.end()
  const boot = new PcrEvents(log, bank, 4)
  const hypervisorDigest = boot.digestOf(boot.take(EV.EFI_BOOT_SERVICES_APPLICATION))
  boot.end()
  const settings = new PcrEvents(log, bank, 7)
  const tags = takeTags(settings, [EVENT_TAG.CONFIGURATION, EVENT_TAG.FIRMWARE_MANIFEST])
  settings.end()
  return {
    name: 'image',
    firmwareImageDigest,
    hypervisorDigest,
    configuration: configurationIn(tags, 7),
    firmwareManifest: tags.get(EVENT_TAG.FIRMWARE_MANIFEST),
  }
}

function readUefiProfile(log: EventLog, bank: number): BootProfile {
  const maker = new PcrEvents(log, bank, 6)
  const tags = takeTags(maker, Object.values(EVENT_TAG))
  maker.takeSeparator()
  maker.end()
  const firmwareImageDigest = tags.get(EVENT_TAG.FIRMWARE_IMAGE)
  if (firmwareImageDigest?.length !== SHA256_BYTES) {
    return refuse('expected the SHA-256 of the firmware image in PCR 6, found none')
  }
  const boot = new PcrEvents(log, bank, 4)
  if (boot.peek()?.eventType === EV.EFI_ACTION) boot.takeCovered(EV.EFI_ACTION)
  boot.takeSeparator()
  const hypervisorDigest = boot.digestOf(boot.take(EV.EFI_BOOT_SERVICES_APPLICATION))
  boot.end()
  return {
    name: 'uefi',
    firmwareImageDigest,
    hypervisorDigest,
    configuration: configurationIn(tags, 6),
    firmwareManifest: tags.get(EVENT_TAG.FIRMWARE_MANIFEST),
  }
}

/**
 * Reads what a boot measured from `bank` (TPM_ALG, SHA-256 by default). Which profile it is, the type of PCR 0's first
 * event says, which no digest covers: that it is true follows from PCR 0's value, which a policy must know for `uefi`.
 * Throws EvidenceError LOG_PROFILE naming the event that does not belong there, or the one that is missing.
 */
export function readBootProfile(log: EventLog, bank: number = TPM_ALG.SHA256): BootProfile {
  const first = new PcrEvents(log, bank, 0).peek()
  return first?.eventType === EV.S_CRTM_VERSION ? readUefiProfile(log, bank) : readImageProfile(log, bank)
}
