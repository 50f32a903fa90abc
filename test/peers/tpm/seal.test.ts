// tpm2-tools: sealed data, opened by password, by PCRs, and through salted sessions with encrypted parameters.
// Source: TPM 2.0 Library, Part 1, clauses 19.6 (salted sessions) and 21 (parameter encryption), Part 3, 12.7.

import { expect, it } from 'vitest'
import { tamper } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const SECRET = 'a sealed secret'
const FIXED = '-a fixedtpm|fixedparent|userwithauth'

/** A primary in p.ctx, and under it SECRET with the password `seal` in sealed.ctx. */
async function sealed(t: Tools, parent = 'ecc'): Promise<void> {
  t.write('secret', SECRET)
  await t.ok(`tpm2_createprimary -Q -C o -G ${parent} -c p.ctx`)
  await t.ok(`tpm2_create -Q -C p.ctx -i secret -p seal ${FIXED} -u sealed.pub -r sealed.priv`)
  await t.ok('tpm2_load -Q -C p.ctx -u sealed.pub -r sealed.priv -c sealed.ctx')
}

onEachTpm((on) => {
  it('tpm2_create -i, tpm2_unseal -p: with its password only, and only as it was sealed', async () => {
    const t = on()
    await sealed(t)
    await t.refused('tpm2_unseal -c sealed.ctx -p wrong', 'TPM_RC_AUTH_FAIL, session 1')
    await t.refused('tpm2_unseal -c sealed.ctx', 'TPM_RC_AUTH_FAIL, session 1')
    expect(await t.ok('tpm2_unseal -c sealed.ctx -p seal')).toBe(SECRET)
    tamper(t, 'sealed.priv', 'bad.priv')
    await t.refused('tpm2_load -C p.ctx -u sealed.pub -r bad.priv -c no.ctx', 'TPM_RC_INTEGRITY, parameter 1')
    await t.refused('tpm2_unseal -c p.ctx', 'TPM_RC_TYPE, handle 1')
    t.write('too-large', new Uint8Array(129))
    await t.refused(`tpm2_create -C p.ctx -i too-large ${FIXED} -u no.pub -r no.priv`, /size|128|large/i)
  })

  it('tpm2_unseal -p pcr: while the PCRs are as they were', async () => {
    const t = on()
    t.write('secret', SECRET)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_createpolicy -Q --policy-pcr -l sha256:0,7 -L policy')
    await t.ok('tpm2_create -Q -C p.ctx -i secret -L policy -a fixedtpm|fixedparent -u s.pub -r s.priv')
    await t.ok('tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c sealed.ctx')
    expect(await t.ok('tpm2_unseal -c sealed.ctx -p pcr:sha256:0,7')).toBe(SECRET)
    await t.refused('tpm2_unseal -c sealed.ctx -p pcr:sha256:0,6', 'TPM_RC_POLICY_FAIL, session 1')
    await t.ok(`tpm2_pcrextend 7:sha256=${'11'.repeat(32)}`)
    await t.refused('tpm2_unseal -c sealed.ctx -p pcr:sha256:0,7', 'TPM_RC_POLICY_FAIL, session 1')
    // After a reset the same boot opens it again, from the blobs alone.
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c sealed.ctx')
    expect(await t.ok('tpm2_unseal -c sealed.ctx -p pcr:sha256:0,7')).toBe(SECRET)
  })

  it.each(['rsa', 'ecc'])(
    'tpm2_unseal -p session: in an HMAC session salted with a key of type %s, parameters encrypted',
    async (algorithm) => {
      const t = on()
      await sealed(t)
      await t.ok(`tpm2_createprimary -Q -C e -G ${algorithm} -c salt.ctx`)
      // The key that salts: its name is checked by the tool, as somebody who may be lied to must.
      await t.ok('tpm2_startauthsession -S s.ctx --hmac-session --tpmkey-context salt.ctx')
      await t.ok('tpm2_sessionconfig s.ctx --enable-encrypt --enable-decrypt')
      expect(await t.ok('tpm2_sessionconfig s.ctx')).toMatch(
        /encrypt[^]*Session-Handle|Session-Handle[^]*encrypt/,
      )
      expect(await t.ok('tpm2_unseal -c sealed.ctx -p session:s.ctx+seal')).toBe(SECRET)
      await t.refused('tpm2_unseal -c sealed.ctx -p session:s.ctx+wrong', 'TPM_RC_AUTH_FAIL, session 1')
      await t.ok('tpm2_flushcontext s.ctx')
      await t.refused('tpm2_unseal -c sealed.ctx -p session:s.ctx+seal', 'TPM_RC_HANDLE, parameter 1')
    },
  )

  it('tpm2_startauthsession: bound to an object, and salted and bound at once', async () => {
    const t = on()
    await sealed(t, 'rsa')
    const open = async (options: string): Promise<string> => {
      await t.ok(`tpm2_startauthsession -S s.ctx --hmac-session ${options}`)
      await t.ok('tpm2_sessionconfig s.ctx --enable-encrypt')
      const secret = await t.ok('tpm2_unseal -c sealed.ctx -p session:s.ctx+seal')
      await t.ok('tpm2_flushcontext s.ctx')
      return secret
    }
    expect(await open('--bind-context sealed.ctx --bind-auth seal')).toBe(SECRET)
    expect(await open('--bind-context p.ctx')).toBe(SECRET)
    expect(await open('--bind-context p.ctx --tpmkey-context p.ctx')).toBe(SECRET)
    expect(await open('-c p.ctx')).toBe(SECRET)
    expect(await open('-g sha384 -c p.ctx')).toBe(SECRET)
    // Bound with a wrong password, both sides have different keys.
    await t.ok('tpm2_startauthsession -S s.ctx --hmac-session --bind-context sealed.ctx --bind-auth wrong')
    await t.refused('tpm2_unseal -c sealed.ctx -p session:s.ctx+seal', 'TPM_RC_AUTH_FAIL, session 1')
    await t.ok('tpm2_create -Q -C p.ctx -G ecc:ecdsa -u k.pub -r k.priv -c k.ctx')
    await t.refused(
      'tpm2_startauthsession -S no.ctx --hmac-session --tpmkey-context k.ctx',
      'TPM_RC_ATTRIBUTES, handle 1',
    )
  })
})
