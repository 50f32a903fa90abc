// Appraisal of any TPM: keys of every kind pass, and one wrong thing at a time is refused with its own reason.

import { constants } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  appraiseTpm,
  type RefusalCode,
  type TpmEvidence,
  type TpmExpectations,
  type TpmReference,
} from '../../../../sdk/attest/index.ts'
import { hex } from '../../../../sdk/crypto/index.ts'
import { EV, parseEventLog } from '../../../../sdk/evidence/index.ts'
import {
  marshal,
  objectName,
  type PcrBanks,
  selectPcrs,
  TPM_ALG,
  TPM_ECC,
  TPM_ST,
  TPMA_OBJECT,
  type TPMT_PUBLIC as PublicArea,
  TPMT_PUBLIC,
} from '../../../../sdk/tpm2/index.ts'
import { ovmfLog, ovmfPcrs, sha1Log } from '../evidence/logs.ts'
import {
  AK_ATTRIBUTES,
  attestation,
  attestBytes,
  type SoftwareAk,
  softwareAk,
  softwareRsaAk,
} from '../tpm2/software-key.ts'
import { codeOf, refusalOf } from './refusals.ts'
import { type Case, everything, firmware, nonce, quoted } from './tpm-boots.ts'

const { RSASSA, RSAPSS, SHA1, SHA256, SHA384, SHA512 } = TPM_ALG
const ak = softwareAk()
const honest = quoted(firmware, ak)
const judge = ({ evidence, expected }: Case) => appraiseTpm(evidence, expected)
const change = (evidence: Partial<TpmEvidence>, expected: Partial<TpmExpectations> = {}): Case => ({
  evidence: { ...honest.evidence, ...evidence },
  expected: { ...honest.expected, ...expected },
})
const bare = { eventLog: undefined, pcrValues: undefined }
const flipped = (bytes: Uint8Array, at = bytes.length - 1) =>
  bytes.map((octet, index) => (index === at ? octet ^ 1 : octet))
const publicOf = (area: PublicArea) => ({ akPublic: marshal(TPMT_PUBLIC, area) })

describe('an honest quote', () => {
  it('[C-02 control] says who signed, when, and what was measured into each PCR', () => {
    const found = judge(honest)
    expect(found.key).toEqual({
      type: TPM_ALG.ECC,
      bits: 256,
      scheme: TPM_ALG.ECDSA,
      hash: SHA256,
      name: objectName(ak.akPublic),
      qualifiedName: attestation(ak.akPublic, nonce).qualifiedSigner,
    })
    expect(found.clockInfo).toEqual({ clock: 123456n, resetCount: 3, restartCount: 1, safe: true })
    expect(found.firmwareVersion).toBe(0x2024n)
    expect(found.selection).toEqual(firmware)
    expect(found.pcrs.map(({ bank, pcr }) => [bank, pcr])).toEqual(
      [0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => [SHA256, pcr]),
    )
    for (const { pcr, value } of found.pcrs) expect(value).toEqual(ovmfPcrs.get(SHA256)?.get(pcr))
    const log = parseEventLog(ovmfLog).events
    expect(found.pcrs[4]?.events).toEqual(
      log
        .filter(({ pcrIndex }) => pcrIndex === 4)
        .map(({ number, eventType, data, digests }) => {
          const coversData = eventType !== EV.EFI_BOOT_SERVICES_APPLICATION
          return { number, eventType, data, digest: digests.get(SHA256), coversData }
        }),
    )
  })

  it.each<[string, () => SoftwareAk]>([
    ['ECDSA P-256', () => softwareAk()],
    ['ECDSA P-384, SHA-384', () => softwareAk(TPM_ECC.NIST_P384, SHA384)],
    ['ECDSA P-521, SHA-512', () => softwareAk(TPM_ECC.NIST_P521, SHA512)],
    ['RSASSA 2048', () => softwareRsaAk(RSASSA)],
    ['RSASSA 3072, SHA-384', () => softwareRsaAk(RSASSA, { bits: 3072, hashAlg: SHA384 })],
    ['RSAPSS 2048, salt of a digest', () => softwareRsaAk(RSAPSS)],
    ['RSAPSS, longest salt', () => softwareRsaAk(RSAPSS, { saltLength: constants.RSA_PSS_SALTLEN_MAX_SIGN })],
  ])('[C-02 control] is accepted from a key of kind %s, over all banks', (_, make) => {
    const found = judge(quoted(everything, make()))
    expect(found.pcrs).toHaveLength(4 * 24)
    expect(found.pcrs.every(({ events }) => events !== undefined)).toBe(true)
  })

  it('is accepted with the log alone, with values alone, and with neither', () => {
    const values = judge(honest).pcrs
    expect(judge(change({ pcrValues: undefined })).pcrs).toEqual(values)
    expect(judge(change({ eventLog: undefined })).pcrs).toEqual(
      values.map((one) => ({ ...one, events: undefined })),
    )
    expect(judge(change(bare)).pcrs).toEqual([])
  })

  it('is accepted with the key as TPMT_PUBLIC', () => {
    expect(judge(change({}, publicOf(ak.akPublic))).key).toEqual(judge(honest).key)
  })

  it('is accepted with a log of TCG 1.2 where only SHA-1 is quoted', () => {
    const eventLog = sha1Log({ pcr: 2, type: EV.SEPARATOR, data: new Uint8Array(4) })
    const { evidence, expected } = quoted([selectPcrs(SHA1, [2])])
    expect(judge({ evidence: { ...evidence, eventLog }, expected }).pcrs[0]?.events).toHaveLength(1)
    const both = [selectPcrs(SHA1, [2]), selectPcrs(SHA256, [2])]
    const wanting = quoted(both)
    expect(codeOf(() => judge({ ...wanting, evidence: { ...wanting.evidence, eventLog } }))).toBe(
      'REFUSED_EVENT_LOG',
    )
  })
})

