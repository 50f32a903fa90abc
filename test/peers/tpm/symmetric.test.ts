// tpm2-tools: symmetric encryption in each mode, against node:crypto.
// Source: TPM 2.0 Library, Part 3, clauses 15.2 and 15.3, revision 1.59.

import { createCipheriv } from 'node:crypto'
import { expect, it } from 'vitest'
import { onEachTpm } from './tools.ts'

onEachTpm((on) => {
  it.each([
    { bits: 128, mode: 'cfb' },
    { bits: 256, mode: 'cfb' },
    { bits: 128, mode: 'cbc' },
    { bits: 256, mode: 'cbc' },
    { bits: 128, mode: 'ctr' },
    { bits: 128, mode: 'ofb' },
    { bits: 128, mode: 'ecb' },
  ])('tpm2_encryptdecrypt with AES-$bits in mode $mode: as computed, and back', async ({ bits, mode }) => {
    const t = on()
    const key = Buffer.alloc(bits / 8, 'key')
    const iv = Buffer.from('0123456789abcdef')
    // More than one command takes; whole blocks, because the TPM does not pad.
    const plain = Buffer.alloc(3200, 'plain text ')
    t.write('key', key)
    t.write('iv', iv)
    t.write('plain', plain)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_import -Q -C p.ctx -G aes -i key -p key -u k.pub -r k.priv')
    await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx')
    const crypt = `tpm2_encryptdecrypt -Q -c k.ctx -G ${mode} ${mode === 'ecb' ? '' : '-t iv'}`
    await t.ok(`${crypt} -p key -o encrypted plain`)
    const cipher = createCipheriv(
      `aes-${String(bits)}-${mode}`,
      key,
      mode === 'ecb' ? null : iv,
    ).setAutoPadding(false)
    expect(t.hex('encrypted')).toBe(Buffer.concat([cipher.update(plain), cipher.final()]).toString('hex'))
    await t.ok(`${crypt} -p key -d -o decrypted encrypted`)
    expect(t.hex('decrypted')).toBe(plain.toString('hex'))
    await t.refused(`${crypt} -p wrong -o no plain`, 'TPM_RC_AUTH_FAIL, session 1')
    await t.refused(`${crypt.replace('k.ctx', 'p.ctx')} -o no plain`, 'TPM_RC_KEY, handle 1')
  })

  it('tpm2_encryptdecrypt: a key for one mode only, and one that may not decrypt', async () => {
    const t = on()
    t.write('plain', Buffer.alloc(32, 'plain'))
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_create -Q -C p.ctx -G aes128cbc -u k.pub -r k.priv -c k.ctx')
    await t.ok('tpm2_encryptdecrypt -Q -c k.ctx -o encrypted plain')
    await t.refused('tpm2_encryptdecrypt -c k.ctx -G ctr -o no plain', 'TPM_RC_MODE, parameter 3')
    t.write('odd', Buffer.alloc(33, 'plain'))
    await t.refused('tpm2_encryptdecrypt -c k.ctx -o no odd', 'TPM_RC_SIZE, parameter 1')
    await t.ok(
      'tpm2_create -Q -C p.ctx -G aes128cfb -a sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth -u e.pub -r e.priv -c e.ctx',
    )
    await t.ok('tpm2_encryptdecrypt -Q -c e.ctx -o encrypted plain')
    await t.refused('tpm2_encryptdecrypt -c e.ctx -d -o no encrypted', 'TPM_RC_ATTRIBUTES, handle 1')
  })
})
