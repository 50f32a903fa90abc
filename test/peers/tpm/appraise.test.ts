// tpm2-tools on each TPM, judged by sdk/attest beside tpm2_checkquote: an attestation key of each kind is enrolled, quotes
// PCRs that an event log explains, and what was changed on the way is refused by both.
// Source: TPM 2.0 Library, Part 1, clause 24 (credential protection), and Part 3, clause 18.4 (TPM2_Quote), revision 1.59.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import {
  appraiseTpm,
  Refusal,
  type RefusalCode,
  TpmEnroller,
  type TpmEvidence,
  type TpmExpectations,
} from '../../../sdk/attest/index.ts'
import { hex, utf8 } from '../../../sdk/crypto/index.ts'
import { digestsOf, EV, EventLogWriter } from '../../../sdk/evidence/index.ts'
import { objectName, selectPcrs, TPM_ALG } from '../../../sdk/tpm2/index.ts'
import { requireTool } from '../tool.ts'
import { credentialFile, nameOf, printedPcrs, publicIn, tamper, unhex } from './objects.ts'
import { targets } from './tpm-under-test.ts'
import { onEachTpm, Tools } from './tools.ts'

const NONCE = 'ab'.repeat(32)
const SELECTION = 'sha256:8,9'
const pcrs = [selectPcrs(TPM_ALG.SHA256, [8, 9])]

/** Attestation keys as tpm2_createak makes them. tpm2_checkquote 5.4 does not verify RSAPSS. */
const KINDS = [
  { ek: 'rsa', ak: '-G ecc -g sha256 -s ecdsa', bits: 256, checkquote: true },
  { ek: 'ecc', ak: '-G ecc384 -g sha384 -s ecdsa', bits: 384, checkquote: true },
  { ek: 'ecc', ak: '-G rsa -g sha256 -s rsassa', bits: 2048, checkquote: true },
  { ek: 'rsa', ak: '-G rsa3072 -g sha384 -s rsassa', bits: 3072, checkquote: true },
  { ek: 'ecc', ak: '-G rsa -g sha256 -s rsapss', bits: 2048, checkquote: false },
] as const

/** Extends PCRs 8 and 9 as a boot loader does, and writes the log of it. */
async function measure(t: Tools): Promise<Uint8Array> {
  const log = new EventLogWriter([TPM_ALG.SHA256])
  for (const [pcrIndex, text] of [
    [8, 'kernel_cmdline: quiet'],
    [9, 'vmlinuz'],
    [8, 'boot'],
  ] as const) {
    const data = utf8(text)
    const digests = digestsOf(log.banks, data)
    log.append({ pcrIndex, eventType: EV.IPL, data, digests })
    await t.ok(
      `tpm2_pcrextend ${String(pcrIndex)}:sha256=${hex(digests.get(TPM_ALG.SHA256) ?? new Uint8Array())}`,
    )
  }
  return log.bytes()
}

/** Enrols ak.pub by a credential of ours that the TPM opens with tpm2_activatecredential. */
async function enrol(t: Tools, enroller: TpmEnroller, ekCertificates: readonly Uint8Array[] = []) {
  const keys = { ekPublic: t.read('ek.pub'), ekCertificates, akPublic: t.read('ak.pub') }
  return enroller.enrol(keys, async (credential) => {
    t.write('credential', credentialFile(credential))
    await activate(t, 'credential')
    return t.read('opened')
  })
}

async function activate(t: Tools, credential: string): Promise<void> {
  await t.ok('tpm2_startauthsession --policy-session -S session.ctx')
  await t.ok('tpm2_policysecret -Q -S session.ctx -c e')
  await t.ok(
    `tpm2_activatecredential -Q -c ak.ctx -C ek.ctx -i ${credential} -o opened -P session:session.ctx`,
  )
  await t.ok('tpm2_flushcontext session.ctx')
}

