// A policy in plain words, for the person who must answer for it.

import { X509Certificate } from 'node:crypto'
import { hex, sha256 } from '../crypto/index.ts'
import { anchorsOf } from './enrolment.ts'
import type { Policy, ReferenceValue } from './policy.ts'

/** Lines that say what a policy accepts, and what an absent or empty list means. */
export function explainPolicy(policy: Policy): string[] {
  return [
    ...(policy.description === undefined ? [] : [policy.description]),
    ...anchorLines(policy),
    ...listed('Firmware images', policy.firmware.images),
    policy.firmware.signers.length === 0
      ? 'Firmware signers: none, so every firmware is refused.'
      : `Firmware signers: ${policy.firmware.signers.join(', ')}.`,
    `Firmware security version: ${String(policy.firmware.minimumSvn)} or higher.`,
    ...listed('Hypervisor images', policy.hypervisors),
    ...listed('Worker images', policy.workers.map(namedByKind)),
    ...peerLines(policy),
    `Quotes must cover exactly PCRs ${policy.pcrs.select.join(', ')} of the ${policy.pcrs.bank} bank.`,
    ...(policy.pcrs.values ?? []).flatMap(({ pcr, digests }) =>
      listed(`Values of PCR ${String(pcr)}`, digests),
    ),
    ...(policy.configuration === undefined
      ? ['Configuration of the platform: any.']
      : listed('Configuration events of the platform', policy.configuration)),
    policy.allowEmulated
      ? 'Emulated platforms are accepted: they give no isolation, so this is for development and tests.'
      : 'Emulated platforms are refused.',
    policy.allowGroupScope === true
      ? "Keys of scope GROUP are accepted from either side: the worker can read all of a share group's memory then, and the host sees which of its pages are equal."
      : 'Keys of scope GROUP are refused: no side gives the common key of a share group.',
    policy.maximumResets === undefined
      ? 'Resets of the platform: any number.'
      : `Resets of the platform after the first evidence: at most ${String(policy.maximumResets)}.`,
    policy.platforms === undefined
      ? 'Platforms: any that a trust anchor certifies.'
      : `Platforms: only ${policy.platforms.join(', ')}.`,
  ]
}

function anchorLines({ trustAnchors }: Policy): string[] {
  if (trustAnchors.length === 0) return ['Trust anchors: none, so every platform is refused.']
  return anchorsOf(trustAnchors).map((der) => {
    const { subject, validTo } = new X509Certificate(der)
    return `Trust anchor: ${subject.split('\n').join(', ')}, valid until ${validTo}, SHA-256 ${hex(sha256(der))}.`
  })
}

function listed(what: string, values: readonly ReferenceValue[]): string[] {
  if (values.length === 0) return [`${what}: none, so every one is refused.`]
  return [`${what}:`, ...values.map(valueLine)]
}

/** A worker may be listed by the SHA-256 of its image or by its launch digest, which is longer. */
function namedByKind(value: ReferenceValue): ReferenceValue {
  return value.digest.length === 64 ? value : { ...value, digest: `launch digest ${value.digest}` }
}

function valueLine({ digest, description, notAfter }: ReferenceValue): string {
  const end = notAfter === undefined ? '' : `, until ${notAfter}`
  return `  ${digest}${end}${description === undefined ? '' : ` (${description})`}`
}

function peerLines({ peers }: Policy): string[] {
  if (peers.length === 0) return ['Peers: none, so every clone is refused.']
  const lines = peers.map(({ identity, measurement, description }) => {
    const image = measurement === undefined ? '' : ` with measurement ${measurement}`
    return `  identity ${identity}${image}${description === undefined ? '' : ` (${description})`}`
  })
  return ["Peers, each of which may have this VM's data:", ...lines]
}
