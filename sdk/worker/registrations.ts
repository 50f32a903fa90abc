// All registrations of one worker: opening terms, answering challenges, taking grants, ending.

import { bindingDigest, encodeOpen, type Open, transcriptOf, verifyChallenge } from '../attest/index.ts'
import { coalesceIndexes } from '../block/index.ts'
import { equalBytes, generateHpkeKeyPair, sha256 } from '../crypto/index.ts'
import { parseLaunchReport } from '../evidence/index.ts'
import { openGrant, type OpenedGrant } from '../grant/index.ts'
import { invalidField, type OpenRegistrationRequest, PalimpsestError, type Party } from '../rpc/index.ts'
import type { PlatformPort } from './platform-port.ts'
import { Registration } from './registration.ts'

/** Registrations that may be open at once; ended ones are forgotten first. */
const MAX_REGISTRATIONS = 256

/** Registrations by name. */
export class Registrations {
  readonly #platform: PlatformPort
  readonly #receiptKey: Uint8Array
  readonly #known = new Map<string, Registration>()

  constructor(platform: PlatformPort, receiptKey: Uint8Array) {
    this.#platform = platform
    this.#receiptKey = receiptKey
  }

  /** Opens terms and returns the registration. @throws PalimpsestError ALREADY_EXISTS, REFUSED_PLATFORM_MIX */
  async open(request: OpenRegistrationRequest): Promise<Registration> {
    if (this.#known.has(request.registration)) {
      throw new PalimpsestError(
        'ALREADY_EXISTS',
        `registration ${request.registration} exists; choose another id`,
      )
    }
    // The baseline of the lease is read before any nonce for these terms can exist.
    const baseline = await this.#platform.state()
    const hpke = await generateHpkeKeyPair()
    const open = termsOf(request, hpke.publicKey, this.#receiptKey)
    const openBytes = encodeTerms(open)
    const registration = new Registration({
      open,
      openBytes,
      transcript: transcriptOf(openBytes),
      hpke,
      baseline,
    })
    this.#makeRoom()
    this.#known.set(registration.id, registration)
    return registration
  }

  /** This worker's report for a VM's challenge. @throws Refusal REFUSED_BINDING */
  async answer(id: string, challenge: Uint8Array): Promise<Uint8Array> {
    const registration = this.get(id)
    const { role, nonce } = verifyChallenge(challenge, {
      open: registration.open,
      transcript: registration.transcript,
    })
    return this.#platform.report(bindingDigest(registration.transcript, role, nonce))
  }

  /**
   * Takes sealed grants of one side.
   * @throws Refusal GRANT_INVALID, REFUSED_PEER, REFUSED_SCOPE
   * @throws PalimpsestError GRANT_SPENT, REFUSED_KEY_MODE
   */
  async submit(id: string, grants: readonly Uint8Array[]): Promise<Registration> {
    const registration = this.get(id)
    const { open, transcript, hpke } = registration
    const state = await this.#platform.state()
    const tries = await Promise.allSettled(
      grants.map((bytes) => openGrant({ bytes, open, transcript, keyPair: hpke, clock: state.clock })),
    )
    const opened = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    try {
      const failed = tries.find((one) => one.status === 'rejected')
      if (failed !== undefined) throw failed.reason
      if (open.kind === 'memory-page') await this.#checkModes(open, opened)
      registration.submit(opened, state)
    } catch (error) {
      for (const grant of opened) wipeGrant(grant)
      throw error
    }
    return registration
  }

  /** @throws PalimpsestError REGISTRATION_UNKNOWN */
  get(id: string): Registration {
    const registration = this.#known.get(id)
    if (registration !== undefined) return registration
    throw new PalimpsestError(
      'REGISTRATION_UNKNOWN',
      `registration ${id} is not known to this worker; open a new one (a restarted worker forgets)`,
    )
  }

  /** All, in order of opening. */
  list(): Registration[] {
    return [...this.#known.values()]
  }

  /** Ends a registration and forgets it; unknown ones are ended already. */
  close(id: string): void {
    this.#known.get(id)?.end()
    this.#known.delete(id)
  }

  /** Wipes the keys of leases that have ended, although nobody asks for a copy. */
  async sweep(): Promise<void> {
    const live = this.list().filter((registration) => registration.state === 'live')
    if (live.length === 0) return
    const state = await this.#platform.state()
    for (const registration of live) if (registration.lease.ended(state) !== undefined) registration.end()
  }

  /** Ends all. */
  closeAll(): void {
    for (const id of [...this.#known.keys()]) this.close(id)
  }

  /** Pages are under keys of the mode that their VM has installed; a plugin that grants another is told so at once. */
  async #checkModes(open: Open, grants: readonly OpenedGrant[]): Promise<void> {
    for (const role of new Set(grants.map((grant) => grant.role))) {
      const installed = await this.#platform.keyMode(open[role].vm)
      const entries = grants.filter((grant) => grant.role === role).flatMap((grant) => grant.entries)
      const other = entries.find(({ mode }) => mode !== installed)
      // An empty slot may still be filled; each copy is checked again.
      if (installed === undefined || other === undefined) continue
      throw new PalimpsestError(
        'REFUSED_KEY_MODE',
        `the ${role}'s key to ${other.use}: expected mode ${installed}, as the slot of "${open[role].vm}" has it, found mode ${other.mode}; give its plugin the mode that the VM has installed`,
        { metadata: { vm: open[role].vm, expected: installed, found: other.mode } },
      )
    }
  }

  #makeRoom(): void {
    if (this.#known.size < MAX_REGISTRATIONS) return
    const ended = this.list().find((registration) => registration.state === 'expired')
    if (ended === undefined) {
      throw new PalimpsestError(
        'RESOURCE_EXHAUSTED',
        `the worker holds ${String(MAX_REGISTRATIONS)} registrations, its limit; close some`,
      )
    }
    this.close(ended.id)
  }
}

/** The canonical bytes of terms, which the host has chosen. @throws PalimpsestError INVALID_ARGUMENT */
function encodeTerms(open: Open): Uint8Array {
  try {
    return encodeOpen(open)
  } catch (error) {
    if (error instanceof RangeError) throw invalidField('terms', error.message)
    throw error
  }
}

/** Canonical terms of a request. The reports' signatures are the VMs' to check; their platform must be one. */
function termsOf(request: OpenRegistrationRequest, workerKey: Uint8Array, receiptKey: Uint8Array): Open {
  const source = partyOf(request.source, 'source')
  const destination = partyOf(request.destination, 'destination')
  if (!equalBytes(source.platform, destination.platform)) {
    throw new PalimpsestError(
      'REFUSED_PLATFORM_MIX',
      'the launch reports of source and destination name different platforms; clone between VMs of one platform',
    )
  }
  const { platform, ...sourceTerms } = source
  const { platform: _same, ...destinationTerms } = destination
  return {
    registration: request.registration,
    source: sourceTerms,
    destination: destinationTerms,
    pairs: request.pairs,
    ...storageOf(request),
    suite: 'aes-256-xts',
    workerKey,
    receiptKey,
    platform,
  }
}

function partyOf(party: Party | undefined, side: string) {
  if (party === undefined) throw invalidField(side, 'expected a VM and its launch report, found none')
  const report = parseLaunchReport(party.launchReport)
  return {
    vm: party.vm,
    identity: report.ownerIdKeyDigest,
    report: sha256(party.launchReport),
    platform: report.platformId,
  }
}

function storageOf(request: OpenRegistrationRequest): Pick<Open, 'kind' | 'memory' | 'disk'> {
  const storage = request.storage
  if (storage === undefined) throw invalidField('storage', 'expected memory or disk terms, found none')
  if (storage.case === 'disk') return { kind: 'disk-block', memory: null, disk: storage.value }
  const { sourceFrames, destinationPool, sourcePool } = storage.value
  return {
    kind: 'memory-page',
    disk: null,
    memory: {
      frames: sourceFrames,
      destinationPool: coalesceIndexes(destinationPool),
      sourcePool: coalesceIndexes(sourcePool),
    },
  }
}

/** Keys of a grant that was not taken must not stay in memory. */
function wipeGrant(grant: OpenedGrant): void {
  for (const { frameKeys, wideKey } of grant.entries) {
    frameKeys?.wipe()
    wideKey?.wipe()
  }
}
