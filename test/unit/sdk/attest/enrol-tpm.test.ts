// Enrolment of any TPM: EKs that are certified or pinned, attestation keys of every kind, and what is refused.

import { describe, expect, it } from 'vitest'
import { appraiseTpm, TpmEnroller, type TpmKeys } from '../../../../sdk/attest/index.ts'
import { IdentityKey, issueCertificate, sha256 } from '../../../../sdk/crypto/index.ts'
import { CERTIFICATE_USAGE } from '../../../../sdk/evidence/index.ts'
import {
  type Credential,
  marshal,
  objectName,
  openCredential,
  publicKeyOf,
  TPM2B_PUBLIC,
  TPM_ALG,
  TPM_ECC,
  TPMA_OBJECT,
  TPMT_PUBLIC,
  type TPMT_PUBLIC as PublicArea,
} from '../../../../sdk/tpm2/index.ts'
import { eccKey, rsaKey, type SoftwareKey } from '../tpm2/decryption-keys.ts'
import { type SoftwareAk, softwareAk, softwareRsaAk } from '../tpm2/software-key.ts'
import { codeOf, refusalIn, refusalOf } from './refusals.ts'
import { firmware, quoted } from './tpm-boots.ts'
import { makeManufacturer, type Manufacturer } from './world.ts'

const { SHA1, SHA256, SHA384, RSASSA, RSAPSS } = TPM_ALG
const manufacturer = makeManufacturer()
const stranger = makeManufacturer('Stranger')
const DAYS = 10

/** A certificate of the EK by the manufacturer, or by an intermediate. */
function certify(
  ek: PublicArea,
  issuer: Manufacturer,
  usage: `${number}.${string}` = CERTIFICATE_USAGE.endorsementKey,
) {
  const publicKey = new Uint8Array(publicKeyOf(ek).export({ format: 'der', type: 'spki' }))
  return issueCertificate({ issuer, publicKey, subject: 'EK', days: DAYS, usages: [usage] }).der
}

/** A TPM with these keys. */
function tpmOf({ publicArea, privateKey }: SoftwareKey, ak: SoftwareAk = softwareAk()) {
  const keys = {
    ekPublic: marshal(TPM2B_PUBLIC, publicArea),
    ekCertificates: [certify(publicArea, manufacturer)],
    akPublic: marshal(TPM2B_PUBLIC, ak.akPublic),
  }
  const activate = (credential: Credential): Promise<Uint8Array> =>
    Promise.resolve(
      openCredential({
        ekPublic: publicArea,
        ...privateKey,
        objectName: objectName(ak.akPublic),
        ...credential,
      }),
    )
  return { ek: publicArea, ak, keys, activate }
}

const rsaTpm = tpmOf(rsaKey(SHA256, 128))
const eccTpm = tpmOf(eccKey(TPM_ECC.NIST_P256, SHA256, 128))
const enroller = new TpmEnroller({ trustAnchors: [stranger.certificate.pem, manufacturer.certificate.pem] })
const keys = (change: Partial<TpmKeys>): TpmKeys => ({ ...eccTpm.keys, ...change })
const area = (publicArea: PublicArea) => marshal(TPMT_PUBLIC, publicArea)
const without = (publicArea: PublicArea, bit: keyof typeof TPMA_OBJECT) =>
  area({ ...publicArea, objectAttributes: publicArea.objectAttributes & ~TPMA_OBJECT[bit] })

