// tpm2-tools: audits of commands and of sessions, with the digests as computed here; attributes of sessions.
// Source: TPM 2.0 Library, Part 1, clauses 32 and 33 (audit), and Part 3, clauses 18.5, 18.6 and 21, revision 1.59.

import { expect, it } from 'vitest'
import { TPM_ALG, TPM_ST } from '../../../sdk/tpm2/index.ts'
import { attestIn, sha256, unhex } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const VERIFY = 'openssl dgst -sha256 -verify s.pem -signature signature attest'
const SIGNED = '-g sha256 -f plain -m attest -s signature -c s.ctx'

/** An attestation key with the password `sign` in s.ctx and s.pem. */
async function signer(t: Tools): Promise<void> {
  await t.ok('tpm2_createprimary -Q -C e -G ecc -c p.ctx')
  await t.ok('tpm2_create -Q -C p.ctx -G ecc:ecdsa-sha256 -p sign -u s.pub -r s.priv -c s.ctx')
  await t.ok('tpm2_readpublic -Q -c s.ctx -f pem -o s.pem')
}

/** The audit digest after commands, each given as cpHash ‖ rpHash in hexadecimal. */
const audited = (...commands: readonly string[]): string =>
  commands.reduce((digest, command) => sha256(unhex(digest + command)), '00'.repeat(32))

onEachTpm((on) => {
  it('tpm2_setcommandauditstatus, tpm2_getcommandauditdigest: what was commanded since, and what is listened for', async () => {
    const t = on()
    await signer(t)
    const digest = 'tpm2_getcommandauditdigest -Q -q 0123'
    await t.refused(
      'tpm2_setcommandauditstatus -C o -P wrong TPM2_CC_GetRandom',
      'TPM_RC_BAD_AUTH, session 1',
    )
    await t.ok('tpm2_setcommandauditstatus -C o -g sha256')
    await t.ok('tpm2_setcommandauditstatus -C o TPM2_CC_GetRandom')
    await t.ok(`${digest} ${SIGNED} -p sign`)
    const before = attestIn(t, 'attest')
    const random = await t.ok('tpm2_getrandom --hex 8')
    await t.refused(`${digest} ${SIGNED} -p wrong`, 'TPM_RC_AUTH_FAIL, session 2')
    await t.ok(`${digest} ${SIGNED} -p sign`)
    expect(await t.ok(VERIFY)).toContain('Verified OK')
    const got = sha256(unhex('0000017b 0008')) + sha256(unhex(`00000000 0000017b 0008 ${random}`))
    expect(before).toMatchObject({
      type: TPM_ST.ATTEST_COMMAND_AUDIT,
      attested: { digestAlg: TPM_ALG.SHA256 },
    })
    expect(attestIn(t, 'attest')).toMatchObject({
      extraData: unhex('0123'),
      attested: { auditDigest: unhex(audited(got)) },
    })
    // No longer listened for. The command that says so is audited itself; the tool sends it twice, once for the hash.
    await t.ok('tpm2_setcommandauditstatus -C o --clear-list TPM2_CC_GetRandom')
    await t.ok('tpm2_getrandom --hex 8')
    await t.ok(`${digest} ${SIGNED} -p sign`)
    const done = sha256(unhex('00000000 00000140'))
    const chosen = sha256(unhex('00000140 40000001 000b 00000000 00000000')) + done
    const cleared = sha256(unhex('00000140 40000001 000b 00000000 00000001 0000017b')) + done
    expect(attestIn(t, 'attest')).toMatchObject({
      attested: { auditDigest: unhex(audited(chosen, cleared)) },
    })
  })

  it('tpm2_getsessionauditdigest: all that was commanded in a session', async () => {
    const t = on()
    await signer(t)
    await t.ok('tpm2_startauthsession -S audit.ctx --audit-session')
    await t.ok('tpm2_getrandom -S audit.ctx --cphash cp --rphash rp -o random 8')
    await t.ok('tpm2_getrandom -S audit.ctx -o random2 8')
    const digest = 'tpm2_getsessionauditdigest -Q -S audit.ctx -q 4567'
    await t.refused(`${digest} ${SIGNED} -p wrong`, 'TPM_RC_AUTH_FAIL, session 2')
    await t.ok(`${digest} ${SIGNED} -p sign`)
    expect(await t.ok(VERIFY)).toContain('Verified OK')
    const cpHash = sha256(unhex('0000017b 0008'))
    const got = (random: string): string => cpHash + sha256(unhex(`00000000 0000017b 0008 ${random}`))
    expect(attestIn(t, 'attest')).toMatchObject({
      type: TPM_ST.ATTEST_SESSION_AUDIT,
      attested: { sessionDigest: unhex(audited(got(t.hex('random')), got(t.hex('random2')))) },
    })
    await t.ok('tpm2_startauthsession -S other.ctx --hmac-session')
    await t.refused(
      `${digest.replace('audit.ctx', 'other.ctx')} ${SIGNED} -p sign`,
      /does not have audit attributes/,
    )
  })

  it('tpm2_sessionconfig: attributes stay with the session; one for audit, exclusively', async () => {
    const t = on()
    await t.ok('tpm2_startauthsession -S s.ctx --hmac-session')
    expect(await t.ok('tpm2_sessionconfig s.ctx')).toMatch(/continuesession/)
    await t.ok('tpm2_sessionconfig s.ctx --enable-audit --enable-auditexclusive')
    expect(await t.ok('tpm2_sessionconfig s.ctx')).toMatch(/continuesession[^]*auditexclusive[^]*audit/)
    await t.ok('tpm2_getrandom -S s.ctx -o random 8')
    // Something else came between.
    await t.ok('tpm2_startauthsession -S other.ctx --audit-session')
    await t.ok('tpm2_getrandom -S other.ctx -o random 8')
    await t.refused('tpm2_getrandom -S s.ctx -o random 8', 'TPM_RC_EXCLUSIVE')
    await t.refused('tpm2_sessionconfig none.ctx', /Could not restore session/)
  })
})
