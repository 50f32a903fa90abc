/**
 * The daily jobs of `palimpsest tpm`: against `palimpsest tpm serve` over both protocols, and on a TPM in a folder. Each
 * refusal has its control: the same command where it has to succeed.
 */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Command } from 'commander'
import { program } from '../../emulator/cli/program.ts'
import { hex, sha256, utf8 } from '../../sdk/crypto/index.ts'
import { EXIT, extended, type TpmTool, Workshop, ZEROS } from './support/tpm-tool.ts'

let workshop: Workshop

beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop.close()
})

const onSocket =
  (protocol: 'swtpm' | 'mssim', ...options: readonly string[]) =>
  async (): Promise<TpmTool> => {
    const tool = workshop.tpm('--tcti', await workshop.served(protocol, ...options))
    await tool.says('startup')
    return tool
  }

const targets: readonly (readonly [name: string, make: () => Promise<TpmTool>])[] = [
  ['swtpm', onSocket('swtpm')],
  ['mssim', onSocket('mssim')],
  ['a folder', () => Promise.resolve(workshop.tpm('--tpm', workshop.place('tpm')))],
]

/** A quote over PCRs of two banks, and what checkquote says of it. */
async function quoteAndCheck(tpm: TpmTool, type: 'ecc' | 'rsa'): Promise<void> {
  const out = workshop.place('proof')
  const asked = ['--pcrs', 'sha256:0,10+sha384:1', '--nonce', 'aabbcc']
  const quote = await tpm.json('quote', ...asked, '--key-type', type, '--out', out)
  expect(quote).toMatchObject({ pcrs: 'sha256:0,10+sha384:1', nonce: 'aabbcc' })
  expect(quote['values']).toHaveLength(3)
  const trusted = ['--public', join(out, 'ak.public')]
  const { stdout, code } = await workshop.command.run(
    'tpm',
    'checkquote',
    out,
    ...asked,
    ...trusted,
    '--json',
  )
  expect(code).toBe(EXIT.ok)
  const { ok, checks, values } = JSON.parse(stdout) as Record<string, unknown>
  expect({ ok, values }).toEqual({ ok: true, values: quote['values'] })
  const verdicts = (checks as { check: string; verdict: string }[]).map((one) => one.verdict)
  expect(verdicts).toEqual([...Array<string>(6).fill('good'), 'unchecked'])
}

