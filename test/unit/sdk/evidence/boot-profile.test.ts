// The boot profiles: what is read from a log, and every way in which a log is of neither.

import { describe, expect, it } from 'vitest'
import {
  digestsOf,
  encodeFirmwareBlob,
  encodeTaggedEvent,
  EV,
  EVENT_TAG,
  EventLogWriter,
  EvidenceError,
  parseEventLog,
  readBootProfile,
} from '../../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../../sdk/tpm2/index.ts'

const banks = [TPM_ALG.SHA256, TPM_ALG.SHA384]
const configuration = Uint8Array.of(1, 2, 3)
const firmwareManifest = Uint8Array.of(4, 5)

interface Measured {
  readonly pcr: number
  readonly type: number
  readonly data: Uint8Array
  readonly measured?: Uint8Array
}

const firmware: Measured = {
  pcr: 0,
  type: EV.EFI_PLATFORM_FIRMWARE_BLOB,
  data: encodeFirmwareBlob({ base: 0n, length: 7n }),
  measured: new Uint8Array(7),
}
const hypervisor: Measured = {
  pcr: 4,
  type: EV.EFI_BOOT_SERVICES_APPLICATION,
  data: new Uint8Array(32),
  measured: new Uint8Array(8),
}
const tagged = (taggedEventID: number, taggedEventData: Uint8Array): Measured => ({
  pcr: 7,
  type: EV.EVENT_TAG,
  data: encodeTaggedEvent({ taggedEventID, taggedEventData }),
})
const config = tagged(EVENT_TAG.CONFIGURATION, configuration)
const manifest = tagged(EVENT_TAG.FIRMWARE_MANIFEST, firmwareManifest)

function profileOf(...events: Measured[]): ReturnType<typeof readBootProfile> {
  const writer = new EventLogWriter(banks)
  for (const { pcr, type, data, measured } of events) {
    writer.append({ pcrIndex: pcr, eventType: type, data, digests: digestsOf(banks, measured ?? data) })
  }
  return readBootProfile(parseEventLog(writer.bytes()))
}

function refusal(...events: Measured[]): EvidenceError {
  try {
    profileOf(...events)
  } catch (error) {
    if (error instanceof EvidenceError) return error
    throw error
  }
  throw new Error('expected a refusal, found a profile')
}

describe('boot profile image', () => {
  it('[C-09] [C-02 control] reads the digest of the whole firmware image and what else was measured', () => {
    const expected = {
      name: 'image',
      firmwareImageDigest: digestsOf([TPM_ALG.SHA256], new Uint8Array(7)).get(TPM_ALG.SHA256),
      hypervisorDigest: digestsOf([TPM_ALG.SHA256], new Uint8Array(8)).get(TPM_ALG.SHA256),
      configuration,
      firmwareManifest,
    }
    expect(profileOf(firmware, hypervisor, config, manifest)).toEqual(expected)
    expect(profileOf(firmware, hypervisor, config)).toEqual({ ...expected, firmwareManifest: undefined })
    const later = { pcr: 9, type: EV.EVENT_TAG, data: new Uint8Array(3) }
    expect(profileOf(firmware, hypervisor, config, manifest, later)).toEqual(expected)
  })

  it.each([
    {
      what: 'no firmware',
      events: [hypervisor, config],
      text: 'expected EV_EFI_PLATFORM_FIRMWARE_BLOB in PCR 0, found the end of the log',
      event: undefined,
    },
    {
      what: 'two firmware events',
      events: [firmware, firmware, hypervisor, config],
      text: 'expected no more events in PCR 0, found another',
      event: 2,
    },
    {
      what: 'another kind of event in PCR 0',
      events: [{ ...firmware, type: EV.EFI_PLATFORM_FIRMWARE_BLOB2 }, hypervisor, config],
      text: 'expected EV_EFI_PLATFORM_FIRMWARE_BLOB in PCR 0, found EV_EFI_PLATFORM_FIRMWARE_BLOB2',
      event: 1,
    },
    {
      what: 'a later extend of PCR 4',
      events: [firmware, hypervisor, config, hypervisor],
      text: 'expected no more events in PCR 4, found another',
      event: 4,
    },
    {
      what: 'no configuration',
      events: [firmware, hypervisor, manifest],
      text: 'found none',
      event: undefined,
    },
    {
      what: 'two configurations',
      events: [firmware, hypervisor, config, config],
      text: 'once each',
      event: 4,
    },
    {
      what: 'an unknown tag',
      events: [firmware, hypervisor, config, tagged(1, configuration)],
      text: 'tag 0x1',
      event: 4,
    },
    {
      what: 'another event in PCR 7',
      events: [firmware, hypervisor, config, { ...config, type: EV.SEPARATOR }],
      text: 'expected no more events in PCR 7, found another',
      event: 4,
    },
    {
      what: 'configuration data that are not what was measured',
      events: [firmware, hypervisor, { ...config, measured: firmwareManifest }],
      text: 'expected the digest of its data with EV_EVENT_TAG',
      event: 3,
    },
  ])('[C-02] refuses $what', ({ events, text, event }) => {
    const error = refusal(...events)
    expect(error.code).toBe('LOG_PROFILE')
    expect(error.message).toContain(text)
    expect(error.event).toBe(event)
  })
})

