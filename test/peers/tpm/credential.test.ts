// tpm2-tools: credentials that only the TPM with both keys can open.
// Source: TPM 2.0 Library, Part 1, clause 24, and Part 3, clauses 12.5 and 12.6, revision 1.59.

import { expect, it } from 'vitest'
import { nameOf, tamper } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const SECRET = 'a secret of 32 bytes: 0123456789'

/** A policy session in `session.ctx` that may use the EK. */
async function endorsed(t: Tools): Promise<void> {
  await t.ok('tpm2_startauthsession --policy-session -S session.ctx')
  await t.ok('tpm2_policysecret -Q -S session.ctx -c e')
}

onEachTpm((on) => {
  it.each([
    { algorithm: 'rsa', maker: '' },
    { algorithm: 'rsa', maker: '-T none' },
    { algorithm: 'ecc', maker: '' },
  ])(
    'tpm2_makecredential $maker, tpm2_activatecredential: EK $algorithm, only for the named key, unchanged, and under the policy of the EK',
    async ({ algorithm, maker }) => {
      const t = on()
      t.write('secret', SECRET)
      await t.ok(`tpm2_createek -c ek.ctx -G ${algorithm} -u ek.pub`)
      await t.ok(`tpm2_createak -Q -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub -n ak.name`)
      const make = `tpm2_makecredential -Q ${maker} -u ek.pub -s secret`
      await t.ok(`${make} -n ${nameOf(t, 'ak.pub')} -o credential`)
      await t.ok(`${make} -n ${nameOf(t, 'ek.pub')} -o for-another`)
      // A key that signs opens no credential; without a TPM the tool only asks for a public area.
      const [other, why] =
        maker === '' ? ['ak.pub', 'TPM_RC_TYPE, handle 1'] : ['secret', /valid TPM2B_PUBLIC/]
      await t.refused(`${make.replace('ek.pub', other)} -n ${nameOf(t, 'ak.pub')} -o no`, why)
      // 8 octets of header, the size, TPM2B_DIGEST of the integrity, and then what is encrypted.
      tamper(t, 'credential', 'tampered', 50)
      const activate = 'tpm2_activatecredential -Q -c ak.ctx -C ek.ctx -o opened -P session:session.ctx'
      await endorsed(t)
      await t.refused(`${activate} -i for-another`, 'TPM_RC_INTEGRITY, parameter 1')
      await t.refused(`${activate} -i tampered`, 'TPM_RC_INTEGRITY, parameter 1')
      await t.ok('tpm2_flushcontext session.ctx')
      await t.refused(
        'tpm2_activatecredential -c ak.ctx -C ek.ctx -o opened -i credential',
        'TPM_RC_AUTH_UNAVAILABLE',
      )

      await endorsed(t)
      await t.ok(`${activate} -i credential`)
      expect(Buffer.from(t.read('opened')).toString()).toBe(SECRET)
    },
  )

  it('tpm2_policysecret: the password of the hierarchy is asked for', async () => {
    const t = on()
    await t.ok('tpm2_changeauth -c e endorsement')
    await t.ok('tpm2_startauthsession --policy-session -S session.ctx')
    await t.refused('tpm2_policysecret -S session.ctx -c e wrong', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_policysecret -Q -S session.ctx -L policy -c e endorsement')
    expect(t.hex('policy')).toBe('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa')
  })
})
