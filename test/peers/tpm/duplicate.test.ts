// tpm2-tools: keys that move: imported from openssl, and duplicated from one parent to another.
// Source: TPM 2.0 Library, Part 1, clause 23, and Part 3, clause 13, revision 1.59.

import { createCipheriv } from 'node:crypto'
import { expect, it } from 'vitest'
import { nameOf, tamper } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const STORAGE = '-a restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth'

/** A key that may be duplicated under PolicyCommandCode(Duplicate), in k.ctx, and what it signs. */
async function movable(
  t: Tools,
  parent: string,
  attributes = 'sensitivedataorigin|userwithauth|sign|decrypt',
): Promise<void> {
  t.write('message', 'message')
  await t.ok(`tpm2_createprimary -Q -C o -G ${parent} -c old.ctx`)
  await t.ok(`tpm2_createprimary -Q -C e -G ${parent} -c new.ctx ${STORAGE}`)
  await t.ok('tpm2_startauthsession -S trial.ctx')
  await t.ok('tpm2_policycommandcode -Q -S trial.ctx -L policy TPM2_CC_Duplicate')
  await t.ok('tpm2_flushcontext trial.ctx')
  await t.ok(`tpm2_create -Q -C old.ctx -G ecc -L policy -a ${attributes} -u k.pub -r k.priv`)
  await t.ok('tpm2_load -Q -C old.ctx -u k.pub -r k.priv -c k.ctx')
  await t.ok('tpm2_readpublic -Q -c k.ctx -f pem -o k.pem')
}

async function duplicate(t: Tools, options: string): Promise<void> {
  await t.ok('tpm2_startauthsession -S s.ctx --policy-session')
  await t.ok('tpm2_policycommandcode -Q -S s.ctx TPM2_CC_Duplicate')
  await t.ok(`tpm2_duplicate -Q -c k.ctx -p session:s.ctx ${options} -r dup -s seed`)
  await t.run('tpm2_flushcontext s.ctx')
}

/** Imports `dup` under new.ctx and signs with it. */
async function arrives(t: Tools, options: string): Promise<void> {
  await t.ok(`tpm2_import -Q -C new.ctx -u k.pub -i dup -s seed -r moved.priv ${options}`)
  await t.ok('tpm2_load -Q -C new.ctx -u k.pub -r moved.priv -c moved.ctx')
  await t.ok('tpm2_sign -Q -c moved.ctx -g sha256 -s ecdsa -f plain -o signature message')
  expect(await t.ok('openssl dgst -sha256 -verify k.pem -signature signature message')).toContain(
    'Verified OK',
  )
}

