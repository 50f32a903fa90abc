/**
 * Runs a hypervisor in this process: connects to the platform, opens the volumes, serves its API, launches the worker.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Connection,
  connect,
  createLogger,
  createServer,
  HostPortService,
  type Logger,
  type RpcServer,
  type ServiceImplementation,
  type Tap,
  WorkerService,
} from '../../sdk/rpc/index.ts'
import { diskPortService } from '../services/disk-port.ts'
import { hypervisorService } from '../services/hypervisor.ts'
import { relayService } from '../services/relay.ts'
import { workerDataService } from '../services/worker-data.ts'
import { VolumeStore } from '../storage/index.ts'
import { type HypervisorConfiguration, type HypervisorSettings, readConfiguration } from './configuration.ts'
import { Hypervisor } from './hypervisor.ts'
import type { RelayTampering } from './plugin-relay.ts'
import { Transcript } from './transcript.ts'
import type { WorkerConnection } from './worker-link.ts'

/** A hypervisor that serves. */
export interface RunningHypervisor {
  /** Where the API is reached, in the order of `listen`, with real ports. */
  readonly addresses: readonly string[]
  /** Ends it. May be called again. */
  close(): Promise<void>
}

/**
 * Starts a hypervisor; resolves when it serves and its worker, if one is configured, is up. `host` may make it lie.
 * @throws TypeError for a wrong setting; PalimpsestError when the platform can not be reached or the worker does not
 * come up.
 */
export async function runHypervisor(
  settings: HypervisorSettings,
  host: { readonly tampering?: RelayTampering | undefined } = {},
): Promise<RunningHypervisor> {
  const configuration = readConfiguration(settings)
  const closers = new Closers()
  try {
    const addresses = await start(configuration, closers, host.tampering)
    return { addresses, close: () => closers.close() }
  } catch (error) {
    await closers.close().catch(() => undefined)
    throw error
  }
}

/** What was started, to be ended in the opposite order. */
class Closers {
  readonly #steps: (() => Promise<void> | void)[] = []
  #closing: Promise<void> | undefined

  add(step: () => Promise<void> | void): void {
    this.#steps.unshift(step)
  }

  close(): Promise<void> {
    this.#closing ??= this.#run()
    return this.#closing
  }

  /** Every step runs, whatever the ones before it did; the first failure is what the caller gets. */
  async #run(): Promise<void> {
    let failure: { readonly error: unknown } | undefined
    for (const step of this.#steps) {
      try {
        await step()
      } catch (error) {
        failure ??= { error }
      }
    }
    if (failure) throw failure.error
  }
}

async function start(
  configuration: HypervisorConfiguration,
  closers: Closers,
  tampering: RelayTampering | undefined,
): Promise<readonly string[]> {
  const log = createLogger({ name: 'hypervisor', level: configuration.logLevel })
  mkdirSync(configuration.runDirectory, { recursive: true, mode: 0o700 })
  const transcript = openTranscript(configuration, closers)
  const platform = await connectPlatform(configuration, transcript?.tap('platform'), closers)
  const store = await VolumeStore.open({ directory: configuration.volumesDirectory, log })
  let dataAddress = ''
  const host = new Hypervisor({
    platform: platform.client(HostPortService),
    store,
    volumesDirectory: configuration.volumesDirectory,
    runDirectory: configuration.runDirectory,
    workerTls: configuration.workerTls,
    connectWorker: (address) => connectWorker(address, configuration, transcript?.tap('worker')),
    dataAddress: () => dataAddress,
    stallTimeoutMs: configuration.stallTimeoutMs,
    poolFrames: configuration.poolFrames,
    logLevel: configuration.logLevel,
    log,
    tampering,
  })
  closers.add(() => host.stop())
  await host.start()
  const data = serve([workerDataService(host)], configuration, log, transcript)
  closers.add(() => data.close())
  const dataListen = configuration.dataListen ?? `unix:${join(configuration.runDirectory, 'data.sock')}`
  dataAddress = (await data.listen(dataListen))[0] ?? dataListen
  const api = serve(
    [hypervisorService(host), relayService(host), diskPortService(host)],
    configuration,
    log,
    transcript,
  )
  closers.add(() => api.close())
  const addresses = await api.listen(...configuration.listen)
  const { workerImage, faultPoints } = configuration
  if (workerImage !== undefined) await host.workers.start({ path: workerImage, faultPoints })
  log.info({ addresses }, 'the hypervisor serves')
  return addresses
}

function openTranscript({ transcript }: HypervisorConfiguration, closers: Closers): Transcript | undefined {
  if (transcript === undefined) return undefined
  const opened = new Transcript(transcript)
  closers.add(() => {
    opened.close()
  })
  return opened
}

function serve(
  services: readonly ServiceImplementation[],
  { tls }: HypervisorConfiguration,
  log: Logger,
  transcript: Transcript | undefined,
): RpcServer {
  return createServer({ services, tls, log, tap: transcript?.tap('caller') })
}

async function connectPlatform(
  { platform, tls }: HypervisorConfiguration,
  tap: Tap | undefined,
  closers: Closers,
): Promise<Connection> {
  const { address, ...trust } = platform
  const connection = connect({ address, tls: { ...tls, ...trust }, tap })
  closers.add(() => {
    connection.close()
  })
  await connection.waitForReady()
  return connection
}

function connectWorker(
  address: string,
  { tls }: HypervisorConfiguration,
  tap: Tap | undefined,
): WorkerConnection {
  const connection = connect({ address, tls, tap })
  return {
    worker: connection.client(WorkerService),
    ready: (deadlineMs) => connection.waitForReady({ deadlineMs }),
    close: () => {
      connection.close()
    },
  }
}
