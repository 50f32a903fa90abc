// What can be wrong with an event by itself. A PCR proves digests and their order, neither types nor data: an event whose
// type, PCR, data and digests contradict each other was changed after it was measured, or never was what it says.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clause 10.4.1 (event types).

import { decodeEvent, digestCoversData } from './event-data.ts'
import { type PcrEvent } from './event-log.ts'
import { EV, eventTypeName, isKnownEventType } from './event-types.ts'

/** The PCRs that firmware measures into, with the types of its profile; in the others the system has its own. */
const FIRMWARE_PCRS = 8
const SEPARATOR_BYTES = 4

/** Types that the profile keeps to one PCR. */
const ONLY_PCR = new Map<number, number>([
  [EV.POST_CODE, 0],
  [EV.S_CRTM_CONTENTS, 0],
  [EV.S_CRTM_VERSION, 0],
  [EV.CPU_MICROCODE, 1],
  [EV.PLATFORM_CONFIG_FLAGS, 1],
  [EV.TABLE_OF_DEVICES, 1],
  [EV.IPL_PARTITION_DATA, 5],
])

/** Code, which odd PCRs do not hold: each is for the configuration of the code in the PCR before it. */
const IMAGES: readonly number[] = [
  EV.EFI_BOOT_SERVICES_APPLICATION,
  EV.EFI_BOOT_SERVICES_DRIVER,
  EV.EFI_RUNTIME_SERVICES_DRIVER,
]

/** Types whose data say where the measured bytes lay, and so are not what was measured. */
const ELSEWHERE: readonly number[] = [
  ...IMAGES,
  EV.EFI_PLATFORM_FIRMWARE_BLOB,
  EV.EFI_PLATFORM_FIRMWARE_BLOB2,
  EV.EFI_HANDOFF_TABLES,
  EV.EFI_HANDOFF_TABLES2,
]

/** Types whose data have a structure, so that other data can be told from them. */
const STRUCTURED: readonly number[] = [
  ...ELSEWHERE,
  EV.EVENT_TAG,
  EV.EFI_VARIABLE_DRIVER_CONFIG,
  EV.EFI_VARIABLE_BOOT,
  EV.EFI_VARIABLE_BOOT2,
  EV.EFI_VARIABLE_AUTHORITY,
  EV.EFI_GPT_EVENT,
]

/**
 * How an event contradicts itself, in words; undefined when nothing is seen. It can not see a change of what no digest
 * covers: a type for another of the same structure, or data beside the digest of something else.
 */
export function eventProblem(event: PcrEvent): string | undefined {
  const { eventType, pcrIndex, data } = event
  if (eventType === EV.NO_ACTION) return undefined
  const name = eventTypeName(eventType)
  if (isMisplaced(event)) return `expected an event type of PCR ${String(pcrIndex)}, found ${name}`
  if (isMisshapen(event)) return `expected the data of ${name}, found ${String(data.length)} other bytes`
  const covered = digestCoversData(event)
  if (covered === true && ELSEWHERE.includes(eventType)) {
    return `expected the digest of what the data of ${name} point to, found that of the data`
  }
  // Older versions of shim measure something else than what they log about a key.
  if (covered === false && eventType !== EV.EFI_VARIABLE_AUTHORITY) {
    return `expected the digests of the data with ${name}, found others`
  }
  return undefined
}

function isMisplaced({ eventType, pcrIndex }: PcrEvent): boolean {
  if (pcrIndex >= FIRMWARE_PCRS) return false
  if (eventType === EV.COMPACT_HASH) return pcrIndex < 4
  if (IMAGES.includes(eventType)) return pcrIndex % 2 === 1
  return !isKnownEventType(eventType) || (ONLY_PCR.get(eventType) ?? pcrIndex) !== pcrIndex
}

function isMisshapen(event: PcrEvent): boolean {
  const { eventType, data } = event
  if (eventType === EV.SEPARATOR) return data.length !== SEPARATOR_BYTES
  const details = decodeEvent(event)
  if (eventType === EV.ACTION || eventType === EV.EFI_ACTION) {
    return details.kind !== 'text' || details.text === ''
  }
  return STRUCTURED.includes(eventType) && details.kind === 'bytes'
}
