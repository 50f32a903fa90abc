// Steps about who runs: the worker is a listed image, time has not gone back, the peer is one that the policy names,
// and an emulated platform is accepted only where the policy says so.

import { equalBytes, hex } from '../crypto/index.ts'
import type { LaunchReport } from '../evidence/index.ts'
import type { TPMS_CLOCK_INFO } from '../tpm2/index.ts'
import { type AppraisalInput, type ClockState, type Findings, known } from './appraisal.ts'
import {
  checkEnrolment,
  checkPinned,
  checkSize,
  EVIDENCE_LIMITS,
  parseReport,
  requirePlatform,
  verifyReport,
} from './appraise-platform.ts'
import { otherRole } from './binding.ts'
import type { EnrolmentRecord } from './enrolment.ts'
import type { Policy } from './policy.ts'
import { requireReference } from './reference.ts'
import { Refusal } from './refusal.ts'

/** The worker is one, is listed and cannot be debugged. Throws Refusal REFUSED_WORKER or REFUSED_EXPIRED_REFERENCE. */
export function checkWorker({ policy, now = Date.now() }: AppraisalInput, findings: Findings): string {
  const { kind, debug, measurement, launchDigest } = known(findings, 'worker')
  if (kind !== 'worker' || debug) {
    throw new Refusal('REFUSED_WORKER', 'worker report', {
      expected: 'that of a worker that cannot be debugged',
      found: kind === 'worker' ? 'that of one that can' : `that of a ${kind}`,
    })
  }
  // 64 digits name an image, 96 a launch of it: by their length neither can be taken for the other.
  return requireReference({
    values: policy.workers,
    digest: measurement,
    otherDigest: launchDigest,
    code: 'REFUSED_WORKER',
    subject: 'worker image',
    now,
  }).digest
}

/**
 * The platform's clock goes on and all parts are of one boot. Throws Refusal REFUSED_RESET.
 * Source: TPM 2.0 Library, Part 1, clause 36 (clock, resetCount and restartCount).
 */
export function checkClock({ policy, clock }: AppraisalInput, findings: Findings): string {
  const quoted = known(findings, 'quotedClock')
  const { worker, peer } = findings
  for (const [subject, report] of Object.entries({ worker, peer })) {
    if (report !== undefined && report.resetCount !== quoted.resetCount) {
      throw resetRefusal(`${subject} report`, `reset count ${String(quoted.resetCount)}, as quoted`, report)
    }
  }
  const state: ClockState = { firstResetCount: clock?.firstResetCount ?? quoted.resetCount, last: quoted }
  if (clock !== undefined && wentBack(clock.last, quoted)) {
    throw resetRefusal('quoted clock', `one after ${inWords(clock.last)}`, quoted)
  }
  const resets = quoted.resetCount - state.firstResetCount
  if (policy.maximumResets !== undefined && resets > policy.maximumResets) {
    throw resetRefusal(
      'quoted clock',
      `at most ${String(policy.maximumResets)} resets since the first evidence`,
      quoted,
    )
  }
  findings.clock = state
  return `${String(resets)} resets since the first evidence`
}

function wentBack(last: TPMS_CLOCK_INFO, next: TPMS_CLOCK_INFO): boolean {
  if (next.resetCount !== last.resetCount) return next.resetCount < last.resetCount
  if (next.restartCount !== last.restartCount) return next.restartCount < last.restartCount
  return next.clock < last.clock
}

function inWords({ resetCount, clock }: { resetCount: number; clock: bigint }): string {
  return `reset count ${String(resetCount)}, clock ${clock.toString()} ms`
}

function resetRefusal(
  subject: string,
  expected: string,
  found: { resetCount: number; clock: bigint },
): Refusal {
  return new Refusal('REFUSED_RESET', subject, {
    expected,
    found: inWords(found),
    action: 'the platform restarted: enrol and attest again',
  })
}

/** The other side is the VM of the terms and is in the policy. Throws Refusal REFUSED_PEER. */
export function checkPeer({ policy, open, role }: AppraisalInput, findings: Findings): string {
  const side = otherRole(role)
  const peer = known(findings, 'peer')
  if (!equalBytes(peer.ownerIdKeyDigest, open[side].identity)) {
    throw new Refusal('REFUSED_PEER', `identity of the ${side}`, {
      expected: `${hex(open[side].identity)}, as the terms say`,
      found: hex(peer.ownerIdKeyDigest),
    })
  }
  requirePeer(policy, peer, open[side].vm)
  return hex(peer.ownerIdKeyDigest)
}

/** A verified report is that of guest `vm` and the policy names its owner. Throws Refusal REFUSED_PEER. */
function requirePeer({ peers }: Policy, report: LaunchReport, vm: string): void {
  const identity = hex(report.ownerIdKeyDigest)
  if (report.kind !== 'guest' || report.vm !== vm || report.debug) {
    throw new Refusal('REFUSED_PEER', 'peer report', {
      expected: `that of guest "${vm}", not debugged`,
      found: `that of ${report.debug ? 'debugged ' : ''}${report.kind} "${report.vm}"`,
    })
  }
  const rules = peers.filter((peer) => peer.identity === identity)
  const measurement = hex(report.measurement)
  if (rules.some((rule) => rule.measurement === undefined || rule.measurement === measurement)) return
  throw new Refusal('REFUSED_PEER', 'peer', {
    expected: `one of ${String(peers.length)} peers of the policy`,
    found:
      rules.length === 0 ? `identity ${identity}` : `identity ${identity} with measurement ${measurement}`,
    action: 'name the peer in the policy only if it may have this data',
  })
}

/** An emulated platform needs the policy's word. Throws Refusal REFUSED_EMULATED. */
export function checkEmulated({ policy }: AppraisalInput, findings: Findings): string {
  const emulated = known(findings, 'worker').emulated || known(findings, 'peer').emulated
  requireAllowed(policy, emulated)
  return emulated ? 'emulated, as the policy allows' : 'not emulated'
}

function requireAllowed({ allowEmulated }: Policy, emulated: boolean): void {
  if (!emulated || allowEmulated) return
  throw new Refusal('REFUSED_EMULATED', 'platform', {
    expected: 'hardware',
    found: 'an emulated platform, which gives no isolation',
    action: 'set allowEmulated in the policy, for development and tests only',
  })
}

/**
 * Judges the other side's VM alone, before there are terms: is it on the enrolled platform, and one that the policy
 * names? Returns its launch report. Throws Refusal REFUSED_SIZE, REFUSED_ENROLMENT, REFUSED_PLATFORM_MIX,
 * REFUSED_SIGNATURE, REFUSED_PEER or REFUSED_EMULATED.
 */
export function appraisePeer(options: {
  readonly policy: Policy
  readonly enrolment: EnrolmentRecord
  /** the peer's launch report, COSE_Sign1 */
  readonly report: Uint8Array
  /** the peer's name on the host */
  readonly vm: string
}): LaunchReport {
  const { policy, enrolment, report: bytes, vm } = options
  const subject = 'peer report'
  checkSize(subject, bytes, EVIDENCE_LIMITS.report)
  checkEnrolment(policy, enrolment)
  checkPinned(policy, enrolment)
  requirePlatform(subject, parseReport(subject, bytes).platformId, enrolment)
  const report = verifyReport(subject, bytes, enrolment)
  requirePeer(policy, report, vm)
  requireAllowed(policy, report.emulated)
  return report
}
