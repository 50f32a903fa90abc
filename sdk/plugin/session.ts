// One attachment of a plugin: answers the hypervisor's requests for one VM and side. The order of claim 1 is kept here:
// measurement and block ids arrive together, are appraised, and only then are keys asked for and sealed.

import {
  appraise,
  appraisePeer,
  type Approved,
  ChallengeBook,
  type ClockState,
  decodeOpen,
  type EnrolmentRecord,
  makeChallenge,
  type MadeChallenge,
  type Open,
  policyDigest,
  Refusal,
  refuseAs,
  selectionOf,
  transcriptOf,
} from '../attest/index.ts'
import { formatBlockId } from '../block/index.ts'
import { equalBytes, hex } from '../crypto/index.ts'
import { type LaunchReport, makeShareStatement, verifyLaunchReport } from '../evidence/index.ts'
import {
  type AttachRequest,
  type AttachResponse,
  type CopyRequested,
  type EvidenceDelivery,
  type Logger,
  type OpenOffer,
  PalimpsestError,
  type RefillRequested,
} from '../rpc/index.ts'
import type { Credentials } from './credentials.ts'
import type { Plugin, PluginContext } from './define.ts'
import type { PluginObserver } from './events.ts'
import { grantsFor } from './grants.ts'
import type { Guest } from './guest.ts'

type Answer = NonNullable<AttachRequest['message']>

/** How long a share statement lets the host add a sharer, in milliseconds of platform time. */
const SHARE_MS = 600_000n

/** The last accepted clock of each platform, by EK name: what the next quote is held against, whoever reconnects. */
export type PlatformClocks = Map<string, ClockState>

/** Clones that may be agreed to at once; the host can make up names without end, so the oldest goes first. */
const MAX_APPROVALS = 1024
/** Frames of one refill. */
const MAX_REFILL = 65_536

/** What the plugin agreed to for a clone. */
interface Approval extends Approved {
  readonly peerReport: Uint8Array
  readonly peer: LaunchReport
}

/** Terms that were challenged, and then perhaps granted. */
interface Offer {
  readonly approval: Approval
  readonly open: Open
  readonly transcript: Uint8Array
  readonly challenge: MadeChallenge
  granted: boolean
}

/** Answers requests for one VM and side; remembers what was agreed, challenged and granted. */
export class PluginSession {
  readonly #plugin: Plugin
  readonly #vm: string
  readonly #credentials: Credentials
  readonly #enrolment: EnrolmentRecord
  readonly #guest: Pick<Guest, 'launchReport'>
  readonly #observe: PluginObserver
  readonly #log: Logger
  readonly #approvals = new Map<string, Approval>()
  readonly #offers = new Map<string, Offer>()
  readonly #book = new ChallengeBook<string>()
  readonly #clocks: PlatformClocks

  constructor(options: {
    plugin: Plugin
    vm: string
    credentials: Credentials
    enrolment: EnrolmentRecord
    guest: Pick<Guest, 'launchReport'>
    clocks: PlatformClocks
    observe: PluginObserver
    log: Logger
  }) {
    this.#plugin = options.plugin
    this.#vm = options.vm
    this.#credentials = options.credentials
    this.#enrolment = options.enrolment
    this.#guest = options.guest
    this.#clocks = options.clocks
    this.#observe = options.observe
    this.#log = options.log
  }

  /** Answers one request; a refusal is an answer too. Notices are answered with undefined. */
  async answer(message: AttachResponse['message'], signal: AbortSignal): Promise<Answer | undefined> {
    try {
      return await this.#dispatch(message, signal)
    } catch (error) {
      const { code, message: text } = refusalOf(error, this.#log)
      this.#observe({ event: 'REFUSED', what: message?.case ?? 'nothing', code, message: text })
      return { case: 'refusal', value: { code, message: text } }
    }
  }

  async #dispatch(message: AttachResponse['message'], signal: AbortSignal): Promise<Answer | undefined> {
    switch (message?.case) {
      case 'copyRequested':
        return this.#approve(message.value, signal)
      case 'openOffer':
        return this.#challenge(message.value)
      case 'evidence':
        return this.#appraise(message.value, signal)
      case 'refill':
        return this.#refill(message.value, signal)
      case 'ended':
        this.#offers.delete(message.value.registration)
        this.#observe({ event: 'ENDED', ...message.value })
        return undefined
      case 'welcome':
      case undefined:
        return undefined
    }
  }

