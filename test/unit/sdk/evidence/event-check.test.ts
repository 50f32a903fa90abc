// Events that contradict themselves: which changes of an event can be seen without knowing its PCR, and which can not.

import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../../sdk/crypto/index.ts'
import {
  digestCoversData,
  digestsOf,
  eventProblem,
  eventTypeName,
  EV,
  parseEventLog,
  type PcrEvent,
} from '../../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { image, ovmfLog, variable, GLOBAL } from './logs.ts'

const { events } = parseEventLog(ovmfLog)
const banks = [TPM_ALG.SHA1, TPM_ALG.SHA256]

const event = (pcrIndex: number, eventType: number, data: Uint8Array, measured = data): PcrEvent => ({
  number: 1,
  pcrIndex,
  eventType,
  data,
  digests: digestsOf(banks, measured),
})

describe('eventProblem', () => {
  it('sees nothing in a real boot', () => {
    expect(events.flatMap((one) => eventProblem(one) ?? [])).toEqual([])
  })

  it('sees every changed bit of a type, but where the other type fits as well', () => {
    const unseen = events.flatMap((one) =>
      Array.from({ length: 32 }, (_, bit) => (one.eventType ^ (2 ** bit)) >>> 0)
        .filter(
          (eventType) => eventType !== EV.NO_ACTION && eventProblem({ ...one, eventType }) === undefined,
        )
        .map((other) => `${eventTypeName(one.eventType)} ${eventTypeName(other)} ${String(one.pcrIndex)}`),
    )
    // Four octets of any meaning, whose hash is measured: nothing tells the one from the other.
    expect(unseen).toEqual([7, 4, 5, 6].map((pcr) => `EV_SEPARATOR EV_COMPACT_HASH ${String(pcr)}`))
  })

  it('sees every changed octet of data that was measured', () => {
    for (const one of events.filter((measured) => digestCoversData(measured) === true)) {
      for (let at = 0; at < one.data.length; at += 1) {
        const data = one.data.map((octet, index) => (index === at ? octet ^ 1 : octet))
        const seen = eventProblem({ ...one, data }) !== undefined
        // Of a variable, OVMF measures the value alone when it is one to boot from: its name is nobody's word.
        expect(seen || one.eventType === EV.EFI_VARIABLE_BOOT).toBe(true)
      }
    }
  })

  it.each<[string, PcrEvent, RegExp]>([
    [
      'a type that TCG does not know',
      event(1, 0x80000077, utf8('x')),
      /an event type of PCR 1, found 0x80000077/,
    ],
    ['a type of another PCR', event(2, EV.S_CRTM_VERSION, utf8('x')), /an event type of PCR 2/],
    [
      'code in a PCR of configuration',
      event(1, EV.EFI_BOOT_SERVICES_APPLICATION, image(new Uint8Array()), utf8('code')),
      /PCR 1/,
    ],
    [
      'a variable that is none',
      event(7, EV.EFI_VARIABLE_DRIVER_CONFIG, utf8('x')),
      /the data of EV_EFI_VARIABLE_DRIVER_CONFIG, found 1 other/,
    ],
    ['an empty action', event(4, EV.EFI_ACTION, new Uint8Array()), /the data of EV_EFI_ACTION/],
    ['a separator of five octets', event(4, EV.SEPARATOR, new Uint8Array(5)), /found 5 other bytes/],
    [
      'other data than were measured',
      event(4, EV.EFI_ACTION, utf8('one'), utf8('two')),
      /the digests of the data with EV_EFI_ACTION/,
    ],
    [
      'an image whose description was measured',
      event(4, EV.EFI_BOOT_SERVICES_APPLICATION, image(new Uint8Array())),
      /point to, found that of the data/,
    ],
  ])('tells of %s', (_, one, problem) => {
    expect(eventProblem(one)).toMatch(problem)
  })

  it.each<[string, PcrEvent]>([
    [
      'an image by its own digest',
      event(4, EV.EFI_BOOT_SERVICES_APPLICATION, image(new Uint8Array()), utf8('code')),
    ],
    ['types of the system beyond PCR 7', event(8, 0x00010001, utf8('x'), utf8('y'))],
    [
      'a key that old versions of shim log',
      event(7, EV.EFI_VARIABLE_AUTHORITY, variable(GLOBAL, 'db', utf8('x')), utf8('y')),
    ],
    ['what measures nothing', event(6, EV.NO_ACTION, utf8('x'))],
  ])('passes %s', (_, one) => {
    expect(eventProblem(one)).toBeUndefined()
  })

  it('counts the digests of every bank, since a quote may prove one and not the other', () => {
    const data = utf8('Calling EFI Application from Boot Option')
    const digests = new Map([...digestsOf(banks, data), ...digestsOf([TPM_ALG.SHA256], utf8('other'))])
    expect(digestCoversData({ ...event(4, EV.EFI_ACTION, data), digests })).toBe(false)
    expect(digestCoversData(event(4, EV.EFI_ACTION, data))).toBe(true)
  })
})
