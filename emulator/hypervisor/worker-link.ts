/**
 * The worker of this host: has the platform launch its image, connects to it, and launches it again when its process
 * ends. A worker forgets everything when it ends, so whoever holds registrations is told of each new one.
 * Source: host_port.proto (LaunchWorker, WorkerExit); design.md sections 4 and 6.
 */
import { rmSync } from 'node:fs'
import { type Logger, PalimpsestError, type TlsIdentity } from '../../sdk/rpc/index.ts'
import { CopyStream, unavailable } from './copy-stream.ts'
import type { PlatformPort, WorkerPort } from './ports.ts'
import { Deferred, delay } from './waiting.ts'

/** A connection to a worker. */
export interface WorkerConnection {
  readonly worker: WorkerPort
  /** Resolves when the worker answers. */
  ready(deadlineMs: number): Promise<void>
  close(): void
}

/** How workers are launched and reached. */
export interface WorkerSetup {
  readonly platform: Pick<PlatformPort, 'launchWorker' | 'terminateVm'>
  /** Folder for the workers' sockets. */
  readonly runDirectory: string
  /** Identity that the worker shows to this host. Counts for nothing in appraisal. */
  readonly tls: TlsIdentity
  /** Where WorkerDataService is served. */
  readonly dataAddress: () => string
  /** Names that no new worker may get: an earlier one's audit log is kept under them. */
  readonly isTaken: (name: string) => boolean
  readonly connect: (address: string) => WorkerConnection
  readonly logLevel: string
  readonly log: Logger
}

/** A worker image to run. */
export interface WorkerImage {
  readonly path: string
  readonly faultPoints: boolean
}

/** A running worker. */
export interface RunningWorker {
  readonly name: string
  readonly measurement: Uint8Array
  readonly pid: number
}

interface Live extends RunningWorker {
  readonly connection: WorkerConnection
  readonly stream: CopyStream
}

/** Time that an image has to come up, in milliseconds. */
const startTimeoutMs = 20_000
const firstPauseMs = 200
const longestPauseMs = 5_000
/** A worker that ran this long was not broken from the start: the next restart is quick again. */
const stableMs = 30_000

/** The worker of a host, if it has one. */
export class WorkerLink {
  readonly #setup: WorkerSetup
  readonly #onUp: (() => void)[] = []
  readonly #onDown: ((error: PalimpsestError) => void)[] = []
  #comingUp: { readonly name: string; readonly ended: Deferred<string> } | undefined
  #attempt = new AbortController()
  #stopped = false
  #image: WorkerImage | undefined
  #live: Live | undefined
  #starting: Promise<unknown> = Promise.resolve()
  #counter = 0
  #pauseMs = firstPauseMs
  #startedAt = 0

  constructor(setup: WorkerSetup) {
    this.#setup = setup
  }

  /** The running worker, if any. */
  get running(): RunningWorker | undefined {
    return this.#live
  }

  /** Whether copies can be asked for now. */
  get isUp(): boolean {
    return this.#live !== undefined
  }

  /** @throws PalimpsestError WORKER_UNAVAILABLE when none runs. */
  get worker(): WorkerPort {
    return this.#current().connection.worker
  }

  /** The copy stream. @throws PalimpsestError WORKER_UNAVAILABLE when no worker runs. */
  get stream(): CopyStream {
    return this.#current().stream
  }

  /** Calls `up` when a worker has come up and `down` when it is gone. */
  observe(up: () => void, down: (error: PalimpsestError) => void): void {
    this.#onUp.push(up)
    this.#onDown.push(down)
  }

