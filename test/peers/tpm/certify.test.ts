// tpm2-tools: what a TPM signs about its objects and its time; the clock itself.
// Source: TPM 2.0 Library, Part 2, clause 10.12 (TPMS_ATTEST), and Part 3, clauses 18 and 29, revision 1.59.

import { expect, it } from 'vitest'
import { TPM_ST } from '../../../sdk/tpm2/index.ts'
import { attestIn, nameOf, tamper, unhex } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const VERIFY = 'openssl dgst -sha256 -verify s.pem -signature signature attest'

/** A primary in p.ctx; under it a signing key (password `sign`) in s.ctx and s.pem, and a key with `key` in k.ctx. */
async function keys(t: Tools, scheme = 'ecc:ecdsa-sha256'): Promise<void> {
  await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
  await t.ok(`tpm2_create -Q -C p.ctx -G ${scheme} -p sign -u s.pub -r s.priv -c s.ctx`)
  await t.ok('tpm2_readpublic -Q -c s.ctx -f pem -o s.pem')
  const creation = '--creation-data k.creation -d k.hash -t k.ticket'
  await t.ok(`tpm2_create -Q -C p.ctx -G ecc -p key -u k.pub -r k.priv ${creation}`)
  await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx')
}

onEachTpm((on) => {
  it.each(['ecc:ecdsa-sha256', 'rsa2048:rsassa-sha256:null'])(
    'tpm2_certify with a key of %s: the name of the key, signed; both passwords are asked for',
    async (scheme) => {
      const t = on()
      await keys(t, scheme)
      const certify = 'tpm2_certify -Q -c k.ctx -C s.ctx -g sha256 -f plain -o attest -s signature'
      await t.refused(`${certify} -P key -p wrong`, 'TPM_RC_AUTH_FAIL, session 2')
      await t.refused(`${certify} -P wrong -p sign`, 'TPM_RC_AUTH_FAIL, session 1')
      await t.ok(`${certify} -P key -p sign`)
      expect(await t.ok(VERIFY)).toContain('Verified OK')
      expect(attestIn(t, 'attest')).toMatchObject({
        type: TPM_ST.ATTEST_CERTIFY,
        attested: { name: unhex(nameOf(t, 'k.pub')) },
      })
      await t.refused(`${certify.replace('-C s.ctx', '-C p.ctx')} -P key`, 'TPM_RC_KEY, handle 2')
    },
  )

  it('tpm2_certifycreation: the creation that its ticket proves, and no other', async () => {
    const t = on()
    await keys(t)
    const certify =
      'tpm2_certifycreation -C s.ctx -P sign -c k.ctx -g sha256 -f plain -o signature --attestation attest'
    await t.ok(`${certify} -d k.hash -t k.ticket`)
    expect(await t.ok(VERIFY)).toContain('Verified OK')
    expect(attestIn(t, 'attest')).toMatchObject({
      type: TPM_ST.ATTEST_CREATION,
      attested: { objectName: unhex(nameOf(t, 'k.pub')), creationHash: t.read('k.hash').slice(2) },
    })
    tamper(t, 'k.hash', 'other.hash')
    await t.refused(`${certify} -d other.hash -t k.ticket`, 'TPM_RC_TICKET, parameter 4')
    tamper(t, 'k.ticket', 'other.ticket')
    await t.refused(`${certify} -d k.hash -t other.ticket`, 'TPM_RC_TICKET, parameter 4')
  })

  it('tpm2_gettime: time and clock, signed, with the data of who asks; passwords of both are asked for', async () => {
    const t = on()
    await keys(t)
    const time = 'tpm2_gettime -Q -c s.ctx -g sha256 -f plain -o signature --attestation attest -q 0123456789'
    await t.refused(`${time} -p wrong`, 'TPM_RC_AUTH_FAIL, session 2')
    await t.refused(`${time} -p sign -P wrong`, 'TPM_RC_BAD_AUTH, session 1')
    await t.ok(`${time} -p sign`)
    expect(await t.ok(VERIFY)).toContain('Verified OK')
    expect(attestIn(t, 'attest')).toMatchObject({
      type: TPM_ST.ATTEST_TIME,
      extraData: unhex('0123456789'),
      attested: { time: { time: expect.any(BigInt) } },
    })
  })

  it('tpm2_readclock, tpm2_setclock, tpm2_clockrateadjust: the clock goes forward only, at the word of its owner', async () => {
    const t = on()
    const clock = async (): Promise<number> => Number(/clock: (\d+)/.exec(await t.ok('tpm2_readclock'))?.[1])
    const before = await clock()
    await t.ok(`tpm2_setclock ${String(before + 3_600_000)}`)
    const after = await clock()
    expect(after).toBeGreaterThanOrEqual(before + 3_600_000)
    expect(after).toBeLessThan(before + 3_660_000)
    await t.refused(`tpm2_setclock ${String(before)}`, 'TPM_RC_VALUE, parameter 1')
    await t.refused(`tpm2_setclock -p wrong ${String(after + 3_600_000)}`, 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_clockrateadjust s')
    await t.ok('tpm2_clockrateadjust f')
    await t.refused('tpm2_clockrateadjust -p wrong f', 'TPM_RC_BAD_AUTH, session 1')
    expect(await t.ok('tpm2_readclock')).toMatch(/reset_count: \d+\s+restart_count: \d+\s+safe: (yes|no)/)
  })

  it('tpm2_readclock: resets are counted, and restarts, where the state was saved before', async () => {
    const t = on()
    const counts = async (): Promise<number[]> => {
      const [, resets, restarts] =
        /reset_count: (\d+)\s+restart_count: (\d+)/.exec(await t.ok('tpm2_readclock')) ?? []
      return [Number(resets), Number(restarts)]
    }
    const [resets = NaN] = await counts()
    await t.ok('tpm2_shutdown')
    await t.tpm.powerCycle()
    await t.refused('tpm2_readclock', 'TPM_RC_INITIALIZE')
    await t.ok('tpm2_startup')
    expect(await counts()).toEqual([resets, 1])
    await t.ok('tpm2_shutdown -c')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    expect(await counts()).toEqual([resets + 1, 0])
  })
})
