// `palimpsest tpm …` beside the unmodified tpm2-tools, on our TPM over both protocols and on swtpm: what one writes the
// other reads, and each refuses what was changed.

import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ended, PalimpsestCommand } from '../integration/support/command.ts'
import { onEachTpm, type Tools } from './tpm/tools.ts'

let command: PalimpsestCommand

beforeAll(async () => {
  command = await PalimpsestCommand.bundle()
})
afterAll(() => {
  command.remove()
})

const NONCE = '00112233'
const OTHER_NONCE = '00112234'
/** Of TCG's template for a storage key on P-256. */
const STORAGE_KEY_ATTRIBUTES = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'

/** Runs `palimpsest tpm` on the TPM of a flow. */
function ours(t: Tools, ...args: readonly string[]): Promise<Ended> {
  return command.run('tpm', ...args, '--tcti', t.tpm.tcti)
}

async function says(t: Tools, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ours(t, ...args)
  expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' })
  return stdout
}

async function json(t: Tools, ...args: readonly string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await says(t, ...args, '--json')) as Record<string, unknown>
}

/** Changes the last byte of a file. */
function tamper(path: string): void {
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  writeFileSync(path, bytes)
}

function checkquote(...args: readonly string[]): Promise<Ended> {
  return command.run('tpm', 'checkquote', ...args)
}

