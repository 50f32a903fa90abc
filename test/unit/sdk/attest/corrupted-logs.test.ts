// The log of a real boot, corrupted in every field of every event, cut at every octet, put in another order: each is
// refused by the number of the event that does not read or contradicts itself, or by the PCR that it does not lead to.

import { describe, expect, it } from 'vitest'
import { appraiseTpm, Refusal } from '../../../../sdk/attest/index.ts'
import { eventTypeName, EV } from '../../../../sdk/evidence/index.ts'
import { ovmfLog } from '../evidence/logs.ts'
import { arranged, type Field, flippedBit, layoutOf, type Placed, withUint32 } from './corrupted-logs.ts'
import { everything, quoted } from './tpm-boots.ts'

const { evidence, expected } = quoted(everything)
const events = layoutOf(ovmfLog)
const judge = (eventLog: Uint8Array) => appraiseTpm({ ...evidence, eventLog }, expected)
const honest = judge(ovmfLog)

/** The refusal's message; undefined when the log is accepted. */
function refusalOf(log: Uint8Array): string | undefined {
  try {
    judge(log)
    return undefined
  } catch (error) {
    if (error instanceof Refusal && error.code === 'REFUSED_EVENT_LOG') return error.message
    throw error
  }
}

/** Whether the refusal names the event, the next one (where a size is wrong), or the event's PCR. */
function names({ number, pcr }: Placed, message: string): boolean {
  return new RegExp(`event (${String(number)}|${String(number + 1)}): |sha\\d+:${String(pcr)}\\b`).test(
    message,
  )
}

/** Every change of one bit of a field; of long fields, one bit of each octet. */
function* flips({ name, start, length }: Field): Generator<{ at: number; bit: number; log: Uint8Array }> {
  for (let at = start; at < start + length; at += 1) {
    const bits = name === 'digest' || name === 'data' ? [at % 8] : [0, 1, 2, 3, 4, 5, 6, 7]
    for (const bit of bits) yield { at, bit, log: flippedBit(ovmfLog, at, bit) }
  }
}

const fieldsNamed = (...wanted: Field['name'][]): [Placed, Field][] =>
  events.flatMap((event) =>
    event.fields.filter(({ name }) => wanted.includes(name)).map((field): [Placed, Field] => [event, field]),
  )

/** The digests of these types are not of the event's data, which so are nobody's word. */
const UNCOVERED: readonly number[] = [EV.EFI_PLATFORM_FIRMWARE_BLOB, EV.EFI_BOOT_SERVICES_APPLICATION]

