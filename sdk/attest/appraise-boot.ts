// Steps about what booted: the event log explains the quoted PCRs, and firmware, its signed manifest, configuration and
// hypervisor are in the policy (claim 4; P-07, P-09). The log's digests are trusted once they replay; event types and
// most event data are not covered by them and decide nothing.

import { equalBytes, hex } from '../crypto/index.ts'
import {
  encodeTaggedEvent,
  EVENT_TAG,
  firmwareManifestDigest,
  parseEventLog,
  KNOWN_PCRS,
  PROFILE_PCRS,
  readBootProfile,
  replay,
  verifyFirmwareManifest,
} from '../evidence/index.ts'
import { hash, pcrDigest, selectPcrs, TPM_ALG } from '../tpm2/index.ts'
import { type AppraisalInput, type Findings, known } from './appraisal.ts'
import { placesOf, wayOf } from './appraise-tpm-log.ts'
import { selectionOf } from './policy.ts'
import { requireReference } from './reference.ts'
import { Refusal, refuseAs } from './refusal.ts'

/** The log replays to the quoted PCR digest. Throws Refusal REFUSED_EVENT_LOG. */
export function checkPcrs({ policy, delivery }: AppraisalInput, findings: Findings): string {
  const bank = selectionOf(policy).hash
  const selection = [selectPcrs(bank, policy.pcrs.select)]
  const { log, values, replayed } = refuseAs(
    'REFUSED_EVENT_LOG',
    'event log',
    'a crypto-agile TCG log',
    () => {
      const log = parseEventLog(delivery.eventLog)
      const values = replay(log, bank)
      return {
        log,
        values,
        replayed: pcrDigest(selection, new Map([[bank, values]]), known(findings, 'quoteHash')),
      }
    },
  )
  const quoted = known(findings, 'quotedPcrDigest')
  if (!equalBytes(replayed, quoted)) {
    throw new Refusal('REFUSED_EVENT_LOG', 'event log', {
      expected: `a log that replays to the quoted PCR digest ${hex(quoted)}`,
      found: `one that replays to ${hex(replayed)}${wayOf(log, placesOf(selection))}`,
      action: 'relay the log of the platform unchanged, read after the quote',
    })
  }
  findings.log = log
  findings.replayed = values
  return `PCRs ${policy.pcrs.select.join(', ')} of ${policy.pcrs.bank}, ${String(log.events.length)} events`
}

/** The PCRs hold what a boot profile puts there and nothing else. Throws Refusal REFUSED_EVENT_LOG. */
export function readBoot({ policy }: AppraisalInput, findings: Findings): string {
  const boot = refuseAs('REFUSED_EVENT_LOG', 'event log', 'boot profile image or uefi', () =>
    readBootProfile(known(findings, 'log'), selectionOf(policy).hash),
  )
  findings.boot = boot
  return `boot profile ${boot.name}`
}

/**
 * Every PCR that says what booted is quoted, and those that the policy knows have a value of it. In profile uefi the
 * log's event types are all that says which profile it is, so PCR 0 must be known there, and PCR 2, whose code runs before
 * the separators. Throws Refusal
 * REFUSED_MEASUREMENT or REFUSED_EXPIRED_REFERENCE.
 */
export function checkPcrValues({ policy, now = Date.now() }: AppraisalInput, findings: Findings): string {
  const { name } = known(findings, 'boot')
  const { select, values = [] } = policy.pcrs
  const missing = PROFILE_PCRS[name].find((pcr) => !select.includes(pcr))
  if (missing !== undefined) {
    throw profileRefusal(name, `PCR ${String(missing)} in pcrs.select`)
  }
  const unknown = KNOWN_PCRS[name].find((pcr) => !values.some((known) => known.pcr === pcr))
  if (unknown !== undefined) throw profileRefusal(name, `PCR ${String(unknown)} in pcrs.values`)
  const replayed = known(findings, 'replayed')
  for (const { pcr, digests } of values) {
    const digest = replayed.get(pcr) ?? new Uint8Array()
    requireReference({
      values: digests,
      digest,
      code: 'REFUSED_MEASUREMENT',
      subject: `value of PCR ${String(pcr)}`,
      now,
    })
  }
  return values.length === 0 ? 'none is known' : `PCRs ${values.map(({ pcr }) => pcr).join(', ')} as known`
}

function profileRefusal(profile: string, expected: string): Refusal {
  return new Refusal('REFUSED_MEASUREMENT', `policy for boot profile ${profile}`, {
    expected,
    found: 'none',
    action: 'learn a policy from a platform that boots so, and check its values',
  })
}

/**
 * Claim 4: the platform's signed firmware digest, the measured event, the host's word and the policy all agree.
 * Throws Refusal REFUSED_MEASUREMENT or REFUSED_EXPIRED_REFERENCE.
 */