describe('a wrong quote is refused', () => {
  const signed = (attest: Uint8Array) => change({ ...bare, attest, signature: ak.sign(attest) })
  const attributes = (objectAttributes: number) => publicOf({ ...ak.akPublic, objectAttributes })
  const weak = softwareAk(TPM_ECC.NIST_P256, SHA1)

  it.each<[string, RefusalCode, Case]>([
    ['a key of a megabyte', 'REFUSED_SIZE', change({}, { akPublic: new Uint8Array(1 << 20) })],
    ['a quote of a megabyte', 'REFUSED_SIZE', change({ attest: new Uint8Array(1 << 20) })],
    ['a signature of a megabyte', 'REFUSED_SIZE', change({ signature: new Uint8Array(1 << 20) })],
    ['a log of five megabytes', 'REFUSED_SIZE', change({ eventLog: new Uint8Array(5 << 20) })],
    ['a key that is none', 'REFUSED_ENROLMENT', change({}, { akPublic: new Uint8Array(100) })],
    [
      'a key that signs anything',
      'REFUSED_ENROLMENT',
      change({}, attributes(AK_ATTRIBUTES & ~TPMA_OBJECT.restricted)),
    ],
    [
      'a key from elsewhere',
      'REFUSED_ENROLMENT',
      change({}, attributes(AK_ATTRIBUTES & ~TPMA_OBJECT.fixedTPM)),
    ],
    [
      'a key made elsewhere',
      'REFUSED_ENROLMENT',
      change({}, attributes(AK_ATTRIBUTES & ~TPMA_OBJECT.sensitiveDataOrigin)),
    ],
    ['a key that signs over SHA-1', 'REFUSED_ENROLMENT', change({}, publicOf(weak.akPublic))],
    ['another key', 'REFUSED_SIGNATURE', change({}, publicOf(softwareAk().akPublic))],
    ['a key of another kind', 'REFUSED_SIGNATURE', change({}, publicOf(softwareRsaAk(RSASSA).akPublic))],
    ['a changed signature', 'REFUSED_SIGNATURE', change({ signature: flipped(honest.evidence.signature) })],
    ['a signature that is none', 'REFUSED_SIGNATURE', change({ signature: new Uint8Array(8) })],
    ['a changed quote', 'REFUSED_SIGNATURE', change({ attest: flipped(honest.evidence.attest) })],
    ['bytes that no TPM made', 'REFUSED_QUOTE', signed(flipped(honest.evidence.attest, 0))],
    ['a quote with more behind it', 'REFUSED_QUOTE', signed(Uint8Array.of(...honest.evidence.attest, 0))],
    ['something else that a TPM signs', 'REFUSED_QUOTE', signed(timeAttestation())],
    ['a quote for another challenge', 'REFUSED_BINDING', change({}, { qualifyingData: flipped(nonce) })],
    ['a quote for no challenge', 'REFUSED_BINDING', change({}, { qualifyingData: new Uint8Array() })],
    ['fewer PCRs', 'REFUSED_PCRS', change({}, { pcrs: everything })],
    ['more PCRs', 'REFUSED_PCRS', change({}, { pcrs: [selectPcrs(SHA256, [0])] })],
    ['another bank', 'REFUSED_PCRS', change({}, { pcrs: [selectPcrs(SHA384, [0, 1, 2, 3, 4, 5, 6, 7])] })],
    ['values of another moment', 'REFUSED_PCRS', change({ pcrValues: replaced(4, new Uint8Array(32)) })],
    ['values without one', 'REFUSED_PCRS', change({ pcrValues: new Map() })],
    ['a value of another size', 'REFUSED_PCRS', change({ pcrValues: replaced(4, new Uint8Array(33)) })],
    ['a log of another boot', 'REFUSED_EVENT_LOG', change({ eventLog: sha1Log() })],
    ['a log that is none', 'REFUSED_EVENT_LOG', change({ eventLog: new Uint8Array(40) })],
  ])('[C-02] %s: %s', (_, code, wrong) => {
    expect(codeOf(() => judge(wrong))).toBe(code)
  })

  it('[C-02 control] and the same quote unchanged is not', () => {
    expect(() => judge(change({}))).not.toThrow()
    expect(() => judge(signed(honest.evidence.attest))).not.toThrow()
    expect(() => judge(change({ pcrValues: replaced(8, new Uint8Array(32)) }))).not.toThrow()
  })

  it('names what was expected and found, and helps', () => {
    const message = (wrong: Case) => refusalOf(() => judge(wrong)).message
    expect(message(change({}, { qualifyingData: new Uint8Array() }))).toMatch(
      `quote: expected the qualifying data none, found ${hex(nonce)}; quote anew`,
    )
    expect(message(change({}, { pcrs: [selectPcrs(SHA256, [0])] }))).toMatch(
      'expected PCRs sha256:0 and no others, found sha256:0,1,2,3,4,5,6,7',
    )
    expect(message(change({ pcrValues: new Map() }))).toMatch('expected a value of sha256:0, found none')
    const other = quoted([selectPcrs(SHA256, [4]), selectPcrs(0x12, [4])], ak, withBank(0x12))
    expect(message(other)).toMatch(
      'expected one with bank 0x0012, found one with sha1, sha256, sha384, sha512',
    )
  })

  /** TPMS_ATTEST of TPM2_GetTime with an honest signer. */
  function timeAttestation(): Uint8Array {
    const { attested: _, type: __, ...head } = attestation(ak.akPublic, nonce)
    const time = { time: 1n, clockInfo: head.clockInfo }
    return attestBytes({ ...head, type: TPM_ST.ATTEST_TIME, attested: { time, firmwareVersion: 1n } })
  }
})