  /** Agrees to a clone with a peer that the policy names, or refuses. */
  async #approve(request: CopyRequested, signal: AbortSignal): Promise<Answer> {
    const { clone, kind, source, destination, pairs, peerReport } = request
    const peerVm = this.#plugin.role === 'source' ? destination : source
    this.#observe({ event: 'COPY_REQUESTED', clone, peer: peerVm })
    const { policy } = this.#plugin
    const peer = appraisePeer({ policy, enrolment: this.#enrolment, report: peerReport, vm: peerVm })
    const volumes =
      kind === 'disk-block'
        ? { volumes: { source: request.sourceVolume, destination: request.destinationVolume } }
        : {}
    const approval: Approval = { kind, pairs, peerReport, peer, ...volumes }
    await this.#plugin.onCopyRequested?.(
      { clone, kind, source, destination, pairs, ...volumes },
      this.#context(approval, clone, signal),
    )
    const [oldest] = this.#approvals.keys()
    if (oldest !== undefined && this.#approvals.size >= MAX_APPROVALS) this.#approvals.delete(oldest)
    this.#approvals.set(clone, approval)
    this.#observe({ event: 'APPROVED', clone })
    const shared = this.#plugin.role === 'source' && kind === 'memory-page'
    const shareStatement = shared ? await this.#shareStatement(approval) : new Uint8Array()
    return { case: 'approval', value: { shareStatement } }
  }

  async #shareStatement({ peer, pairs }: Approval): Promise<Uint8Array> {
    const { clock } = await this.#ownReport()
    return makeShareStatement({
      identity: this.#credentials.identity,
      peer: peer.ownerIdKeyDigest,
      pairs,
      notAfter: clock + SHARE_MS,
    })
  }

