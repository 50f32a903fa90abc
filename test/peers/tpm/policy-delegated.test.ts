// tpm2-tools: policies that somebody else decides: signed, ticketed, authorized by a key or by an index, or bound to
// what a command is about (parameters, names, template, new parent).
// Source: TPM 2.0 Library, Part 3, clause 23, revision 1.59.

import { expect, it } from 'vitest'
import { nameOf, sha256, tamper, unhex } from './objects.ts'
import { asserted, assertedOf, NO_POLICY, seal, SECRET, session, trial, UNSEAL } from './policies.ts'
import { onEachTpm, type Tools } from './tools.ts'

/** A key of openssl in `signer.pem`, its public half loaded in `signer.ctx`; returns its name. */
async function signer(t: Tools): Promise<string> {
  await t.ok('openssl ecparam -name prime256v1 -genkey -noout -out signer.pem')
  await t.ok('openssl pkey -in signer.pem -pubout -out signer.pub.pem')
  await t.ok('tpm2_loadexternal -Q -C o -G ecc -u signer.pub.pem -c signer.ctx -n signer.name')
  return t.hex('signer.name')
}

async function ownerPolicy(t: Tools, policy: string): Promise<void> {
  t.write('policy', unhex(policy))
  await t.ok('tpm2_setprimarypolicy -C o -L policy -g sha256')
}

