// Logs of a real boot and of our own platform, corrupted in every field of every event, cut at every octet, put in another
// order: each is refused by the number of the event that does not read or contradicts itself, or by the PCR that it does
// not lead to.

import { describe, expect, it } from 'vitest'
import { loadFirmware, measureBoot, signManifest } from '../../../../emulator/platform/firmware/index.ts'
import { BANKS, PlatformTpm } from '../../../../emulator/platform/platform-tpm.ts'
import { AK_HANDLE } from '../../../../emulator/platform/templates.ts'
import { appraise, appraiseTpm, Refusal, type TpmAppraisal } from '../../../../sdk/attest/index.ts'
import { IdentityKey, utf8 } from '../../../../sdk/crypto/index.ts'
import { eventTypeName, EV } from '../../../../sdk/evidence/index.ts'
import { selectPcrs } from '../../../../sdk/tpm2/index.ts'
import { ovmfLog } from '../evidence/logs.ts'
import { arranged, type Field, flippedBit, layoutOf, type Placed, withUint32 } from './corrupted-logs.ts'
import { type Case, everything, nonce, quoted } from './tpm-boots.ts'
import { deliver, world } from './wrong-rounds.ts'
import { round } from './world.ts'

/** What runs a check. */
type Judge<T> = (log: Uint8Array) => T

/** The refusal's message; undefined when the log is accepted. */
function refusalBy(judge: Judge<unknown>, log: Uint8Array): string | undefined {
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
  const event = `event (${String(number)}|${String(number + 1)}): `
  return new RegExp(`${event}|sha\\d+:${String(pcr)}\\b`).test(message)
}

/** Every change of one bit of a field; of long fields, one bit of each octet. */
function* flips(log: Uint8Array, { name, start, length }: Field): Generator<{ at: number; log: Uint8Array }> {
  for (let at = start; at < start + length; at += 1) {
    const bits = name === 'digest' || name === 'data' ? [at % 8] : [0, 1, 2, 3, 4, 5, 6, 7]
    for (const bit of bits) yield { at, log: flippedBit(log, at, bit) }
  }
}

/** Fields of all events. */
function fieldsOf(log: Uint8Array, ...wanted: Field['name'][]): [Placed, Field][] {
  return layoutOf(log).flatMap((event) =>
    event.fields.filter(({ name }) => wanted.includes(name)).map((field): [Placed, Field] => [event, field]),
  )
}

/** Types whose digests need not be of the event's data. */
const UNCOVERED: readonly number[] = [
  EV.EFI_PLATFORM_FIRMWARE_BLOB,
  EV.EFI_BOOT_SERVICES_APPLICATION,
  EV.EVENT_TAG,
]

/** Our platform, booted with profile `image`, and its TPM's own quote of all PCRs. */
async function platformBoot(): Promise<Case & { readonly log: Uint8Array }> {
  const device = PlatformTpm.powerOn()
  const firmware = await loadFirmware()
  const manifest = signManifest(firmware, IdentityKey.generate(), { svn: 1, description: 'a test' })
  const hypervisorImage = utf8('hypervisor')
  const { log } = measureBoot({ device, firmware, manifest, hypervisorImage, configuration: { cpus: 2n } })
  const pcrs = BANKS.map((bank) => selectPcrs(bank, [0, 1, 2, 3, 4, 5, 6, 7]))
  const request = { signHandle: AK_HANDLE, qualifyingData: nonce, pcrSelect: pcrs }
  const { quoted: attest, signature } = device.quote(request)
  return {
    log: log.bytes(),
    evidence: { attest, signature, pcrValues: device.pcrRead(pcrs).values },
    expected: { akPublic: device.readPublic(AK_HANDLE).outPublic, qualifyingData: nonce, pcrs },
  }
}

interface Subject extends Case {
  readonly what: string
  readonly log: Uint8Array
  readonly count: number
  /** types for which another one by one bit fits as well: "TYPE OTHER PCR" */
  readonly ambiguous: readonly string[]
}

const subjects: readonly Subject[] = [
  {
    what: 'the log of a real boot',
    log: ovmfLog,
    count: 24,
    // Four octets of any meaning, whose hash is measured: nothing tells the one from the other.
    ambiguous: [7, 4, 5, 6].map((pcr) => `EV_SEPARATOR EV_COMPACT_HASH ${String(pcr)}`),
    ...quoted(everything),
  },
  { what: "our platform's log", count: 4, ambiguous: [], ...(await platformBoot()) },
]

