// tpm2-tools: quotes of each kind of attestation key, judged by tpm2_checkquote, by our verifier and by openssl.
// Source: TPM 2.0 Library, Part 3, clause 18.4, revision 1.59.

import { expect, it } from 'vitest'
import { pcrDigest, selectPcrs, TPM_ALG, verifyQuote } from '../../../sdk/tpm2/index.ts'
import { publicIn, unhex } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const NONCE = 'ab'.repeat(32)
const OTHER_NONCE = 'ac'.repeat(32)
const PCRS = [0, 7, 16]

const QUOTE = `tpm2_quote -Q -c ak.ctx -l sha256:${PCRS.join(',')} -q ${NONCE} -m quote -s signature -o pcrs -F values`
const CHECK = `tpm2_checkquote -Q -u ak.pub -m quote -s signature -f pcrs -F values -l sha256:${PCRS.join(',')}`

/** An attestation key with the password `ak`. */
async function attestationKey(t: Tools, algorithm: string, scheme: string): Promise<void> {
  await t.ok('tpm2_createek -c ek.ctx -G ecc')
  await t.ok(`tpm2_createak -Q -C ek.ctx -c ak.ctx -G ${algorithm} -g sha256 -s ${scheme} -u ak.pub -p ak`)
}

onEachTpm((on) => {
  it.each([
    { algorithm: 'rsa', scheme: 'rsassa' },
    { algorithm: 'rsa', scheme: 'rsapss' },
    { algorithm: 'ecc', scheme: 'ecdsa' },
  ])(
    'tpm2_quote, tpm2_checkquote with $scheme: of these PCRs, for this nonce, by this key',
    async ({ algorithm, scheme }) => {
      const t = on()
      // tpm2_checkquote 5.4 verifies RSASSA only.
      const checkquote = scheme !== 'rsapss'
      await attestationKey(t, algorithm, scheme)
      await t.ok(`tpm2_pcrextend 16:sha256=${'22'.repeat(32)}`)
      await t.refused(`${QUOTE} --scheme ${scheme} -p wrong`, 'TPM_RC_AUTH_FAIL, session 1')
      await t.ok(`${QUOTE} --scheme ${scheme} -p ak`)
      if (checkquote) {
        await t.ok(`${CHECK} -q ${NONCE}`)
        await t.refused(`${CHECK} -q ${OTHER_NONCE}`, /nonce/i)
      }

      const quote = {
        attest: t.read('quote'),
        signature: t.read('signature'),
        akPublic: publicIn(t, 'ak.pub'),
        qualifyingData: unhex(NONCE),
        expectedSelection: [selectPcrs(TPM_ALG.SHA256, PCRS)],
      }
      const { attested } = verifyQuote(quote)
      const all = await t.ok(`tpm2_pcrread sha256:${PCRS.join(',')}`)
      const values = [...all.matchAll(/(\d+) *: 0x([0-9A-F]{64})/g)].map(
        ([, pcr, value = '']): [number, Uint8Array] => [Number(pcr), unhex(value)],
      )
      const banks = new Map([[TPM_ALG.SHA256, new Map(values)]])
      expect(attested.pcrDigest).toEqual(pcrDigest(quote.expectedSelection, banks))
      expect(() => verifyQuote({ ...quote, qualifyingData: unhex(OTHER_NONCE) })).toThrow(/qualifying data/)

      // A PCR changed: what is read later is not what was quoted.
      await t.ok(`tpm2_pcrextend 16:sha256=${'33'.repeat(32)}`)
      await t.ok(`tpm2_pcrread -Q -o pcrs sha256:${PCRS.join(',')}`)
      if (checkquote) {
        await t.refused(`${CHECK} -q ${NONCE}`, /PCR values|digest/i)
        await t.ok(`${QUOTE} --scheme ${scheme} -p ak`)
        await t.ok(`${CHECK} -q ${NONCE}`)
      }
    },
  )

  it('tpm2_quote -f plain --scheme rsapss: openssl verifies it', async () => {
    const t = on()
    await attestationKey(t, 'rsa', 'rsapss')
    await t.ok('tpm2_readpublic -Q -c ak.ctx -f pem -o ak.pem')
    await t.ok(`${QUOTE} -p ak -f plain --scheme rsapss`)
    const verify =
      'openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:auto -verify ak.pem -signature signature'
    expect(await t.ok(`${verify} quote`)).toContain('Verified OK')
    expect((await t.run(`${verify} signature`)).code).not.toBe(0)
    await t.refused(`${QUOTE} -p ak`, 'TPM_RC_SCHEME, parameter 2')
  })

  it('tpm2_quote -f plain: openssl verifies the signature, and not over a changed quote', async () => {
    const t = on()
    await attestationKey(t, 'ecc', 'ecdsa')
    await t.ok('tpm2_readpublic -Q -c ak.ctx -f pem -o ak.pem')
    await t.ok(`${QUOTE} -p ak -f plain`)
    expect(await t.ok('openssl dgst -sha256 -verify ak.pem -signature signature quote')).toContain(
      'Verified OK',
    )
    t.write(
      'changed',
      t.read('quote').map((octet, at) => (at === 60 ? octet ^ 1 : octet)),
    )
    expect((await t.run('openssl dgst -sha256 -verify ak.pem -signature signature changed')).code).not.toBe(0)
  })

  it('tpm2_quote: of several banks, and of a bank that is not there', async () => {
    const t = on()
    await attestationKey(t, 'ecc', 'ecdsa')
    const several = 'sha1:1+sha256:0,23+sha384:3+sha512:16'
    await t.ok(`tpm2_quote -Q -c ak.ctx -p ak -l ${several} -q 00 -m quote -s signature -o pcrs -g sha256`)
    await t.ok('tpm2_checkquote -Q -u ak.pub -m quote -s signature -f pcrs -g sha256 -q 00')
    expect(await t.ok('tpm2_print -t TPMS_ATTEST quote')).toMatch(/extraData: 00\n/)
    await t.refused('tpm2_print -t TPMS_ATTEST signature', /valid TPMS_ATTEST/)
    await t.refused('tpm2_quote -c ak.ctx -p ak -l sm3_256:0 -m no -s no', 'TPM_RC_HASH, parameter 3')
    // A key that may not sign what the TPM says about itself.
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.refused('tpm2_quote -c p.ctx -l sha256:0 -m no -s no', 'TPM_RC_KEY, handle 1')
  })
})
