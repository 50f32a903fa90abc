// Appraisal: evidence against a policy, in a fixed order, fail closed, one reason each. Sizes come before parsing,
// signatures before meaning, meaning before preference; the first step that fails ends it, and no step can be skipped.
// Source: the order that verifiers of quotes share (go-attestation), extended by the worker's and the peer's reports.

import {
  type Appraisal,
  type AppraisalInput,
  type AppraisalStep,
  type Findings,
  known,
  type Step,
} from './appraisal.ts'
import {
  checkConfiguration,
  checkFirmware,
  checkHypervisor,
  checkPcrs,
  checkPcrValues,
  checkSecurityVersion,
  checkSigner,
  readBoot,
} from './appraise-boot.ts'
import { checkEnrolment, checkPlatform, checkSizes, verifyReports } from './appraise-platform.ts'
import { checkQuote, checkTerms, checkWorkerBinding } from './appraise-terms.ts'
import { checkClock, checkEmulated, checkPeer, checkWorker } from './appraise-vms.ts'

/** The order. Tests take single steps out to show what each of them is for. */
export const steps: readonly Step[] = [
  { name: 'sizes', check: checkSizes },
  { name: 'enrolment', check: ({ policy, enrolment }) => checkEnrolment(policy, enrolment) },
  { name: 'platform', check: checkPlatform },
  { name: 'signatures', check: verifyReports },
  { name: 'quote', check: checkQuote },
  { name: 'worker-binding', check: checkWorkerBinding },
  { name: 'terms', check: checkTerms },
  { name: 'pcrs', check: checkPcrs },
  { name: 'boot', check: readBoot },
  { name: 'pcr-values', check: checkPcrValues },
  { name: 'firmware', check: checkFirmware },
  { name: 'signer', check: checkSigner },
  { name: 'security-version', check: checkSecurityVersion },
  { name: 'configuration', check: checkConfiguration },
  { name: 'hypervisor', check: checkHypervisor },
  { name: 'worker', check: checkWorker },
  { name: 'clock', check: checkClock },
  { name: 'peer', check: checkPeer },
  { name: 'emulated', check: checkEmulated },
]

/**
 * Judges evidence. Returns only when every step passed; otherwise throws {@link Refusal} with the first step's reason
 * and has changed nothing. The caller has burnt the challenge's nonce before (see ChallengeBook) and releases keys only
 * to `open.workerKey` of these terms.
 *
 * @example
 * book.burn(challenge.nonce)
 * const appraisal = appraise({ policy, enrolment, open, transcript, role: 'source', challenge, own, approved, peerReport, delivery })
 * for (const { name, finding } of appraisal.steps) log.info({ name, finding })
 */
export function appraise(input: AppraisalInput): Appraisal {
  return runSteps(steps, input)
}

/** Runs `list` in order. Only {@link appraise} decides about keys; this is apart so that tests can weaken the list. */
export function runSteps(list: readonly Step[], given: AppraisalInput): Appraisal {
  // One time for all steps, so that no reference value expires in the middle.
  const input = { ...given, now: given.now ?? Date.now() }
  const findings: Findings = {}
  const passed: AppraisalStep[] = []
  for (const { name, check } of list) {
    const started = performance.now()
    const finding = check(input, findings)
    passed.push({ name, finding, ms: performance.now() - started })
  }
  const worker = known(findings, 'worker')
  return {
    steps: passed,
    platform: input.enrolment.ekName,
    firmware: worker.firmwareImageDigest,
    manifest: known(findings, 'manifest'),
    hypervisor: known(findings, 'boot').hypervisorDigest,
    worker,
    peer: known(findings, 'peer'),
    clock: known(findings, 'clock'),
  }
}
