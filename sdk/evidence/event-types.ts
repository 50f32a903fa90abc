// Event types of a TCG event log, and the tags of this project's own tagged events.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clause 10.4.1 (event types).

/** Event types by TCG's names. A type is not covered by the event's digest: use it to explain, not to trust. */
export const EV = {
  POST_CODE: 0x00000001,
  NO_ACTION: 0x00000003,
  SEPARATOR: 0x00000004,
  ACTION: 0x00000005,
  EVENT_TAG: 0x00000006,
  S_CRTM_CONTENTS: 0x00000007,
  S_CRTM_VERSION: 0x00000008,
  CPU_MICROCODE: 0x00000009,
  PLATFORM_CONFIG_FLAGS: 0x0000000a,
  TABLE_OF_DEVICES: 0x0000000b,
  COMPACT_HASH: 0x0000000c,
  IPL: 0x0000000d,
  IPL_PARTITION_DATA: 0x0000000e,
  NONHOST_CODE: 0x0000000f,
  NONHOST_CONFIG: 0x00000010,
  NONHOST_INFO: 0x00000011,
  OMIT_BOOT_DEVICE_EVENTS: 0x00000012,
  EFI_VARIABLE_DRIVER_CONFIG: 0x80000001,
  EFI_VARIABLE_BOOT: 0x80000002,
  EFI_BOOT_SERVICES_APPLICATION: 0x80000003,
  EFI_BOOT_SERVICES_DRIVER: 0x80000004,
  EFI_RUNTIME_SERVICES_DRIVER: 0x80000005,
  EFI_GPT_EVENT: 0x80000006,
  EFI_ACTION: 0x80000007,
  EFI_PLATFORM_FIRMWARE_BLOB: 0x80000008,
  EFI_HANDOFF_TABLES: 0x80000009,
  EFI_PLATFORM_FIRMWARE_BLOB2: 0x8000000a,
  EFI_HANDOFF_TABLES2: 0x8000000b,
  EFI_VARIABLE_BOOT2: 0x8000000c,
  EFI_HCRTM_EVENT: 0x80000010,
  EFI_VARIABLE_AUTHORITY: 0x800000e0,
  EFI_SPDM_FIRMWARE_BLOB: 0x800000e1,
  EFI_SPDM_FIRMWARE_CONFIG: 0x800000e2,
  EFI_SPDM_DEVICE_POLICY: 0x800000e3,
  EFI_SPDM_DEVICE_AUTHORITY: 0x800000e4,
} as const

const NAMES = new Map<number, string>(Object.entries(EV).map(([name, type]) => [type, `EV_${name}`]))

/** Whether TCG's firmware profile names the type. */
export function isKnownEventType(eventType: number): boolean {
  return NAMES.has(eventType)
}

/** TCG's name of an event type, or its number in hexadecimal. */
export function eventTypeName(eventType: number): string {
  return NAMES.get(eventType) ?? `0x${eventType.toString(16).padStart(8, '0')}`
}

/** taggedEventID of this project's EV_EVENT_TAG events: see boot-profile.ts. */
export const EVENT_TAG = {
  /** the platform's configuration, canonical CBOR */
  CONFIGURATION: 0x50414c01,
  /** the signed firmware manifest, COSE_Sign1 */
  FIRMWARE_MANIFEST: 0x50414c02,
  /** SHA-256 of the whole firmware image, where PCR 0 does not say it */
  FIRMWARE_IMAGE: 0x50414c03,
} as const
