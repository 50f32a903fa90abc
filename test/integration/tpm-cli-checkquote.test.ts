/** `palimpsest tpm checkquote` and `tpm eventlog`: what they accept, and what they say of everything that is not so. */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../sdk/crypto/index.ts'
import { digestsOf, EV, EventLogWriter } from '../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../sdk/tpm2/index.ts'
import { EXIT, Workshop } from './support/tpm-tool.ts'

let workshop: Workshop

beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop.close()
})

describe('checkquote', () => {
  const tpm = () => workshop.tpm('--tpm', path.join(workshop.folder, 'quoted'))
  const nonce = ['--nonce', '00112233']
  const selected = ['--pcrs', 'sha256:8,9+sha1:8']
  const proof = () => path.join(workshop.folder, 'proof')
  const log = () => path.join(workshop.folder, 'log')
  const run = (...args: readonly string[]) => workshop.command.run('tpm', 'checkquote', ...args)
  const trusted = () => ['--public', path.join(proof(), 'ak.public')]
  const check = (...args: readonly string[]) => run(...trusted(), ...args)

  beforeAll(async () => {
    const writer = new EventLogWriter([TPM_ALG.SHA1, TPM_ALG.SHA256])
    for (const text of ['kernel', 'initrd']) {
      await tpm().says('pcr', 'extend', '8', '--file', workshop.file(text, text))
      const data = utf8(text)
      const digests = digestsOf(writer.banks, data)
      writer.append({ pcrIndex: 8, eventType: EV.IPL, digests, data })
    }
    writeFileSync(log(), writer.bytes())
    await tpm().says('quote', ...selected, ...nonce, '--out', proof())
  })

  it('accepts the quote with its nonce, PCRs, values and event log', async () => {
    const { code, stdout } = await check(proof(), ...nonce, ...selected, '--eventlog', log())
    expect({ code, stdout }).toEqual({
      code: EXIT.ok,
      stdout: expect.stringMatching(/the quote is good/) as string,
    })
    const known = await check(proof(), ...nonce, '--json')
    const { checks } = JSON.parse(known.stdout) as { checks: unknown[] }
    expect(checks[0]).toEqual({ check: 'key', verdict: 'good', detail: null })
  })

  it('takes the key beside a quote only when told so, and says that it is nobody’s', async () => {
    expect(await run(proof(), ...nonce)).toEqual({
      code: EXIT.usage,
      stdout: '',
      stderr: expect.stringMatching(/expected --public .* or --any-key/) as string,
    })
    const { code, stdout } = await run(proof(), ...nonce, '--any-key')
    expect({ code, stdout }).toEqual({
      code: EXIT.ok,
      stdout: expect.stringMatching(/- +the key signs only .*\n[^]*nobody knows whose key it is/) as string,
    })
    expect(stdout).not.toMatch(/the quote is good/)
  })

  it('takes PCR values in every form in which people have them', async () => {
    const { values } = await tpm().json('pcr', 'read', 'sha256:8,9+sha1:8')
    const forms = [
      workshop.file('json', JSON.stringify({ values })),
      workshop.file('text', await tpm().says('pcr', 'read', 'sha256:8,9', 'sha1:8')),
      workshop.file(
        'plain',
        Buffer.from((values as { value: string }[]).map((one) => one.value).join(''), 'hex'),
      ),
    ]
    for (const form of forms) {
      expect(await check(proof(), ...nonce, '--values', form)).toMatchObject({ code: EXIT.ok })
    }
    expect(await check(proof(), ...nonce, '--values', log())).toMatchObject({ code: EXIT.usage })
  })

  /** A copy of one of the proof's files with its last byte changed, or the byte at `at`. */
  const changed = (name: string, at = -1): string => {
    const bytes = new Uint8Array(readFileSync(path.join(proof(), name)))
    const index = at < 0 ? bytes.length + at : at
    bytes[index] = (bytes[index] ?? 0) ^ 1
    return workshop.file(name, bytes)
  }

  it('refuses what was tampered with, and says what', async () => {
    const other = path.join(workshop.folder, 'other-key')
    await tpm().says('quote', ...selected, ...nonce, '--key-type', 'rsa', '--out', other)
    const later = new EventLogWriter([TPM_ALG.SHA1, TPM_ALG.SHA256])
    const emptyLog = workshop.file('empty-log', later.bytes())
    const whole = new Uint8Array(readFileSync(log()))
    const endOfDigests = whole.length - 'initrd'.length - 4
    const digestChanged = whole.map((octet, at) => (at === endOfDigests - 1 ? octet ^ 1 : octet))
    const rows: [readonly string[], string, RegExp][] = [
      [['--message', changed('quote.attest')], 'signature', /found another/],
      [['--message', changed('quote.attest', 0)], 'signature', /found another/],
      [['--signature', changed('quote.signature')], 'signature', /found another/],
      [['--signature', workshop.file('short', 'x')], 'signature', /TPMT_SIGNATURE/],
      [['--public', path.join(other, 'ak.public')], 'signature', /scheme/],
      [['--nonce', '00112234'], 'nonce', /found 00112233/],
      [['--nonce', ''], 'nonce', /expected the qualifying data none, found 00112233/],
      [['--pcrs', 'sha256:8'], 'selection', /found sha256:8,9\+sha1:8/],
      [['--values', changed('quote.pcrs', 4 + 16 * 8 + 4 + 4 + 2)], 'values', /found others/],
      [['--eventlog', emptyLog], 'eventlog', /sha256:8, sha1:8/],
      [['--eventlog', workshop.file('changed-log', digestChanged)], 'eventlog', /to the quoted sha256:8,/],
      [['--eventlog', workshop.file('cut-log', whole.slice(0, -1))], 'eventlog', /event 2: .* event data/],
      [['--eventlog', workshop.file('no-log', 'x')], 'eventlog', /event 0: /],
    ]
    for (const [args, name, why] of rows) {
      const { code, stdout } = await check(proof(), ...nonce, ...args, '--json')
      const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Record<string, string>[] }
      const bad = checks.filter(({ verdict }) => verdict === 'bad')
      expect({ args, code, ok, bad }).toEqual({
        args,
        code: EXIT.failed,
        ok: false,
        bad: [{ check: name, verdict: 'bad', detail: expect.stringMatching(why) as string }],
      })
    }
  })

  it('says with exit code 2 which file is missing or is something else', async () => {
    expect(await run()).toMatchObject({
      code: EXIT.usage,
      stderr: expect.stringMatching(/expected a folder/) as string,
    })
    expect(await check(workshop.place('nothing'))).toMatchObject({ code: EXIT.usage })
    const pem = workshop.file('pem', '-----BEGIN PUBLIC KEY-----\n')
    const { code, stderr } = await check(proof(), '--public', pem)
    expect([code, stderr]).toEqual([EXIT.usage, expect.stringMatching(/a PEM does not tell/) as string])
  })

  it('eventlog print and replay read the log, and compare it with the PCRs of the TPM', async () => {
    expect((await workshop.command.run('tpm', 'eventlog', 'print', log())).stdout).toContain('EV_IPL')
    const pcrs = workshop.file('pcrs', JSON.stringify(await tpm().json('pcr', 'read', 'sha256:8')))
    const replay = (against: string) =>
      workshop.command.run('tpm', 'eventlog', 'replay', log(), '--bank', 'sha256', '--pcrs', against)
    expect(await replay(pcrs)).toMatchObject({ code: EXIT.ok })
    const others = workshop.file(
      'others',
      JSON.stringify(await tpm().json('pcr', 'read', 'sha256:9')).replace('9', '8'),
    )
    expect(await replay(others)).toMatchObject({ code: EXIT.failed })
  })
})