export function checkFirmware(
  { policy, delivery, now = Date.now() }: AppraisalInput,
  findings: Findings,
): string {
  const { firmwareImageDigest: digest } = known(findings, 'worker')
  const measured = known(findings, 'boot').firmwareImageDigest
  requireMeasurement('measurement in the message', digest, delivery.measurement)
  const lookup = {
    values: policy.firmware.images,
    code: 'REFUSED_MEASUREMENT',
    subject: 'firmware image',
    now,
  } as const
  // In the SHA-384 bank, profile image measured the image with that hash.
  if (measured.length === digest.length) requireMeasurement('measured firmware image', digest, measured)
  else requireReference({ ...lookup, digest: measured })
  requireReference({ ...lookup, digest })
  return hex(digest)
}

function requireMeasurement(subject: string, platforms: Uint8Array, found: Uint8Array): void {
  if (equalBytes(platforms, found)) return
  throw new Refusal('REFUSED_MEASUREMENT', subject, {
    expected: `${hex(platforms)}, which the platform signed`,
    found: hex(found),
    action: 'relay the measurement of the firmware that booted',
  })
}

/**
 * The manifest is the measured one, is about this image, and its signer is in the policy.
 * Throws Refusal REFUSED_SIGNER, or REFUSED_MEASUREMENT when it vouches for another image.
 */
export function checkSigner({ policy, delivery }: AppraisalInput, findings: Findings): string {
  const worker = known(findings, 'worker')
  const measured = known(findings, 'boot').firmwareManifest
  const digest = firmwareManifestDigest(delivery.firmwareManifest)
  if (measured === undefined || !equalBytes(measured, delivery.firmwareManifest)) {
    throw manifestRefusal(
      measured === undefined ? 'no measured manifest' : `another manifest, ${hex(digest)}`,
    )
  }
  if (!equalBytes(digest, worker.firmwareManifestDigest)) {
    throw manifestRefusal(`one that the platform's report does not cite, ${hex(digest)}`)
  }
  const manifest = refuseAs('REFUSED_SIGNER', 'firmware manifest', "its signer's signature", () =>
    verifyFirmwareManifest(delivery.firmwareManifest),
  )
  if (!policy.firmware.signers.includes(hex(manifest.signer))) {
    throw new Refusal('REFUSED_SIGNER', 'firmware manifest', {
      expected: `one of ${String(policy.firmware.signers.length)} signers of the policy`,
      found: hex(manifest.signer),
      action: 'use firmware of a vendor that the policy names',
    })
  }
  requireMeasurement('image in the firmware manifest', worker.firmwareImageDigest, manifest.digest)
  findings.manifest = manifest
  return hex(manifest.signer)
}

function manifestRefusal(found: string): Refusal {
  return new Refusal('REFUSED_SIGNER', 'firmware manifest', {
    expected: 'the signed manifest that was measured at boot',
    found,
    action: 'relay the manifest that the platform measured',
  })
}

/** The firmware is not older than the policy allows (threat A-07). Throws Refusal REFUSED_SVN. */
export function checkSecurityVersion({ policy }: AppraisalInput, findings: Findings): string {
  const { svn } = known(findings, 'manifest')
  const reported = known(findings, 'worker').svn
  if (svn !== reported) {
    const detail = { expected: `${String(svn)}, as the manifest says`, found: String(reported) }
    throw new Refusal('REFUSED_SVN', "security version in the platform's report", detail)
  }
  const { minimumSvn } = policy.firmware
  if (svn >= minimumSvn) return `${String(svn)}, at least ${String(minimumSvn)}`
  throw new Refusal('REFUSED_SVN', 'security version of the firmware', {
    expected: `at least ${String(minimumSvn)}`,
    found: String(svn),
    action: 'update the firmware',
  })
}

/** The configuration event is in the policy, if the policy names any. Throws Refusal REFUSED_MEASUREMENT. */
export function checkConfiguration({ policy, now = Date.now() }: AppraisalInput, findings: Findings): string {
  const digest = configurationDigest(known(findings, 'boot').configuration, selectionOf(policy).hash)
  if (policy.configuration === undefined) return `${hex(digest)}, not judged`
  const values = policy.configuration
  requireReference({ values, digest, code: 'REFUSED_MEASUREMENT', subject: 'configuration', now })
  return hex(digest)
}

/** What the configuration event extends its PCR with: the hash of the event's data in `bank` (TPM_ALG). */
export function configurationDigest(configuration: Uint8Array, bank: number = TPM_ALG.SHA256): Uint8Array {
  return hash(
    bank,
    encodeTaggedEvent({ taggedEventID: EVENT_TAG.CONFIGURATION, taggedEventData: configuration }),
  )
}

/** The hypervisor in PCR 4 is in the policy. Throws Refusal REFUSED_HYPERVISOR or REFUSED_EXPIRED_REFERENCE. */
export function checkHypervisor({ policy, now = Date.now() }: AppraisalInput, findings: Findings): string {
  const digest = known(findings, 'boot').hypervisorDigest
  const values = policy.hypervisors
  requireReference({ values, digest, code: 'REFUSED_HYPERVISOR', subject: 'hypervisor image', now })
  return hex(digest)
}
