// A policy from a golden boot: what one running platform measured becomes the reference values. This trusts the machine
// that it learns from, so it says so; it saves typing, not thinking.

import { fromHex, hex, parseCertificates } from '../crypto/index.ts'
import {
  type EventLog,
  KNOWN_PCRS,
  parseEventLog,
  PROFILE_PCRS,
  readBootProfile,
  replay,
  verifyFirmwareManifest,
} from '../evidence/index.ts'
import { configurationDigest } from './appraise-boot.ts'
import {
  type PcrReference,
  type PeerRule,
  parsePolicy,
  type Policy,
  type ReferenceValue,
  selectionOf,
} from './policy.ts'
import type { PolicyBank } from './policy.ts'

/** What a policy is learnt from. */
export interface GoldenBoot {
  /** manufacturers' root certificates, PEM */
  readonly trustAnchors: readonly string[]
  /** SHA-256 of the firmware image; better from the file than from the machine */
  readonly firmwareDigest: Uint8Array
  /** COSE_Sign1 */
  readonly firmwareManifest: Uint8Array
  /** crypto-agile TCG event log */
  readonly eventLog: Uint8Array
  /** SHA-256 of the worker image, or of several */
  readonly workerMeasurement: Uint8Array | readonly Uint8Array[]
  /** peers: digests of identity keys, hexadecimal, or rules */
  readonly peers: readonly (string | PeerRule)[]
  /** bank that quotes shall be of; default sha256 */
  readonly bank?: PolicyBank
  /** default true: what is learnt from is usually an emulator, and a warning says so */
  readonly allowEmulated?: boolean
  /** default false */
  readonly allowGroupScope?: boolean
}

/** A learnt policy, ready to be written as JSON, and what its reader must know. */
export interface Learned {
  readonly policy: Policy
  /** sentences for people */
  readonly warnings: readonly string[]
}

/**
 * Makes a policy that accepts exactly what `boot` describes. Throws the errors of sdk/evidence when log or manifest are
 * none, and PolicyError when a certificate or peer is none.
 */
export function learnPolicy(boot: GoldenBoot): Learned {
  const { trustAnchors, bank = 'sha256', allowEmulated = true } = boot
  const algorithm = selectionOf({ pcrs: { bank, select: [] } }).hash
  const log = parseEventLog(boot.eventLog)
  const profile = readBootProfile(log, algorithm)
  const manifest = verifyFirmwareManifest(boot.firmwareManifest)
  const policy = parsePolicy(
    {
      version: 1,
      description: 'Learnt from one boot.',
      trustAnchors: trustAnchors.flatMap((pem) =>
        parseCertificates(pem).map((certificate) => certificate.pem),
      ),
      firmware: {
        images: distinct([
          { digest: hex(boot.firmwareDigest), description: manifest.description },
          ...(profile.name === 'uefi' || bank === 'sha256'
            ? []
            : [{ digest: hex(profile.firmwareImageDigest) }]),
        ]),
        signers: [hex(manifest.signer)],
        minimumSvn: manifest.svn,
      },
      hypervisors: [{ digest: hex(profile.hypervisorDigest) }],
      workers: workersOf(boot).map((digest) => ({ digest: hex(digest) })),
      peers: boot.peers.map((peer) => (typeof peer === 'string' ? { identity: hex(fromHex(peer)) } : peer)),
      pcrs: {
        bank,
        select: PROFILE_PCRS[profile.name],
        ...(profile.name === 'uefi' ? { values: valuesOf(log, algorithm) } : {}),
      },
      configuration: [{ digest: hex(configurationDigest(profile.configuration, algorithm)) }],
      allowEmulated,
      ...(boot.allowGroupScope === true ? { allowGroupScope: true } : {}),
    },
    'the learnt policy',
  )
  return { policy, warnings: warningsFor(boot, policy, hex(profile.firmwareImageDigest)) }
}

/** What UEFI firmware said of itself and of Secure Boot. */
function valuesOf(log: EventLog, bank: number): PcrReference[] {
  const values = replay(log, bank)
  return [...KNOWN_PCRS.uefi, 7].map((pcr) => ({
    pcr,
    digests: [{ digest: hex(values.get(pcr) ?? new Uint8Array()) }],
  }))
}

function workersOf({ workerMeasurement }: GoldenBoot): readonly Uint8Array[] {
  return workerMeasurement instanceof Uint8Array ? [workerMeasurement] : workerMeasurement
}

function distinct(values: readonly ReferenceValue[]): ReferenceValue[] {
  return values.filter(({ digest }, at) => values.findIndex((other) => other.digest === digest) === at)
}

function warningsFor(boot: GoldenBoot, policy: Policy, measured: string): string[] {
  const warnings = [
    'This policy trusts the machine that it was learnt from: if that machine was already changed, the change is now allowed. ' +
      'Compare the digests with those that the vendors publish, or with sha256sum of your own files.',
  ]
  if (measured.length === 64 && hex(boot.firmwareDigest) !== measured) {
    warnings.push(`The log measured the firmware ${measured}, not the given one: this boot will be refused.`)
  }
  if (policy.allowEmulated) {
    warnings.push(
      'It accepts emulated platforms, which give no isolation: set allowEmulated to false for production.',
    )
  }
  if (policy.allowGroupScope === true) {
    warnings.push(
      'It accepts keys of scope GROUP: mode both does the same job with keys that open one frame each.',
    )
  }
  if (policy.peers.length === 0) warnings.push('It names no peer, so every clone is refused: add peers.')
  warnings.push('Its reference values never expire: give them notAfter to be reminded.')
  return warnings
}
