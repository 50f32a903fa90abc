// The event log: a real firmware's log replays to the PCRs that its TPM held; damaged logs are refused by number.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeFirmwareBlob,
  decodeImageLoadEvent,
  digestsOf,
  EV,
  eventTypeName,
  EventLogWriter,
  EvidenceError,
  parseEventLog,
  replay,
} from '../../../../sdk/evidence/index.ts'
import { hash, PCR_COUNT, pcrDigest, selectPcrs, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { ovmfLog as real, ovmfPcrs } from './logs.ts'

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex')

function errorOf(work: () => unknown): EvidenceError | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof EvidenceError) return error
    throw error
  }
}

const banks = [TPM_ALG.SHA256, TPM_ALG.SHA384]

function written(...events: [pcr: number, type: number, data: string][]): Uint8Array {
  const writer = new EventLogWriter(banks)
  for (const [pcrIndex, eventType, text] of events) {
    const data = new TextEncoder().encode(text)
    writer.append({ pcrIndex, eventType, data, digests: digestsOf(banks, data) })
  }
  return writer.bytes()
}

describe('a real firmware log', () => {
  it.each([
    { name: 'sha1', bank: TPM_ALG.SHA1 },
    { name: 'sha256', bank: TPM_ALG.SHA256 },
    { name: 'sha384', bank: TPM_ALG.SHA384 },
    { name: 'sha512', bank: TPM_ALG.SHA512 },
  ])("replays to all 24 PCRs that the machine's TPM held ($name)", ({ bank }) => {
    const pcrs = replay(parseEventLog(real), bank)
    expect(pcrs.size).toBe(PCR_COUNT)
    expect(pcrs).toEqual(ovmfPcrs.get(bank))
  })

  it('is read event by event', () => {
    const { events, algorithms } = parseEventLog(real)
    expect(events).toHaveLength(24)
    expect(algorithms.map(({ digestSize }) => digestSize)).toEqual([20, 32, 48, 64])
    const blobs = events.filter(({ eventType }) => eventType === EV.EFI_PLATFORM_FIRMWARE_BLOB)
    expect(blobs.map(({ data }) => decodeFirmwareBlob(data))).toEqual([
      { base: 0x820000n, length: 0xe0000n },
      { base: 0x900000n, length: 0xc00000n },
    ])
    const application = events.find(({ eventType }) => eventType === EV.EFI_BOOT_SERVICES_APPLICATION)
    expect(decodeImageLoadEvent(application?.data ?? new Uint8Array())?.devicePath.length).toBeGreaterThan(4)
    expect(eventTypeName(events[0]?.eventType ?? 0)).toBe('EV_S_CRTM_VERSION')
  })

  it('[C-02] a changed digest or a dropped or repeated event no longer leads to the same PCRs', () => {
    const log = parseEventLog(real)
    const selection = [selectPcrs(TPM_ALG.SHA256, [0, 4, 7])]
    const digestOf = (events: typeof log.events) =>
      hex(pcrDigest(selection, new Map([[TPM_ALG.SHA256, replay({ ...log, events }, TPM_ALG.SHA256)]])))
    const quoted = digestOf(log.events)
    for (const [index, event] of log.events.entries()) {
      if (![0, 4, 7].includes(event.pcrIndex)) continue
      expect(digestOf(log.events.toSpliced(index, 1))).not.toBe(quoted)
      expect(digestOf(log.events.toSpliced(index, 0, event))).not.toBe(quoted)
    }
  })

  it('[C-02 control] the unchanged log leads to the quoted digest of the recorded PCRs', () => {
    const held = ovmfPcrs.get(TPM_ALG.SHA256)
    const parts = [0, 4, 7].map((pcr) => held?.get(pcr) ?? new Uint8Array())
    const pcrs = new Map([[TPM_ALG.SHA256, replay(parseEventLog(real), TPM_ALG.SHA256)]])
    expect(hex(pcrDigest([selectPcrs(TPM_ALG.SHA256, [0, 4, 7])], pcrs))).toBe(
      hex(hash(TPM_ALG.SHA256, ...parts)),
    )
  })
})

