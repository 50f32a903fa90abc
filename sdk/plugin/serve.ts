// Runs a plugin: enrols the platform, attaches to the hypervisor's relay, answers requests, and attaches again by
// itself when the connection is lost, until it is closed.

import { setTimeout } from 'node:timers/promises'
import { Enroller, type EnrolmentRecord, type EnrolmentStore, memoryEnrolments } from '../attest/index.ts'
import {
  type AttachRequest,
  type AttachResponse,
  type ClientOf,
  createClient,
  createLogger,
  HypervisorService,
  type Logger,
  PalimpsestError,
  RelayService,
} from '../rpc/index.ts'
import { equalBytes } from '../crypto/index.ts'
import { objectName, TPMT_PUBLIC, unmarshal } from '../tpm2/index.ts'
import { type Credentials, loadCredentials } from './credentials.ts'
import type { Plugin } from './define.ts'
import type { PluginObserver } from './events.ts'
import { Guest } from './guest.ts'
import { Outbox } from './outbox.ts'
import { type PlatformClocks, PluginSession } from './session.ts'

/** Where and as whom a plugin serves. */
export interface ServeOptions {
  /** The VM that it speaks for. */
  readonly vm: string
  /** Address of the hypervisor: `unix:/path` or `host:port`. */
  readonly hypervisor: string
  /** The VM's identity: a folder of `palimpsest identity create`, or loaded credentials. */
  readonly credentials: string | Credentials
  /** Where enrolled platforms are kept; default: in memory. */
  readonly enrolments?: EnrolmentStore
  /** Told of every step. */
  readonly onEvent?: PluginObserver
  readonly log?: Logger
}

/** A plugin that is being served. */
export interface ServedPlugin {
  /** Resolves when the plugin is attached for the first time; rejects when it was closed or refused before. */
  readonly ready: Promise<void>
  /** Resolves when the plugin was closed, or ended because another plugin of this VM and side took its place. */
  readonly closed: Promise<void>
  close(): Promise<void>
}

/** Waits between attempts to attach, in milliseconds: 100, 200, … up to this. */
const MAX_BACKOFF_MS = 2_000

/** Errors after which trying again can not help. */
const FINAL = new Set([
  'UNAUTHENTICATED',
  'PERMISSION_DENIED',
  'UNIMPLEMENTED',
  'INVALID_ARGUMENT',
  // Another plugin took this one's place: two that attach again and again would only replace each other.
  'ABORTED',
])

/**
 * Serves a plugin until it is closed. Resolves when it is attached for the first time.
 * Throws PalimpsestError or Refusal when it can not be attached for a reason that waiting does not cure.
 *
 * @example
 * const served = await serve(source, { vm: 'vm-7', hypervisor: 'unix:/run/palimpsest/hypervisor.sock', credentials: 'vm-7' })
 */
export async function serve(plugin: Plugin, options: ServeOptions): Promise<ServedPlugin> {
  const server = new PluginServer(plugin, options)
  await server.ready
  return server
}

class PluginServer implements ServedPlugin {
  readonly ready: Promise<void>
  readonly closed: Promise<void>
  readonly #plugin: Plugin
  readonly #options: ServeOptions
  readonly #credentials: Credentials
  readonly #log: Logger
  readonly #observe: PluginObserver
  readonly #stop = new AbortController()
  readonly #hypervisor: ClientOf<typeof HypervisorService>
  readonly #relay: ClientOf<typeof RelayService>
  readonly #enrolments: EnrolmentStore
  readonly #clocks: PlatformClocks = new Map()
  #attached: () => void = () => undefined

  constructor(plugin: Plugin, options: ServeOptions) {
    const { credentials, hypervisor: address } = options
    this.#plugin = plugin
    this.#options = options
    this.#credentials = typeof credentials === 'string' ? loadCredentials(credentials) : credentials
    this.#log = options.log ?? createLogger({ name: plugin.name })
    this.#observe = options.onEvent ?? (() => undefined)
    this.#enrolments = options.enrolments ?? memoryEnrolments()
    const { tls } = this.#credentials
    this.#hypervisor = createClient(HypervisorService, { address, tls })
    this.#relay = createClient(RelayService, { address, tls })
    let failed: (error: unknown) => void = () => undefined
    this.ready = new Promise<void>((resolve, reject) => {
      this.#attached = resolve
      failed = reject
    })
    this.closed = this.#run(failed)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.closed
  }