  /** Launches an image in place of the worker that runs. @throws PalimpsestError when it does not come up. */
  async start(image: WorkerImage): Promise<RunningWorker> {
    // Attempts to start the image before give way.
    this.#attempt.abort()
    this.#attempt = new AbortController()
    const work = this.#starting.then(() => this.#replace(image))
    this.#starting = work.catch(() => {
      if (this.#live === undefined) this.#startAgain()
    })
    return work
  }

  /** The platform says that a worker's process has ended. */
  exited(name: string, reason: string): void {
    if (this.#comingUp?.name === name) this.#comingUp.ended.resolve(reason)
    if (this.#live?.name !== name) return
    this.#setup.log.warn({ worker: name, reason }, 'the worker ended')
    this.#lose(this.#live, unavailable(`${name} ended (${reason})`))
    this.#startAgain()
  }

  /** Ends the worker and starts no other. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#attempt.abort()
    this.#image = undefined
    await this.#starting
    const live = this.#live
    if (live === undefined) return
    this.#lose(live, unavailable(`${live.name} was ended`))
    await this.#terminate(live)
  }

  #current(): Live {
    if (this.#live) return this.#live
    throw unavailable(this.#image ? 'it is just being started' : 'none was started')
  }

  /** Launches an image and, once it is up, ends the worker before it. */
  async #replace(image: WorkerImage): Promise<RunningWorker> {
    if (this.#stopped) throw unavailable('this host is shutting down')
    const fresh = await this.#launch(image)
    const before = this.#live
    this.#image = image
    if (before) this.#lose(before, unavailable(`${before.name} was replaced`))
    this.#use(fresh)
    if (before) await this.#terminate(before)
    return fresh
  }

  #use(fresh: Live): void {
    this.#live = fresh
    this.#startedAt = Date.now()
    this.#setup.log.info({ worker: fresh.name, pid: fresh.pid }, 'the worker is up')
    for (const up of this.#onUp) up()
    // It may have ended again before anybody could be told of it.
    if (fresh.stream.ended) this.#streamEnded(fresh.name, fresh.stream.ended)
  }

  async #launch(image: WorkerImage): Promise<Live> {
    const { name, launched, address, ended } = await this.#launchNamed(image)
    const connection = this.#setup.connect(address)
    try {
      const reason = await Promise.race([connection.ready(startTimeoutMs), ended.promise])
      if (reason !== undefined) throw unavailable(`${name} ended (${reason}) while it was starting`)
    } catch (error) {
      connection.close()
      await this.#terminate({ name })
      rmSync(this.#socket(name), { force: true })
      const message = `expected ${name} to come up, but it did not: see the platform's log`
      throw new PalimpsestError('WORKER_UNAVAILABLE', message, { cause: error })
    } finally {
      this.#comingUp = undefined
    }
    const stream = new CopyStream(connection.worker, (error) => {
      this.#streamEnded(name, error)
    })
    return { name, measurement: launched.measurement, pid: launched.pid, connection, stream }
  }

  /** Launches under the first name that is free: the platform may still run workers of an earlier host process. */
  async #launchNamed(image: WorkerImage): Promise<{
    name: string
    address: string
    launched: Awaited<ReturnType<PlatformPort['launchWorker']>>
    ended: Deferred<string>
  }> {
    while (true) {
      const name = `worker-${++this.#counter}`
      if (this.#setup.isTaken(name)) continue
      const address = `unix:${this.#socket(name)}`
      const hostConfiguration = new TextEncoder().encode(JSON.stringify(this.#wishes(address, image)))
      try {
        const request = { vm: name, imagePath: image.path, hostConfiguration }
        const ended = new Deferred<string>()
        this.#comingUp = { name, ended }
        return { name, address, ended, launched: await this.#setup.platform.launchWorker(request) }
      } catch (error) {
        if (error instanceof PalimpsestError && error.code === 'ALREADY_EXISTS') continue
        this.#comingUp = undefined
        // It may be running all the same: an answer that is lost says nothing of the launch.
        await this.#terminate({ name })
        throw error
      }
    }
  }

  #wishes(listen: string, image: WorkerImage): object {
    const { tls, dataAddress, logLevel } = this.#setup
    return { listen, tls, data: { address: dataAddress() }, faultPoints: image.faultPoints, logLevel }
  }

  async #terminate(worker: { readonly name: string }): Promise<void> {
    await this.#setup.platform.terminateVm({ vm: worker.name }).catch((error: unknown) => {
      const isGone = error instanceof PalimpsestError && error.code === 'UNKNOWN_VM'
      if (!isGone) this.#setup.log.warn({ worker: worker.name, err: error }, 'could not end the worker')
    })
  }

  /** A stream without a process end: the connection broke, or the process is about to be reported as ended. */
  #streamEnded(name: string, error: PalimpsestError): void {
    const live = this.#live
    if (live?.name !== name) return
    this.#setup.log.warn({ worker: name, err: error }, 'the copy stream ended')
    this.#lose(live, error)
    // A worker that can not be reached is of no use: have the platform end it, so that it can not copy unseen.
    void this.#terminate(live)
    this.#startAgain()
  }

  #socket(name: string): string {
    return `${this.#setup.runDirectory}/${name}.sock`
  }

  #lose(live: Live, error: PalimpsestError): void {
    if (this.#live === live) this.#live = undefined
    // A worker is killed, so it can not do this itself.
    rmSync(this.#socket(live.name), { force: true })
    live.stream.close()
    live.connection.close()
    for (const down of this.#onDown) down(error)
  }

  #startAgain(): void {
    if (Date.now() - this.#startedAt > stableMs) this.#pauseMs = firstPauseMs
    const { signal } = this.#attempt
    this.#starting = this.#starting.then(() => this.#keepStarting(signal))
  }

  async #keepStarting(signal: AbortSignal): Promise<void> {
    while (this.#live === undefined) {
      await delay(this.#pauseMs, signal)
      const image = this.#image
      if (image === undefined || signal.aborted) return
      this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs)
      try {
        this.#use(await this.#launch(image))
      } catch (error) {
        this.#setup.log.error({ err: error }, 'could not start the worker again')
      }
    }
  }
}