describe('palimpsest tpm beside tpm2-tools', () => {
  onEachTpm((on) => {
    it('pcr read prints what tpm2_pcrread prints, also after our extends', async () => {
      const t = on()
      t.write('event', 'an event')
      await says(t, 'pcr', 'extend', '16', '--event', t.path('event'))
      await says(t, 'pcr', 'extend', '23', `sha256=${'5a'.repeat(32)}`)
      const selection = 'sha1:16+sha256:0,16,23'
      expect(await says(t, 'pcr', 'read', selection)).toBe(await t.ok(`tpm2_pcrread ${selection}`))
      await t.ok(`tpm2_pcrreset 16`)
      expect(await says(t, 'pcr', 'read', 'sha256:16')).toBe(await t.ok('tpm2_pcrread sha256:16'))
    })

    it.each(['ecc', 'rsa'])(
      'our quote with a key of type %s is accepted by tpm2_checkquote',
      async (type) => {
        const t = on()
        const proof = t.path('proof')
        const pcrs = 'sha256:0,1,2,3,4,5,6,7,16+sha1:0'
        await says(t, 'quote', '--pcrs', pcrs, '--nonce', NONCE, '--key-type', type, '--out', proof)
        const check =
          'tpm2_checkquote -u proof/ak.public -m proof/quote.attest -s proof/quote.signature -g sha256'
        await t.ok(`${check} -f proof/quote.pcrs -q ${NONCE}`)
        await t.refused(`${check} -f proof/quote.pcrs -q ${OTHER_NONCE}`, /nonce/i)
        expect(await t.ok('tpm2_print -t TPM2B_PUBLIC proof/ak.public')).toContain('restricted|sign')
        const trusted = ['--public', t.path('proof/ak.public')]
        expect(await checkquote(proof, ...trusted, '--nonce', NONCE, '--pcrs', pcrs)).toMatchObject({
          code: 0,
        })
        tamper(t.path('proof/quote.attest'))
        await t.refused(`${check} -q ${NONCE}`, /verif|valid/i)
        expect(await checkquote(proof, ...trusted, '--nonce', NONCE)).toMatchObject({ code: 1 })
      },
    )

    it.each(['rsa rsassa', 'rsa rsapss', 'ecc ecdsa'])(
      'our checkquote accepts what tpm2_quote signs: %s',
      async (kind) => {
        const t = on()
        const [algorithm = '', scheme = ''] = kind.split(' ')
        await t.ok('tpm2_createek -c ek.ctx -G ecc')
        await t.ok(`tpm2_createak -Q -C ek.ctx -c ak.ctx -G ${algorithm} -g sha256 -s ${scheme} -u ak.pub`)
        const files = '-m quote -s signature -o pcrs'
        await t.ok(`tpm2_quote -Q -c ak.ctx -l sha256:0,7+sha384:1 -q ${NONCE} --scheme ${scheme} ${files}`)
        const proof = [
          ...['--message', t.path('quote'), '--signature', t.path('signature'), '--public', t.path('ak.pub')],
          ...['--values', t.path('pcrs'), '--pcrs', 'sha256:0,7+sha384:1'],
        ]
        const good = await checkquote(...proof, '--nonce', NONCE)
        expect(good).toEqual({
          code: 0,
          stdout: expect.stringMatching(/quote is good/) as string,
          stderr: '',
        })
        expect(await checkquote(...proof, '--nonce', OTHER_NONCE)).toMatchObject({ code: 1 })
        await t.ok(`tpm2_pcrread -Q -o now sha256:0,7+sha384:1`)
        expect(await checkquote(...proof, '--nonce', NONCE, '--values', t.path('now'))).toMatchObject({
          code: 0,
        })
        await t.ok(`tpm2_pcrextend 7:sha256=${'11'.repeat(32)}`)
        await t.ok(`tpm2_pcrread -Q -o later sha256:0,7+sha384:1`)
        const later = await checkquote(...proof, '--nonce', NONCE, '--values', t.path('later'))
        expect(later).toMatchObject({
          code: 1,
          stdout: expect.stringMatching(/BAD +the PCRs had these/) as string,
        })
        tamper(t.path('signature'))
        expect(await checkquote(...proof, '--nonce', NONCE)).toMatchObject({ code: 1 })
      },
    )

    it('our quote uses a key that tpm2_evictcontrol made persistent, with its password', async () => {
      const t = on()
      await t.ok('tpm2_createek -c ek.ctx -G ecc')
      await t.ok('tpm2_createak -Q -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub -p akpass')
      await t.ok('tpm2_evictcontrol -Q -c ak.ctx 0x81010009')
      await t.ok('tpm2_flushcontext -t')
      const asked = ['--key', '0x81010009', '--pcrs', 'sha256:0', '--nonce', NONCE]
      const refused = await ours(t, 'quote', ...asked, '--auth', 'wrong')
      expect(refused).toMatchObject({ code: 4, stderr: expect.stringMatching(/TPM_RC_AUTH_FAIL/) as string })
      await says(t, 'quote', ...asked, '--auth', 'akpass', '--out', t.path('proof'))
      const trusted = ['--public', t.path('ak.pub'), '--nonce', NONCE]
      expect(await checkquote(t.path('proof'), ...trusted)).toMatchObject({ code: 0 })
      await t.ok('tpm2_createprimary -Q -C o -G ecc -c storage.ctx')
      await t.ok('tpm2_evictcontrol -Q -c storage.ctx 0x8101000a')
      await t.ok('tpm2_flushcontext -t')
      const storage = await ours(t, 'quote', ...asked, '--key', '0x8101000a')
      expect(storage).toMatchObject({ code: 2, stderr: expect.stringMatching(/for another use/) as string })
    })

    it('what we sealed is loaded and unsealed by tpm2-tools, under the same storage key', async () => {
      const t = on()
      await says(t, 'seal', 'str:the secret', '--pcrs', 'sha256:7', '--out', t.path('sealed'))
      expect(await says(t, 'unseal', t.path('sealed'))).toBe('the secret')
      const sealed = JSON.parse(readFileSync(t.path('sealed'), 'utf8')) as Record<
        'public' | 'private',
        string
      >
      t.write('sealed.pub', Buffer.from(sealed.public, 'hex'))
      t.write('sealed.priv', Buffer.from(sealed.private, 'hex'))
      const template = `-G ecc256:aes128cfb -a ${STORAGE_KEY_ATTRIBUTES} -u -`
      await t.ok(`tpm2_createprimary -Q -C o ${template} -c parent.ctx`, new Uint8Array(64))
      await t.ok('tpm2_load -Q -C parent.ctx -u sealed.pub -r sealed.priv -c sealed.ctx')
      expect(await t.ok('tpm2_unseal -c sealed.ctx -p pcr:sha256:7')).toBe('the secret')
      await t.ok(`tpm2_pcrextend 7:sha256=${'77'.repeat(32)}`)
      await t.refused('tpm2_unseal -c sealed.ctx -p pcr:sha256:7', 'TPM_RC_POLICY_FAIL, session 1')
      await t.ok('tpm2_flushcontext -t')
      await t.ok('tpm2_flushcontext -l')
      const refused = await ours(t, 'unseal', t.path('sealed'))
      expect(refused).toMatchObject({
        code: 4,
        stderr: expect.stringMatching(/sha256:7 is not as when/) as string,
      })
    })

    it('NV indices of tpm2-tools and ours are the same thing', async () => {
      const t = on()
      const attributes = 'ownerwrite|ownerread|authread|writedefine|no_da'
      await t.ok(`tpm2_nvdefine -Q 0x1500001 -s 9 -a ${attributes} -p nvpass`)
      await says(t, 'nv', 'write', '0x1500001', 'str:from ours')
      expect(await t.ok('tpm2_nvread 0x1500001 -P nvpass')).toBe('from ours')
      await says(
        t,
        'nv',
        'define',
        '0x1500002',
        '--attributes',
        attributes,
        '--size',
        '8',
        '--auth',
        'nvpass',
      )
      await t.ok('tpm2_nvwrite -Q -C o 0x1500002 -i -', 'by tools')
      expect(await json(t, 'nv', 'read', '0x1500002', '--auth', 'nvpass')).toMatchObject({
        data: Buffer.from('by tools').toString('hex'),
      })
      const { indices } = (await json(t, 'nv', 'list')) as {
        indices: { index: string; attributes: string[] }[]
      }
      const listed = await t.ok('tpm2_nvreadpublic 0x1500002')
      const found = indices.find(({ index }) => index === '0x01500002')
      expect(listed).toContain(`friendly: ${found?.attributes.join('|') ?? ''}`)
      await says(t, 'nv', 'lock', '0x1500002', '--write')
      t.write('more', 'more')
      await t.refused('tpm2_nvwrite -C o 0x1500002 -i more', 'TPM_RC_NV_LOCKED')
      const refused = await ours(t, 'nv', 'write', '0x1500002', 'str:more')
      expect(refused).toMatchObject({ code: 4, stderr: expect.stringMatching(/TPM_RC_NV_LOCKED/) as string })
    })

    it('counters, bit fields and extended indices count, set and extend', async () => {
      const t = on()
      await t.ok('tpm2_nvdefine -Q 0x1500003 -a ownerwrite|ownerread|nt=counter')
      await says(t, 'nv', 'increment', '0x1500003')
      const { value } = await json(t, 'nv', 'read', '0x1500003')
      await t.ok('tpm2_nvincrement -Q -C o 0x1500003')
      expect((await json(t, 'nv', 'read', '0x1500003'))['value']).toBe(String(Number(value) + 1))
      await says(t, 'nv', 'define', '0x1500004', '--attributes', 'ownerwrite|ownerread|nt=extend')
      t.write('data', 'data')
      await t.ok('tpm2_nvextend -Q -C o -i data 0x1500004')
      await says(t, 'nv', 'write', '0x1500004', 'str:data')
      const read = await json(t, 'nv', 'read', '0x1500004')
      expect(Buffer.from(await t.ok('tpm2_nvread -C o 0x1500004'), 'latin1').toString('hex')).toBe(
        read['data'],
      )
    })

    it('info, random, selftest and clear say what the tools say', async () => {
      const t = on()
      await t.ok('tpm2_createprimary -Q -C o -G ecc -c key.ctx')
      await t.ok('tpm2_evictcontrol -Q -c key.ctx 0x81000001')
      await t.ok('tpm2_flushcontext -t')
      const fixed = await t.ok('tpm2_getcap properties-fixed')
      const info = await json(t, 'info')
      expect(fixed).toContain(`value: "${String(info['manufacturer'])}"`)
      expect(info).toMatchObject({ slots: { persistent: { used: ['0x81000001'] }, objects: { used: [] } } })
      expect((await json(t, 'random', '32'))['bytes']).toMatch(/^[0-9a-f]{64}$/)
      expect(await json(t, 'selftest')).toMatchObject({ passed: true })
      await t.ok('tpm2_changeauth -c lockout lockpass')
      const wrong = await ours(t, 'clear', '--yes')
      expect(wrong).toMatchObject({ code: 4, stderr: expect.stringMatching(/TPM_RC_AUTH_FAIL/) as string })
      expect(await t.ok('tpm2_getcap handles-persistent')).toContain('0x81000001')
      await says(t, 'clear', '--yes', '--platform-auth', '')
      expect(await t.ok('tpm2_getcap handles-persistent')).not.toContain('0x81000001')
    })

    it('clear changes the very authorization value that it is authorized with', async () => {
      const t = on()
      await t.ok('tpm2_changeauth -c lockout lockpass')
      await says(t, 'clear', '--yes', '--lockout-auth', 'lockpass')
      await says(t, 'clear', '--yes')
    })
  })
})
