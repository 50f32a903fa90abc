/**
 * The life of one clone: registered, live, stalled, registered again, finished. One object owns its state; the steps
 * that change it run one after the other.
 * Source: hypervisor.proto (CloneState); design.md section 5 step 6 (leases renew by themselves).
 */
import {
  type Clone as CloneView,
  type CloneState,
  type ErrorCode,
  type Logger,
  PalimpsestError,
  type Role,
} from '../../sdk/rpc/index.ts'
import { type CloneLink, type CloneStorage, type LiveRegistration, asError } from './clone-storage.ts'
import type { Registrar } from './registrar.ts'

const firstPauseMs = 500
const longestPauseMs = 10_000

/** Failures that pass by themselves. All others are final until somebody asks for a new registration. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'WORKER_UNAVAILABLE',
  'PLUGIN_UNAVAILABLE',
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'REGISTRATION_UNKNOWN',
  'REGISTRATION_STATE',
  'GRANT_EXPIRED',
  'RESOURCE_EXHAUSTED',
  'UNKNOWN_VM',
])

/** Names of a clone. */
export interface CloneNames {
  readonly name: string
  readonly source: string
  readonly destination: string
}

/** A clone and its registration. */
export class Clone implements CloneLink {
  readonly name: string
  readonly source: string
  readonly destination: string
  readonly storage: CloneStorage
  readonly #registrar: Registrar
  readonly #log: Logger
  #state: CloneState = 'registering'
  #live: LiveRegistration | undefined
  #lastRegistration = ''
  #reason = ''
  /** Whether the lease of the last registration ended, rather than the worker. */
  #expired = false
  /** Whether somebody has to ask before the clone is registered again. */
  #final = false
  /** Registrations so far: they are numbered. Their terms tell them apart, whatever their names. */
  #counter = 0
  #pauseMs = firstPauseMs
  #timer: NodeJS.Timeout | undefined
  #steps: Promise<unknown> = Promise.resolve()

  constructor(
    names: CloneNames,
    storage: (link: CloneLink) => CloneStorage,
    host: { readonly registrar: Registrar; readonly log: Logger },
  ) {
    this.name = names.name
    this.source = names.source
    this.destination = names.destination
    this.#registrar = host.registrar
    this.#log = host.log.child({ clone: names.name })
    this.storage = storage(this)
  }

  get state(): CloneState {
    return this.#state
  }

  /** Whether the clone stays stalled until somebody asks. */
  get isFinal(): boolean {
    return this.#final
  }

  /** As the API shows it. */
  get view(): CloneView {
    const { name, source, destination, storage } = this
    return {
      clone: name,
      kind: storage.kind,
      source,
      destination,
      state: this.#state,
      registration: this.#live?.terms.registration ?? '',
      blocks: storage.blocks,
      copied: storage.copied,
      reason: this.#reason,
    }
  }

  /** Whether a registration, live or past, is the newest of this clone. */
  owns(registration: string): boolean {
    return this.#lastRegistration === registration
  }

  live(): LiveRegistration | undefined {
    return this.#live
  }

  stalled(): PalimpsestError {
    const code = this.#expired ? 'GRANT_EXPIRED' : 'STALLED'
    const why = this.#reason === '' ? 'the copy took too long' : this.#reason
    const metadata = { clone: this.name }
    return new PalimpsestError(code, `clone ${this.name} could not copy in time (${why}): nothing is lost`, {
      metadata,
    })
  }

  /**
   * The first registration, and the moment of the clone.
   * @throws PalimpsestError with nothing changed; unless blocks are shared by then: the clone stalls and goes on later.
   */
  begin(): Promise<void> {
    return this.#step(() => this.#begin())
  }

  /** A clone of an earlier host process: it has no registration, and gets one as soon as it can. */
  restore(): void {
    if (this.storage.pairs().length === 0) this.#state = 'finished'
    else this.#stall('the host was started again')
  }

  lost(registration: string, error: PalimpsestError): void {
    const dead = this.#live
    if (dead?.terms.registration !== registration) return
    this.#live = undefined
    this.#expired = error.code === 'GRANT_EXPIRED'
    // A plugin that refuses a refill has made up its mind; everything else that ends a registration may pass.
    this.#final = error.metadata.refusedBy !== undefined
    this.#stall(`${error.code}: ${error.message}`)
    this.#log.info({ registration, code: error.code }, 'registration lost')
    void this.#step(() => this.#registrar.end(this.#subject, dead.terms, error.code))
    this.wake()
  }

  finished(): void {
    if (this.#state === 'finished') return
    const dead = this.#live
    this.#live = undefined
    this.#state = 'finished'
    this.#reason = ''
    clearTimeout(this.#timer)
    this.#log.info('every block is copied')
    const step = this.#step(async () => {
      if (dead) await this.#registrar.end(this.#subject, dead.terms, 'finished')
      await this.storage.complete()
      this.storage.cancel(new PalimpsestError('STATE', `clone ${this.name} is finished`))
    })
    step.catch((error: unknown) => {
      this.#log.warn({ err: error }, 'could not tidy up after a finished clone')
    })
  }