  /** Checks the worker's terms against what was agreed, and challenges them. */
  #challenge({ registration, clone, open: openBytes }: OpenOffer): Answer {
    const approval = this.#approvals.get(clone)
    if (approval === undefined) {
      throw new PalimpsestError(
        'REFUSED_BINDING',
        `clone "${clone}" was not agreed to; ask for the copy first`,
      )
    }
    const open = refuseAs('REFUSED_SIZE', 'terms', 'canonical terms of version 1', () =>
      decodeOpen(openBytes),
    )
    const transcript = transcriptOf(openBytes)
    const { identity } = this.#credentials
    const { policy, role } = this.#plugin
    const challenge = makeChallenge({
      identity,
      transcript,
      role,
      selection: selectionOf(policy),
      policyDigest: policyDigest(policy),
    })
    this.#book.issue(challenge.nonce, challenge.ttlMs, registration)
    this.#offers.set(registration, { approval, open, transcript, challenge, granted: false })
    this.#observe({ event: 'CHALLENGED', registration })
    const { hash, pcrs } = challenge.selection
    return {
      case: 'challenge',
      value: {
        challenge: challenge.bytes,
        selection: { hash, pcrs: [...pcrs] },
        qualifyingData: challenge.bindingDigest,
      },
    }
  }

  /** Claim 1: receives measurement and block ids, validates, and only then gives keys. */
  async #appraise(delivery: EvidenceDelivery, signal: AbortSignal): Promise<Answer> {
    const { registration, measurement } = delivery
    const firstBlock = delivery.firstBlock ?? missing('first_block')
    const secondBlock = delivery.secondBlock ?? missing('second_block')
    if (measurement.length === 0) missing('measurement')
    const quote = delivery.quote ?? missing('quote')
    const offer = this.#offer(registration)
    this.#observe({
      event: 'MEASUREMENT_RECEIVED',
      registration,
      measurement,
      first: formatBlockId(firstBlock),
      second: formatBlockId(secondBlock),
    })
    this.#book.burn(offer.challenge.nonce)
    const { approval, open, transcript, challenge } = offer
    const platform = hex(this.#enrolment.ekName)
    const clock = this.#clocks.get(platform)

    const appraisal = appraise({
      policy: this.#plugin.policy,
      enrolment: this.#enrolment,
      open,
      transcript,
      role: this.#plugin.role,
      challenge,
      own: { vm: this.#vm, identity: this.#credentials.identity.publicKey.digest },
      approved: approval,
      peerReport: approval.peerReport,
      delivery: {
        measurement,
        firstBlock,
        secondBlock,
        quote,
        eventLog: delivery.eventLog,
        firmwareManifest: delivery.firmwareManifest,
        workerReport: delivery.workerReport,
      },
      ...(clock === undefined ? {} : { clock }),
    })
    this.#clocks.set(platform, appraisal.clock)
    this.#observe({ event: 'VALIDATED', registration, steps: appraisal.steps })
    const grants = await this.#grant(offer, undefined, signal)
    offer.granted = true
    return { case: 'grants', value: { grants } }
  }

  /** A further grant under the same terms, for frames that were added to this side's pool. */
  async #refill({ registration, frames }: RefillRequested, signal: AbortSignal): Promise<Answer> {
    const offer = this.#offer(registration)
    if (!offer.granted) {
      throw new PalimpsestError(
        'REGISTRATION_STATE',
        `registration ${registration} was not granted; relay its evidence`,
      )
    }
    if (frames.length > MAX_REFILL) {
      throw new PalimpsestError(
        'OUT_OF_RANGE',
        `a refill expected at most ${String(MAX_REFILL)} frames, found ${String(frames.length)}; ask for fewer`,
      )
    }
    return { case: 'grants', value: { grants: await this.#grant(offer, frames, signal) } }
  }

  async #grant(
    offer: Offer,
    frames: readonly bigint[] | undefined,
    signal: AbortSignal,
  ): Promise<Uint8Array[]> {
    const { open, transcript, challenge, approval } = offer
    const { registration } = open
    const ctx = this.#context(approval, registration, signal)
    const notAfter = await this.#notAfter()
    const { identity } = this.#credentials
    const made = await grantsFor({
      plugin: this.#plugin,
      open,
      transcript,
      challenge,
      identity,
      frames,
      notAfter,
      ctx,
    })
    const { grants, keys, scope } = made
    this.#observe({ event: 'KEYS_SENT', registration, grants: grants.length, keys, scope })
    return grants
  }

  async #notAfter(): Promise<bigint> {
    const { grantMs } = this.#plugin
    if (grantMs === undefined) return 0n
    return (await this.#ownReport()).clock + BigInt(grantMs)
  }

  /** This VM's own report, by the enrolled platform and no other: its clock decides how long things are allowed. */
  async #ownReport(): Promise<LaunchReport> {
    const bytes = await this.#guest.launchReport()
    const { reportKey, ekName } = this.#enrolment
    const report = refuseAs(
      'REFUSED_SIGNATURE',
      'own launch report',
      "one by the enrolled platform's report key",
      () => verifyLaunchReport(bytes, reportKey),
    )
    if (equalBytes(report.platformId, ekName)) return report
    throw new Refusal('REFUSED_PLATFORM_MIX', 'own launch report', {
      expected: `the platform ${hex(ekName)}`,
      found: hex(report.platformId),
    })
  }

  #offer(registration: string): Offer {
    const offer = this.#offers.get(registration)
    if (offer !== undefined) return offer
    throw new PalimpsestError(
      'STALE_NONCE',
      `no challenge is open for registration ${registration}; offer its terms first`,
    )
  }

  #context(approval: Approval, requestId: string, signal: AbortSignal): PluginContext {
    const { vm, ownerIdKeyDigest } = approval.peer
    return {
      signal,
      peer: { vm, identity: ownerIdKeyDigest },
      log: this.#log.child({ request: requestId, peer: hex(ownerIdKeyDigest).slice(0, 16) }),
      requestId,
    }
  }
}

function missing(field: string): never {
  throw new PalimpsestError(
    'INVALID_ARGUMENT',
    `the message lacks "${field}"; relay measurement and both block ids together`,
    {
      violations: [{ field, description: 'is required' }],
    },
  )
}

/** Code and message for the host. What is not a refusal goes to the log only. */
function refusalOf(error: unknown, log: Logger): { code: string; message: string } {
  if (error instanceof Refusal || error instanceof PalimpsestError)
    return { code: error.code, message: error.message }
  log.error({ err: error }, 'the plugin failed')
  return { code: 'INTERNAL', message: 'the plugin failed; see its log' }
}
