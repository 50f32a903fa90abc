// A policy learnt from a running emulator: for tests, and for `palimpsest policy learn`. It trusts the machine that it
// learns from, which is right for an emulator that the test itself started, and for a golden boot.

import { type Learned, learnPolicy, type Policy } from '../../sdk/attest/index.ts'
import { hex } from '../../sdk/crypto/index.ts'
import { type ClientOf, type HypervisorService, PalimpsestError } from '../../sdk/rpc/index.ts'
import type { Identity } from './authority.ts'

/**
 * Learns the policy of the emulator behind `hypervisor`, with its present worker and the given peers. It allows keys of
 * scope GROUP, so that a test can choose any key mode.
 */
export async function learnPolicyFrom(
  hypervisor: ClientOf<typeof HypervisorService>,
  trustAnchors: readonly string[],
  peers: readonly (Identity | string)[],
): Promise<Policy> {
  return (await learnFrom(hypervisor, trustAnchors, peers, { allowGroupScope: true })).policy
}

/** As {@link learnPolicyFrom}, with the warnings that belong to it, and nothing allowed that was not asked for. */
export async function learnFrom(
  hypervisor: ClientOf<typeof HypervisorService>,
  trustAnchors: readonly string[],
  peers: readonly (Identity | string)[],
  { allowGroupScope }: { readonly allowGroupScope: boolean },
): Promise<Learned> {
  const [{ firmware }, { log }, { measurement }] = await Promise.all([
    hypervisor.getPlatform({}),
    hypervisor.getEventLog({}),
    hypervisor.getWorker({}),
  ])
  if (firmware === undefined)
    throw new PalimpsestError('UNAVAILABLE', 'the platform told nothing of its firmware')
  return learnPolicy({
    trustAnchors,
    firmwareDigest: firmware.imageDigest,
    firmwareManifest: firmware.manifest,
    eventLog: log,
    workerMeasurement: measurement,
    allowGroupScope,
    peers: peers.map((peer) => (typeof peer === 'string' ? peer : hex(peer.key.publicKey.digest))),
  })
}