onEachTpm((on) => {
  it.each(['rsa', 'ecc'])(
    'tpm2_duplicate, tpm2_import: to a parent of type %s, with and without a key inside',
    async (parent) => {
      const t = on()
      await movable(t, parent)
      await duplicate(t, '-C new.ctx -G null')
      await arrives(t, '')
      t.write('inner', Buffer.from('0123456789abcdef'))
      await duplicate(t, '-C new.ctx -G aes -i inner')
      await arrives(t, '-k inner')
      await duplicate(t, '-C new.ctx -G aes -o chosen')
      await arrives(t, '-k chosen')
    },
  )

  it('tpm2_duplicate: not without its policy; tpm2_import: not elsewhere, not tampered, not with another inner key', async () => {
    const t = on()
    await movable(t, 'ecc')
    await t.refused('tpm2_duplicate -c k.ctx -C new.ctx -G null -r dup -s seed', 'TPM_RC_AUTH_TYPE')
    t.write('inner', Buffer.from('0123456789abcdef'))
    t.write('other', Buffer.from('0123456789abcdeF'))
    await duplicate(t, '-C new.ctx -G aes -i inner')
    const imported = 'tpm2_import -C new.ctx -u k.pub -i dup -s seed -r moved.priv -k inner'
    await t.refused(imported.replace('inner', 'other'), 'TPM_RC_SIZE, parameter 3')
    await t.refused(imported.replace('new.ctx', 'old.ctx'), 'TPM_RC_INTEGRITY, parameter 3')
    tamper(t, 'dup', 'bad')
    await t.refused(imported.replace('-i dup', '-i bad'), 'TPM_RC_INTEGRITY, parameter 3')
    tamper(t, 'seed', 'bad')
    await t.refused(imported.replace('-s seed', '-s bad'), 'TPM_RC_ECC_POINT, parameter 4')
    await t.ok(imported)
  })

  it('tpm2_duplicate: a fixed key stays, and encryptedDuplication means what it says', async () => {
    const t = on()
    await movable(t, 'ecc', 'sensitivedataorigin|userwithauth|sign|encryptedduplication')
    await t.ok('tpm2_startauthsession -S s.ctx --policy-session')
    await t.ok('tpm2_policycommandcode -Q -S s.ctx TPM2_CC_Duplicate')
    await t.refused(
      'tpm2_duplicate -c k.ctx -C null -p session:s.ctx -G null -r dup -s seed',
      'TPM_RC_SYMMETRIC, parameter 2',
    )
    await t.run('tpm2_flushcontext s.ctx')
    await duplicate(t, '-C new.ctx -G aes -o inner')
    await arrives(t, '-k inner')
    await t.ok('tpm2_create -Q -C old.ctx -G ecc -L policy -u k.pub -r k.priv -c k.ctx')
    await t.ok('tpm2_startauthsession -S s.ctx --policy-session')
    await t.ok('tpm2_policycommandcode -Q -S s.ctx TPM2_CC_Duplicate')
    await t.refused(
      'tpm2_duplicate -c k.ctx -C new.ctx -p session:s.ctx -G null -r dup -s seed',
      'TPM_RC_ATTRIBUTES, handle 1',
    )
  })

  it.each(['rsa', 'ecc'])(
    'tpm2_import -G: %s and AES keys of openssl under a parent of that type, usable as they were',
    async (kind) => {
      const t = on()
      t.write('message', 'a message to sign')
      const make =
        kind === 'rsa' ? 'genrsa -out own.pem 2048' : 'ecparam -name prime256v1 -genkey -noout -out own.pem'
      await t.ok(`openssl ${make}`)
      await t.ok('openssl pkey -in own.pem -pubout -out own.pub.pem')
      await t.ok(`tpm2_createprimary -Q -C o -G ${kind} -c p.ctx`)
      await t.ok(`tpm2_import -Q -C p.ctx -G ${kind} -i own.pem -p key -u k.pub -r k.priv`)
      await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx -n k.name')
      expect(t.hex('k.name')).toBe(nameOf(t, 'k.pub'))
      await t.ok('tpm2_readpublic -Q -c k.ctx -f pem -o back.pem')
      expect(t.hex('back.pem')).toBe(t.hex('own.pub.pem'))
      await t.ok('tpm2_sign -Q -c k.ctx -p key -g sha256 -f plain -o signature message')
      expect(await t.ok('openssl dgst -sha256 -verify own.pub.pem -signature signature message')).toContain(
        'Verified OK',
      )
      await t.refused('tpm2_sign -c k.ctx -p wrong -g sha256 -o no message', 'TPM_RC_AUTH_FAIL, session 1')

      const key = Buffer.from('0123456789abcdef')
      t.write('aes', key)
      await t.ok('tpm2_import -Q -C p.ctx -G aes -i aes -u a.pub -r a.priv')
      await t.ok('tpm2_load -Q -C p.ctx -u a.pub -r a.priv -c a.ctx')
      await t.ok('tpm2_encryptdecrypt -Q -c a.ctx -o encrypted message')
      const cipher = createCipheriv('aes-128-cfb', key, Buffer.alloc(16))
      expect(t.hex('encrypted')).toBe(cipher.update('a message to sign').toString('hex'))
      t.write('odd', Buffer.alloc(15))
      await t.refused('tpm2_import -C p.ctx -G aes -i odd -u no.pub -r no.priv', /Invalid AES key size/)
    },
  )
})
