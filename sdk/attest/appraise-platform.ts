// Steps about whose evidence it is: sizes before anything is parsed, one enrolled platform in every part, signatures.

import { equalBytes, hex, sha256 } from '../crypto/index.ts'
import { type LaunchReport, parseLaunchReport, verifyLaunchReport } from '../evidence/index.ts'
import {
  handleName,
  objectName,
  qualifiedName,
  TPM_RH,
  TPMS_ATTEST,
  TPMT_PUBLIC,
  Tpm2Error,
  unmarshal,
} from '../tpm2/index.ts'
import type { AppraisalInput, Findings } from './appraisal.ts'
import { otherRole } from './binding.ts'
import { anchorsOf, type EnrolmentRecord } from './enrolment.ts'
import type { Policy } from './policy.ts'
import { Refusal, refuseAs } from './refusal.ts'

/** Longest parts of evidence that are looked at, in bytes. */
export const EVIDENCE_LIMITS = {
  publicArea: 1024,
  attest: 1024,
  signature: 1024,
  eventLog: 4 * 1024 * 1024,
  firmwareManifest: 4096,
  report: 4096,
} as const

/** Every part is within bounds before any is parsed. Throws Refusal REFUSED_SIZE. */
export function checkSizes({ delivery, peerReport }: AppraisalInput): string {
  const { measurement, quote, eventLog, firmwareManifest, workerReport } = delivery
  if (measurement.length !== 32) throw tooLong('measurement', '32', measurement)
  checkSize('quote', quote.attest, EVIDENCE_LIMITS.attest)
  checkSize('quote signature', quote.signature, EVIDENCE_LIMITS.signature)
  checkSize('event log', eventLog, EVIDENCE_LIMITS.eventLog)
  checkSize('firmware manifest', firmwareManifest, EVIDENCE_LIMITS.firmwareManifest)
  checkSize('worker report', workerReport, EVIDENCE_LIMITS.report)
  checkSize('peer report', peerReport, EVIDENCE_LIMITS.report)
  return `event log of ${String(eventLog.length)} bytes`
}

/** Throws Refusal REFUSED_SIZE for a part of more than `limit` bytes. */
export function checkSize(subject: string, bytes: Uint8Array, limit: number): void {
  if (bytes.length > limit) throw tooLong(subject, `at most ${String(limit)}`, bytes)
}

function tooLong(subject: string, wanted: string, bytes: Uint8Array): Refusal {
  return new Refusal('REFUSED_SIZE', subject, {
    expected: `${wanted} bytes`,
    found: `${String(bytes.length)} bytes`,
    action: 'send evidence within the documented bounds',
  })
}

/** The record is whole and its trust anchor is still the policy's. Throws Refusal REFUSED_ENROLMENT. */
export function checkEnrolment(policy: Policy, enrolment: EnrolmentRecord): string {
  const { anchor, akName, ekName, akPublic, ekPublic } = enrolment
  const trusted = anchorsOf(policy.trustAnchors).some((root) => equalBytes(sha256(root), anchor))
  if (!trusted) {
    throw new Refusal('REFUSED_ENROLMENT', 'platform', {
      expected: `one certified by the policy's ${String(policy.trustAnchors.length)} trust anchors`,
      found: `one certified by ${hex(anchor)}`,
      action: 'enrol the platform with this policy',
    })
  }
  const named = refuseAs('REFUSED_ENROLMENT', 'enrolment record', 'two public areas', () =>
    [ekPublic, akPublic].map((area) => objectName(unmarshal(TPMT_PUBLIC, area))),
  )
  const whole = [ekName, akName].every((name, at) => equalBytes(name, named[at] ?? new Uint8Array()))
  if (whole) return `attestation key ${hex(akName)}`
  throw new Refusal('REFUSED_ENROLMENT', 'enrolment record', {
    expected: 'the names of its own public areas',
    found: 'others',
    action: 'remove the record and enrol again',
  })
}

