// Appraisal of any TPM's boot evidence: a quote by an enrolled attestation key, with PCR values and an event log where
// there are some, against reference values. In a fixed order, fail closed, one reason each; the first check that fails
// ends it. It knows nothing of palimpsest platforms: appraise.ts judges those.
// Source: TPM 2.0 Library, Part 3, clause 18.4 (TPM2_Quote), revision 1.59; TCG PC Client Platform Firmware Profile, version
// 1.05 revision 23, clause 10 (event logs).

import { equalBytes, hex } from '../crypto/index.ts'
import { pcrText, selectionsText } from '../evidence/index.ts'
import {
  checkAttestationKey,
  digestSize,
  isHash,
  objectName,
  type PcrBanks,
  pcrDigest,
  type Quote,
  readPublicArea,
  readQuote,
  type SigningAlgorithm,
  signingAlgorithm,
  type TPML_PCR_SELECTION,
  type TPMT_PUBLIC,
  TPMT_SIGNATURE,
  unmarshal,
  verifySignature,
} from '../tpm2/index.ts'
import { checkSize, EVIDENCE_LIMITS } from './appraise-platform.ts'
import { explainPcrs, placesOf } from './appraise-tpm-log.ts'
import { requireReference } from './reference.ts'
import { Refusal, refuseAs } from './refusal.ts'
import type { QuotedPcr, TpmAppraisal, TpmEvidence, TpmExpectations, TpmReference } from './tpm-appraisal.ts'

/**
 * Judges evidence of any TPM 2.0, hardware, firmware or software. Returns what is established, or throws
 * {@link Refusal} with the first reason, in this order:
 * - REFUSED_SIZE: a part is larger than any honest one
 * - REFUSED_ENROLMENT: the key is no attestation key (restricted, signing, of its TPM), or signs with something weak
 * - REFUSED_SIGNATURE: the quote is not signed by it
 * - REFUSED_QUOTE: what is signed is no quote of a TPM
 * - REFUSED_BINDING: it does not answer this challenge
 * - REFUSED_PCRS: it covers other PCRs, or the PCR values are not the quoted ones
 * - REFUSED_EVENT_LOG: the log does not parse, contradicts itself or does not lead to the quoted PCRs
 * - REFUSED_MEASUREMENT, REFUSED_EXPIRED_REFERENCE: a PCR or an event is not known to be good
 *
 * The caller compares `clockInfo` with the last one it saw: a quote of before a reset may speak of another boot.
 *
 * @example
 * const record = await new TpmEnroller({ trustAnchors }).enrol(keys, activate) // once
 * const { pcrs } = appraiseTpm(
 *   { attest, signature, eventLog },
 *   { akPublic: record.akPublic, qualifyingData: nonce, pcrs: [selectPcrs(TPM_ALG.SHA256, [0, 2, 4, 7])] },
 * )
 */
export function appraiseTpm(evidence: TpmEvidence, expected: TpmExpectations): TpmAppraisal {
  checkSizes(evidence, expected)
  const { akPublic, algorithm } = attestationKey(expected.akPublic)
  const quote = signedQuote(evidence, akPublic)
  checkNonce(quote, expected.qualifyingData)
  checkSelection(quote, expected)
  const pcrs = quotedPcrs(quote, algorithm, evidence, expected)
  for (const reference of expected.references ?? []) {
    checkReference(reference, quote, pcrs, expected.now ?? Date.now())
  }
  const { qualifiedSigner: qualifiedName, clockInfo, firmwareVersion, attested } = quote
  return {
    key: { ...algorithm, name: objectName(akPublic), qualifiedName },
    clockInfo,
    firmwareVersion,
    selection: attested.pcrSelect,
    pcrDigest: attested.pcrDigest,
    pcrs,
  }
}

function checkSizes({ attest, signature, eventLog }: TpmEvidence, { akPublic }: TpmExpectations): void {
  checkSize('attestation key', akPublic, EVIDENCE_LIMITS.publicArea)
  checkSize('quote', attest, EVIDENCE_LIMITS.attest)
  checkSize('quote signature', signature, EVIDENCE_LIMITS.signature)
  if (eventLog !== undefined) checkSize('event log', eventLog, EVIDENCE_LIMITS.eventLog)
}

/** A key that signs only what its TPM made, strongly. Throws Refusal REFUSED_ENROLMENT. */
function attestationKey(bytes: Uint8Array): { akPublic: TPMT_PUBLIC; algorithm: SigningAlgorithm } {
  const akPublic = refuseAs('REFUSED_ENROLMENT', 'attestation key', 'a public area', () =>
    readPublicArea(bytes),
  )
  return refuseAs('REFUSED_ENROLMENT', 'attestation key', 'a restricted signing key of its TPM', () => {
    checkAttestationKey(akPublic)
    return { akPublic, algorithm: signingAlgorithm(akPublic) }
  })
}

/** Throws Refusal REFUSED_SIGNATURE or REFUSED_QUOTE. */
function signedQuote({ attest, signature }: TpmEvidence, akPublic: TPMT_PUBLIC): Quote {
  refuseAs('REFUSED_SIGNATURE', 'quote', "the attestation key's signature, a TPMT_SIGNATURE", () => {
    verifySignature(akPublic, attest, unmarshal(TPMT_SIGNATURE, signature))
  })
  return refuseAs('REFUSED_QUOTE', 'quote', 'what TPM2_Quote signs', () => readQuote(akPublic, attest))
}

