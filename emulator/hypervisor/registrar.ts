/**
 * Registration: the round of terms, challenges, evidence and grants that gives a worker the keys for a clone. The host
 * carries all of it and can read none of the keys; each side judges for itself.
 * Source: design.md section 5 (claims 1, 2, 4); systems.md 2.6 (phases E and F).
 */
import {
  type EvidenceDelivery,
  type Logger,
  PalimpsestError,
  type Role,
  required,
} from '../../sdk/rpc/index.ts'
import {
  type CloneLink,
  type CloneStorage,
  type LiveRegistration,
  type Terms,
  firstBlockIds,
} from './clone-storage.ts'
import { type HypercallLog, pageRuns } from './logs.ts'
import type { PluginRelay } from './plugin-relay.ts'
import type { PlatformPort, WorkerPort } from './ports.ts'

/** What the registrar needs of the host. */
export interface RegistrarHost {
  readonly platform: Pick<PlatformPort, 'getFirmware' | 'quote' | 'readEventLog'>
  readonly relay: Pick<PluginRelay, 'ask' | 'attachment' | 'notifyEnded'>
  readonly workers: {
    readonly worker: Pick<
      WorkerPort,
      'answerChallenge' | 'closeRegistration' | 'openRegistration' | 'submitGrants'
    >
  }
  readonly hypercalls: HypercallLog
  /** The launch report of a VM. @throws PalimpsestError UNKNOWN_VM. */
  launchReport(vm: string): Uint8Array
  readonly log: Logger
}

/** The names of a clone, and its storage. */
export interface Subject {
  readonly link: CloneLink
  readonly storage: CloneStorage
}

const roles: readonly Role[] = ['source', 'destination']

/** Runs registrations. */
export class Registrar {
  readonly #host: RegistrarHost
  /** The attachments that agreed to a clone. A plugin that attached anew is asked again. */
  readonly #approvals = new WeakMap<CloneLink, Partial<Record<Role, object | undefined>>>()

  constructor(host: RegistrarHost) {
    this.#host = host
  }