/** Every part says that it is of the enrolled platform. Throws Refusal REFUSED_PLATFORM_MIX. */
export function checkPlatform(input: AppraisalInput): string {
  const { policy, enrolment, open, delivery } = input
  checkPinned(policy, enrolment)
  requirePlatform('terms', open.platform, enrolment)
  for (const [subject, bytes] of reportsOf(input)) {
    requirePlatform(subject, parseReport(subject, bytes).platformId, enrolment)
  }
  checkQuoteSigner(delivery.quote.attest, enrolment)
  return `endorsement key ${hex(enrolment.ekName)}`
}

/** The policy either pins no platform or this one. Throws Refusal REFUSED_PLATFORM_MIX. */
export function checkPinned({ platforms }: Policy, { ekName }: EnrolmentRecord): void {
  if (platforms === undefined || platforms.includes(hex(ekName))) return
  throw new Refusal('REFUSED_PLATFORM_MIX', 'platform', {
    expected: `one of the ${String(platforms.length)} platforms that the policy pins`,
    found: hex(ekName),
  })
}

/** Throws Refusal REFUSED_PLATFORM_MIX unless `platformId` is the enrolled endorsement key's name. */
export function requirePlatform(subject: string, platformId: Uint8Array, { ekName }: EnrolmentRecord): void {
  if (equalBytes(platformId, ekName)) return
  throw new Refusal('REFUSED_PLATFORM_MIX', subject, {
    expected: `the enrolled platform ${hex(ekName)}`,
    found: hex(platformId),
    action: 'use parts of one platform',
  })
}

/** A report, unverified. Throws Refusal REFUSED_SIZE when it is none. */
export function parseReport(subject: string, bytes: Uint8Array): LaunchReport {
  return refuseAs('REFUSED_SIZE', subject, 'a launch report', () => parseLaunchReport(bytes))
}

/**
 * A quote names its signer. A foreign name is refused here, as a mix; a false one is left to the signature. The name
 * also says that the key is in the endorsement hierarchy: elsewhere a TPM obfuscates the reset count.
 */
function checkQuoteSigner(attest: Uint8Array, { akPublic }: EnrolmentRecord): void {
  const named = quoteSigner(attest)
  const enrolled = qualifiedName(handleName(TPM_RH.ENDORSEMENT), unmarshal(TPMT_PUBLIC, akPublic))
  if (named === undefined || equalBytes(named, enrolled)) return
  throw new Refusal('REFUSED_PLATFORM_MIX', 'quote', {
    expected: `the enrolled attestation key ${hex(enrolled)} of the endorsement hierarchy`,
    found: hex(named),
    action: 'quote with the attestation key that was enrolled',
  })
}

function quoteSigner(attest: Uint8Array): Uint8Array | undefined {
  try {
    return unmarshal(TPMS_ATTEST, attest).qualifiedSigner
  } catch (error) {
    if (error instanceof Tpm2Error) return undefined
    throw error
  }
}

function reportsOf({ delivery, peerReport }: AppraisalInput): [string, Uint8Array][] {
  return [
    ['worker report', delivery.workerReport],
    ['peer report', peerReport],
  ]
}

/** Every report is signed by the platform's report key. Throws Refusal REFUSED_SIGNATURE. */
export function verifyReports(input: AppraisalInput, findings: Findings): string {
  const { enrolment, delivery, peerReport } = input
  findings.worker = verifyReport('worker report', delivery.workerReport, enrolment)
  findings.peer = verifyReport('peer report', peerReport, enrolment)
  return `report key ${hex(enrolment.reportKey.digest)}`
}

/** A report, verified. Throws Refusal REFUSED_SIGNATURE. */
export function verifyReport(
  subject: string,
  bytes: Uint8Array,
  { reportKey }: EnrolmentRecord,
): LaunchReport {
  return refuseAs('REFUSED_SIGNATURE', subject, "the platform's signature", () =>
    verifyLaunchReport(bytes, reportKey),
  )
}

/** The terms cite the peer's report that was judged. Throws Refusal REFUSED_BINDING. */
export function checkReportDigest({ open, role, peerReport }: AppraisalInput): void {
  const side = otherRole(role)
  if (equalBytes(sha256(peerReport), open[side].report)) return
  throw new Refusal('REFUSED_BINDING', `launch report of the ${side}`, {
    expected: `the one with digest ${hex(open[side].report)}, which the terms cite`,
    found: hex(sha256(peerReport)),
  })
}
