/** `palimpsest eventlog print | replay | diff` on files: what is printed for people and programs, and exit codes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { concatBytes, utf8 } from '../../sdk/crypto/index.ts'
import { EV } from '../../sdk/evidence/index.ts'
import {
  agileLog,
  GLOBAL,
  le,
  ovmfLog,
  separators,
  sha1Log,
  type Step,
  variable,
} from '../unit/sdk/evidence/logs.ts'
import { type Ended, PalimpsestCommand } from './support/command.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'palimpsest-eventlog-'))
const file = (name: string) => path.join(folder, name)
let command: PalimpsestCommand

const secureBoot = (value: number): Step => ({
  pcr: 7,
  type: EV.EFI_VARIABLE_DRIVER_CONFIG,
  data: variable(GLOBAL, 'SecureBoot', le(1, value)),
})

beforeAll(async () => {
  command = await PalimpsestCommand.bundle()
  writeFileSync(file('ovmf'), ovmfLog)
  writeFileSync(file('on'), agileLog(secureBoot(1), ...separators))
  writeFileSync(file('off'), agileLog(secureBoot(0), ...separators))
  writeFileSync(file('padded'), concatBytes(agileLog(secureBoot(0), ...separators), new Uint8Array(100)))
  writeFileSync(file('old'), sha1Log(secureBoot(0), ...separators))
  writeFileSync(file('text'), utf8('this is not an event log at all, but some text'))
  writeFileSync(file('pcrs'), readFileSync(path.join(import.meta.dirname, '../fixtures/ovmf/pcrs.txt')))
})
afterAll(() => {
  command.remove()
  rmSync(folder, { recursive: true, force: true })
})

const eventlog = (...args: readonly string[]): Promise<Ended> => command.run('eventlog', ...args)

/** The one JSON document that a command prints, and how it ended. */
async function json(
  ...args: readonly string[]
): Promise<{ code: number | null; value: Record<string, unknown> }> {
  const { code, stdout, stderr } = await eventlog(...args, '--json')
  expect([stderr, stdout.trim().split('\n').length]).toEqual(['', 1])
  return { code, value: JSON.parse(stdout) as Record<string, unknown> }
}

describe('eventlog print', () => {
  it('prints every event decoded, without colours where nobody sees them', async () => {
    const { code, stdout, stderr } = await eventlog('print', file('ovmf'))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^crypto-agile log, sha1, sha256, sha384, sha512, 24 events\n/)
    expect(stdout).toContain(
      '   4  PCR  7  EV_EFI_VARIABLE_DRIVER_CONFIG\n      SecureBoot = off\n      sha256 115aa827',
    )
    expect(stdout).not.toContain('\u001b')
    expect((await eventlog('print', file('old'))).stdout).toMatch(/^TCG 1\.2 log, sha1, 9 events\n/)
  })

  it('prints the same as JSON, wherever --json stands', async () => {
    const { value } = await json('print', file('ovmf'))
    expect(value).toMatchObject({
      format: 'crypto-agile',
      notes: [],
      banks: ['sha1', 'sha256', 'sha384', 'sha512'],
    })
    expect((value['events'] as unknown[])[3]).toMatchObject({
      number: 4,
      pcr: 7,
      type: 'EV_EFI_VARIABLE_DRIVER_CONFIG',
      text: 'SecureBoot = off',
      details: { kind: 'variable', name: 'SecureBoot', guid: GLOBAL, value: { kind: 'flag', on: false } },
      coversData: true,
      digests: { sha256: '115aa827dbccfb44d216ad9ecfda56bdea620b860a94bed5b7a27bba1c4d02d8' },
    })
    const { stdout } = await eventlog('--json', 'print', file('ovmf'))
    expect(JSON.parse(stdout)).toEqual(value)
  })
})

