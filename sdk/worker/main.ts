// What the worker image runs: reads its launch from the inherited pipe, connects to the platform and the host, serves
// WorkerService, and ends when the platform does. This file and all it imports are one bundled, measured file.

import {
  createClient,
  createLogger,
  createServer,
  guarded,
  implement,
  PalimpsestError,
  type CallContext,
  WorkerDataService,
  WorkerPortService,
  WorkerService,
} from '../rpc/index.ts'
import { readLaunchBundle, watchLifeline } from './bundle.ts'
import { PlatformPort } from './platform-port.ts'
import { Worker } from './worker.ts'

/** Runs the worker until it is told to end. */
export async function runWorker(): Promise<void> {
  const bundle = readLaunchBundle()
  const log = createLogger({ name: bundle.vm, level: bundle.host.logLevel })
  const platform = createClient(WorkerPortService, bundle.platform)
  const data = createClient(WorkerDataService, { address: bundle.host.dataAddress, tls: bundle.host.tls })
  const worker = new Worker({
    vm: bundle.vm,
    platform: new PlatformPort(platform),
    data,
    faultPoints: bundle.host.faultPoints,
    log,
    ...(bundle.host.engine === undefined ? {} : { engine: bundle.host.engine }),
  })
  const server = createServer({
    tls: bundle.host.tls,
    services: [implement(WorkerService, guarded(worker.handlers(), requireHost))],
    log,
  })
  const end = () => {
    worker.close()
    process.exit(0)
  }
  watchLifeline(end)
  process.once('SIGTERM', () => {
    void server.close({ graceMs: 500 }).finally(end)
  })
  const [address] = await server.listen(bundle.host.listen)
  log.info({ address }, 'worker ready')
}

/** The host alone talks to a worker: a certificate of its authority for anybody else does not do. */
function requireHost({ peer }: CallContext): void {
  if (peer.unit === 'hypervisor') return
  throw new PalimpsestError(
    'PERMISSION_DENIED',
    `the worker expected its host (OU hypervisor), found OU ${peer.unit ?? 'none'}; connect with the hypervisor's identity`,
  )
}