describe.each(targets)('on %s', (_, make) => {
  let tpm: TpmTool

  beforeAll(async () => {
    tpm = await make()
  })

  it('info says which TPM it is and what is in use', async () => {
    expect(await tpm.json('info')).toMatchObject({
      family: '2.0',
      revision: '1.59',
      manufacturer: 'PLMP',
      banks: expect.arrayContaining([{ bank: 'sha256', pcrs: 24 }]) as unknown,
      curves: expect.arrayContaining(['nist_p256']) as unknown,
      slots: { objects: { used: [] }, sessions: { loaded: [], saved: [] } },
      lockout: { failedTries: 0 },
    })
    expect(await tpm.says('info')).toMatch(/^TPM +2\.0 .*\nmade by +PLMP/)
  })

  it('pcr extend takes digests, a file, and an event of any size; pcr read shows it', async () => {
    const one = workshop.file('one', 'one')
    const hashed = sha256(utf8('one'))
    expect(await tpm.json('pcr', 'read', 'sha256:10')).toEqual({
      values: [{ bank: 'sha256', pcr: 10, value: ZEROS }],
    })
    const after = await tpm.json('pcr', 'extend', '10', `sha256=${hex(hashed)}`)
    expect(after).toEqual({
      pcr: 10,
      digests: [{ bank: 'sha256', digest: hex(hashed) }],
      values: [{ bank: 'sha256', pcr: 10, value: extended(hashed) }],
    })
    await tpm.says('pcr', 'extend', '10', '--file', one)
    await tpm.says('pcr', 'extend', '10', '--event', one)
    const large = new Uint8Array(2500).fill(7)
    const { digests } = await tpm.json('pcr', 'extend', '10', '--event', workshop.file('large', large))
    expect(digests).toContainEqual({ bank: 'sha256', digest: hex(sha256(large)) })
    const value = extended(hashed, hashed, hashed, sha256(large))
    expect(await tpm.says('pcr', 'read', 'sha256:10')).toBe(`  sha256:\n    10: 0x${value.toUpperCase()}\n`)
    const { values } = (await tpm.json('pcr', 'read')) as { values: unknown[] }
    expect(values).toHaveLength(4 * 24)
    expect(values).toContainEqual({ bank: 'sha256', pcr: 10, value })
  })

  it('pcr reset is for PCRs that may be reset, at the locality that may', async () => {
    expect(await tpm.fails(EXIT.refused, 'pcr', 'reset', '0')).toMatch(/TPM_RC_LOCALITY .*see --locality/)
    expect(await tpm.json('pcr', 'reset', '16')).toEqual({ pcr: 16, reset: true })
    expect(await tpm.json('pcr', 'reset', '20', '--locality', '2')).toEqual({ pcr: 20, reset: true })
    expect(await tpm.fails(EXIT.refused, 'pcr', 'reset', '20')).toMatch(/TPM_RC_LOCALITY/)
  })

  it('quote writes what checkquote finds good', async () => {
    await quoteAndCheck(tpm, 'ecc')
  })

  it('seal gives a secret back while PCRs are as they were, and names the one that is not', async () => {
    const [secret, out] = [new Uint8Array(32).map((_, at) => at), workshop.place('sealed')]
    const given = `file:${workshop.file('secret', secret)}`
    expect(await tpm.json('seal', given, '--pcrs', 'sha256:7,11', '--out', out)).toEqual({
      out,
      size: 32,
      pcrs: 'sha256:7,11',
      auth: false,
    })
    expect(statSync(out).mode & 0o777).toBe(0o600)
    expect(readFileSync(out, 'utf8')).not.toContain(hex(secret))
    expect(await tpm.json('unseal', out)).toEqual({ size: 32, data: hex(secret) })
    const opened = workshop.place('opened')
    await tpm.says('unseal', out, '--out', opened)
    expect([hex(readFileSync(opened)), statSync(opened).mode & 0o777]).toEqual([hex(secret), 0o600])
    await tpm.says('pcr', 'extend', '11', `sha256=${ZEROS}`)
    const complaint = await tpm.fails(EXIT.refused, 'unseal', out)
    expect(complaint).toMatch(/TPM_RC_POLICY_FAIL: sha256:11 is not as when the secret was sealed/)
  })

  it('nv keeps data as its attributes say', async () => {
    const index = '0x1500016'
    expect(await tpm.json('nv', 'define', index, '--size', '2000')).toMatchObject({
      index: '0x01500016',
      type: 'ordinary',
      size: 2000,
      attributes: ['ownerwrite', 'authwrite', 'ownerread', 'authread'],
    })
    const data = new Uint8Array(1990).map((_, at) => at)
    await tpm.says('nv', 'write', index, `file:${workshop.file('data', data)}`, '--offset', '10')
    expect(await tpm.json('nv', 'read', index, '--offset', '10')).toEqual({
      index: '0x01500016',
      size: 1990,
      data: hex(data),
      value: null,
    })
    const out = workshop.place('nv')
    await tpm.says('nv', 'read', index, '--offset', '1000', '--size', '3', '--owner-auth', '', '--out', out)
    expect([hex(readFileSync(out)), statSync(out).mode & 0o777]).toEqual([hex(data.slice(990, 993)), 0o600])
    expect(await tpm.fails(EXIT.usage, 'nv', 'write', index, 'hex:00', '--offset', '2000')).toMatch(
      /up to 2001/,
    )
    expect(await tpm.fails(EXIT.refused, 'nv', 'define', index, '--size', '1')).toMatch(/TPM_RC_NV_DEFINED/)
    const { indices } = await tpm.json('nv', 'list')
    expect(indices).toMatchObject([
      { index: '0x01500016', attributes: expect.arrayContaining(['written']) as unknown },
    ])
    await tpm.says('nv', 'undefine', index)
    expect(await tpm.json('nv', 'list')).toEqual({ indices: [] })
    expect(await tpm.fails(EXIT.refused, 'nv', 'read', index)).toMatch(
      /TPM_RC_HANDLE.*nothing at this handle/,
    )
  })

  it('leaves no object and no session behind', async () => {
    const { slots } = (await tpm.json('info')) as { slots: Record<string, Record<string, unknown>> }
    expect(slots['objects']?.['used']).toEqual([])
    expect([slots['sessions']?.['loaded'], slots['sessions']?.['saved']]).toEqual([[], []])
  })
})

