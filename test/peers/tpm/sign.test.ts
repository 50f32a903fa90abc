// tpm2-tools: signatures, verified by openssl and by the TPM, and those of openssl verified by the TPM.
// Source: TPM 2.0 Library, Part 3, clause 20, revision 1.59.

import { createHash, createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { onEachTpm, type Tools } from './tools.ts'

const MESSAGE = Buffer.from('a message to sign')

/** A signing key with the password `sign` in k.ctx, its public half in k.pem, and a message. */
async function signingKey(t: Tools, algorithm: string): Promise<void> {
  t.write('message', MESSAGE)
  t.write('digest', createHash('sha256').update(MESSAGE).digest())
  t.write('other', 'another message')
  await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
  await t.ok(`tpm2_create -Q -C p.ctx -G ${algorithm} -p sign -u k.pub -r k.priv`)
  await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx')
  await t.ok('tpm2_readpublic -Q -c k.ctx -f pem -o k.pem')
}

const PSS = '-sigopt rsa_padding_mode:pss'

onEachTpm((on) => {
  it.each([
    { key: 'rsa', scheme: 'rsassa', hash: 'sha256', openssl: '' },
    { key: 'rsa', scheme: 'rsapss', hash: 'sha384', openssl: PSS },
    { key: 'rsa', scheme: 'rsassa', hash: 'sha1', openssl: '' },
    { key: 'ecc', scheme: 'ecdsa', hash: 'sha256', openssl: '' },
    { key: 'ecc384', scheme: 'ecdsa', hash: 'sha384', openssl: '' },
    { key: 'ecc521', scheme: 'ecdsa', hash: 'sha512', openssl: '' },
  ])('tpm2_sign, tpm2_verifysignature: $key, $scheme, $hash', async ({ key, scheme, hash, openssl }) => {
    const t = on()
    await signingKey(t, key)
    const sign = `tpm2_sign -Q -c k.ctx -g ${hash} -s ${scheme}`
    await t.refused(`${sign} -p wrong -o no message`, 'TPM_RC_AUTH_FAIL, session 1')
    await t.ok(`${sign} -p sign -f plain -o plain message`)
    const judge = `openssl dgst -${hash} ${openssl} -verify k.pem -signature plain`
    expect(await t.ok(`${judge} message`)).toContain('Verified OK')
    expect((await t.run(`${judge} other`)).code).not.toBe(0)

    await t.ok(`${sign} -p sign -o signature message`)
    const verify = `tpm2_verifysignature -c k.ctx -g ${hash} -s signature`
    await t.ok(`${verify} -m message -t ticket`)
    expect(t.hex('ticket').slice(0, 4)).toBe('8022')
    await t.refused(`${verify} -m other`, 'TPM_RC_SIGNATURE, parameter 2')
  })

  it.each(['rsa', 'ecc'])('tpm2_verifysignature: what openssl signed with a %s key', async (kind) => {
    const t = on()
    t.write('message', MESSAGE)
    t.write('other', 'another message')
    const make =
      kind === 'rsa' ? 'genrsa -out k.pem 2048' : 'ecparam -name prime256v1 -genkey -noout -out k.pem'
    await t.ok(`openssl ${make}`)
    await t.ok('openssl pkey -in k.pem -pubout -out pub.pem')
    await t.ok('openssl dgst -sha256 -sign k.pem -out signature message')
    await t.ok(`tpm2_loadexternal -Q -C n -G ${kind} -u pub.pem -c k.ctx`)
    const verify = `tpm2_verifysignature -c k.ctx -g sha256 -f ${kind === 'rsa' ? 'rsassa' : 'ecdsa'} -s signature`
    await t.ok(`${verify} -m message`)
    await t.refused(`${verify} -m other`, 'TPM_RC_SIGNATURE, parameter 2')
  })

  it('tpm2_sign -d: a digest; a restricted key wants a ticket for it', async () => {
    const t = on()
    await signingKey(t, 'ecc:ecdsa-sha256')
    await t.ok('tpm2_sign -Q -c k.ctx -p sign -g sha256 -d -f plain -o plain digest')
    expect(await t.ok('openssl dgst -sha256 -verify k.pem -signature plain message')).toContain('Verified OK')
    const attributes = 'restricted|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth'
    await t.ok(
      `tpm2_create -Q -C p.ctx -G ecc256:ecdsa-sha256:null -a ${attributes} -u r.pub -r r.priv -c r.ctx`,
    )
    await t.ok('tpm2_readpublic -Q -c r.ctx -f pem -o r.pem')
    await t.refused('tpm2_sign -c r.ctx -g sha256 -d -o no digest', 'TPM_RC_TICKET, parameter 3')
    await t.ok('tpm2_hash -C o -g sha256 -t ticket -o hashed message')
    await t.ok('tpm2_sign -Q -c r.ctx -g sha256 -d -t ticket -f plain -o plain hashed')
    expect(await t.ok('openssl dgst -sha256 -verify r.pem -signature plain message')).toContain('Verified OK')
    t.write('forged', Buffer.concat([Buffer.from('ff544347', 'hex'), MESSAGE]))
    await t.ok('tpm2_hash -C o -g sha256 -t ticket -o hashed forged')
    await t.refused('tpm2_sign -c r.ctx -g sha256 -d -t ticket -o no hashed', 'TPM_RC_TICKET, parameter 3')
    await t.refused(
      'tpm2_sign -c k.ctx -p sign -g sha384 -o no message',
      /only supports signature hash alg sha256/,
    )
    await t.refused('tpm2_sign -c p.ctx -g sha256 -s ecdsa -o no message', 'TPM_RC_KEY, handle 1')
  })

  it('tpm2_sign with an HMAC key: the HMAC of the digest', async () => {
    const t = on()
    const key = Buffer.from('0123456789abcdef0123456789abcdef')
    t.write('key', key)
    t.write('message', MESSAGE)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_import -Q -C p.ctx -G hmac:sha256 -i key -p sign -u k.pub -r k.priv')
    await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx')
    await t.ok('tpm2_sign -Q -c k.ctx -p sign -g sha256 -s hmac -o signature message')
    const digest = createHash('sha256').update(MESSAGE).digest()
    expect(t.hex('signature')).toContain(createHmac('sha256', key).update(digest).digest('hex'))
    await t.ok('tpm2_verifysignature -c k.ctx -g sha256 -m message -s signature')
    await t.refused(
      'tpm2_verifysignature -c k.ctx -g sha256 -m key -s signature',
      'TPM_RC_SIGNATURE, parameter 2',
    )
    await t.refused(
      'tpm2_sign -c k.ctx -p wrong -g sha256 -s hmac -o no message',
      'TPM_RC_AUTH_FAIL, session 1',
    )
  })
})