describe('the writer', () => {
  it('[C-09] writes what the parser reads, and the specified PCR vector follows from one event', () => {
    const log = parseEventLog(written([0, EV.EFI_PLATFORM_FIRMWARE_BLOB, 'emulated-firmware-image-v1']))
    expect(log.algorithms.map(({ algorithmId }) => algorithmId)).toEqual(banks)
    expect(hex(log.events[0]?.digests.get(TPM_ALG.SHA256))).toBe(
      'b404cc02a53bd8c258aa3a93ec5aa7e8c4d70f76f15db3881445ed2fea93dfc7',
    )
    expect(hex(replay(log, TPM_ALG.SHA256).get(0))).toBe(
      '0a2ab78b60f048188e8c661de95cb4b35238a1e5cc3e287fe0fa8789edd81b74',
    )
  })

  it('writes any sequence of events so that it reads back equal', () => {
    const event = fc.record({
      pcrIndex: fc.nat({ max: 23 }),
      eventType: fc.constantFrom(...Object.values(EV).filter((type) => type !== EV.NO_ACTION)),
      data: fc.uint8Array({ maxLength: 80 }),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        const writer = new EventLogWriter(banks)
        for (const one of events) writer.append({ ...one, digests: digestsOf(banks, one.data) })
        const expected = events.map((one, index) => ({
          ...one,
          number: index + 1,
          digests: digestsOf(banks, one.data),
        }))
        expect(parseEventLog(writer.bytes()).events).toEqual(expected)
      }),
    )
  })

  it('refuses PCRs, digests and banks that do not exist', () => {
    const writer = new EventLogWriter(banks)
    const data = new Uint8Array(1)
    const append = (change: object) => () => {
      writer.append({ pcrIndex: 0, eventType: EV.ACTION, data, digests: digestsOf(banks, data), ...change })
    }
    expect(append({ pcrIndex: 24 })).toThrow(RangeError)
    expect(append({ digests: digestsOf([TPM_ALG.SHA256], data) })).toThrow(/expected a digest of bank 0xc/)
    expect(() => new EventLogWriter([])).toThrow(RangeError)
    expect(() => new EventLogWriter([TPM_ALG.SHA256, TPM_ALG.SHA256])).toThrow(RangeError)
    expect(parseEventLog(writer.bytes()).events).toEqual([])
  })
})