  refill(registration: string, role: Role, frames: readonly bigint[]): Promise<void> {
    return this.#registrar.refill(this, registration, role, frames)
  }

  /** Tries to register again now, if that is needed and nobody has to ask first. */
  wake(): void {
    clearTimeout(this.#timer)
    if (this.#state !== 'stalled' || this.#final) return
    this.#step(() => this.#registerAgain()).catch((error: unknown) => {
      this.#log.info({ err: error }, 'could not register again')
    })
  }

  /** The worker is gone, and with it what it knew. */
  workerGone(error: PalimpsestError): void {
    if (this.#live) this.lost(this.#live.terms.registration, error)
  }

  /** A full round, because somebody asked. @throws PalimpsestError why it failed; the clone stalls then. */
  async renew(): Promise<string> {
    this.#requireBegun()
    this.#refuseFinished()
    await this.#step(async () => {
      await this.#end('RENEWED', 'a new registration was asked for')
      this.#final = false
      await this.#registerAgain()
    })
    return this.#lastRegistration
  }

  /** Ends the registration; the clone stalls until `renew`. */
  async revoke(): Promise<void> {
    this.#requireBegun()
    this.#refuseFinished()
    this.#final = true
    await this.#step(() => this.#end('REVOKED', 'its registration was revoked'))
  }

  /** Ends everything; the object is of no use afterwards. */
  async delete(): Promise<void> {
    this.#requireBegun()
    this.#final = true
    clearTimeout(this.#timer)
    await this.#step(async () => {
      await this.#end('DELETED', 'it was deleted')
      this.storage.cancel(this.stalled())
      await this.storage.discard()
    })
  }

  /** The host shuts down: no more timers. */
  stop(): void {
    this.#final = true
    clearTimeout(this.#timer)
  }

  get #subject(): { link: CloneLink; storage: CloneStorage } {
    return { link: this, storage: this.storage }
  }

  #nextRegistration(): string {
    this.#counter += 1
    this.#lastRegistration = `${this.name}-${this.#counter}`
    return this.#lastRegistration
  }

  async #begin(): Promise<void> {
    const statement = await this.#registrar.approve(this.#subject)
    const live = await this.#registrar.register(this.#subject, this.#nextRegistration())
    try {
      await this.storage.share(live.terms, statement)
    } catch (thrown) {
      const error = asError(thrown)
      await this.#registrar.end(this.#subject, live.terms, error.code)
      if (this.storage.isShared) this.#failed(error)
      throw thrown
    }
    // A volume without blocks is finished by the time it is cloned.
    if (this.#state === 'finished') await this.#registrar.end(this.#subject, live.terms, 'finished')
    else this.#becomeLive(live)
  }

  #becomeLive(live: LiveRegistration): void {
    this.#live = live
    this.#state = 'live'
    this.#reason = ''
    this.#expired = false
    this.#pauseMs = firstPauseMs
    this.storage.resume()
  }

  #stall(reason: string): void {
    if (this.#state === 'finished') return
    this.#state = 'stalled'
    this.#reason = reason
  }

  /** What is asked for while plugins and worker are being asked would be overtaken by their answers. */
  #requireBegun(): void {
    if (this.#state !== 'registering') return
    throw new PalimpsestError(
      'STATE',
      `clone ${this.name} is being registered: wait until it is live or refused`,
    )
  }

  #refuseFinished(): void {
    if (this.#state !== 'finished') return
    throw new PalimpsestError(
      'STATE',
      `expected clone ${this.name} to have blocks to copy, found it finished`,
    )
  }

  async #end(reason: string, shown: string): Promise<void> {
    const dead = this.#live
    this.#live = undefined
    this.#stall(shown)
    if (dead) await this.#registrar.end(this.#subject, dead.terms, reason)
  }

  async #registerAgain(): Promise<void> {
    // The step before may have made it live, or have found that nothing is left to copy.
    if (this.#state !== 'stalled' || this.#final) return
    if (this.storage.pairs().length === 0) {
      this.finished()
      return
    }
    this.#state = 'registering'
    try {
      this.#becomeLive(await this.#registrar.register(this.#subject, this.#nextRegistration()))
    } catch (thrown) {
      this.#failed(asError(thrown))
      throw thrown
    }
  }

  #failed(error: PalimpsestError): void {
    this.#final = !passing.has(error.code) || error.metadata.refusedBy === 'plugin'
    this.#stall(`${error.code}: ${error.message}`)
    if (!this.#final) this.#tryLater()
  }

  #tryLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.wake()
    }, this.#pauseMs)
    this.#timer.unref()
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs)
  }

  #step<T>(work: () => Promise<T>): Promise<T> {
    const step = this.#steps.then(work)
    this.#steps = step.catch(() => undefined)
    return step
  }
}