describe('on a TPM with the slots of hardware', () => {
  let tpm: TpmTool

  beforeAll(async () => {
    tpm = await onSocket('swtpm', '--hardware-slots')()
  })

  it('pcr refuses banks, PCRs and digests that there are not', async () => {
    const digest = `sha256=${ZEROS}`
    expect(await tpm.fails(EXIT.usage, 'pcr', 'read', 'sha3:1')).toMatch(/expected sha1, sha256/)
    expect(await tpm.fails(EXIT.usage, 'pcr', 'extend', '24', digest)).toMatch(/expected a PCR from 0 to 23/)
    expect(await tpm.fails(EXIT.usage, 'pcr', 'extend', '1', 'sha256=00')).toMatch(
      /expected 64 hexadecimal digits/,
    )
    expect(await tpm.fails(EXIT.usage, 'pcr', 'extend', '1')).toMatch(/expected digests, --file or --event/)
  })

  it('quote signs with an RSA key too, and with none that is not there', async () => {
    await quoteAndCheck(tpm, 'rsa')
    expect(await tpm.fails(EXIT.usage, 'quote')).toMatch(/required option '--pcrs/)
    const missing = await tpm.fails(EXIT.refused, 'quote', '--pcrs', 'sha256:0', '--key', '0x81000099')
    expect(missing).toMatch(/TPM_RC_HANDLE.*nothing at this handle/)
  })

  it('seal asks for the authorization value, which no complaint repeats', async () => {
    const password = 'correct horse'
    for (const pcrs of [[], ['--pcrs', 'sha256:7']]) {
      const out = workshop.place('sealed')
      await tpm.says('seal', 'str:a secret', '--auth', password, ...pcrs, '--out', out)
      expect(await tpm.says('unseal', out, '--auth', password)).toBe('a secret')
      const wrong = await tpm.fails(EXIT.refused, 'unseal', out, '--auth', 'battery staple')
      expect(wrong).toMatch(/TPM_RC_AUTH_FAIL.*: the authorization value is wrong/)
      expect(wrong).not.toContain('staple')
      expect(await tpm.fails(EXIT.usage, 'unseal', out)).toMatch(/asks for an authorization value/)
    }
  })

  it('nv counts, sets bits, extends and locks; a locked index is refused', async () => {
    const make = (index: string, attributes: string, ...more: readonly string[]) =>
      tpm.says('nv', 'define', index, '--attributes', `ownerwrite|ownerread|${attributes}`, ...more)
    await make('1', 'nt=counter')
    await tpm.says('nv', 'increment', '1')
    const counted = Number((await tpm.json('nv', 'read', '1'))['value'])
    await tpm.says('nv', 'increment', '1')
    expect(Number((await tpm.json('nv', 'read', '1'))['value'])).toBe(counted + 1)
    await make('2', 'nt=bits')
    await tpm.says('nv', 'write', '2', 'hex:0000000000000005')
    await tpm.says('nv', 'write', '2', 'hex:0000000000000008')
    expect(await tpm.says('nv', 'read', '2')).toBe('13 (0x000000000000000d)\n')
    await make('3', 'nt=extend')
    await tpm.says('nv', 'write', '3', 'str:measured')
    expect((await tpm.json('nv', 'read', '3'))['data']).toBe(extended(utf8('measured')))
    await make('4', 'writedefine', '--size', '4')
    await tpm.says('nv', 'write', '4', 'str:once')
    await tpm.says('nv', 'lock', '4', '--write')
    expect(await tpm.fails(EXIT.refused, 'nv', 'write', '4', 'str:more')).toMatch(/TPM_RC_NV_LOCKED/)
    expect((await tpm.json('nv', 'read', '4'))['data']).toBe(hex(utf8('once')))
    await make('5', 'nt=counter')
    expect(await tpm.fails(EXIT.refused, 'nv', 'read', '5')).toMatch(/TPM_RC_NV_UNINITIALIZED/)
  })

  it('nv asks for the authorization value of an index', async () => {
    const password = workshop.file('password', 'hunter2')
    const attributes = 'authwrite|authread|no_da'
    await tpm.says(
      'nv',
      'define',
      '6',
      '--size',
      '4',
      '--attributes',
      attributes,
      '--auth',
      `file:${password}`,
    )
    await tpm.says('nv', 'write', '6', 'str:data', '--auth', 'hunter2')
    expect((await tpm.json('nv', 'read', '6', '--auth', 'hex:68756e74657232'))['data']).toBe(
      hex(utf8('data')),
    )
    expect(await tpm.fails(EXIT.refused, 'nv', 'read', '6', '--auth', 'hunter3')).toMatch(/TPM_RC_BAD_AUTH/)
    expect(await tpm.fails(EXIT.refused, 'nv', 'read', '6', '--owner-auth', '')).toMatch(
      /TPM_RC_NV_AUTHORIZATION/,
    )
    const misread = await tpm.fails(EXIT.usage, 'nv', 'read', '6', '--auth', 'hex:hunter2')
    expect(misread).toMatch(/expected pairs of hexadecimal digits/)
    expect(misread).not.toContain('hunter')
  })

  it('random gives as many bytes as asked for, other ones each time', async () => {
    const bytes = [await tpm.json('random', '100'), await tpm.json('random', '100')].map(
      (one) => one['bytes'],
    )
    expect(bytes[0]).toMatch(/^[0-9a-f]{200}$/)
    expect(bytes[0]).not.toBe(bytes[1])
    expect(await tpm.fails(EXIT.usage, 'random', '0')).toMatch(/expected a number from 1/)
  })

  it('selftest says that the TPM found no fault', async () => {
    expect(await tpm.json('selftest')).toMatchObject({ passed: true })
  })

  it('clear is done with --yes only; then nothing that was sealed opens', async () => {
    const out = workshop.place('sealed')
    await tpm.says('seal', 'str:gone', '--out', out)
    expect(await tpm.fails(EXIT.usage, 'clear')).toMatch(/add --yes/)
    expect(await tpm.says('unseal', out)).toBe('gone')
    expect(await tpm.json('clear', '--yes')).toEqual({ cleared: true })
    expect(await tpm.fails(EXIT.refused, 'unseal', out)).toMatch(
      /another TPM, or before this one was cleared/,
    )
  })

  it('leaves no object and no session behind', async () => {
    const { slots } = (await tpm.json('info')) as { slots: Record<string, Record<string, unknown>> }
    expect(slots['objects']?.['used']).toEqual([])
    expect([slots['sessions']?.['loaded'], slots['sessions']?.['saved']]).toEqual([[], []])
  })
})

describe('help', () => {
  /** What a command prints for --help, and every command inside it. */
  function helps(parent: Command, before: string): { words: string; help: string }[] {
    return parent.commands.flatMap((inner) => {
      const words = `${before} ${inner.name()}`
      let help = ''
      inner.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
      return [{ words, help }, ...helps(inner, words)]
    })
  }

  it('has examples of commands and options that there are', () => {
    const all = helps(program(), 'palimpsest').filter(({ words }) => words.startsWith('palimpsest tpm'))
    expect(all.length).toBeGreaterThan(20)
    const examples = all.flatMap(({ help }) => [...help.matchAll(/^ {2}(palimpsest tpm [^\n]*)$/gm)])
    expect(examples.length).toBeGreaterThan(12)
    for (const [, example = ''] of examples) {
      const [found] = all
        .filter(({ words }) => `${example} `.startsWith(`${words} `))
        .sort((a, b) => b.words.length - a.words.length)
      const options = [...example.matchAll(/--[a-z-]+/g)].map(([option]) => option)
      expect([example, found?.words]).not.toEqual([example, 'palimpsest tpm'])
      for (const option of options)
        expect([example, found?.help]).toEqual([example, expect.stringContaining(option)])
    }
  })
})
