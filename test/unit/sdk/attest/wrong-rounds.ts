// Rounds that are wrong in one thing each: what it is, the code it must be refused with, and how it is made.

import type { AppraisalInput, Open, RefusalCode } from '../../../../sdk/attest/index.ts'
import { bindingDigest } from '../../../../sdk/attest/index.ts'
import { hex, IdentityKey, sha256, utf8 } from '../../../../sdk/crypto/index.ts'
import { workerLaunchDigest } from '../../../../sdk/evidence/index.ts'
import { selectPcrs, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { attestation, softwareAk } from '../tpm2/software-key.ts'
import {
  boot,
  makeManufacturer,
  makeWorld,
  manifestOf,
  policyOf,
  quote,
  report,
  round,
  WORKER,
} from './world.ts'

/** The world that is judged, and another platform of the same manufacturer. */
export const world = await makeWorld()
export const other = await makeWorld({ manufacturer: world.manufacturer })

type Deliver = Partial<AppraisalInput['delivery']>
/** The round with parts of what the host relays replaced. */
export const deliver = (input: AppraisalInput, change: Deliver): AppraisalInput => ({
  ...input,
  delivery: { ...input.delivery, ...change },
})

/** A wrong thing: what it is, its code, and the round with it. */
export type Wrong = [title: string, code: RefusalCode, make: () => AppraisalInput]

/** A round on a platform that booted something else. */
const booted = (
  parts: Parameters<typeof boot>[0],
  change: Parameters<typeof round>[1] = {},
): AppraisalInput => round({ ...world, boot: boot(parts) }, change)

/** An honest round by another policy of the source. */
export const policyWith = (change: object): AppraisalInput =>
  round(world, { policy: policyOf(world, 'source', change) })

/** The source's policy, with the launch of the honest worker in the place of its image. */
export const namingLaunch = (more: { readonly notAfter?: string }): AppraisalInput['policy'] =>
  policyOf(world, 'source', { workers: [{ digest: hex(workerLaunchDigest(WORKER)), ...more }] })

export const sizes: Wrong[] = [
  [
    'a measurement of another length',
    'REFUSED_SIZE',
    () => deliver(round(world), { measurement: new Uint8Array(31) }),
  ],
  ['no measurement', 'REFUSED_SIZE', () => deliver(round(world), { measurement: new Uint8Array() })],
  [
    'a report of a megabyte',
    'REFUSED_SIZE',
    () => deliver(round(world), { workerReport: new Uint8Array(1 << 20) }),
  ],
  ['a log of 5 MiB', 'REFUSED_SIZE', () => deliver(round(world), { eventLog: new Uint8Array(5 << 20) })],
  ['a report that is none', 'REFUSED_SIZE', () => deliver(round(world), { workerReport: utf8('report') })],
]

export const platforms: Wrong[] = [
  ['a policy without trust anchors', 'REFUSED_ENROLMENT', () => policyWith({ trustAnchors: [] })],
  [
    'a policy with another manufacturer',
    'REFUSED_ENROLMENT',
    () => policyWith({ trustAnchors: [makeManufacturer().certificate.pem] }),
  ],
  [
    'an enrolment record with the attestation key of another platform',
    'REFUSED_ENROLMENT',
    () => ({ ...round(world), enrolment: { ...world.enrolment, akPublic: other.enrolment.akPublic } }),
  ],
  [
    'a platform that the policy does not pin',
    'REFUSED_PLATFORM_MIX',
    () => policyWith({ platforms: [hex(other.platform.ekName)] }),
  ],
  [
    'terms of another platform',
    'REFUSED_PLATFORM_MIX',
    () => round(world, { open: { ...world.open, platform: other.platform.ekName } }),
  ],
  [
    'a worker report of another genuine platform',
    'REFUSED_PLATFORM_MIX',
    () => deliver(round(world), { workerReport: round(other).delivery.workerReport }),
  ],
  [
    'a peer report of another genuine platform',
    'REFUSED_PLATFORM_MIX',
    () => ({ ...round(world), peerReport: other.reports.destination }),
  ],
  [
    'a quote of another genuine platform [A-06]',
    'REFUSED_PLATFORM_MIX',
    () => {
      const input = round(world)
      const binding = bindingDigest(input.transcript, 'source', input.challenge.nonce)
      return deliver(input, { quote: quote({ ...world, platform: other.platform }, input.policy, binding) })
    },
  ],
  [
    'a worker report signed by nobody known',
    'REFUSED_SIGNATURE',
    () => {
      const forged = { ...world, platform: { ...world.platform, reportKey: IdentityKey.generate() } }
      return deliver(round(world), { workerReport: round(forged).delivery.workerReport })
    },
  ],
  [
    'a peer report signed by nobody known',
    'REFUSED_SIGNATURE',
    () => {
      const platform = { ...world.platform, reportKey: IdentityKey.generate() }
      return { ...round(world), peerReport: report({ ...world, platform }, { vm: 'destination-vm' }) }
    },
  ],
]

export const quotes: Wrong[] = [
  [
    'a quote by a key of the host that names the enrolled one [A-06]',
    'REFUSED_SIGNATURE',
    () => {
      const input = round(world)
      const { attest } = input.delivery.quote
      return deliver(input, { quote: { attest, signature: softwareAk().sign(attest) } })
    },
  ],
  [
    'a quote that is no TPMS_ATTEST but is signed',
    'REFUSED_QUOTE',
    () => {
      const attest = utf8('no TPMS_ATTEST')
      return deliver(round(world), { quote: { attest, signature: world.platform.ak.sign(attest) } })
    },
  ],
  [
    'a signature that is none',
    'REFUSED_QUOTE',
    () => {
      const input = round(world)
      return deliver(input, { quote: { ...input.delivery.quote, signature: Uint8Array.of(1, 2) } })
    },
  ],
  [
    'an honest quote for an older nonce [A-04]',
    'REFUSED_BINDING',
    () => deliver(round(world), { quote: round(world).delivery.quote }),
  ],
  [
    'a worker report for an older nonce',
    'REFUSED_BINDING',
    () => deliver(round(world), { workerReport: round(world).delivery.workerReport }),
  ],
  [
    'a quote of fewer PCRs',
    'REFUSED_PCRS',
    () => {
      const { attested } = attestation(world.platform.ak.akPublic, new Uint8Array())
      return round(world, {
        attest: { attested: { ...attested, pcrSelect: [selectPcrs(TPM_ALG.SHA256, [0, 4])] } },
      })
    },
  ],
  [
    'a quote of more PCRs',
    'REFUSED_PCRS',
    () => {
      const { attested } = attestation(world.platform.ak.akPublic, new Uint8Array())
      const pcrSelect = [selectPcrs(TPM_ALG.SHA256, [0, 1, 4, 7])]
      return round(world, { attest: { attested: { ...attested, pcrSelect } } })
    },
  ],
  [
    'a challenge that selected other PCRs than the policy',
    'REFUSED_PCRS',
    () => {
      const input = round(world)
      return {
        ...input,
        challenge: { ...input.challenge, selection: { hash: TPM_ALG.SHA256, pcrs: [0, 7] } },
      }
    },
  ],
]

export const terms: Wrong[] = [
  [
    'terms of another VM of the same name',
    'REFUSED_BINDING',
    () => ({ ...round(world), own: { vm: 'source-vm', identity: IdentityKey.generate().publicKey.digest } }),
  ],
  [
    'terms of another VM',
    'REFUSED_BINDING',
    () => ({ ...round(world), own: { ...round(world).own, vm: 'vm-9' } }),
  ],
  [
    'a first block that is not the terms’ [A-10]',
    'REFUSED_BINDING',
    () => {
      const input = round(world)
      return deliver(input, { firstBlock: { ...input.delivery.firstBlock, index: 17n } })
    },
  ],
  [
    'a second block that is not the terms’ [A-10]',
    'REFUSED_BINDING',
    () => {
      const input = round(world)
      return deliver(input, { secondBlock: { ...input.delivery.secondBlock, index: 33n } })
    },
  ],
  [
    'a second block of another VM [A-11]',
    'REFUSED_BINDING',
    () => {
      const input = round(world)
      return deliver(input, { secondBlock: { ...input.delivery.secondBlock, vm: 'vm-9' } })
    },
  ],
  [
    'blocks that were not approved',
    'REFUSED_BINDING',
    () => ({ ...round(world), approved: { kind: 'memory-page', pairs: world.open.pairs.slice(0, 1) } }),
  ],
  [
    'approved blocks with another second block',
    'REFUSED_BINDING',
    () => {
      const pairs = world.open.pairs.map((pair) => ({ ...pair, second: pair.second + 1n }))
      return { ...round(world), approved: { kind: 'memory-page', pairs } }
    },
  ],
  [
    'another kind of block than was approved',
    'REFUSED_BINDING',
    () => ({ ...round(world), approved: { kind: 'disk-block', pairs: world.open.pairs } }),
  ],
  [
    'another volume than was approved',
    'REFUSED_BINDING',
    () => {
      const disk = { sourceVolume: 'secrets', destinationVolume: 'b' }
      const open: Open = { ...world.open, kind: 'disk-block', memory: null, disk }
      const volumes = { source: 'a', destination: 'b' }
      return { ...round(world, { open }), approved: { kind: 'disk-block', pairs: open.pairs, volumes } }
    },
  ],
  [
    'a peer report that the terms do not cite',
    'REFUSED_BINDING',
    () => {
      const ownerIdKeyDigest = world.identities.destination.publicKey.digest
      return {
        ...round(world),
        peerReport: report(world, { vm: 'destination-vm', ownerIdKeyDigest, note: 'later' }),
      }
    },
  ],
]

export const boots: Wrong[] = [
  [
    'an edited event log [A-05]',
    'REFUSED_EVENT_LOG',
    () => deliver(booted({ firmware: utf8('evil') }), { eventLog: world.boot.eventLog }),
  ],
  ['a log that is none', 'REFUSED_EVENT_LOG', () => deliver(round(world), { eventLog: utf8('log') })],
  [
    'a PCR that the host extended after boot [A-23]',
    'REFUSED_EVENT_LOG',
    () => booted({ extended: [{ pcr: 4, data: utf8('more') }] }),
  ],
  [
    'a log that hides what the host extended [A-23]',
    'REFUSED_EVENT_LOG',
    () => deliver(booted({ extended: [{ pcr: 4, data: utf8('more') }] }), { eventLog: world.boot.eventLog }),
  ],
  ['changed firmware', 'REFUSED_MEASUREMENT', () => booted({ firmware: utf8('b firmware image') })],
  [
    'changed firmware, called by the good digest',
    'REFUSED_MEASUREMENT',
    () =>
      deliver(booted({ firmware: utf8('b firmware image') }), { measurement: sha256(world.boot.firmware) }),
  ],
  [
    'good firmware, called by another digest',
    'REFUSED_MEASUREMENT',
    () => deliver(round(world), { measurement: sha256(utf8('b firmware image')) }),
  ],
  [
    'a report of other firmware than was measured',
    'REFUSED_MEASUREMENT',
    () => round(world, { worker: { firmwareImageDigest: sha256(utf8('b firmware image')) } }),
  ],
  [
    'a policy without firmware',
    'REFUSED_MEASUREMENT',
    () => policyWith({ firmware: { ...policyOf(world, 'source').firmware, images: [] } }),
  ],
  [
    'an expired firmware',
    'REFUSED_EXPIRED_REFERENCE',
    () => {
      const images = [{ digest: hex(sha256(world.boot.firmware)), notAfter: '2020-01-01T00:00:00Z' }]
      return policyWith({ firmware: { ...policyOf(world, 'source').firmware, images } })
    },
  ],
  ['firmware without a manifest', 'REFUSED_SIGNER', () => booted({ manifest: undefined })],
  [
    'another manifest than was measured',
    'REFUSED_SIGNER',
    () => deliver(round(world), { firmwareManifest: manifestOf(world.boot.firmware, 9) }),
  ],
  [
    'a manifest that the report does not cite',
    'REFUSED_SIGNER',
    () => round(world, { worker: { firmwareManifestDigest: new Uint8Array(32) } }),
  ],
  [
    'a manifest of an untrusted signer',
    'REFUSED_SIGNER',
    () => booted({ manifest: manifestOf(world.boot.firmware, 3, IdentityKey.generate()) }),
  ],
  ['a measured manifest that is none', 'REFUSED_SIGNER', () => booted({ manifest: utf8('manifest') })],
  [
    'a manifest for another image',
    'REFUSED_MEASUREMENT',
    () => booted({ manifest: manifestOf(utf8('b firmware image')) }),
  ],
  [
    'an older signed firmware [A-07]',
    'REFUSED_SVN',
    () => booted({ manifest: manifestOf(world.boot.firmware, 2) }, { worker: { svn: 2 } }),
  ],
  ['a report of another security version', 'REFUSED_SVN', () => round(world, { worker: { svn: 4 } })],
  [
    'a configuration that the policy does not list',
    'REFUSED_MEASUREMENT',
    () => policyWith({ configuration: [{ digest: '00'.repeat(32) }] }),
  ],
  ['a changed hypervisor', 'REFUSED_HYPERVISOR', () => booted({ hypervisor: utf8('another hypervisor') })],
  ['a policy without hypervisors', 'REFUSED_HYPERVISOR', () => policyWith({ hypervisors: [] })],
]

export const vms: Wrong[] = [
  [
    'a modified worker [A-09]',
    'REFUSED_WORKER',
    () => round(world, { worker: { measurement: sha256(utf8('evil')) } }),
  ],
  [
    'a modified worker where the policy names the launch',
    'REFUSED_WORKER',
    () =>
      round(world, {
        policy: namingLaunch({}),
        worker: { launchDigest: workerLaunchDigest(utf8('evil')) },
      }),
  ],
  [
    'a launch whose reference value has expired',
    'REFUSED_EXPIRED_REFERENCE',
    () => round(world, { policy: namingLaunch({ notAfter: '2001-01-01T00:00:00Z' }) }),
  ],
  ['a policy without workers', 'REFUSED_WORKER', () => policyWith({ workers: [] })],
  ['a guest in the place of the worker', 'REFUSED_WORKER', () => round(world, { worker: { kind: 'guest' } })],
  ['a worker under a debugger', 'REFUSED_WORKER', () => round(world, { worker: { debug: true } })],
  ['a worker of another boot', 'REFUSED_RESET', () => round(world, { worker: { resetCount: 4 } })],
  [
    'a clock that went back',
    'REFUSED_RESET',
    () => ({ ...round(world), clock: lastClock({ clock: 999_999n }) }),
  ],
  [
    'a reset count that went back',
    'REFUSED_RESET',
    () => ({ ...round(world), clock: lastClock({ resetCount: 4 }) }),
  ],
  [
    'more resets than the policy accepts',
    'REFUSED_RESET',
    () => ({
      ...policyWith({ maximumResets: 0 }),
      clock: { ...lastClock({ resetCount: 2 }), firstResetCount: 2 },
    }),
  ],
  ['a policy without peers', 'REFUSED_PEER', () => policyWith({ peers: [] })],
  [
    'a peer that the policy does not name [A-11, A-31]',
    'REFUSED_PEER',
    () => policyWith({ peers: [{ identity: hex(IdentityKey.generate().publicKey.digest) }] }),
  ],
  [
    'a peer with another measurement',
    'REFUSED_PEER',
    () => {
      const identity = hex(world.identities.destination.publicKey.digest)
      return policyWith({ peers: [{ identity, measurement: '11'.repeat(32) }] })
    },
  ],
  ['a peer whose report is another VM’s', 'REFUSED_PEER', () => peerReport({ vm: 'vm-9' })],
  ['a worker in the place of the peer', 'REFUSED_PEER', () => peerReport({ kind: 'worker' })],
  [
    'a report of another owner than the terms name',
    'REFUSED_PEER',
    () => peerReport({ ownerIdKeyDigest: IdentityKey.generate().publicKey.digest }),
  ],
  [
    'an emulated platform that the policy does not allow',
    'REFUSED_EMULATED',
    () => policyWith({ allowEmulated: false }),
  ],
]

/** Terms that cite a changed but genuine report of the destination. */
function peerReport(change: Parameters<typeof report>[1]): AppraisalInput {
  const ownerIdKeyDigest = world.identities.destination.publicKey.digest
  const bytes = report(world, { vm: 'destination-vm', ownerIdKeyDigest, ...change })
  const destination = { ...world.open.destination, report: sha256(bytes) }
  return { ...round(world, { open: { ...world.open, destination } }), peerReport: bytes }
}

function lastClock(
  change: Partial<{ clock: bigint; resetCount: number }>,
): NonNullable<AppraisalInput['clock']> {
  return { firstResetCount: 3, last: { clock: 1n, resetCount: 3, restartCount: 1, safe: true, ...change } }
}
