// tpm2-tools: policy assertions, each with the digest of a trial session as computed here, with a sealed object that the
// assertion opens, and with a session that it does not.
// Source: TPM 2.0 Library, Part 3, clause 23, revision 1.59.

import { expect, it } from 'vitest'
import { asserted, assertedOf, NO_POLICY, seal, SECRET, session, trial, UNSEAL } from './policies.ts'
import { sha256, unhex } from './objects.ts'
import { onEachTpm } from './tools.ts'

onEachTpm((on) => {
  it('tpm2_policypcr, tpm2_createpolicy: opens while the PCRs are as they were', async () => {
    const t = on()
    const pcr = 'tpm2_policypcr -l sha256:7,16'
    const digest = asserted(NO_POLICY, 'PolicyPCR', '00000001 000b 03 800001', sha256(new Uint8Array(64)))
    expect(await trial(t, pcr)).toBe(digest)
    expect(await t.ok('tpm2_createpolicy --policy-pcr -l sha256:7,16 -L created')).toContain(digest)
    await seal(t, digest)
    await session(t, pcr)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await t.refused('tpm2_unseal -c sealed.ctx', 'TPM_RC_AUTH_UNAVAILABLE')
    await session(t)
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
    await session(t, pcr)
    await t.ok(`tpm2_pcrextend 7:sha256=${'11'.repeat(32)}`)
    await t.refused(UNSEAL, 'TPM_RC_PCR_CHANGED')
    await session(t, pcr)
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
    t.write('expected', new Uint8Array(64))
    await t.run('tpm2_flushcontext s.ctx')
    await t.ok('tpm2_startauthsession --policy-session -S s.ctx')
    await t.refused('tpm2_policypcr -S s.ctx -l sha256:7,16 -f expected', 'TPM_RC_VALUE, parameter 1')
    await t.refused('tpm2_createpolicy --policy-pcr -l sm3_256:7 -L created', 'TPM_RC_HASH, parameter 1')
  })

  it('tpm2_policyauthvalue, tpm2_policypassword: the password of the object, as an HMAC or in the clear', async () => {
    const t = on()
    const digest = asserted(NO_POLICY, 'PolicyAuthValue')
    expect(await trial(t, 'tpm2_policyauthvalue')).toBe(digest)
    expect(await trial(t, 'tpm2_policypassword')).toBe(digest)
    await seal(t, digest, '-p password')
    for (const assertion of ['tpm2_policyauthvalue', 'tpm2_policypassword']) {
      await session(t, assertion)
      await t.refused(`${UNSEAL}+wrong`, 'TPM_RC_AUTH_FAIL, session 1')
      await session(t, assertion)
      expect(await t.ok(`${UNSEAL}+password`)).toBe(SECRET)
    }
    await t.ok('tpm2_startauthsession --hmac-session -S hmac.ctx')
    for (const assertion of ['tpm2_policyauthvalue', 'tpm2_policypassword']) {
      await t.refused(`${assertion} -S hmac.ctx`, 'TPM_RC_VALUE, handle 1')
    }
  })

  it('tpm2_policyor: one of the branches, and none that is not among them', async () => {
    const t = on()
    const pcr = 'tpm2_policypcr -l sha256:16'
    await t.ok('tpm2_createpolicy -Q --policy-pcr -l sha256:16 -L zero')
    await t.ok(`tpm2_pcrextend 16:sha256=${'11'.repeat(32)}`)
    await t.ok('tpm2_createpolicy -Q --policy-pcr -l sha256:16 -L one')
    const or = 'tpm2_policyor -l sha256:zero,one'
    const digest = asserted(NO_POLICY, 'PolicyOR', t.hex('zero'), t.hex('one'))
    expect(await trial(t, or)).toBe(digest)
    await seal(t, digest)
    await session(t, pcr, or)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await t.ok('tpm2_pcrreset 16')
    await session(t, pcr, or)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await t.ok(`tpm2_pcrextend 16:sha256=${'22'.repeat(32)}`)
    await session(t, pcr)
    await t.refused(`${or} -S s.ctx`, 'TPM_RC_VALUE, parameter 1')
  })

  it('tpm2_policycommandcode: this command only', async () => {
    const t = on()
    const digest = asserted(NO_POLICY, 'PolicyCommandCode', '0000015e')
    expect(await trial(t, 'tpm2_policycommandcode TPM2_CC_Unseal')).toBe(digest)
    await seal(t, digest)
    await session(t, 'tpm2_policycommandcode TPM2_CC_Unseal')
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await session(t, 'tpm2_policycommandcode TPM2_CC_Sign')
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
    await t.refused('tpm2_policycommandcode -S s.ctx TPM2_CC_Unseal', 'TPM_RC_VALUE, parameter 1')
    await seal(t, asserted(NO_POLICY, 'PolicyCommandCode', '0000015d'))
    await t.refused(UNSEAL, 'TPM_RC_POLICY_CC, session 1')
  })

  it('tpm2_policylocality: the tools speak from locality 0', async () => {
    const t = on()
    const digest = asserted(NO_POLICY, 'PolicyLocality', '01')
    expect(await trial(t, 'tpm2_policylocality zero')).toBe(digest)
    await seal(t, digest)
    await session(t, 'tpm2_policylocality zero')
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await session(t, 'tpm2_policylocality three')
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
    // No locality is both.
    await t.refused('tpm2_policylocality -S s.ctx zero', 'TPM_RC_RANGE, parameter 1')
    await seal(t, asserted(NO_POLICY, 'PolicyLocality', '08'))
    await t.refused(UNSEAL, 'TPM_RC_LOCALITY')
  })

  it('tpm2_policysecret: the password of another entity', async () => {
    const t = on()
    await t.ok('tpm2_nvdefine -Q 0x1500001 -C o -s 8 -p index -a authread|authwrite')
    await t.ok('tpm2_nvwrite 0x1500001 -P index -i-', '12345678')
    const name = /name: ([0-9a-f]+)/i.exec(await t.ok('tpm2_nvreadpublic 0x1500001'))?.[1] ?? ''
    const digest = assertedOf(NO_POLICY, 'PolicySecret', name)
    expect(await trial(t, 'tpm2_policysecret -c 0x1500001 index')).toBe(digest)
    await seal(t, digest)
    await session(t)
    await t.refused('tpm2_policysecret -S s.ctx -c 0x1500001 wrong', 'TPM_RC_AUTH_FAIL, session 1')
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
    await session(t, 'tpm2_policysecret -c 0x1500001 index')
    expect(await t.ok(UNSEAL)).toBe(SECRET)
  })

  it('tpm2_policynv: what an index holds, compared in each way', async () => {
    const t = on()
    await t.ok('tpm2_nvdefine -Q 0x1500001 -C o -s 2 -a ownerread|ownerwrite|authread')
    t.write('operand', unhex('0081'))
    await t.ok('tpm2_nvwrite 0x1500001 -C o -i operand')
    const name = /name: ([0-9a-f]+)/i.exec(await t.ok('tpm2_nvreadpublic 0x1500001'))?.[1] ?? ''
    const equal = 'tpm2_policynv -i operand 0x1500001 eq'
    const digest = asserted(NO_POLICY, 'PolicyNV', sha256(unhex('0081 0000 0000')), name)
    expect(await trial(t, equal)).toBe(digest)
    await seal(t, digest)
    await session(t, equal)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    t.write('less', unhex('0080'))
    t.write('bits', unhex('0001'))
    t.write('clear', unhex('007e'))
    await session(t)
    const holds = [
      'less neq',
      'less ugt',
      'less sgt',
      'less uge',
      'operand sle',
      'operand ule',
      'bits bs',
      'clear bc',
    ]
    const fails = [
      'less eq',
      'less ult',
      'less slt',
      'operand neq',
      'less sle',
      'operand ugt',
      'clear bs',
      'bits bc',
    ]
    for (const [operand = '', operation = ''] of holds.map((words) => words.split(' '))) {
      await t.ok(`tpm2_policynv -Q -S s.ctx -i ${operand} 0x1500001 ${operation}`)
    }
    for (const [operand = '', operation = ''] of fails.map((words) => words.split(' '))) {
      await t.refused(`tpm2_policynv -S s.ctx -i ${operand} 0x1500001 ${operation}`, 'TPM_RC_POLICY')
    }
  })

  it('tpm2_policynvwritten: whether an index was written yet', async () => {
    const t = on()
    const digest = asserted(NO_POLICY, 'PolicyNvWritten', '00')
    expect(await trial(t, 'tpm2_policynvwritten c')).toBe(digest)
    t.write('policy', unhex(digest))
    t.write('data', '12345678')
    await t.ok('tpm2_nvdefine -Q 0x1500001 -C o -s 8 -L policy -a policywrite|ownerread')
    const write = 'tpm2_nvwrite 0x1500001 -P session:s.ctx -i data'
    await session(t, 'tpm2_policynvwritten s')
    await t.refused(write, 'TPM_RC_POLICY_FAIL, session 1')
    await session(t, 'tpm2_policynvwritten c')
    await t.ok(write)
    await session(t, 'tpm2_policynvwritten c')
    await t.refused('tpm2_policynvwritten -S s.ctx s', 'TPM_RC_VALUE, parameter 1')
    await t.refused(write, 'TPM_RC_POLICY_FAIL, session 1')
  })

  it('tpm2_policycountertimer: the clock and the counts of this TPM', async () => {
    const t = on()
    const hour = 'tpm2_policycountertimer --ult 3600000'
    const digest = asserted(NO_POLICY, 'PolicyCounterTimer', sha256(unhex('000000000036ee80 0000 0005')))
    expect(await trial(t, hour)).toBe(digest)
    await seal(t, digest)
    await session(t, hour)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await session(t)
    await t.refused('tpm2_policycountertimer -S s.ctx --ugt clock=360000000', 'TPM_RC_POLICY')
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
  })

  it('tpm2_policyrestart: forgets what was asserted', async () => {
    const t = on()
    const digest = asserted(NO_POLICY, 'PolicyCommandCode', '0000015e')
    await seal(t, digest)
    await session(t, 'tpm2_policycommandcode TPM2_CC_Sign')
    await t.ok('tpm2_policyrestart -S s.ctx')
    expect(await t.ok('tpm2_getpolicydigest -S s.ctx --hex')).toBe(NO_POLICY)
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
    await t.ok('tpm2_policycommandcode -Q -S s.ctx TPM2_CC_Unseal')
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await t.ok('tpm2_flushcontext s.ctx')
    await t.refused('tpm2_policyrestart -S s.ctx', 'TPM_RC_HANDLE, parameter 1')
    await t.refused('tpm2_getpolicydigest -S s.ctx --hex', 'TPM_RC_HANDLE, parameter 1')
  })
})