describe('the parser', () => {
  const events: Parameters<typeof written> = [
    [0, EV.S_CRTM_VERSION, 'one'],
    [4, EV.ACTION, 'two'],
    [7, EV.SEPARATOR, 'three'],
  ]
  const good = written(...events)
  const patched = (at: number, ...octets: number[]): Uint8Array => {
    const copy = good.slice()
    copy.set(octets, at)
    return copy
  }
  const headerSize = parseSize([])
  const firstSize = parseSize(events.slice(0, 1)) - headerSize

  function parseSize(part: Parameters<typeof written>): number {
    return written(...part).length
  }

  it('[C-02] refuses a log that is cut anywhere but between events, naming the event that is cut', () => {
    const starts = [0, 1, 2, 3].map((count) => parseSize(events.slice(0, count)))
    for (let length = 0; length < good.length; length += 1) {
      const error = errorOf(() => parseEventLog(good.slice(0, length)))
      const complete = starts.filter((start) => start <= length).length
      expect(error?.event).toBe(starts.includes(length) ? undefined : complete)
    }
  })

  it.each([
    { what: 'no Spec ID event first', bytes: () => patched(4, 8), event: 0, text: /Spec ID event/ },
    { what: 'another signature', bytes: () => patched(32, 0x54), event: 0, text: /Spec ID Event03/ },
    {
      what: 'too many algorithms',
      bytes: () => patched(56, 17),
      event: 0,
      text: /1 to 16 algorithms, found 17/,
    },
    { what: 'another platform class', bytes: () => patched(48, 2), event: 0, text: /platformClass 0 or 1/ },
    { what: 'another version', bytes: () => patched(53, 3), event: 0, text: /version 2.0, found 3.0/ },
    { what: 'another width', bytes: () => patched(55, 4), event: 0, text: /uintnSize 1 or 2, found 0 and 4/ },
    {
      what: 'a digest size that is not the bank’s',
      bytes: () => patched(62, 31),
      event: 0,
      text: /digest size/,
    },
    { what: 'a PCR that does not exist', bytes: () => patched(headerSize, 24), event: 1, text: /found 24/ },
    {
      what: 'a digest count of 2^32 - 1',
      bytes: () => patched(headerSize + firstSize + 8, 0xff, 0xff, 0xff, 0xff),
      event: 2,
      text: /expected 2 digests, one per bank, found 4294967295/,
    },
    {
      what: 'a bank that the log does not have',
      bytes: () => patched(headerSize + 12, 0x0d),
      event: 1,
      text: /each bank of the Spec ID event once, found algorithm 0xd/,
    },
    {
      what: 'a bank twice',
      bytes: () => patched(headerSize + 12, TPM_ALG.SHA384),
      event: 1,
      text: /algorithm|digest/,
    },
    {
      what: 'an event size beyond the end',
      bytes: () => patched(good.length - 5 - 4, 0xff, 0xff, 0xff, 0x7f),
      event: 3,
      text: /bytes of event data/,
    },
    {
      what: 'EV_NO_ACTION with a digest',
      bytes: () => patched(headerSize + 4, EV.NO_ACTION),
      event: 1,
      text: /zero digests/,
    },
  ])('[C-02] refuses $what and names the event', ({ bytes, event, text }) => {
    const error = errorOf(() => parseEventLog(bytes()))
    expect(error?.code).toBe('LOG_MALFORMED')
    expect(error?.event).toBe(event)
    expect(error?.message).toMatch(text)
  })

  it('answers arbitrary and mutated bytes with a log or an EvidenceError', () => {
    fc.assert(
      fc.property(fc.nat({ max: real.length - 1 }), fc.nat({ max: 255 }), (at, octet) => {
        const mutated = real.slice()
        mutated[at] = octet
        errorOf(() => replay(parseEventLog(mutated), TPM_ALG.SHA256))
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(errorOf(() => parseEventLog(bytes))?.code).toBe('LOG_MALFORMED')
      }),
    )
  })

  it('starts PCR 0 from the locality that the log states, once and first', () => {
    const locality = (value: number) => {
      const writer = new EventLogWriter([TPM_ALG.SHA256])
      const zeros = new Map([[TPM_ALG.SHA256, new Uint8Array(32)]])
      const data = Uint8Array.from([...new TextEncoder().encode('StartupLocality\0'), value])
      writer.append({ pcrIndex: 0, eventType: EV.NO_ACTION, data, digests: zeros })
      return parseEventLog(writer.bytes())
    }
    expect(hex(replay(locality(3), TPM_ALG.SHA256).get(0))).toBe(`${'00'.repeat(31)}03`)
    expect(errorOf(() => replay(locality(2), TPM_ALG.SHA256))?.event).toBe(1)
    const late = locality(3)
    const measured = parseEventLog(written([0, EV.ACTION, 'x'])).events
    const moved = [...measured, ...late.events.map((event) => ({ ...event, number: 2 }))]
    expect(errorOf(() => replay({ ...late, events: moved }, TPM_ALG.SHA256))?.event).toBe(2)
    expect(errorOf(() => replay(late, TPM_ALG.SHA384))?.message).toMatch(/a log with bank 0xc/)
  })
})