/** Quotes the selection into `quote`, `signature` and `pcrs`. */
async function quote(t: Tools, key: string): Promise<TpmEvidence> {
  const scheme = /-s (\w+)/.exec(key)?.[1] ?? ''
  const hash = /-g (\w+)/.exec(key)?.[1] ?? ''
  await t.ok(
    `tpm2_quote -Q -c ak.ctx -l ${SELECTION} -q ${NONCE} -m quote -s signature -o pcrs -F values -g ${hash} --scheme ${scheme}`,
  )
  const pcrValues = printedPcrs(await t.ok(`tpm2_pcrread ${SELECTION}`))
  return { attest: t.read('quote'), signature: t.read('signature'), pcrValues }
}

function codeOf(evidence: TpmEvidence, expected: TpmExpectations): RefusalCode | undefined {
  try {
    appraiseTpm(evidence, expected)
    return undefined
  } catch (error) {
    if (error instanceof Refusal) return error.code
    throw error
  }
}

onEachTpm((on) => {
  it.each(KINDS)(
    '[C-02] [C-02 control] EK $ek, tpm2_createak $ak: enrolled, its quote accepted, and no changed one',
    async ({ ek, ak, bits, checkquote }) => {
      const t = on()
      const eventLog = await measure(t)
      await t.ok(`tpm2_createek -c ek.ctx -G ${ek} -u ek.pub`)
      await t.ok(`tpm2_createak -Q -C ek.ctx -c ak.ctx ${ak} -u ak.pub`)
      const { akPublic, akName } = await enrol(
        t,
        new TpmEnroller({ pinnedEks: [unhex(nameOf(t, 'ek.pub'))] }),
      )

      const evidence = { ...(await quote(t, ak)), eventLog }
      const expected = { akPublic, qualifyingData: unhex(NONCE), pcrs }
      const { key, pcrs: found } = appraiseTpm(evidence, expected)
      expect({ bits: key.bits, name: key.name }).toEqual({ bits, name: akName })
      expect(found.map(({ events }) => events?.length)).toEqual([2, 1])

      const check = (
        change: { message?: string; signature?: string; nonce?: string; values?: string } = {},
      ) => {
        const { message = 'quote', signature = 'signature', nonce = NONCE, values = 'pcrs' } = change
        const hash = /-g (\w+)/.exec(ak)?.[1] ?? ''
        return `tpm2_checkquote -Q -u ak.pub -m ${message} -s ${signature} -q ${nonce} -g ${hash} -f ${values} -F values -l ${SELECTION}`
      }
      if (checkquote) await t.ok(check())
      const refused = async (
        code: RefusalCode,
        change: Parameters<typeof check>[0],
        ours: [Partial<TpmEvidence>, Partial<TpmExpectations>?],
      ) => {
        expect(codeOf({ ...evidence, ...ours[0] }, { ...expected, ...ours[1] })).toBe(code)
        if (checkquote) expect((await t.run(check(change))).code).not.toBe(0)
      }
      tamper(t, 'quote', 'quote.bad', 60)
      tamper(t, 'signature', 'signature.bad')
      await t.ok(`tpm2_pcrextend 9:sha256=${'33'.repeat(32)}`)
      await t.ok(`tpm2_pcrread -Q -o pcrs.later ${SELECTION}`)
      const pcrValues = printedPcrs(await t.ok(`tpm2_pcrread ${SELECTION}`))
      const other = 'ac'.repeat(32)
      await refused('REFUSED_SIGNATURE', { message: 'quote.bad' }, [{ attest: t.read('quote.bad') }])
      await refused('REFUSED_SIGNATURE', { signature: 'signature.bad' }, [
        { signature: t.read('signature.bad') },
      ])
      await refused('REFUSED_BINDING', { nonce: other }, [{}, { qualifyingData: unhex(other) }])
      await refused('REFUSED_PCRS', { values: 'pcrs.later' }, [{ pcrValues }])
      const later = await quote(t, ak)
      expect(codeOf({ ...later, eventLog }, expected)).toBe('REFUSED_EVENT_LOG')
      expect(codeOf(later, expected)).toBeUndefined()
    },
  )

  it('[C-02] [C-02 control] tpm2_makecredential, tpm2_activatecredential: the key that opens it is the one that quotes', async () => {
    const t = on()
    await t.ok('tpm2_createek -c ek.ctx -G rsa -u ek.pub')
    const ak = '-G ecc -g sha256 -s ecdsa'
    await t.ok(`tpm2_createak -Q -C ek.ctx -c ak.ctx ${ak} -u ak.pub`)
    t.write('secret', 'made by the verifier: 0123456789')
    await t.ok(`tpm2_makecredential -Q -T none -u ek.pub -s secret -n ${nameOf(t, 'ak.pub')} -o credential`)
    await activate(t, 'credential')
    expect(t.read('opened')).toEqual(t.read('secret'))
    const expected = { akPublic: t.read('ak.pub'), qualifyingData: unhex(NONCE), pcrs }
    expect(appraiseTpm(await quote(t, ak), expected).key.name).toEqual(objectName(publicIn(t, 'ak.pub')))

    // Another key of the same TPM has another name, for which the credential was not made.
    await t.ok(`tpm2_createak -Q -C ek.ctx -c ak.ctx ${ak} -u other.pub`)
    await t.ok('tpm2_startauthsession --policy-session -S session.ctx')
    await t.ok('tpm2_policysecret -Q -S session.ctx -c e')
    const opening =
      'tpm2_activatecredential -Q -c ak.ctx -C ek.ctx -i credential -o no -P session:session.ctx'
    await t.refused(opening, 'TPM_RC_INTEGRITY, parameter 1')
    expect(codeOf(await quote(t, ak), expected)).toBe('REFUSED_SIGNATURE')
  })
})

