// Logs of a real boot and of our own platform, corrupted in every field of every event, cut at every octet, put in another
// order: each is refused by the number of the event that does not read or contradicts itself, or by the PCR that it does
// not lead to and the numbers of all events that were measured into it.

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

/** Whether the refusal names the event, the next one (where a size is wrong), or the event's PCR with its events. */
function names({ number, pcr }: Placed, message: string, log: Uint8Array): boolean {
  if (new RegExp(`event (${String(number)}|${String(number + 1)}): `).test(message)) return true
  return namesPcr(pcr, message, log)
}

/** Whether the refusal names the PCR, and by number the events of the log that lead to the PCRs it names, up to 8. */
function namesPcr(pcr: number, message: string, log: Uint8Array): boolean {
  const pcrs = [...message.matchAll(/sha\d+:(\d+)/g)].map(([, named]) => Number(named))
  const leading = layoutOf(log).filter((event) => event.type !== EV.NO_ACTION && pcrs.includes(event.pcr))
  const [, list = ''] = /leads elsewhere by ((?:no )?events?[ \d,and]*(?: more)?)/.exec(message) ?? []
  const [shown, more] = [leading.slice(0, 8).map(({ number }) => number), leading.length - 8]
  const found = [...list.matchAll(/\d+/g)].map(([digits]) => Number(digits))
  const counted = leading.length > 0 ? !list.includes('no event') : list === 'no event'
  return pcrs.includes(pcr) && counted && found.join() === (more > 0 ? [...shown, more] : shown).join()
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
          expect({ at, named: message !== undefined && names(event, message, log), message }).toMatchObject({
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
          expect(names(event, message, log)).toBe(true)
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
          expect({ at, message: names(event, message, log) }).toEqual({ at, message: true })
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
      const log = whole.slice(0, length)
      const message = refusalOf(log) ?? ''
      const between = events.find(({ start }) => start === length)
      if (between === undefined) {
        const cut = events.find(({ start, end }) => start < length && length < end)?.number ?? 0
        expect(message).toMatch(`event ${String(cut)}: `)
      } else expect({ message, named: namesPcr(between.pcr, message, log) }).toEqual({ message, named: true })
    }
  })

  it('[C-02] is refused without an event, with one twice, and with two of a PCR exchanged, by the PCR and its events', () => {
    const digests = ({ start, fields }: Placed) => {
      const own = fields.filter(({ name }) => name === 'digest')
      return (
        own
          .map(({ start: at, length }) => Buffer.from(whole.subarray(at, at + length)).toString('hex'))
          .join() || start
      )
    }
    const refusedByPcr = ({ pcr }: Placed, order: readonly Placed[]) => {
      const log = arranged(whole, order)
      const message = refusalOf(log) ?? ''
      expect({ message, named: namesPcr(pcr, message, log) }).toEqual({ message, named: true })
    }
    for (const [index, event] of events.entries()) {
      refusedByPcr(event, events.toSpliced(index, 1))
      refusedByPcr(event, events.toSpliced(index, 0, event))
      for (const [other, second] of events.entries()) {
        if (other <= index || second.pcr !== event.pcr || digests(second) === digests(event)) continue
        refusedByPcr(event, events.with(index, second).with(other, event))
      }
    }
  })

  it('[C-02] without PCR values, is refused by the PCRs that it has events of, and by the first 8 of these', () => {
    const unproven = (eventLog: Uint8Array) =>
      appraiseTpm({ ...evidence, pcrValues: undefined, eventLog }, expected)
    expect(unproven(whole).pcrs).toHaveLength(honest.pcrs.length)
    const message = refusalBy(unproven, arranged(whole, events.toSpliced(0, 1))) ?? ''
    const measured = new Set(events.slice(1).map(({ pcr }) => pcr))
    const named = [...message.matchAll(/sha256:(\d+)/g)].map(([, pcr]) => Number(pcr))
    expect(named).toEqual([...measured].sort())
    const numbers = count > 9 ? `1, 2, 3, 4, 5, 6, 7, 8 and ${String(count - 9)} more` : '1, 2 and 3'
    expect(message).toContain(`leads elsewhere by events ${numbers}`)
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

  it('[C-02] refuses any bit changed in an index, type, count, size, or digest of the quoted bank, by event or PCR', () => {
    const headers = fieldsOf(whole, 'pcrIndex', 'eventType', 'count', 'algorithm', 'eventSize')
    for (const [, field] of [...headers, ...digestsOfQuotedBank]) {
      for (const { at, log } of flips(whole, field)) {
        expect({ at, message: refusalBy(judge, log) }).toMatchObject({
          at,
          message: expect.stringMatching(/\bevents? \d|\bPCR \d/),
        })
      }
    }
  })

  it('[C-02] says by which events the log leads elsewhere, and which of them contradicts itself', () => {
    const [, boot] = layoutOf(whole)
    const type = boot?.fields.find(({ name }) => name === 'eventType')?.start ?? 0
    const digest = boot?.fields.find(({ name }) => name === 'digest')?.start ?? 0
    const separator = flippedBit(withUint32(whole, type, EV.SEPARATOR), digest, 0)
    expect(refusalBy(judge, separator)).toMatch(
      /replays to [0-9a-f]{64} by events 1, 2, 3 and 4 \(event 2: expected the data of EV_SEPARATOR/,
    )
    expect(refusalBy(judge, whole.slice(0, boot?.start))).toMatch(/replays to [0-9a-f]{64} by event 1;/)
  })

  it('[C-02] refuses any octet changed in configuration or manifest', () => {
    const tagged = fieldsOf(whole, 'data').filter(([{ type }]) => type === EV.EVENT_TAG)
    expect(tagged).toHaveLength(2)
    for (const [, field] of tagged) {
      for (const { log } of flips(whole, field)) expect(refusalBy(judge, log)).toMatch(/event \d+: |PCR 7/)
    }
  })
})