describe('the covered PCRs', () => {
  it('[C-02] may be more than a minimum, never fewer', () => {
    const minimum = (...pcrs: number[]) =>
      change({}, { pcrs: [selectPcrs(SHA256, pcrs)], coverage: 'minimum' })
    expect(judge(minimum(0, 7)).pcrs).toHaveLength(8)
    expect(judge(minimum()).pcrs).toHaveLength(8)
    expect(codeOf(() => judge(minimum(0, 8)))).toBe('REFUSED_PCRS')
    const otherBank = change({}, { pcrs: [selectPcrs(SHA384, [0])], coverage: 'minimum' })
    expect(codeOf(() => judge(otherBank))).toBe('REFUSED_PCRS')
  })

  it('[C-02] must all be in the log, but for those that are named', () => {
    const grown = replaced(10, new Uint8Array(32).fill(1))
    const withIma = quoted([selectPcrs(SHA256, [0, 10])], ak, grown)
    const naming = (notLogged: number[], evidence = {}) => ({
      evidence: { ...withIma.evidence, ...evidence },
      expected: { ...withIma.expected, notLogged },
    })
    expect(refusalOf(() => judge(withIma))).toMatchObject({
      code: 'REFUSED_EVENT_LOG',
      expected: 'one that leads to the quoted sha256:10',
      found: 'one that leads elsewhere by no event',
    })
    const found = judge(naming([10])).pcrs
    expect(found.map(({ pcr, events }) => [pcr, events?.length])).toEqual([
      [0, 4],
      [10, undefined],
    ])
    expect(codeOf(() => judge(naming([9])))).toBe('REFUSED_EVENT_LOG')
    expect(codeOf(() => judge(naming([10], { pcrValues: undefined })))).toBe('REFUSED_EVENT_LOG')
  })
})