describe.each(subjects)('$what', ({ log: whole, count, ambiguous, evidence, expected }) => {
  const events = layoutOf(whole)
  const judge: Judge<TpmAppraisal> = (eventLog) => appraiseTpm({ ...evidence, eventLog }, expected)
  const refusalOf = (log: Uint8Array) => refusalBy(judge, log)
  const fieldsNamed = (...wanted: Field['name'][]) => fieldsOf(whole, ...wanted)
  const honest = judge(whole)

  it('[C-02 control] is accepted as it is, and explains all PCRs of all banks', () => {
    expect(events).toHaveLength(count)
    expect(honest.pcrs.every(({ events: found }) => found !== undefined)).toBe(true)
  })

  it.each<Field['name'][]>([['pcrIndex'], ['count'], ['algorithm'], ['digest'], ['eventSize']])(
    '[C-02] is refused with any bit changed in any %s, by event or PCR',
    (name) => {
      for (const [event, field] of fieldsNamed(name)) {
        for (const { at, log } of flips(whole, field)) {
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
      [...flips(whole, field)].flatMap(({ log }) => {
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
    expect(accepted).toEqual(ambiguous)
  })

  it('[C-02] is refused with any octet changed of data that was measured; other data are marked as unproven', () => {
    for (const [event, field] of fieldsNamed('data')) {
      for (const { at, log } of flips(whole, field)) {
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
    for (let length = 0; length < whole.length; length += 1) {
      const message = refusalOf(whole.slice(0, length)) ?? ''
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
          .map(({ start: at, length }) => Buffer.from(whole.subarray(at, at + length)).toString('hex'))
          .join() || start
      )
    }
    for (const [index, event] of events.entries()) {
      const pcr = new RegExp(`:${String(event.pcr)}\\b`)
      expect(refusalOf(arranged(whole, events.toSpliced(index, 1)))).toMatch(pcr)
      expect(refusalOf(arranged(whole, events.toSpliced(index, 0, event)))).toMatch(pcr)
      for (const [other, second] of events.entries()) {
        if (other <= index || second.pcr !== event.pcr || digests(second) === digests(event)) continue
        expect(refusalOf(arranged(whole, events.with(index, second).with(other, event)))).toMatch(pcr)
      }
    }
  })

  it('[C-02 control] leads to the same PCRs with events of different PCRs exchanged: their order is nobody’s word', () => {
    const byPcr = events.toSorted((one, other) => one.pcr - other.pcr)
    const content = (found: typeof honest) =>
      found.pcrs.map(({ value, events: read }) => [value, read?.map(({ digest, data }) => [digest, data])])
    expect(content(judge(arranged(whole, byPcr)))).toEqual(content(honest))
  })

  it('[C-02] is refused with counts that promise more than there is, by the event', () => {
    for (const [event, field] of fieldsNamed('count', 'eventSize')) {
      for (const value of [0xffffffff, 0x80000000, 0x10000, 17]) {
        const log = withUint32(whole, field.start, value)
        expect(refusalOf(log)).toMatch(
          new RegExp(`event (${String(event.number)}|${String(event.number + 1)}): `),
        )
      }
    }
    const numberOfAlgorithms = 32 + 24
    for (const value of [0xffffffff, 17, 5, 3, 0]) {
      expect(refusalOf(withUint32(whole, numberOfAlgorithms, value))).toMatch(/event [01]: /)
    }
    const many = Array.from({ length: Math.ceil(8193 / count) }, () => events).flat()
    expect(refusalOf(arranged(whole, many))).toMatch(/event 8193: expected at most 8192 events/)
  })

  it('[C-02] is refused with any bit changed in the Spec ID event, but in what says nothing about the log', () => {
    const accepted: string[] = []
    const end = events[0]?.start ?? 0
    for (let at = 0; at < end; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const message = refusalOf(flippedBit(whole, at, bit))
        if (message === undefined) accepted.push(`${String(at)}.${String(bit)}`)
        else expect(message).toMatch(/event [01]: |sha\d+:\d+/)
      }
    }
    // platformClass 1 is a server; specErrata is any number.
    expect(accepted).toEqual(['48.0', ...[0, 1, 2, 3, 4, 5, 6, 7].map((bit) => `54.${String(bit)}`)])
  })
})

describe('the appraisal of a platform', () => {
  const whole = world.boot.eventLog
  const judge = (eventLog: Uint8Array) => appraise(deliver(round(world), { eventLog }))
  const quotedBank = 0
  const digestsOfQuotedBank = layoutOf(whole).map((event): [Placed, Field] => {
    const digest = event.fields.filter(({ name }) => name === 'digest')[quotedBank]
    return [event, digest ?? { name: 'digest', start: 0, length: 0 }]
  })

  it('[C-02 control] accepts the log as it is', () => {
    expect(() => judge(whole)).not.toThrow()
  })

  it('[C-02] refuses any bit changed in an index, type, count, size, or digest of the quoted bank', () => {
    const headers = fieldsOf(whole, 'pcrIndex', 'eventType', 'count', 'algorithm', 'eventSize')
    for (const [, field] of [...headers, ...digestsOfQuotedBank]) {
      for (const { at, log } of flips(whole, field)) {
        expect({ at, refused: refusalBy(judge, log) !== undefined }).toEqual({ at, refused: true })
      }
    }
  })

  it('[C-02] says which event contradicts itself when the log leads elsewhere', () => {
    const [, boot] = layoutOf(whole)
    const type = boot?.fields.find(({ name }) => name === 'eventType')?.start ?? 0
    const digest = boot?.fields.find(({ name }) => name === 'digest')?.start ?? 0
    const separator = flippedBit(withUint32(whole, type, EV.SEPARATOR), digest, 0)
    expect(refusalBy(judge, separator)).toMatch(/\(event 2: expected the data of EV_SEPARATOR/)
  })

  it('[C-02] refuses any octet changed in configuration or manifest', () => {
    const tagged = fieldsOf(whole, 'data').filter(([{ type }]) => type === EV.EVENT_TAG)
    expect(tagged).toHaveLength(2)
    for (const [, field] of tagged) {
      for (const { log } of flips(whole, field)) expect(refusalBy(judge, log)).toMatch(/event \d+: |PCR 7/)
    }
  })
})