describe('eventlog replay', () => {
  it('prints the PCRs that the log measures into', async () => {
    const { code, stdout } = await eventlog('replay', file('ovmf'), '--bank', 'sha256')
    expect(code).toBe(0)
    expect(stdout.trim().split('\n')).toHaveLength(8)
    expect(stdout).toContain('sha256:0   ce729d0e02d46cecb9baa54228e55d1be49de54981fe6485a59bf9b222bcc061\n')
  })

  it('compares with what the TPM held, as tpm2_pcrread printed it, and with its own JSON', async () => {
    const all = await json('replay', file('ovmf'), '--pcrs', file('pcrs'))
    expect(all).toMatchObject({ code: 0, value: { same: true } })
    expect(all.value['pcrs']).toHaveLength(96)
    writeFileSync(file('replayed.json'), JSON.stringify((await json('replay', file('off'))).value))
    expect((await eventlog('replay', file('off'), '--pcrs', file('replayed.json'))).code).toBe(0)
    const other = await eventlog('replay', file('on'), '--pcrs', file('replayed.json'))
    expect(other.code).toBe(1)
    expect(other.stdout).toContain('the log does not lead to these PCRs: sha1:7, sha256:7\n')
  })

  it('compares with single values, and does not blame the log for PCRs that it does not tell about', async () => {
    const [right, wrong] = [
      '3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969',
      'ab'.repeat(32),
    ]
    const against = (...values: string[]) =>
      json('replay', file('ovmf'), ...values.flatMap((one) => ['--against', one]))
    expect(await against(`sha256:2=${right}`, `sha256:10=${wrong}`)).toMatchObject({
      code: 0,
      value: {
        same: true,
        pcrs: [
          { pcr: 2, verdict: 'same' },
          { pcr: 10, verdict: 'unlogged', expected: wrong },
        ],
      },
    })
    expect(await against(`sha256:2=0x${wrong}`)).toMatchObject({ code: 1, value: { same: false } })
  })
})

describe('eventlog diff', () => {
  it('says nothing differs, with exit code 0, also behind padding and in the other format', async () => {
    for (const other of ['off', 'padded', 'old']) {
      const { code, stdout } = await eventlog('diff', file('off'), file(other))
      expect([other, code]).toEqual([other, 0])
      expect(stdout).toMatch(
        /the same measurements; PCRs 0, 1, 2, 3, 4, 5, 6, 7 are the same \((sha1|sha1, sha256)\)\n$/,
      )
    }
  })

  it('says which event differs, what that means and which PCRs follow, with exit code 1', async () => {
    const { code, stdout } = await eventlog('diff', file('off'), file('on'))
    expect(code).toBe(1)
    expect(stdout.split('\n')).toEqual([
      'PCR 7: Secure Boot policy',
      '  event 1, EV_EFI_VARIABLE_DRIVER_CONFIG: changed',
      '    - SecureBoot = off',
      '    + SecureBoot = on',
      '    Secure Boot was turned on: only what db allows starts.',
      '',
      'PCRs that differ: 7; the same: 0, 1, 2, 3, 4, 5, 6 (sha1, sha256)',
      '',
    ])
    expect(await json('diff', file('off'), file('on'))).toMatchObject({
      code: 1,
      value: {
        same: false,
        differing: [7],
        banks: ['sha1', 'sha256'],
        differences: [
          {
            kind: 'changed',
            pcr: 7,
            measured: true,
            before: { number: 1 },
            after: { number: 1, text: 'SecureBoot = on' },
          },
        ],
      },
    })
  })

  it('refuses bad input with exit code 2 and says which file and event', async () => {
    const wrong: [readonly string[], RegExp][] = [
      [['diff', file('off'), file('text')], /text: event 0: expected a PCR from 0 to 23/],
      [['diff', file('off'), '/nothing'], /no such file/],
      [['diff', file('off')], /missing required argument 'b'/],
      [['diff', file('off'), file('old'), '--bank', 'sha256'], /old: expected bank sha256, the log has sha1/],
      [['print', file('text')], /event 0/],
      [['replay', file('off'), '--bank', 'md5'], /expected sha1, sha256, sha384 or sha512/],
      [['replay', file('off'), '--against', 'sha256:24=00'], /expected a PCR and its value/],
      [['replay', file('off'), '--pcrs', file('text')], /expected PCR values .* found none/],
      [
        ['replay', file('old'), '--against', `sha256:0=${'00'.repeat(32)}`],
        /expected PCR values of a bank of the log/,
      ],
    ]
    for (const [args, complaint] of wrong) {
      const { code, stdout, stderr } = await eventlog(...args)
      expect([args, code, stdout, stderr]).toEqual([args, 2, '', expect.stringMatching(complaint)])
    }
  })
})