  async #run(failed: (error: unknown) => void): Promise<void> {
    let backoff = 100
    while (!this.#stop.signal.aborted) {
      try {
        await this.#attach(() => {
          backoff = 100
          this.#attached()
        })
        this.#observe({ event: 'DETACHED', reason: 'the hypervisor ended the attachment' })
      } catch (error) {
        this.#observe({ event: 'DETACHED', reason: error instanceof Error ? error.message : 'unknown' })
        if (isFinal(error)) {
          // Before the first attachment the caller is told; after it, only the log is left.
          this.#log.warn({ err: error }, 'not attached, and trying again can not help')
          failed(error)
          this.#stop.abort()
        } else this.#log.warn({ err: error, backoff }, 'not attached; trying again')
      }
      await pause(backoff, this.#stop.signal)
      backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)
    }
    failed(new PalimpsestError('CANCELLED', 'the plugin was closed before it was attached'))
    this.#hypervisor.close()
    this.#relay.close()
  }

  async #attach(attached: () => void): Promise<void> {
    const platform = await this.#hypervisor.getPlatform({}, { signal: this.#stop.signal })
    const enrolment = await this.#enrol(platform.endorsement)
    const guest = new Guest({
      address: platform.guestPortAddress,
      credentials: this.#credentials,
      trustAnchors: this.#plugin.policy.trustAnchors,
    })
    try {
      await this.#serveStream(enrolment, guest, attached)
    } finally {
      guest.close()
    }
  }

  /** The platform's enrolment record: kept from an earlier attachment, or made now. */
  async #enrol(
    endorsement: Awaited<ReturnType<ClientOf<typeof HypervisorService>['getPlatform']>>['endorsement'],
  ): Promise<EnrolmentRecord> {
    if (endorsement === undefined)
      throw new PalimpsestError('UNAVAILABLE', 'the hypervisor gave no endorsement')
    const kept = await this.#enrolments.get(objectName(unmarshal(TPMT_PUBLIC, endorsement.ekPublic)))
    if (kept !== undefined && equalBytes(kept.akPublic, endorsement.akPublic)) return kept
    const enroller = new Enroller({ trustAnchors: this.#plugin.policy.trustAnchors })
    const record = await enroller.enrol(endorsement, async (credential) => {
      return (await this.#hypervisor.enrolPlatform(credential)).certInfo
    })
    await this.#enrolments.put(record)
    this.#observe({ event: 'ENROLLED', platform: record.ekName })
    return record
  }

  async #serveStream(enrolment: EnrolmentRecord, guest: Guest, attached: () => void): Promise<void> {
    const { vm } = this.#options
    const outbox = new Outbox<AttachRequest>()
    const { name, version, role } = this.#plugin
    outbox.push({
      request: 0n,
      message: { case: 'hello', value: { vm, role, plugin: name, pluginVersion: version } },
    })
    const session = new PluginSession({
      plugin: this.#plugin,
      vm,
      credentials: this.#credentials,
      enrolment,
      guest,
      clocks: this.#clocks,
      observe: this.#observe,
      log: this.#log,
    })
    const { signal } = this.#stop
    try {
      for await (const message of this.#relay.attach(outbox, { signal })) {
        if (message.message?.case === 'welcome') {
          this.#observe({ event: 'ATTACHED', vm })
          attached()
        } else void this.#answer(session, message, outbox, signal)
      }
    } finally {
      outbox.end()
    }
  }

  async #answer(
    session: PluginSession,
    { request, message }: AttachResponse,
    outbox: Outbox<AttachRequest>,
    signal: AbortSignal,
  ): Promise<void> {
    const answer = await session.answer(message, signal)
    if (answer !== undefined) outbox.push({ request, message: answer })
  }
}

function isFinal(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false
  return FINAL.has(error.code) || error.code.startsWith('REFUSED_')
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(ms, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
