// Enrolment: an attestation key of the certified TPM is enrolled, every other is refused; records survive a restart.

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  Enroller,
  EnrolmentFileError,
  type EnrolmentRecord,
  type EnrolmentStore,
  fileEnrolments,
  memoryEnrolments,
} from '../../../../sdk/attest/index.ts'
import type { PlatformEndorsement } from '../../../../sdk/evidence/index.ts'
import { type EccPublic, marshal, objectName, TPMA_OBJECT, TPMT_PUBLIC } from '../../../../sdk/tpm2/index.ts'
import { softwareEk } from '../tpm2/software-key.ts'
import { publicKeyOfPoint } from './ecc.ts'
import { codeOf, refusalIn, refusalOf } from './refusals.ts'
import { activate, enrol, makeManufacturer, makePlatform } from './world.ts'

const manufacturer = makeManufacturer()
const stranger = makeManufacturer('Stranger')
const platform = makePlatform(manufacturer)
const other = makePlatform(manufacturer)
const trustAnchors = [manufacturer.certificate.pem]
const enroller = new Enroller({ trustAnchors })
const keys = (change: Partial<PlatformEndorsement>): PlatformEndorsement => ({
  ...platform.endorsement,
  ...change,
})
const area = (publicArea: EccPublic): Uint8Array => marshal(TPMT_PUBLIC, publicArea)

describe('enrolment', () => {
  it('[C-02 control] gives one record of a genuine platform', async () => {
    const record = await enrol(platform, manufacturer)
    expect(record.ekName).toEqual(platform.ekName)
    expect(record.akName).toEqual(objectName(platform.ak.akPublic))
    expect(record.reportKey.equals(platform.reportKey.publicKey)).toBe(true)
  })

  it('finds the manufacturer among several trust anchors', async () => {
    const several = new Enroller({ trustAnchors: [stranger.certificate.pem, manufacturer.certificate.pem] })
    const record = await several.enrol(platform.endorsement, (credential) =>
      Promise.resolve(activate(platform, credential)),
    )
    expect(record.anchor).toEqual((await enrol(platform, manufacturer)).anchor)
  })

  it('[C-02] refuses a secret that another TPM made up', async () => {
    const refusal = await refusalIn(
      enroller.enrol(platform.endorsement, () => Promise.resolve(new Uint8Array(32))),
    )
    expect(refusal.code).toBe('REFUSED_ENROLMENT')
  })

  it('[C-02] an attestation key of another TPM does not open the credential [A-06]', () => {
    const mixed = keys({ akPublic: other.endorsement.akPublic })
    const credential = enroller.challenge(mixed)
    expect(() => activate(platform, credential)).toThrow('credential')
    expect(() => activate(other, credential)).toThrow('credential')
  })

  it('[C-30] is good for one answer and 60 s', () => {
    let now = 0
    const timed = new Enroller({ trustAnchors, now: () => Date.now() + now })
    const first = timed.challenge(platform.endorsement)
    expect(codeOf(() => first.complete(new Uint8Array(32)))).toBe('REFUSED_ENROLMENT')
    expect(codeOf(() => first.complete(activate(platform, first)))).toBe('STALE_NONCE')
    const late = timed.challenge(platform.endorsement)
    const secret = activate(platform, late)
    now = 61_000
    expect(codeOf(() => late.complete(secret))).toBe('STALE_NONCE')
  })

  const { ek, ak, certify, reportKey } = platform
  const cases: [title: string, keys: () => PlatformEndorsement][] = [
    ['certificates of another manufacturer', () => makePlatform(stranger).endorsement],
    [
      'an endorsement key that is not in its certificate',
      () => keys({ ekPublic: area(softwareEk().ekPublic) }),
    ],
    ['an endorsement key that signs', () => keys({ ekPublic: area(withBit(ek.ekPublic, 'sign', true)) })],
    [
      'an endorsement key that is not restricted',
      () => keys({ ekPublic: area(withBit(ek.ekPublic, 'restricted', false)) }),
    ],
    [
      'an attestation key that is not restricted',
      () => keys({ akPublic: area(withBit(ak.akPublic, 'restricted', false)) }),
    ],
    [
      'an attestation key that may leave its TPM',
      () => keys({ akPublic: area(withBit(ak.akPublic, 'fixedTPM', false)) }),
    ],
    [
      'an attestation key that may move to another parent',
      () => keys({ akPublic: area(withBit(ak.akPublic, 'fixedParent', false)) }),
    ],
    [
      'an attestation key that was imported',
      () => keys({ akPublic: area(withBit(ak.akPublic, 'sensitiveDataOrigin', false)) }),
    ],
    [
      'an attestation key that decrypts',
      () => keys({ akPublic: area(withBit(ak.akPublic, 'decrypt', true)) }),
    ],
    ['a public area that is none', () => keys({ akPublic: Uint8Array.of(1, 2, 3) })],
    [
      'an endorsement certificate of another use',
      () => keys({ ekCertificates: [certify(publicKeyOfPoint(ek.ekPublic.unique), '1.3.6.1.5.5.7.3.1')] }),
    ],
    [
      'a report key certified for another use, as the manufacturer’s port certificates are',
      () => keys({ reportKeyCertificates: [certify(reportKey.publicKey, '1.3.6.1.5.5.7.3.1')] }),
    ],
    [
      'a report key of another manufacturer',
      () => keys({ reportKeyCertificates: strange().reportKeyCertificates }),
    ],
    ['a certificate that is none', () => keys({ ekCertificates: [Uint8Array.of(0x30, 0)] })],
  ]
  const strange = () => makePlatform(stranger).endorsement

  it.each(cases)('[C-02] refuses %s', (_title, make) => {
    expect(refusalOf(() => enroller.challenge(make()))).toMatchObject({ code: 'REFUSED_ENROLMENT' })
  })

  it('[C-02] refuses two trusted manufacturers in one platform', () => {
    const both = new Enroller({ trustAnchors: [stranger.certificate.pem, manufacturer.certificate.pem] })
    const mixed = keys({ reportKeyCertificates: strange().reportKeyCertificates })
    expect(refusalOf(() => both.challenge(mixed)).message).toContain('trust anchor of the endorsement key')
  })

  it('[C-02] refuses an expired certificate', () => {
    const later = new Enroller({ trustAnchors, now: () => Date.now() + 20 * 86_400_000 })
    expect(codeOf(() => later.challenge(platform.endorsement))).toBe('REFUSED_ENROLMENT')
  })

  it('[C-02] refuses no, too many and too long certificates unread', () => {
    const [leaf = new Uint8Array()] = platform.endorsement.ekCertificates
    for (const ekCertificates of [[], Array.from({ length: 9 }, () => leaf), [new Uint8Array(20_000)]]) {
      expect(codeOf(() => enroller.challenge(keys({ ekCertificates })))).toBe('REFUSED_SIZE')
    }
  })
})

