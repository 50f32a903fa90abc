// tpm2-tools: the hierarchies: their passwords, policies and seeds, who may switch them off, and the dictionary.
// Source: TPM 2.0 Library, Part 3, clauses 24 and 25, revision 1.59.

import { expect, it } from 'vitest'
import { unhex } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const primary = async (t: Tools, hierarchy: string): Promise<string> => {
  await t.ok(`tpm2_createprimary -Q -C ${hierarchy} -G ecc -c ${hierarchy}.ctx`)
  await t.ok(`tpm2_readpublic -Q -c ${hierarchy}.ctx -o ${hierarchy}.pub`)
  return t.hex(`${hierarchy}.pub`)
}

const variable = async (t: Tools, name: string): Promise<string> =>
  new RegExp(`${name}: +(\\w+)`).exec(await t.ok('tpm2_getcap properties-variable'))?.[1] ?? ''

onEachTpm((on) => {
  it.each(['owner', 'endorsement', 'lockout'])(
    'tpm2_changeauth -c %s: the password, from then on',
    async (hierarchy) => {
      const t = on()
      await t.ok(`tpm2_changeauth -c ${hierarchy} first`)
      await t.refused(
        `tpm2_changeauth -c ${hierarchy} -p wrong second`,
        hierarchy === 'lockout' ? 'TPM_RC_AUTH_FAIL, session 1' : 'TPM_RC_BAD_AUTH, session 1',
      )
      // One wrong password locks the lockout hierarchy itself.
      if (hierarchy === 'lockout')
        await t.refused(`tpm2_changeauth -c lockout -p first second`, 'TPM_RC_LOCKOUT')
      else await t.ok(`tpm2_changeauth -c ${hierarchy} -p first second`)
      expect(await variable(t, `${hierarchy}AuthSet`)).toBe('1')
    },
  )

  it('tpm2_changeauth -c platform: the password lasts until the next reset', async () => {
    const t = on()
    await t.ok('tpm2_changeauth -c platform first')
    await t.refused('tpm2_createprimary -C p -G ecc -c no.ctx', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_createprimary -Q -C p -P first -G ecc -c p.ctx')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    await t.ok('tpm2_createprimary -Q -C p -G ecc -c p.ctx')
  })

  it('tpm2_hierarchycontrol: a hierarchy that is off answers nobody, until the next reset', async () => {
    const t = on()
    const control = 'tpm2_hierarchycontrol -C'
    await t.refused(`${control} p -P wrong shEnable clear`, 'TPM_RC_BAD_AUTH, session 1')
    await t.ok(`${control} o shEnable clear`)
    expect(await variable(t, 'shEnable')).toBe('0')
    await t.refused('tpm2_createprimary -C o -G ecc -c no.ctx', 'TPM_RC_HIERARCHY, handle 1')
    await t.refused(`${control} o shEnable set`, /Only platform hierarchy/)
    await t.ok(`${control} p shEnable set`)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c o.ctx')
    await t.ok(`${control} e ehEnable clear`)
    await t.refused('tpm2_createprimary -C e -G ecc -c no.ctx', 'TPM_RC_HIERARCHY, handle 1')
    await t.ok(`${control} p phEnable clear`)
    await t.refused('tpm2_createprimary -C p -G ecc -c no.ctx', 'TPM_RC_HIERARCHY, handle 1')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    for (const hierarchy of ['o', 'e', 'p']) await primary(t, hierarchy)
  })

  it('tpm2_clear, tpm2_clearcontrol: all that the owner has goes; keys of the platform stay', async () => {
    const t = on()
    const owner = await primary(t, 'o')
    const endorsement = await primary(t, 'e')
    const platform = await primary(t, 'p')
    await t.ok('tpm2_evictcontrol -Q -C o -c o.ctx 0x81000001')
    await t.ok('tpm2_nvdefine -Q 0x1500001 -C o -s 8')
    await t.ok('tpm2_changeauth -c owner secret')
    await t.ok('tpm2_clearcontrol -C l s')
    await t.refused('tpm2_clear', 'TPM_RC_DISABLED')
    await t.refused('tpm2_clearcontrol -C l c', /Only platform hierarchy/)
    await t.ok('tpm2_clearcontrol -C p c')
    await t.refused('tpm2_clear -c p wrong', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_clear')
    expect((await t.ok('tpm2_getcap handles-persistent')).trim()).toBe('')
    expect((await t.ok('tpm2_getcap handles-nv-index')).trim()).toBe('')
    expect(await primary(t, 'o')).not.toBe(owner)
    // The seed of the endorsement hierarchy stays, so that the EK is the one that was certified.
    expect(await primary(t, 'e')).toBe(endorsement)
    expect(await primary(t, 'p')).toBe(platform)
  })

  it('tpm2_changeeps, tpm2_changepps: new seeds, and all keys from the old ones are gone', async () => {
    const t = on()
    const endorsement = await primary(t, 'e')
    const platform = await primary(t, 'p')
    await t.refused('tpm2_changeeps -p wrong', 'TPM_RC_BAD_AUTH, session 1')
    await t.refused('tpm2_changepps -p wrong', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_changeeps')
    expect(await primary(t, 'e')).not.toBe(endorsement)
    expect(await primary(t, 'p')).toBe(platform)
    await t.ok('tpm2_changepps')
    expect(await primary(t, 'p')).not.toBe(platform)
  })

  it('tpm2_setprimarypolicy: a policy for a hierarchy, beside its password', async () => {
    const t = on()
    await t.ok('tpm2_createpolicy -Q --policy-pcr -l sha256:16 -L policy')
    await t.refused('tpm2_setprimarypolicy -C o -P wrong -L policy -g sha256', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_setprimarypolicy -C o -L policy -g sha256')
    await t.ok('tpm2_changeauth -c o secret')
    await t.refused('tpm2_createprimary -C o -G ecc -c no.ctx', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_createprimary -Q -C o -P pcr:sha256:16 -G ecc -c o.ctx')
    await t.ok(`tpm2_pcrextend 16:sha256=${'11'.repeat(32)}`)
    await t.refused(
      'tpm2_createprimary -C o -P pcr:sha256:16 -G ecc -c no.ctx',
      'TPM_RC_POLICY_FAIL, session 1',
    )
    t.write('short', unhex('11'))
    await t.refused('tpm2_setprimarypolicy -C o -P secret -L short -g sha256', 'TPM_RC_SIZE, parameter 1')
  })

  it('tpm2_dictionarylockout: after so many wrong passwords even the right one is refused, until the lockout is lifted', async () => {
    const t = on()
    await t.ok(
      'tpm2_dictionarylockout --setup-parameters --max-tries=2 --recovery-time=1000 --lockout-recovery-time=1000',
    )
    expect(Number(await variable(t, 'TPM2_PT_MAX_AUTH_FAIL'))).toBe(2)
    t.write('secret', 'secret')
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_create -Q -C p.ctx -i secret -p right -u s.pub -r s.priv -c s.ctx')
    await t.refused('tpm2_unseal -c s.ctx -p wrong', 'TPM_RC_AUTH_FAIL, session 1')
    expect(Number(await variable(t, 'TPM2_PT_LOCKOUT_COUNTER'))).toBe(1)
    await t.refused('tpm2_unseal -c s.ctx -p wrong', 'TPM_RC_AUTH_FAIL, session 1')
    await t.refused('tpm2_unseal -c s.ctx -p right', 'TPM_RC_LOCKOUT')
    expect(await variable(t, 'inLockout')).toBe('1')
    await t.ok('tpm2_dictionarylockout --clear-lockout')
    expect(await t.ok('tpm2_unseal -c s.ctx -p right')).toBe('secret')
    await t.ok('tpm2_changeauth -c l lockout')
    await t.refused('tpm2_dictionarylockout --clear-lockout -p wrong', 'TPM_RC_AUTH_FAIL, session 1')
    await t.refused('tpm2_dictionarylockout --clear-lockout -p lockout', 'TPM_RC_LOCKOUT')
    // Keys with noDA do not count.
    await t.ok(
      'tpm2_create -Q -C p.ctx -i secret -p right -a fixedtpm|fixedparent|userwithauth|noda -u n.pub -r n.priv -c n.ctx',
    )
    await t.refused('tpm2_unseal -c n.ctx -p wrong', 'TPM_RC_BAD_AUTH, session 1')
    expect(Number(await variable(t, 'TPM2_PT_LOCKOUT_COUNTER'))).toBe(0)
  })
})
