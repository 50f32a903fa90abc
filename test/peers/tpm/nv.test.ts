// tpm2-tools: NV indices of every kind: ordinary, counter, bits, extend; their locks, their owners, their certificates.
// Source: TPM 2.0 Library, Part 2, clause 13, and Part 3, clause 31, revision 1.59.

import { expect, it } from 'vitest'
import { utf8 } from '../../../sdk/crypto/index.ts'
import { TPM_ST } from '../../../sdk/tpm2/index.ts'
import { attestIn, sha256, unhex } from './objects.ts'
import { onEachTpm } from './tools.ts'

const INDEX = '0x1500016'

onEachTpm((on) => {
  it('tpm2_nvdefine, tpm2_nvwrite, tpm2_nvread, tpm2_nvreadpublic, tpm2_nvundefine: data outlast power', async () => {
    const t = on()
    const data = Buffer.alloc(1500, 'some data that is larger than one command takes ')
    t.write('data', data)
    const define = `tpm2_nvdefine -Q ${INDEX} -C o -s 1500 -p index -a ownerread|ownerwrite|authread|authwrite`
    await t.refused(`${define} -P wrong`, 'TPM_RC_BAD_AUTH, session 1')
    await t.ok(define)
    await t.refused(define, 'TPM_RC_NV_DEFINED')
    await t.refused(`tpm2_nvread ${INDEX} -C o -s 4`, 'TPM_RC_NV_UNINITIALIZED')
    await t.refused(`tpm2_nvwrite ${INDEX} -P wrong -i data`, 'TPM_RC_AUTH_FAIL, session 1')
    await t.ok(`tpm2_nvwrite ${INDEX} -P index -i data`)
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    expect(await t.ok(`tpm2_nvread ${INDEX} -P index`)).toBe(data.toString('latin1'))
    expect(await t.ok(`tpm2_nvread ${INDEX} -C o -s 8 --offset 5`)).toBe(
      data.subarray(5, 13).toString('latin1'),
    )
    await t.refused(`tpm2_nvread ${INDEX} -C o -s 8 --offset 1496`, /read more bytes than available/)
    const shown = await t.ok(`tpm2_nvreadpublic ${INDEX}`)
    expect(shown).toMatch(/friendly: ownerwrite\|authwrite\|ownerread\|authread\|written/)
    expect(shown).toMatch(/size: 1500/)
    // The name: of the public area as it is now, so with `written` set.
    const attributes = (/attributes:[^]*?value: 0x(\w+)/.exec(shown)?.[1] ?? '').padStart(8, '0')
    const area = unhex(`01500016 000b ${attributes} 0000 05dc`)
    expect(shown.toLowerCase()).toContain(`name: 000b${sha256(area)}`)
    await t.refused(`tpm2_nvundefine ${INDEX} -C o -P wrong`, 'TPM_RC_BAD_AUTH, session 1')
    await t.ok(`tpm2_nvundefine ${INDEX} -C o`)
    await t.refused(`tpm2_nvread ${INDEX} -C o -s 8`, 'TPM_RC_HANDLE, handle 1')
    await t.refused(`tpm2_nvreadpublic ${INDEX}`, 'TPM_RC_HANDLE, handle 1')
  })

  it('tpm2_nvwrite: who may not write may not, and nobody writes past the end', async () => {
    const t = on()
    t.write('eight', '12345678')
    t.write('nine', '123456789')
    await t.ok(`tpm2_nvdefine -Q ${INDEX} -C o -s 8 -a ownerread|ownerwrite|authread`)
    await t.refused(`tpm2_nvwrite ${INDEX} -C ${INDEX} -i eight`, 'TPM_RC_AUTH_UNAVAILABLE')
    await t.refused(`tpm2_nvwrite ${INDEX} -C p -i eight`, 'TPM_RC_NV_AUTHORIZATION')
    await t.ok(`tpm2_nvwrite ${INDEX} -C o -i-`, '12345678')
    await t.refused(`tpm2_nvwrite ${INDEX} -C o -i nine`, /larger than the defined space/)
    expect(await t.ok(`tpm2_nvread ${INDEX}`)).toBe('12345678')

    await t.ok('tpm2_nvdefine -Q 0x1500017 -C p -s 8 -a ppread|ppwrite|platformcreate')
    await t.refused('tpm2_nvwrite 0x1500017 -C o -i eight', 'TPM_RC_NV_AUTHORIZATION')
    await t.refused('tpm2_nvundefine 0x1500017 -C o', 'TPM_RC_NV_AUTHORIZATION')
    await t.ok('tpm2_nvundefine 0x1500017 -C p')
  })

  it('tpm2_nvincrement: a counter counts on, also when it is defined anew', async () => {
    const t = on()
    const define = `tpm2_nvdefine -Q ${INDEX} -C o -s 8 -a ownerread|ownerwrite|nt=counter`
    const count = async (): Promise<bigint> =>
      Buffer.from(await t.ok(`tpm2_nvread ${INDEX} -C o -s 8`), 'latin1').readBigUInt64BE()
    await t.ok(define)
    await t.refused(`tpm2_nvread ${INDEX} -C o -s 8`, 'TPM_RC_NV_UNINITIALIZED')
    await t.refused(`tpm2_nvincrement ${INDEX} -C o -P wrong`, 'TPM_RC_BAD_AUTH, session 1')
    await t.ok(`tpm2_nvincrement ${INDEX} -C o`)
    const first = await count()
    await t.ok(`tpm2_nvincrement ${INDEX} -C o`)
    expect(await count()).toBe(first + 1n)
    t.write('zeros', new Uint8Array(8))
    await t.refused(`tpm2_nvwrite ${INDEX} -C o -i zeros`, 'TPM_RC_ATTRIBUTES')
    await t.ok(`tpm2_nvundefine ${INDEX} -C o`)
    await t.ok(define)
    await t.ok(`tpm2_nvincrement ${INDEX} -C o`)
    expect(await count()).toBeGreaterThan(first + 1n)
  })

  it('tpm2_nvsetbits, tpm2_nvextend: what is set stays set, what is extended is hashed; only for such indices', async () => {
    const t = on()
    const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex')
    await t.ok(`tpm2_nvdefine -Q ${INDEX} -C o -a ownerread|ownerwrite|nt=bits`)
    await t.ok(`tpm2_nvsetbits ${INDEX} -C o -i 0x81`)
    await t.ok(`tpm2_nvsetbits ${INDEX} -C o -i 0x0102`)
    expect(hex(await t.ok(`tpm2_nvread ${INDEX} -C o`))).toBe('0000000000000183')
    await t.refused(`tpm2_nvsetbits ${INDEX} -C o -P wrong -i 1`, 'TPM_RC_BAD_AUTH, session 1')
    await t.refused(`tpm2_nvincrement ${INDEX} -C o`, 'TPM_RC_ATTRIBUTES, handle 2')

    await t.ok('tpm2_nvdefine -Q 0x1500017 -C o -g sha256 -a ownerread|ownerwrite|nt=extend')
    await t.ok('tpm2_nvextend 0x1500017 -C o -i-', 'first')
    await t.ok('tpm2_nvextend 0x1500017 -C o -i-', 'second')
    const expected = sha256(unhex(sha256(new Uint8Array(32), 'first')), 'second')
    expect(hex(await t.ok('tpm2_nvread 0x1500017 -C o'))).toBe(expected)
    t.write('more', 'more')
    await t.refused('tpm2_nvextend 0x1500017 -C o -P wrong -i more', 'TPM_RC_BAD_AUTH, session 1')
    await t.refused(`tpm2_nvextend ${INDEX} -C o -i more`, 'TPM_RC_ATTRIBUTES, handle 2')
  })

  it('tpm2_nvreadlock, tpm2_nvwritelock: until the next start, for ever, or all at once', async () => {
    const t = on()
    const rights = 'ownerread|ownerwrite'
    t.write('data', '12345678')
    const define = async (index: string, lock: string): Promise<void> => {
      await t.ok(`tpm2_nvdefine -Q ${index} -C o -s 8 -a ${rights}|${lock}`)
      await t.ok(`tpm2_nvwrite ${index} -C o -i data`)
    }
    await define(INDEX, 'read_stclear|write_stclear')
    await define('0x1500017', 'writedefine')
    await define('0x1500018', 'globallock')
    await t.refused(`tpm2_nvreadlock ${INDEX} -C o -P wrong`, 'TPM_RC_BAD_AUTH, session 1')
    await t.ok(`tpm2_nvreadlock ${INDEX} -C o`)
    await t.refused(`tpm2_nvread ${INDEX} -C o`, 'TPM_RC_NV_LOCKED')
    await t.refused(`tpm2_nvwritelock ${INDEX} -C o -P wrong`, 'TPM_RC_BAD_AUTH, session 1')
    await t.refused('tpm2_nvwritelock 0x1500018 -C o', 'TPM_RC_ATTRIBUTES, handle 2')
    await t.refused('tpm2_nvwritelock --global -C o -P wrong', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok(`tpm2_nvwritelock ${INDEX} -C o`)
    await t.ok('tpm2_nvwritelock 0x1500017 -C o')
    await t.ok('tpm2_nvwritelock --global -C o')
    for (const index of [INDEX, '0x1500017', '0x1500018']) {
      await t.refused(`tpm2_nvwrite ${index} -C o -i data`, 'TPM_RC_NV_LOCKED')
    }
    await t.refused('tpm2_nvreadlock 0x1500017 -C o', 'TPM_RC_ATTRIBUTES, handle 2')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    expect(await t.ok(`tpm2_nvread ${INDEX} -C o`)).toBe('12345678')
    await t.ok(`tpm2_nvwrite ${INDEX} -C o -i data`)
    await t.refused('tpm2_nvwrite 0x1500017 -C o -i data', 'TPM_RC_NV_LOCKED')
    await t.ok('tpm2_nvwrite 0x1500018 -C o -i data')
  })

  it('tpm2_nvcertify: what an index holds, signed', async () => {
    const t = on()
    await t.ok(
      'tpm2_createprimary -Q -C o -G ecc:ecdsa-sha256 -c s.ctx -a sign|userwithauth|sensitivedataorigin|fixedtpm|fixedparent',
    )
    await t.ok('tpm2_readpublic -Q -c s.ctx -f pem -o s.pem')
    await t.ok(`tpm2_nvdefine -Q ${INDEX} -C o -s 8 -p index -a authread|authwrite`)
    await t.ok(`tpm2_nvwrite ${INDEX} -P index -i-`, '12345678')
    const certify = `tpm2_nvcertify -C s.ctx -g sha256 -f plain -o signature --attestation attest --size 8 -q 00ff ${INDEX} -c ${INDEX}`
    await t.refused(`${certify} -p wrong`, 'TPM_RC_AUTH_FAIL, session 2')
    await t.ok(`${certify} -p index`)
    expect(await t.ok('openssl dgst -sha256 -verify s.pem -signature signature attest')).toContain(
      'Verified OK',
    )
    expect(attestIn(t, 'attest')).toMatchObject({
      type: TPM_ST.ATTEST_NV,
      extraData: unhex('00ff'),
      attested: { offset: 0, nvContents: utf8('12345678') },
    })
    await t.refused(`${certify.replace('--size 8', '--size 9')} -p index`, /bigger than nv index size/)
  })

  it('tpm2_nvundefine -S: an index with POLICY_DELETE goes with its policy only', async () => {
    const t = on()
    const policy = async (kind: string): Promise<void> => {
      await t.ok(`tpm2_startauthsession -S s.ctx ${kind}`)
      await t.ok('tpm2_policycommandcode -Q -S s.ctx -L policy TPM2_CC_NV_UndefineSpaceSpecial')
    }
    await policy('')
    await t.ok('tpm2_flushcontext s.ctx')
    await t.ok(
      `tpm2_nvdefine -Q ${INDEX} -C p -s 8 -L policy -a ppread|ppwrite|authread|authwrite|platformcreate|policydelete`,
    )
    await t.refused(`tpm2_nvundefine ${INDEX} -C p`, /require a policy session/)
    await t.ok('tpm2_startauthsession -S s.ctx --policy-session')
    await t.refused(`tpm2_nvundefine -S s.ctx ${INDEX}`, 'TPM_RC_POLICY_FAIL, session 1')
    await t.ok('tpm2_flushcontext s.ctx')
    await policy('--policy-session')
    await t.ok(`tpm2_nvundefine -S s.ctx ${INDEX}`)
    await t.refused(`tpm2_nvread ${INDEX} -C p -s 8`, 'TPM_RC_HANDLE, handle 1')
  })
})
