// The `image` boot profile: what it reads from a log, and every way in which a log is not of that profile.

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
  readImageProfile,
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

function profileOf(...events: Measured[]): ReturnType<typeof readImageProfile> {
  const writer = new EventLogWriter(banks)
  for (const { pcr, type, data, measured } of events) {
    writer.append({ pcrIndex: pcr, eventType: type, data, digests: digestsOf(banks, measured ?? data) })
  }
  return readImageProfile(parseEventLog(writer.bytes()))
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
      text: 'one event in PCR 0, found none',
      event: undefined,
    },
    {
      what: 'two firmware events',
      events: [firmware, firmware, hypervisor, config],
      text: 'found another',
      event: 2,
    },
    {
      what: 'another kind of event in PCR 0',
      events: [{ ...firmware, type: EV.S_CRTM_VERSION }, hypervisor, config],
      text: 'expected EV_EFI_PLATFORM_FIRMWARE_BLOB, found EV_S_CRTM_VERSION',
      event: 1,
    },
    {
      what: 'a later extend of PCR 4',
      events: [firmware, hypervisor, config, hypervisor],
      text: 'found another',
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
      text: 'expected an EV_EVENT_TAG in PCR 7, found EV_SEPARATOR',
      event: 4,
    },
    {
      what: 'configuration data that are not what was measured',
      events: [firmware, hypervisor, { ...config, measured: firmwareManifest }],
      text: 'the hash of its data',
      event: 3,
    },
  ])('[C-02] refuses $what', ({ events, text, event }) => {
    const error = refusal(...events)
    expect(error.code).toBe('LOG_PROFILE')
    expect(error.message).toContain(text)
    expect(error.event).toBe(event)
  })
})
