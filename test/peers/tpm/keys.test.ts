// tpm2-tools: endorsement, attestation and primary keys, children, external keys, persistent handles.
// Source: TPM 2.0 Library, Part 3, clauses 12, 24.1 and 28.5, revision 1.59; TCG EK Credential Profile 2.5, annex B.

import { expect, it } from 'vitest'
import { hex } from '../../../sdk/crypto/index.ts'
import { nameOf, publicIn, tamper } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

/** PolicySecret(endorsement), as templates L-1 and L-2 have it. */
const EK_POLICY = '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa'

const field = (yaml: string, name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(yaml)?.[1] ?? ''

/** A primary of the owner in p.ctx, and a key with the password `key` under it in k.pub, k.priv and k.ctx. */
async function child(t: Tools, algorithm = 'ecc', options = ''): Promise<void> {
  await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
  await t.ok(`tpm2_create -Q -C p.ctx -G ${algorithm} -p key -u k.pub -r k.priv ${options}`)
  await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx')
}

onEachTpm((on) => {
  it.each(['rsa', 'ecc'])(
    'tpm2_createek -G %s: the TCG template, and the same key at every call',
    async (algorithm) => {
      const t = on()
      await t.ok(`tpm2_createek -c ek.ctx -G ${algorithm} -u ek.pub`)
      const { authPolicy, type } = publicIn(t, 'ek.pub')
      expect({ policy: hex(authPolicy), type }).toEqual({
        policy: EK_POLICY,
        type: algorithm === 'rsa' ? 1 : 0x23,
      })
      const shown = await t.ok('tpm2_readpublic -c ek.ctx -f pem -o ek.pem')
      expect(field(shown, 'name')).toBe(nameOf(t, 'ek.pub'))
      expect(shown).toContain('fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt')
      expect(await t.ok('openssl pkey -pubin -in ek.pem -noout -text')).toMatch(
        /Public-Key: \((2048|256) bit\)/,
      )
      await t.tpm.powerCycle()
      await t.ok('tpm2_startup -c')
      await t.ok(`tpm2_createek -c again.ctx -G ${algorithm} -u again.pub`)
      expect(t.hex('again.pub')).toBe(t.hex('ek.pub'))
      await t.refused(`tpm2_createek -P wrong -c no.ctx -G ${algorithm}`, 'TPM_RC_BAD_AUTH, session 1')
    },
  )

  it.each([
    { ek: 'rsa', ak: 'rsa', scheme: 'rsassa' },
    { ek: 'rsa', ak: 'rsa', scheme: 'rsapss' },
    { ek: 'ecc', ak: 'ecc', scheme: 'ecdsa' },
  ])(
    'tpm2_createak -G $ak -s $scheme under an EK of type $ek: restricted, and only with the policy of the EK',
    async ({ ek, ak, scheme }) => {
      const t = on()
      await t.ok(`tpm2_createek -c ek.ctx -G ${ek}`)
      const made = `tpm2_createak -C ek.ctx -c ak.ctx -G ${ak} -g sha256 -s ${scheme} -u ak.pub -r ak.priv -n ak.name`
      await t.refused(`${made} -P wrong`, 'TPM_RC_BAD_AUTH, session 1')
      const shown = await t.ok(made)
      expect(shown).toContain(nameOf(t, 'ak.pub'))
      expect(t.hex('ak.name')).toBe(nameOf(t, 'ak.pub'))
      expect(await t.ok('tpm2_readpublic -c ak.ctx')).toMatch(
        new RegExp(`userwithauth\\|restricted\\|sign[^]*scheme:\n +value: ${scheme}\n`),
      )
      // The EK may be used under its policy only, and never with a password.
      await t.refused('tpm2_load -C ek.ctx -u ak.pub -r ak.priv -c no.ctx', 'TPM_RC_AUTH_UNAVAILABLE')
    },
  )

  it.each(['rsa', 'rsa3072', 'ecc', 'ecc384', 'ecc521', 'aes', 'aes256', 'keyedhash'])(
    'tpm2_createprimary -G %s: the name as computed, the same key from the same seed',
    async (algorithm) => {
      const t = on()
      const keyedhash = algorithm === 'keyedhash'
      const parent = keyedhash ? '-a sign|userwithauth|sensitivedataorigin|fixedtpm|fixedparent' : ''
      const create = `tpm2_createprimary -Q -C o -G ${keyedhash ? 'hmac' : algorithm} ${parent}`
      await t.ok(`${create} -c p.ctx`)
      const shown = await t.ok('tpm2_readpublic -c p.ctx -o p.pub')
      expect(field(shown, 'name')).toBe(nameOf(t, 'p.pub'))
      await t.ok(`${create} -c again.ctx`)
      await t.ok('tpm2_readpublic -Q -c again.ctx -o again.pub')
      expect(t.hex('again.pub')).toBe(t.hex('p.pub'))
      await t.refused(`${create} -P wrong -c no.ctx`, 'TPM_RC_BAD_AUTH, session 1')
    },
  )

  it('tpm2_createprimary: each hierarchy has its seed, that of the null hierarchy lasts until the next reset', async () => {
    const t = on()
    const keys = async (): Promise<Record<string, string>> => {
      const made: Record<string, string> = {}
      for (const hierarchy of ['o', 'e', 'p', 'n']) {
        await t.ok(`tpm2_createprimary -Q -C ${hierarchy} -G ecc -c ${hierarchy}.ctx`)
        await t.ok(`tpm2_readpublic -Q -c ${hierarchy}.ctx -o ${hierarchy}.pub`)
        made[hierarchy] = t.hex(`${hierarchy}.pub`)
      }
      return made
    }
    const before = await keys()
    expect(new Set(Object.values(before)).size).toBe(4)
    expect(await keys()).toEqual(before)
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    const after = await keys()
    expect({ ...after, n: '' }).toEqual({ ...before, n: '' })
    expect(after.n).not.toBe(before.n)
    await t.refused(
      'tpm2_createprimary -C o -G ecc -c no.ctx -a restricted|decrypt|sign|sensitivedataorigin|userwithauth',
      'TPM_RC_ATTRIBUTES, parameter 2',
    )
  })

  it('tpm2_create, tpm2_load: what one TPM made opens under that parent, with that public area, and nowhere else', async () => {
    const t = on()
    await child(t)
    expect(field(await t.ok('tpm2_readpublic -c k.ctx'), 'name')).toBe(nameOf(t, 'k.pub'))
    const load = 'tpm2_load -C p.ctx -u k.pub -r k.priv -c no.ctx'
    tamper(t, 'k.priv', 'bad.priv')
    await t.refused(load.replace('k.priv', 'bad.priv'), 'TPM_RC_INTEGRITY, parameter 1')
    tamper(t, 'k.pub', 'bad.pub')
    await t.refused(load.replace('k.pub', 'bad.pub'), 'TPM_RC_INTEGRITY, parameter 1')
    await t.ok('tpm2_createprimary -Q -C o -G ecc384 -c other.ctx')
    await t.refused(load.replace('p.ctx', 'other.ctx'), 'TPM_RC_INTEGRITY, parameter 1')
    await t.refused(load.replace('p.ctx', 'k.ctx'), 'TPM_RC_AUTH_FAIL, session 1')
    await t.refused(`${load.replace('p.ctx', 'k.ctx')} -P key`, 'TPM_RC_TYPE, handle 1')
  })

  it.each(['rsa', 'rsa2048:rsapss-sha256:null', 'ecc384', 'ecc:ecdsa-sha256', 'aes256cfb', 'hmac'])(
    'tpm2_create -G %s, and -c in one step with CreateLoaded: wrong passwords of the parent are refused',
    async (algorithm) => {
      const t = on()
      await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx -p parent')
      await t.refused(
        `tpm2_create -C p.ctx -P wrong -G ${algorithm} -u k.pub -r k.priv`,
        'TPM_RC_AUTH_FAIL, session 1',
      )
      await t.ok(`tpm2_create -Q -C p.ctx -P parent -G ${algorithm} -u k.pub -r k.priv -c k.ctx`)
      expect(field(await t.ok('tpm2_readpublic -c k.ctx'), 'name')).toBe(nameOf(t, 'k.pub'))
      await t.ok('tpm2_load -Q -C p.ctx -P parent -u k.pub -r k.priv -n k.name -c again.ctx')
      expect(t.hex('k.name')).toBe(nameOf(t, 'k.pub'))
    },
  )

  it('tpm2_loadexternal: keys of openssl, public and whole; a private key only in the null hierarchy', async () => {
    const t = on()
    await t.ok('openssl genrsa -out rsa.pem 2048')
    await t.ok('openssl ecparam -name prime256v1 -genkey -noout -out ecc.pem')
    for (const kind of ['rsa', 'ecc']) {
      await t.ok(`openssl pkey -in ${kind}.pem -pubout -out ${kind}.pub.pem`)
      await t.ok(`tpm2_loadexternal -Q -C o -G ${kind} -u ${kind}.pub.pem -c ${kind}.ctx -n ${kind}.name`)
      await t.ok(`tpm2_readpublic -Q -c ${kind}.ctx -f pem -o ${kind}.back.pem`)
      await t.ok(`tpm2_readpublic -Q -c ${kind}.ctx -o ${kind}.tss`)
      expect(t.hex(`${kind}.back.pem`)).toBe(t.hex(`${kind}.pub.pem`))
      expect(t.hex(`${kind}.name`)).toBe(nameOf(t, `${kind}.tss`))
      await t.ok(`tpm2_loadexternal -Q -C n -G ${kind} -r ${kind}.pem -c ${kind}.whole.ctx`)
      await t.refused(
        `tpm2_loadexternal -C o -G ${kind} -r ${kind}.pem -c no.ctx`,
        'TPM_RC_HIERARCHY, parameter 3',
      )
    }
  })

  it('tpm2_evictcontrol: a key outlasts power, until its owner evicts it', async () => {
    const t = on()
    await child(t)
    await t.refused('tpm2_evictcontrol -C o -P wrong -c k.ctx 0x81000010', 'TPM_RC_BAD_AUTH, session 1')
    await t.refused('tpm2_evictcontrol -C o -c k.ctx 0x81800010', 'TPM_RC_RANGE, parameter 1')
    await t.ok('tpm2_evictcontrol -C o -c k.ctx 0x81000010')
    await t.refused('tpm2_evictcontrol -C o -c p.ctx 0x81000010', 'TPM_RC_NV_DEFINED')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    expect(field(await t.ok('tpm2_readpublic -c 0x81000010'), 'name')).toBe(nameOf(t, 'k.pub'))
    await t.ok('tpm2_evictcontrol -C o -c 0x81000010')
    await t.refused('tpm2_readpublic -c 0x81000010', 'TPM_RC_HANDLE, handle 1')
  })

  it('tpm2_changeauth -C parent: the new private part opens with the new password, the old one stays as it was', async () => {
    const t = on()
    await child(t, 'ecc:ecdsa-sha256')
    t.write('message', 'message')
    const sign = 'tpm2_sign -Q -g sha256 -o s message'
    await t.refused(
      'tpm2_changeauth -C p.ctx -c k.ctx -p wrong -r new.priv new',
      'TPM_RC_AUTH_FAIL, session 1',
    )
    await t.ok('tpm2_changeauth -C p.ctx -c k.ctx -p key -r new.priv new')
    await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r new.priv -c new.ctx')
    await t.ok(`${sign} -c new.ctx -p new`)
    await t.refused(`${sign} -c new.ctx -p key`, 'TPM_RC_AUTH_FAIL, session 1')
    await t.ok(`${sign} -c k.ctx -p key`)
  })
})