it.for(
  targets.filter(({ protocol }) => protocol === 'swtpm').map((target) => ({ target, name: target.name })),
)(
  '[C-02] [C-02 control] $name: an EK by its manufacturer’s certificate in NV memory, and by no other’s',
  async ({ target }, context) => {
    requireTool(context, 'tpm2-tools', 'tpm2_startup')
    requireTool(context, 'openssl', 'openssl')
    if (target.reference) requireTool(context, 'swtpm-tools', 'swtpm_setup')
    const folder = mkdtempSync(join(tmpdir(), 'peers-enrol-'))
    const tpm = await target.start({ ekCertificates: join(folder, 'maker') })
    try {
      const t = new Tools(target, tpm, folder)
      await t.ok('tpm2_startup -c')
      await t.ok('tpm2_nvread 0x01c00002 -C o -o ek.der')
      await t.ok('tpm2_createek -c ek.ctx -G rsa -u ek.pub')
      await t.ok('tpm2_createak -Q -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub')
      await t.ok(
        'openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -subj /CN=swtpm-localca-rootca',
      )
      const root = target.reference ? 'maker/swtpm-localca-rootca-cert.pem' : 'maker/root.pem'
      const certificates = [t.read('ek.der')]
      if (target.reference) {
        await t.ok('openssl x509 -in maker/issuercert.pem -outform der -out issuer.der')
        certificates.push(t.read('issuer.der'))
      }
      const pem = (name: string) => Buffer.from(t.read(name)).toString()
      const record = await enrol(t, new TpmEnroller({ trustAnchors: [pem(root)] }), certificates)
      expect(record).toMatchObject({
        ekName: objectName(publicIn(t, 'ek.pub')),
        akName: objectName(publicIn(t, 'ak.pub')),
      })
      const stranger = new TpmEnroller({ trustAnchors: [pem('other.pem')] })
      await expect(enrol(t, stranger, certificates)).rejects.toMatchObject({ code: 'REFUSED_ENROLMENT' })
    } finally {
      await tpm.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
