// Logs as they are found: both formats, padding, missing banks; and what is refused nevertheless.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, equalBytes, hex, utf8 } from '../../../../sdk/crypto/index.ts'
import {
  bankName,
  bankOf,
  EV,
  EvidenceError,
  parseEventLog,
  readFirmwareLog,
  replay,
} from '../../../../sdk/evidence/index.ts'
import { hash, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { agileLog, le, ovmfLog, sha1Log, type Step } from './logs.ts'

const action: Step = { pcr: 4, type: EV.EFI_ACTION, data: utf8('Calling EFI Application from Boot Option') }
const separator: Step = { pcr: 4, type: EV.SEPARATOR, data: new Uint8Array(4) }

function errorOf(work: () => unknown): EvidenceError | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof EvidenceError) return error
    throw error
  }
}

describe('readFirmwareLog', () => {
  it('reads a crypto-agile log as the strict parser does', () => {
    const { format, notes, ...log } = readFirmwareLog(ovmfLog)
    expect({ format, notes }).toEqual({ format: 'crypto-agile', notes: [] })
    expect(log).toEqual(parseEventLog(ovmfLog))
  })

  it('reads a TCG 1.2 log, with and without its own Spec ID event', () => {
    const first: Step = { pcr: 0, type: EV.NO_ACTION, data: utf8('Spec ID Event02\0') }
    for (const start of [[], [first]]) {
      const log = readFirmwareLog(sha1Log(...start, action, separator))
      expect(log).toMatchObject({ format: 'sha1', notes: [], algorithms: [{ algorithmId: TPM_ALG.SHA1 }] })
      expect(log.events).toHaveLength(start.length + 2)
      const one = hash(TPM_ALG.SHA1, new Uint8Array(20), hash(TPM_ALG.SHA1, action.data))
      const two = hash(TPM_ALG.SHA1, one, hash(TPM_ALG.SHA1, separator.data))
      expect(replay(log, TPM_ALG.SHA1).get(4)).toEqual(two)
    }
  })

  it.each([0, 0xff])('passes over an unused rest of 0x%s octets, and says so', (filler) => {
    for (const bytes of [agileLog(action, separator), sha1Log(action, separator), ovmfLog]) {
      const plain = readFirmwareLog(bytes)
      for (const length of [1, 31, 32, 4096]) {
        const padded = readFirmwareLog(concatBytes(bytes, new Uint8Array(length).fill(filler)))
        expect(padded.events).toEqual(plain.events)
        expect(padded.notes).toEqual([`${String(length)} bytes of padding after the last event`])
      }
      expect(errorOf(() => parseEventLog(concatBytes(bytes, new Uint8Array(32).fill(filler))))).toBeDefined()
    }
  })

  it('reads events that lack a bank, and replays each bank by what it has', () => {
    const digest = hash(TPM_ALG.SHA1, action.data)
    const event = concatBytes(le(4, 4), le(4, EV.EFI_ACTION), le(4, 1), le(2, TPM_ALG.SHA1), digest)
    const log = readFirmwareLog(concatBytes(agileLog(), event, le(4, action.data.length), action.data))
    expect(log.notes).toEqual([expect.stringMatching(/without a digest of every bank/)])
    expect(hex(replay(log, TPM_ALG.SHA256).get(4) ?? new Uint8Array())).toBe('00'.repeat(32))
    expect(replay(log, TPM_ALG.SHA1).get(4)).toEqual(hash(TPM_ALG.SHA1, new Uint8Array(20), digest))
  })

  it.each([
    { what: 'nothing', bytes: new Uint8Array(), event: 0, text: /found nothing/ },
    { what: 'only padding', bytes: new Uint8Array(4096), event: 0, text: /only padding/ },
    {
      what: 'a text',
      bytes: utf8('PCR 0: this is no event log, but a text about one'),
      event: 0,
      text: /a PCR from 0 to 23/,
    },
    { what: 'a cut event', bytes: agileLog(action).slice(0, -1), event: 1, text: /bytes of event data/ },
    {
      what: 'a cut TCG 1.2 event',
      bytes: sha1Log(action, separator).slice(0, -1),
      event: 1,
      text: /event data/,
    },
    {
      what: 'a rest that is not all padding',
      bytes: concatBytes(agileLog(action), le(8, 0), le(1, 7)),
      event: 2,
      text: /digest count/,
    },
  ])('refuses $what and names the event', ({ bytes, event, text }) => {
    const error = errorOf(() => readFirmwareLog(bytes))
    expect(error).toMatchObject({ code: 'LOG_MALFORMED', event })
    expect(error?.message).toMatch(text)
  })

  it('answers arbitrary and mutated bytes with a log or an EvidenceError', () => {
    fc.assert(
      fc.property(fc.nat({ max: ovmfLog.length - 1 }), fc.nat({ max: 255 }), (at, octet) => {
        const mutated = ovmfLog.slice()
        mutated[at] = octet
        errorOf(() => readFirmwareLog(mutated))
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        fc.pre(!equalBytes(bytes, new Uint8Array(bytes.length)))
        errorOf(() => readFirmwareLog(bytes))
      }),
    )
  })
})

describe('names of banks', () => {
  it('are those of the tools', () => {
    expect(['sha1', 'sha256', 'sha384', 'sha512'].map((name) => bankName(bankOf(name) ?? 0))).toEqual([
      'sha1',
      'sha256',
      'sha384',
      'sha512',
    ])
    expect([bankOf('md5'), bankName(0x12)]).toEqual([undefined, '0x0012'])
  })
})