describe('enrolment of any TPM', () => {
  it.each([
    ['an RSA 2048 EK', rsaTpm],
    ['a P-256 EK', eccTpm],
    ['a P-384 EK, RSASSA', tpmOf(eccKey(TPM_ECC.NIST_P384, SHA384, 256), softwareRsaAk(RSASSA))],
    ['an RSA 2048 EK, RSAPSS', tpmOf(rsaKey(SHA256, 128), softwareRsaAk(RSAPSS))],
    [
      'a P-256 EK, P-384',
      tpmOf(eccKey(TPM_ECC.NIST_P256, SHA256, 128), softwareAk(TPM_ECC.NIST_P384, SHA384)),
    ],
  ])(
    '[C-02 control] enrols the attestation key of a TPM with %s, whose quotes are then judged',
    async (_, tpm) => {
      const record = await enroller.enrol(tpm.keys, tpm.activate)
      expect(record).toMatchObject({
        ekName: objectName(tpm.ek),
        akName: objectName(tpm.ak.akPublic),
        ekPublic: area(tpm.ek),
        akPublic: area(tpm.ak.akPublic),
        anchor: sha256(manufacturer.certificate.der),
      })
      const { evidence, expected } = quoted(firmware, tpm.ak)
      expect(appraiseTpm(evidence, { ...expected, akPublic: record.akPublic }).key.name).toEqual(
        record.akName,
      )
    },
  )

  it('[C-02 control] takes an EK that is pinned, without certificates, and through an intermediate', async () => {
    const pinning = new TpmEnroller({ pinnedEks: [objectName(rsaTpm.ek), objectName(eccTpm.ek)] })
    const { anchor } = await pinning.enrol(keys({ ekCertificates: [] }), eccTpm.activate)
    expect(anchor).toBeUndefined()
    const key = IdentityKey.generate()
    const certificate = issueCertificate({
      issuer: manufacturer,
      publicKey: key.publicKey,
      subject: 'CN=intermediate',
      days: DAYS,
      ca: true,
    })
    const ekCertificates = [certify(eccTpm.ek, { key, certificate }), certificate.der]
    expect((await enroller.enrol(keys({ ekCertificates }), eccTpm.activate)).anchor).toBeDefined()
  })

  it('[C-02] refuses a secret of another TPM, a second answer and a late one', async () => {
    let now = Date.now()
    const timed = new TpmEnroller({ trustAnchors: [manufacturer.certificate.pem], now: () => now })
    const wrong = () => Promise.resolve(new Uint8Array(32))
    expect((await refusalIn(timed.enrol(eccTpm.keys, wrong))).code).toBe('REFUSED_ENROLMENT')
    const once = timed.challenge(eccTpm.keys)
    const secret = await eccTpm.activate(once)
    expect(once.complete(secret).akName).toEqual(objectName(eccTpm.ak.akPublic))
    expect(codeOf(() => once.complete(secret))).toBe('STALE_NONCE')
    const late = timed.challenge(eccTpm.keys)
    const answer = await eccTpm.activate(late)
    now += 60_000
    expect(codeOf(() => late.complete(answer))).toBe('STALE_NONCE')
  })

  it('[C-02] an attestation key of another TPM does not open the credential', () => {
    const challenge = enroller.challenge(keys({ akPublic: rsaTpm.keys.akPublic }))
    expect(() => eccTpm.activate(challenge)).toThrow(/credential/)
    expect(() => rsaTpm.activate(challenge)).toThrow(/credential|secret|expected/)
  })

  const { ek, ak } = eccTpm
  it.each<[string, TpmKeys, RegExp]>([
    ['an unknown EK without certificates', keys({ ekCertificates: [] }), /not pinned/],
    ['a certificate of another key', keys({ ekCertificates: rsaTpm.keys.ekCertificates }), /of another key/],
    [
      'another manufacturer',
      keys({ ekCertificates: [certify(ek, makeManufacturer('Nobody'))] }),
      /chain to a trust anchor/,
    ],
    [
      'a certificate of another use',
      keys({ ekCertificates: [certify(ek, manufacturer, '1.3.6.1.5.5.7.3.1')] }),
      /usage/,
    ],
    [
      'a certificate that is none',
      keys({ ekCertificates: [Uint8Array.of(0x30, 0)] }),
      /chain to a trust anchor/,
    ],
    ['an EK that signs', keys({ ekPublic: marshal(TPMT_PUBLIC, ak.akPublic) }), /without decrypt/],
    ['an EK that may leave its TPM', keys({ ekPublic: without(ek, 'fixedTPM') }), /without fixedTPM/],
    ['an EK named by SHA-1', keys({ ekPublic: area({ ...ek, nameAlg: SHA1 }) }), /SHA-256 or stronger/],
    [
      'an attestation key that signs anything',
      keys({ akPublic: without(ak.akPublic, 'restricted') }),
      /restricted/,
    ],
    ['an attestation key from elsewhere', keys({ akPublic: without(ak.akPublic, 'fixedTPM') }), /fixedTPM/],
    [
      'an attestation key over SHA-1',
      keys({ akPublic: area(softwareAk(TPM_ECC.NIST_P256, SHA1).akPublic) }),
      /SHA256/,
    ],
    ['public areas that are none', keys({ akPublic: Uint8Array.of(1, 2, 3) }), /a public area/],
  ])('[C-02] refuses %s', (_, wrong, why) => {
    const { code, message } = refusalOf(() => enroller.challenge(wrong))
    expect(code).toBe('REFUSED_ENROLMENT')
    expect(message).toMatch(why)
  })

  it('[C-02] refuses expired certificates, and parts that are too long or too many', () => {
    const later = new TpmEnroller({
      trustAnchors: [manufacturer.certificate.pem],
      now: () => Date.now() + 20 * 86_400_000,
    })
    expect(codeOf(() => later.challenge(eccTpm.keys))).toBe('REFUSED_ENROLMENT')
    const certificate = eccTpm.keys.ekCertificates[0] ?? new Uint8Array()
    const oversized = [
      { ekCertificates: Array.from({ length: 9 }, () => certificate) },
      { ekCertificates: [new Uint8Array(16_385)] },
      { ekPublic: new Uint8Array(1025) },
      { akPublic: new Uint8Array(1025) },
    ]
    for (const change of oversized)
      expect(codeOf(() => enroller.challenge(keys(change)))).toBe('REFUSED_SIZE')
  })
})