function withBit(publicArea: EccPublic, bit: keyof typeof TPMA_OBJECT, on: boolean): EccPublic {
  const { objectAttributes } = publicArea
  const mask = TPMA_OBJECT[bit]
  return { ...publicArea, objectAttributes: on ? objectAttributes | mask : objectAttributes & ~mask }
}

describe('enrolment stores', () => {
  let folder = ''
  let record: EnrolmentRecord
  let second: EnrolmentRecord
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'enrolments-'))
    record = await enrol(platform, manufacturer)
    second = await enrol(other, manufacturer)
  })
  afterAll(() => rm(folder, { recursive: true }))

  const same = (found: EnrolmentRecord | undefined, wanted: EnrolmentRecord): void => {
    const { reportKey, ...rest } = wanted
    expect(found).toMatchObject(rest)
    expect(found?.reportKey.equals(reportKey)).toBe(true)
  }

  it.each<[string, () => EnrolmentStore]>([
    ['memory', memoryEnrolments],
    ['file', () => fileEnrolments(join(folder, 'deep', 'enrolments.json'))],
  ])('%s keeps records by platform', async (_name, make) => {
    const store = make()
    expect(await store.get(record.ekName)).toBeUndefined()
    await Promise.all([store.put(record), store.put(second)])
    same(await store.get(record.ekName), record)
    same(await store.get(second.ekName), second)
  })

  it('a file is read again after a restart, and only its owner can', async () => {
    const path = join(folder, 'again.json')
    await fileEnrolments(path).put(record)
    same(await fileEnrolments(path).get(record.ekName), record)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readFile(path, 'utf8')).not.toContain('PRIVATE')
  })

  it('a file that holds no records is an error, not an empty store', async () => {
    const path = join(folder, 'broken.json')
    for (const text of [
      '',
      '{}',
      '{"version":2,"platforms":[]}',
      '{"version":1,"platforms":[{"ekName":"00"}]}',
    ]) {
      await writeFile(path, text)
      await expect(fileEnrolments(path).get(record.ekName)).rejects.toThrow(EnrolmentFileError)
    }
  })

  it('a refused put does not stop later ones', async () => {
    const path = join(folder, 'mended.json')
    await writeFile(path, 'no JSON')
    const store = fileEnrolments(path)
    await expect(store.put(record)).rejects.toThrow(EnrolmentFileError)
    await rm(path)
    await store.put(record)
    same(await store.get(record.ekName), record)
  })
})