  /**
   * Asks both plugins whether a clone may be made.
   * @returns the source's share statement; empty for disks.
   * @throws PalimpsestError the refusing plugin's own code.
   */
  async approve(subject: Subject): Promise<Uint8Array> {
    const { link, storage } = subject
    const statements = await this.#bothSides(link, (_role, side, signal) =>
      this.#askApproval(subject, side, signal),
    )
    if (storage.kind === 'memory-page') {
      this.#host.hypercalls.note(link.source, 'share', link.source, pageRuns(storage.pairs(), 'first'))
    }
    return statements.source
  }

  /**
   * One full round for both sides.
   * @throws PalimpsestError the refusing plugin's or worker's own code; then everything is taken back.
   */
  async register(subject: Subject, registration: string): Promise<LiveRegistration> {
    const { link, storage } = subject
    const terms = await storage.prepare(registration)
    try {
      const { open } = await this.#host.workers.worker.openRegistration({
        registration,
        source: { vm: link.source, launchReport: this.#host.launchReport(link.source) },
        destination: { vm: link.destination, launchReport: this.#host.launchReport(link.destination) },
        pairs: terms.pairs,
        storage: terms.storage,
      })
      const leases = await this.#bothSides(link, (role, side, signal) =>
        this.#round(subject, terms, open, role, side, signal),
      )
      const leaseUntil = leases.source > leases.destination ? leases.source : leases.destination
      this.#host.log.info({ clone: link.name, registration }, 'registration is live')
      return { terms, leaseUntil }
    } catch (error) {
      await this.end(subject, terms, error instanceof PalimpsestError ? error.code : 'INTERNAL')
      throw error
    }
  }

  /**
   * Gets further grants for frames of one side, under the terms of a live registration.
   * @throws PalimpsestError REGISTRATION_STATE when the plugin attached anew: it no longer knows the registration.
   */
  async refill(link: CloneLink, registration: string, role: Role, frames: readonly bigint[]): Promise<void> {
    const side = { vm: link[role], role }
    if (!this.#hasApproved(link, side)) {
      throw new PalimpsestError(
        'REGISTRATION_STATE',
        `the ${role} plugin attached anew: ${registration} has to be renewed`,
      )
    }
    const { grants } = await this.#host.relay.ask(side, 'refill', { registration, frames })
    await this.#host.workers.worker.submitGrants({ registration, grants })
  }

  /** Ends a registration: the worker wipes its keys, the plugins are told, reserved frames come back. */
  async end({ link, storage }: Subject, terms: Terms, reason: string): Promise<void> {
    const { registration } = terms
    const warn = (what: string) => (error: unknown) => {
      this.#host.log.warn({ registration, err: error }, what)
    }
    try {
      // A worker that is gone has wiped its keys by that.
      await this.#host.workers.worker.closeRegistration({ registration })
    } catch (error) {
      if (!(error instanceof PalimpsestError && gone.has(error.code)))
        warn('could not close a registration')(error)
    }
    for (const role of roles) this.#host.relay.notifyEnded(link[role], role, registration, reason)
    await storage.settle(terms).catch(warn('could not settle a registration'))
  }

  async #askApproval({ link, storage }: Subject, side: Side, signal: AbortSignal): Promise<Uint8Array> {
    const attachment = this.#host.relay.attachment(side)
    const approval = await this.#host.relay.ask(
      side,
      'copyRequested',
      {
        clone: link.name,
        kind: storage.kind,
        source: link.source,
        destination: link.destination,
        peerReport: this.#host.launchReport(side.role === 'source' ? link.destination : link.source),
        pairs: storage.pairs(),
        sourceVolume: storage.volumes.source,
        destinationVolume: storage.volumes.destination,
      },
      signal,
    )
    const approvals = this.#approvals.get(link) ?? {}
    this.#approvals.set(link, { ...approvals, [side.role]: attachment })
    return approval.shareStatement
  }

  #hasApproved(link: CloneLink, side: Side): boolean {
    const approved = this.#approvals.get(link)?.[side.role]
    return approved !== undefined && approved === this.#host.relay.attachment(side)
  }

  async #round(
    subject: Subject,
    terms: Terms,
    open: Uint8Array,
    role: Role,
    side: Side,
    signal: AbortSignal,
  ): Promise<bigint> {
    const { link, storage } = subject
    const { platform, relay, workers, hypercalls } = this.#host
    const { registration } = terms
    if (!this.#hasApproved(link, side)) await this.#askApproval(subject, side, signal)
    const reply = await relay.ask(side, 'openOffer', { registration, clone: link.name, open }, signal)
    const { challenge, qualifyingData } = reply
    const selection = required(reply.selection, 'selection')
    const [{ report }, { quote }, { log }, { firmware }] = await Promise.all([
      workers.worker.answerChallenge({ registration, challenge }, { signal }),
      platform.quote({ selection, qualifyingData }, { signal }),
      platform.readEventLog({}, { signal }),
      platform.getFirmware({ includeImage: false }, { signal }),
    ])
    const ids = firstBlockIds(link, storage.kind, terms.pairs)
    const evidence: EvidenceDelivery = {
      registration,
      measurement: firmware?.imageDigest ?? new Uint8Array(),
      firstBlock: ids.first,
      secondBlock: ids.second,
      quote,
      eventLog: log,
      firmwareManifest: firmware?.manifest ?? new Uint8Array(),
      workerReport: report,
    }
    const { grants } = await relay.ask(side, 'evidence', evidence, signal)
    if (storage.kind === 'memory-page') {
      const pages = pageRuns(terms.pairs, role === 'source' ? 'first' : 'second')
      hypercalls.note(side.vm, 'grant', side.vm, pages)
    }
    const { leaseUntil } = await workers.worker.submitGrants({ registration, grants }, { signal })
    return leaseUntil
  }

  /** Runs `work` for both sides together. The first refusal ends the other side's part and is what the caller gets. */
  async #bothSides<T>(
    link: CloneLink,
    work: (role: Role, side: Side, signal: AbortSignal) => Promise<T>,
  ): Promise<Record<Role, T>> {
    const controller = new AbortController()
    let first: { readonly error: unknown } | undefined
    const run = async (role: Role): Promise<T | undefined> => {
      try {
        return await work(role, { vm: link[role], role }, controller.signal)
      } catch (error) {
        first ??= { error }
        controller.abort(error)
        return undefined
      }
    }
    const [source, destination] = await Promise.all([run('source'), run('destination')])
    if (first) throw first.error
    return { source: source as T, destination: destination as T }
  }
}

interface Side {
  readonly vm: string
  readonly role: Role
}

/** What closing a registration answers when there is nothing left to close. */
const gone: ReadonlySet<string> = new Set([
  'WORKER_UNAVAILABLE',
  'UNAVAILABLE',
  'REGISTRATION_UNKNOWN',
  'CANCELLED',
])