describe('the log of a real boot', () => {
  it('[C-02 control] is accepted as it is, and explains all PCRs of all banks', () => {
    expect(events).toHaveLength(24)
    expect(honest.pcrs.every(({ events: found }) => found !== undefined)).toBe(true)
  })

  it.each<Field['name'][]>([['pcrIndex'], ['count'], ['algorithm'], ['digest'], ['eventSize']])(
    '[C-02] is refused with any bit changed in any %s, by event or PCR',
    (name) => {
      for (const [event, field] of fieldsNamed(name)) {
        for (const { at, log } of flips(field)) {
          const message = refusalOf(log)
          expect({ at, named: message !== undefined && names(event, message), message }).toMatchObject({
            at,
            named: true,
          })
        }
      }
    },
  )

  it('[C-02] is refused with any bit changed in any type, but where the other type fits as well', () => {
    const accepted = fieldsNamed('eventType').flatMap(([event, field]) =>
      [...flips(field)].flatMap(({ log }) => {
        const message = refusalOf(log)
        if (message !== undefined) {
          expect(names(event, message)).toBe(true)
          return []
        }
        expect(judge(log).pcrs.map(({ value }) => value)).toEqual(honest.pcrs.map(({ value }) => value))
        const type = new DataView(log.buffer).getUint32(event.start + 4, true)
        return [`${eventTypeName(event.type)} ${eventTypeName(type)} ${String(event.pcr)}`]
      }),
    )
    expect(accepted).toEqual([7, 4, 5, 6].map((pcr) => `EV_SEPARATOR EV_COMPACT_HASH ${String(pcr)}`))
  })

  it('[C-02] is refused with any octet changed of data that was measured; other data are marked as unproven', () => {
    for (const [event, field] of fieldsNamed('data')) {
      for (const { at, log } of flips(field)) {
        const message = refusalOf(log)
        if (message !== undefined) {
          expect({ at, message: names(event, message) }).toEqual({ at, message: true })
          continue
        }
        const uncovered = UNCOVERED.includes(event.type) || event.type === EV.EFI_VARIABLE_BOOT
        expect({ at, uncovered }).toEqual({ at, uncovered: true })
        const found = judge(log).pcrs.flatMap(({ events: read }) => read ?? [])
        const same = found.filter(({ number, coversData }) => number === event.number && coversData)
        expect(event.type === EV.EFI_VARIABLE_BOOT || same.length === 0).toBe(true)
      }
    }
  })

  it('[C-02] is refused cut at any octet, by event or PCR', () => {
    for (let length = 0; length < ovmfLog.length; length += 1) {
      const message = refusalOf(ovmfLog.slice(0, length)) ?? ''
      const between = events.find(({ start }) => start === length)
      if (between === undefined) {
        const cut = events.find(({ start, end }) => start < length && length < end)?.number ?? 0
        expect(message).toMatch(`event ${String(cut)}: `)
      } else expect(message).toMatch(new RegExp(`leads to the quoted .*sha256:${String(between.pcr)}\\b`))
    }
  })

  it('[C-02] is refused without an event, with one twice, and with two of a PCR exchanged, by the PCR', () => {
    const digests = ({ start, fields }: Placed) => {
      const own = fields.filter(({ name }) => name === 'digest')
      return (
        own
          .map(({ start: at, length }) => Buffer.from(ovmfLog.subarray(at, at + length)).toString('hex'))
          .join() || start
      )
    }
    for (const [index, event] of events.entries()) {
      const pcr = new RegExp(`:${String(event.pcr)}\\b`)
      expect(refusalOf(arranged(ovmfLog, events.toSpliced(index, 1)))).toMatch(pcr)
      expect(refusalOf(arranged(ovmfLog, events.toSpliced(index, 0, event)))).toMatch(pcr)
      for (const [other, second] of events.entries()) {
        if (other <= index || second.pcr !== event.pcr || digests(second) === digests(event)) continue
        expect(refusalOf(arranged(ovmfLog, events.with(index, second).with(other, event)))).toMatch(pcr)
      }
    }
  })

  it('[C-02 control] leads to the same PCRs with events of different PCRs exchanged: their order is nobody’s word', () => {
    const byPcr = events.toSorted((one, other) => one.pcr - other.pcr)
    const content = (found: typeof honest) =>
      found.pcrs.map(({ value, events: read }) => [value, read?.map(({ digest, data }) => [digest, data])])
    expect(content(judge(arranged(ovmfLog, byPcr)))).toEqual(content(honest))
  })

  it('[C-02] is refused with counts that promise more than there is, by the event', () => {
    for (const [event, field] of fieldsNamed('count', 'eventSize')) {
      for (const value of [0xffffffff, 0x80000000, 0x10000, 17]) {
        const log = withUint32(ovmfLog, field.start, value)
        expect(refusalOf(log)).toMatch(
          new RegExp(`event (${String(event.number)}|${String(event.number + 1)}): `),
        )
      }
    }
    const numberOfAlgorithms = 32 + 24
    for (const value of [0xffffffff, 17, 5, 3, 0]) {
      expect(refusalOf(withUint32(ovmfLog, numberOfAlgorithms, value))).toMatch(/event [01]: /)
    }
    const many = Array.from({ length: 400 }, () => events).flat()
    expect(refusalOf(arranged(ovmfLog, many))).toMatch(/event 8193: expected at most 8192 events/)
  })

  it('[C-02] is refused with any bit changed in the Spec ID event, but in what says nothing about the log', () => {
    const accepted: string[] = []
    const end = events[0]?.start ?? 0
    for (let at = 0; at < end; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const message = refusalOf(flippedBit(ovmfLog, at, bit))
        if (message === undefined) accepted.push(`${String(at)}.${String(bit)}`)
        else expect(message).toMatch(/event [01]: |sha\d+:\d+/)
      }
    }
    // platformClass 1 is a server; specErrata is any number.
    expect(accepted).toEqual(['48.0', ...[0, 1, 2, 3, 4, 5, 6, 7].map((bit) => `54.${String(bit)}`)])
  })
})