describe('reference values', () => {
  const value = (pcr: number) => ({ digest: hex(ovmfPcrs.get(SHA256)?.get(pcr) ?? new Uint8Array()) })
  const events = (pcr: number) =>
    (judge(honest).pcrs[pcr]?.events ?? []).map(({ digest }) => ({ digest: hex(digest) }))
  const known = (reference: Omit<TpmReference, 'bank'>, evidence: Partial<TpmEvidence> = {}, now = 0) =>
    change(evidence, { references: [{ bank: SHA256, ...reference }], now })
  const past = { notAfter: '2026-01-01T00:00:00Z' }
  const then = Date.parse('2026-01-02T00:00:00Z')
  const unmeasured = quoted([selectPcrs(SHA256, [8])], ak)

  it.each<[string, Case]>([
    ['a PCR of a known value', known({ pcr: 0, values: [value(1), value(0)] })],
    ['without a log', known({ pcr: 0, values: [value(0)] }, { eventLog: undefined })],
    ['a PCR of known events', known({ pcr: 4, events: events(4) })],
    ['a PCR that is known by both', known({ pcr: 4, values: [value(4)], events: events(4) })],
    ['before it expires', known({ pcr: 0, values: [{ ...value(0), ...past }] })],
  ])('[C-02 control] accept %s', (_, good) => {
    expect(() => judge(good)).not.toThrow()
  })

  it.each<[string, RefusalCode, Case]>([
    ['another value', 'REFUSED_MEASUREMENT', known({ pcr: 0, values: [value(1)] })],
    ['an empty list of values', 'REFUSED_MEASUREMENT', known({ pcr: 0, values: [] })],
    ['an unknown event', 'REFUSED_MEASUREMENT', known({ pcr: 4, events: events(4).slice(0, -1) })],
    ['an empty list of events', 'REFUSED_MEASUREMENT', known({ pcr: 4, events: [] })],
    [
      'an expired value',
      'REFUSED_EXPIRED_REFERENCE',
      known({ pcr: 0, values: [{ ...value(0), ...past }] }, {}, then),
    ],
    ['a PCR that is not quoted', 'REFUSED_PCRS', known({ pcr: 9, values: [value(9)] })],
    ['no value', 'REFUSED_PCRS', known({ pcr: 0, values: [value(0)] }, bare)],
    ['no log', 'REFUSED_EVENT_LOG', known({ pcr: 4, events: events(4) }, { eventLog: undefined })],
    [
      'a PCR without events',
      'REFUSED_MEASUREMENT',
      {
        ...unmeasured,
        expected: { ...unmeasured.expected, references: [{ bank: SHA256, pcr: 8, events: events(4) }] },
      },
    ],
  ])('[C-02] refuse %s: %s', (_, code, wrong) => {
    expect(codeOf(() => judge(wrong))).toBe(code)
  })
})

/** What the TPM held, with another value of one PCR. */
function replaced(pcr: number, value: Uint8Array): PcrBanks {
  return new Map([[SHA256, new Map([...(ovmfPcrs.get(SHA256) ?? []), [pcr, value]])]])
}

/** What the TPM held, and a bank that is not computed here. */
function withBank(bank: number): PcrBanks {
  return new Map([...ovmfPcrs, [bank, new Map([[4, new Uint8Array(32)]])]])
}