function checkNonce({ extraData }: Quote, qualifyingData: Uint8Array): void {
  if (equalBytes(extraData, qualifyingData)) return
  throw new Refusal('REFUSED_BINDING', 'quote', {
    expected: `the qualifying data ${named(qualifyingData)}`,
    found: named(extraData),
    action: 'quote anew with the nonce of this challenge',
  })
}

function named(bytes: Uint8Array): string {
  return bytes.length === 0 ? 'none' : hex(bytes)
}

function checkSelection({ attested }: Quote, { pcrs, coverage = 'exact' }: TpmExpectations): void {
  const [wanted, found] = [selectionsText(pcrs), selectionsText(attested.pcrSelect)]
  const quoted = placesOf(attested.pcrSelect).map(pcrText)
  const covered = placesOf(pcrs).every((place) => quoted.includes(pcrText(place)))
  if (coverage === 'minimum' ? covered : wanted === found) return
  throw new Refusal('REFUSED_PCRS', 'quote', {
    expected: `PCRs ${wanted}${coverage === 'minimum' ? ' among others' : ' and no others'}`,
    found,
    action: 'quote these PCRs',
  })
}

/** Throws Refusal REFUSED_PCRS or REFUSED_EVENT_LOG. */
function quotedPcrs(
  { attested }: Quote,
  { hash }: SigningAlgorithm,
  { pcrValues: values, eventLog }: TpmEvidence,
  { notLogged }: TpmExpectations,
): QuotedPcr[] {
  const selection = attested.pcrSelect
  const areQuoted = (banks: PcrBanks) => equalBytes(pcrDigest(selection, banks, hash), attested.pcrDigest)
  if (values !== undefined) checkValues(values, selection, areQuoted)
  if (eventLog !== undefined) {
    const exempt = values === undefined ? [] : (notLogged ?? [])
    return explainPcrs({ eventLog, selection, values, exempt, areQuoted })
  }
  if (values === undefined) return []
  return placesOf(selection).map((place) => {
    const value = values.get(place.bank)?.get(place.pcr) ?? new Uint8Array()
    return { ...place, value, events: undefined }
  })
}

function checkValues(
  values: PcrBanks,
  selection: TPML_PCR_SELECTION,
  areQuoted: (banks: PcrBanks) => boolean,
): void {
  const missing = placesOf(selection).find(({ bank, pcr }) => {
    const value = values.get(bank)?.get(pcr)
    return value === undefined || (isHash(bank) && value.length !== digestSize(bank))
  })
  if (missing !== undefined) {
    throw new Refusal('REFUSED_PCRS', 'PCR values', {
      expected: `a value of ${pcrText(missing)}`,
      found: 'none',
      action: 'send the values of all quoted PCRs',
    })
  }
  if (areQuoted(values)) return
  throw new Refusal('REFUSED_PCRS', 'PCR values', {
    expected: 'values with the digest that was signed',
    found: 'others',
    action: 'send the values that were quoted, and quote again if a PCR has changed since',
  })
}

/** Throws Refusal REFUSED_PCRS, REFUSED_EVENT_LOG, REFUSED_MEASUREMENT or REFUSED_EXPIRED_REFERENCE. */
function checkReference(
  { bank, pcr, values, events }: TpmReference,
  { attested }: Quote,
  pcrs: readonly QuotedPcr[],
  now: number,
): void {
  const name = pcrText({ bank, pcr })
  const found = pcrs.find((one) => one.bank === bank && one.pcr === pcr)
  if (found === undefined) {
    const quoted = placesOf(attested.pcrSelect).some((one) => pcrText(one) === name)
    throw new Refusal('REFUSED_PCRS', `value of ${name}`, {
      expected: 'a quoted PCR with its value, since reference values name it',
      found: quoted ? 'neither PCR values nor an event log' : 'a PCR that is not quoted',
      action: quoted ? 'send PCR values or an event log' : 'quote this PCR too',
    })
  }
  const code = 'REFUSED_MEASUREMENT'
  if (values !== undefined) {
    requireReference({ values, digest: found.value, code, subject: `value of ${name}`, now })
  }
  if (events === undefined) return
  for (const { number, digest } of requireEvents(found)) {
    requireReference({ values: events, digest, code, subject: `event ${String(number)} in ${name}`, now })
  }
}

/** A PCR without events would satisfy any list of events. */
function requireEvents({ bank, pcr, events }: QuotedPcr): NonNullable<QuotedPcr['events']> {
  if (events !== undefined && events.length > 0) return events
  const code = events === undefined ? 'REFUSED_EVENT_LOG' : 'REFUSED_MEASUREMENT'
  throw new Refusal(code, `events in ${pcrText({ bank, pcr })}`, {
    expected: 'one or more, since reference values name them',
    found: events === undefined ? 'no event log that explains this PCR' : 'none',
    action: 'send an event log of a boot that measures into this PCR',
  })
}
