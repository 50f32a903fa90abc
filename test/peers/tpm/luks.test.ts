// cryptsetup: a LUKS2 volume whose key lies sealed in the TPM and is fetched over the socket by whoever opens it.
// Source: LUKS2 On-Disk Format Specification 1.1.2; opening is tried with --test-passphrase, which needs no root.

import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { requireTool } from '../tool.ts'
import { onEachTpm } from './tools.ts'

onEachTpm((on) => {
  it('cryptsetup luksFormat, luksOpen with a key from the TPM: opens in the state of the PCRs that it was sealed to', async (context) => {
    const cryptsetup = requireTool(context, 'cryptsetup-bin', 'cryptsetup')
    const t = on()
    const luks = (command: string, input: Uint8Array | string): Promise<string> =>
      t.ok(`${cryptsetup} ${command} --key-file=-`, input)
    const format = 'luksFormat --type luks2 --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000'
    const open = 'luksOpen --test-passphrase volume'

    t.write('volume', new Uint8Array(32 * 1024 * 1024))
    await t.ok('tpm2_getrandom -o key 32')
    await luks(`${format} volume`, t.read('key'))
    expect(await t.ok(`${cryptsetup} luksDump volume`)).toMatch(/cipher: aes-xts-plain64/)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_createpolicy -Q --policy-pcr -l sha256:4,7 -L policy')
    await t.ok('tpm2_create -Q -C p.ctx -i key -L policy -a fixedtpm|fixedparent -u key.pub -r key.priv')
    const digest = createHash('sha256').update(t.read('key')).digest('hex')
    t.write('key', '')

    const unseal = async (): Promise<Buffer> => {
      await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
      await t.ok('tpm2_load -Q -C p.ctx -u key.pub -r key.priv -c key.ctx')
      return Buffer.from(await t.ok('tpm2_unseal -c key.ctx -p pcr:sha256:4,7'), 'latin1')
    }
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    const key = await unseal()
    expect(createHash('sha256').update(key).digest('hex')).toBe(digest)
    await luks(open, key)
    const wrong = key.map((octet, at) => (at === 0 ? octet ^ 1 : octet))
    expect(await t.run(`${cryptsetup} ${open} --key-file=-`, wrong)).toMatchObject({ code: 2 })

    await t.ok(`tpm2_pcrextend 4:sha256=${'11'.repeat(32)}`)
    await t.refused('tpm2_unseal -c key.ctx -p pcr:sha256:4,7', 'TPM_RC_POLICY_FAIL, session 1')
  })
})