onEachTpm((on) => {
  it('tpm2_policysigned: what the holder of the key signed for this session, and nothing else', async () => {
    const t = on()
    const name = await signer(t)
    t.write('reference', 'reference')
    const reference = Buffer.from('reference').toString('hex')
    const digest = assertedOf(NO_POLICY, 'PolicySigned', name, reference)
    expect(await trial(t, 'tpm2_policysigned -c signer.ctx -q reference')).toBe(digest)
    await seal(t, digest)
    const signed =
      'tpm2_policysigned -Q -S s.ctx -c signer.ctx -x -q reference -g sha256 -f ecdsa -s signature'
    await session(t)
    await t.ok('tpm2_policysigned -Q -S s.ctx -c signer.ctx -x -q reference --raw-data to-sign')
    await t.ok('openssl dgst -sha256 -sign signer.pem -out signature to-sign')
    // The nonce of this session is in what was signed.
    await session(t)
    await t.refused(signed, 'TPM_RC_SIGNATURE, parameter 5')
    await t.refused(UNSEAL, 'TPM_RC_POLICY_FAIL, session 1')
    await t.ok('tpm2_policysigned -Q -S s.ctx -c signer.ctx -x -q reference --raw-data to-sign')
    await t.ok('openssl dgst -sha256 -sign signer.pem -out signature to-sign')
    await t.ok(signed)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
  })

  it('tpm2_policyticket: a signature once seen opens further sessions until its time is out', async () => {
    const t = on()
    const name = await signer(t)
    await seal(t, assertedOf(NO_POLICY, 'PolicySigned', name))
    await session(t)
    await t.ok('tpm2_policysigned -Q -S s.ctx -c signer.ctx -x -t -500 --raw-data to-sign')
    await t.ok('openssl dgst -sha256 -sign signer.pem -out signature to-sign')
    const signed = 'tpm2_policysigned -Q -S s.ctx -c signer.ctx -x -t -500 -g sha256 -f ecdsa -s signature'
    await t.ok(`${signed} --ticket ticket --timeout timeout`)
    const ticket = 'tpm2_policyticket -n signer.name --ticket ticket --timeout timeout'
    await session(t, ticket)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await session(t)
    tamper(t, 'timeout', 'later', 0)
    await t.refused(
      `${ticket.replace('timeout timeout', 'timeout later')} -S s.ctx`,
      'TPM_RC_TICKET, parameter 5',
    )
    tamper(t, 'ticket', 'other')
    await t.refused(
      `${ticket.replace('ticket ticket', 'ticket other')} -S s.ctx`,
      'TPM_RC_TICKET, parameter 5',
    )
    // A ticket that is still good for the TPM is none after the next reset.
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    await t.ok('tpm2_startauthsession --policy-session -S s.ctx')
    await t.refused(`${ticket} -S s.ctx`, 'TPM_RC_TICKET, parameter 5')
  })

  it('tpm2_policyauthorize: any policy that the holder of the key approved', async () => {
    const t = on()
    const name = await signer(t)
    const digest = assertedOf(NO_POLICY, 'PolicyAuthorize', name)
    await t.ok('tpm2_startauthsession -S trial.ctx')
    await t.ok('tpm2_policyauthorize -Q -S trial.ctx -n signer.name -L authorized')
    await t.ok('tpm2_flushcontext trial.ctx')
    expect(t.hex('authorized')).toBe(digest)
    await seal(t, digest)
    await t.ok('tpm2_createpolicy -Q --policy-pcr -l sha256:16 -L approved')
    await t.ok('openssl dgst -sha256 -sign signer.pem -out signature approved')
    const verify = 'tpm2_verifysignature -c signer.ctx -g sha256 -f ecdsa -s signature'
    await t.ok(`${verify} -m approved -t ticket`)
    const authorize = 'tpm2_policyauthorize -i approved -n signer.name -t ticket'
    await session(t, 'tpm2_policypcr -l sha256:16', authorize)
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await session(t, 'tpm2_policypcr -l sha256:17')
    await t.refused(`${authorize} -S s.ctx`, 'TPM_RC_VALUE, parameter 1')
    await session(t, 'tpm2_policypcr -l sha256:16')
    tamper(t, 'ticket', 'other')
    await t.refused(`${authorize.replace('-t ticket', '-t other')} -S s.ctx`, 'TPM_RC_VALUE, parameter 4')
    await t.refused(`${verify} -m signature`, 'TPM_RC_SIGNATURE, parameter 2')
  })

  it('tpm2_policyauthorizenv: the policy that an index holds', async () => {
    const t = on()
    await t.ok('tpm2_nvdefine -Q 0x1500001 -C o -s 34 -a ownerread|ownerwrite|authread')
    await t.ok('tpm2_createpolicy -Q --policy-pcr -l sha256:16 -L approved')
    t.write('content', Buffer.concat([unhex('000b'), t.read('approved')]))
    await t.ok('tpm2_nvwrite 0x1500001 -C o -i content')
    const name = /name: ([0-9a-f]+)/i.exec(await t.ok('tpm2_nvreadpublic 0x1500001'))?.[1] ?? ''
    const digest = asserted(NO_POLICY, 'PolicyAuthorizeNV', name)
    expect(await trial(t, 'tpm2_policyauthorizenv 0x1500001')).toBe(digest)
    await seal(t, digest)
    await session(t, 'tpm2_policypcr -l sha256:16', 'tpm2_policyauthorizenv 0x1500001')
    expect(await t.ok(UNSEAL)).toBe(SECRET)
    await session(t, 'tpm2_policypcr -l sha256:17')
    await t.refused('tpm2_policyauthorizenv -S s.ctx 0x1500001', 'TPM_RC_VALUE')
  })

  it('tpm2_policycphash: one command with these parameters', async () => {
    const t = on()
    const now = Number(/clock: (\d+)/.exec(await t.ok('tpm2_readclock'))?.[1])
    const hour = now + 3_600_000
    // TPM2_ClockSet, authorized by the owner, with this time.
    const cpHash = sha256(unhex(`00000128 40000001 ${hour.toString(16).padStart(16, '0')}`))
    t.write('cphash', unhex(`0020 ${cpHash}`))
    const assertion = 'tpm2_policycphash --cphash-input cphash'
    const digest = asserted(NO_POLICY, 'PolicyCpHash', cpHash)
    expect(await trial(t, assertion)).toBe(digest)
    await ownerPolicy(t, digest)
    await session(t, assertion)
    await t.refused(`tpm2_setclock -p session:s.ctx ${String(hour + 1)}`, 'TPM_RC_POLICY_FAIL, session 1')
    // One command with other parameters is another command.
    tamper(t, 'cphash', 'other')
    await t.refused('tpm2_policycphash -S s.ctx --cphash-input other', 'TPM_RC_CPHASH')
    await session(t, assertion)
    await t.ok(`tpm2_setclock -p session:s.ctx ${String(hour)}`)
  })

  it('tpm2_policynamehash: a command on these entities', async () => {
    const t = on()
    await t.ok('tpm2_createprimary -Q -C n -G ecc -c k.ctx')
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_createprimary -Q -C o -G ecc384 -c other.ctx')
    await t.ok('tpm2_readpublic -Q -c p.ctx -n p.name')
    const names = sha256(unhex(`40000001 ${t.hex('p.name')}`))
    t.write('names', unhex(names))
    const assertion = 'tpm2_policynamehash -n names'
    const digest = asserted(NO_POLICY, 'PolicyNameHash', names)
    expect(await trial(t, assertion)).toBe(digest)
    await ownerPolicy(t, digest)
    const evict = 'tpm2_evictcontrol -C o -P session:s.ctx 0x81000001'
    await session(t, assertion)
    await t.refused(`${evict} -c other.ctx`, 'TPM_RC_POLICY_FAIL, session 1')
    tamper(t, 'names', 'other')
    await t.refused('tpm2_policynamehash -S s.ctx -n other', 'TPM_RC_CPHASH')
    await session(t, assertion)
    await t.ok(`${evict} -c p.ctx`)
  })

  it('tpm2_policyduplicationselect: to this new parent', async () => {
    const t = on()
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_createprimary -Q -C n -G ecc -c new.ctx')
    await t.ok('tpm2_createprimary -Q -C n -G ecc384 -c other.ctx')
    await t.ok('tpm2_readpublic -Q -c new.ctx -n new.name')
    const digest = asserted(NO_POLICY, 'PolicyDuplicationSelect', t.hex('new.name'), '00')
    expect(await trial(t, 'tpm2_policyduplicationselect -N new.name')).toBe(digest)
    t.write('policy', unhex(digest))
    await t.ok(
      'tpm2_create -Q -C p.ctx -G ecc -L policy -a sensitivedataorigin|sign|decrypt -u k.pub -r k.priv',
    )
    await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx -n k.name')
    const select = 'tpm2_policyduplicationselect -N new.name -n k.name'
    const duplicate = 'tpm2_duplicate -Q -c k.ctx -G null -p session:s.ctx -r dup -s seed'
    await session(t, select)
    await t.refused(`${duplicate} -C other.ctx`, 'TPM_RC_POLICY_FAIL, session 1')
    await t.refused(`${select.replace('new.name', 'k.name')} -S s.ctx`, 'TPM_RC_CPHASH')
    await session(t, select)
    await t.ok(`${duplicate} -C new.ctx`)
  })

  it('tpm2_policytemplate: a key of this template', async () => {
    const t = on()
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx --template-data template')
    const template = sha256(t.read('template'))
    t.write('template.hash', unhex(template))
    const digest = asserted(NO_POLICY, 'PolicyTemplate', template)
    const assertion = 'tpm2_policytemplate --template-hash template.hash'
    expect(await trial(t, assertion)).toBe(digest)
    await ownerPolicy(t, digest)
    await session(t, assertion)
    await t.refused(
      'tpm2_createprimary -C o -G ecc384 -c no.ctx -P session:s.ctx',
      'TPM_RC_POLICY_FAIL, session 1',
    )
    tamper(t, 'template.hash', 'other')
    await t.refused('tpm2_policytemplate -S s.ctx --template-hash other', 'TPM_RC_VALUE, parameter 1')
    await session(t, assertion)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c again.ctx -P session:s.ctx')
    await t.ok('tpm2_readpublic -Q -c p.ctx -o p.pub')
    await t.ok('tpm2_readpublic -Q -c again.ctx -o again.pub')
    expect(nameOf(t, 'again.pub')).toBe(nameOf(t, 'p.pub'))
  })
})