describe('boot profile uefi', () => {
  const zeros = new Uint8Array(4)
  const imageDigest = new Uint8Array(32).fill(6)
  const separator = (pcr: number): Measured => ({ pcr, type: EV.SEPARATOR, data: zeros })
  const tag = (taggedEventID: number, data: Uint8Array): Measured => ({
    ...tagged(taggedEventID, data),
    pcr: 6,
  })
  const version = { pcr: 0, type: EV.S_CRTM_VERSION, data: new Uint8Array(2) }
  const image = tag(EVENT_TAG.FIRMWARE_IMAGE, imageDigest)
  const settings = tag(EVENT_TAG.CONFIGURATION, configuration)
  const action = { pcr: 4, type: EV.EFI_ACTION, data: Uint8Array.of(65) }
  const good = [version, firmware, image, settings, separator(6), action, separator(4), hypervisor]

  it('[C-09] [C-02 control] reads the digest of the whole image from PCR 6 and the hypervisor from PCR 4', () => {
    const expected = {
      name: 'uefi',
      firmwareImageDigest: imageDigest,
      hypervisorDigest: digestsOf([TPM_ALG.SHA256], new Uint8Array(8)).get(TPM_ALG.SHA256),
      configuration,
      firmwareManifest: undefined,
    }
    expect(profileOf(...good)).toEqual(expected)
    expect(profileOf(...good.filter((event) => event !== action))).toEqual(expected)
    const signed = tag(EVENT_TAG.FIRMWARE_MANIFEST, firmwareManifest)
    expect(profileOf(signed, ...good)).toEqual({ ...expected, firmwareManifest })
  })

  const replaced = (event: Measured, by: readonly Measured[]) =>
    good.flatMap((one) => (one === event ? by : [one]))

  it.each([
    { what: 'no digest of the image', events: replaced(image, []), text: 'SHA-256 of the firmware image' },
    {
      what: 'a digest of another size',
      events: replaced(image, [tag(EVENT_TAG.FIRMWARE_IMAGE, zeros)]),
      text: 'SHA-256 of the firmware image',
    },
    { what: 'two digests of an image', events: replaced(image, [image, image]), text: 'once each' },
    { what: 'no configuration', events: replaced(settings, []), text: 'expected the configuration in PCR 6' },
    {
      what: 'what was extended after the boot',
      events: [...good, settings],
      text: 'expected no more events in PCR 6',
    },
    {
      what: 'a hypervisor before the separator',
      events: replaced(action, [hypervisor]),
      text: 'expected EV_SEPARATOR in PCR 4',
    },
    { what: 'a second hypervisor', events: [...good, hypervisor], text: 'expected no more events in PCR 4' },
    {
      what: 'the separator of a failed boot',
      events: good.map((one) =>
        one.pcr === 4 && one.type === EV.SEPARATOR ? { ...one, data: Uint8Array.of(1, 0, 0, 0) } : one,
      ),
      text: 'separator of a boot without errors',
    },
    {
      what: 'a digest of the image that was not measured',
      events: replaced(image, [{ ...image, measured: zeros }]),
      text: 'expected the digest of its data',
    },
  ])('[C-02] refuses $what', ({ events, text }) => {
    const error = refusal(...events)
    expect(error.code).toBe('LOG_PROFILE')
    expect(error.message).toContain(text)
  })
})
