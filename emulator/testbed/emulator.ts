// The emulator as one thing: platform in this process, the hypervisor image launched and measured by it, identities and
// state in one folder. `palimpsest emulator`, `palimpsest up` and the testbed all run this.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import {
  type ClientOf,
  createClient,
  createLogger,
  HypervisorService,
  type LogLevel,
  PalimpsestError,
  type TlsIdentity,
} from '../../sdk/rpc/index.ts'
import { runPlatform, type UefiBootOptions } from '../platform/index.ts'
import { Authority } from './authority.ts'
import { defaultHypervisorImage } from './images.ts'

/** File in the emulator's folder that says where it can be reached. */
export const CONNECTION_FILE = 'connection.json'

/** Longest path of a UNIX socket that Linux takes is 107 bytes; leave room for the names of sockets. */
const LONGEST_RUN_DIRECTORY = 80

/** Time for the hypervisor and its worker to come up, and between looks. */
const START_MS = 30_000
const POLL_MS = 20
/** By how much the platform waits longer than the hypervisor, which is to say why an access failed. */
const STALL_MARGIN_MS = 60_000

/** What to run. */
export interface EmulatorOptions {
  /** Identities, state and volumes; made if missing. */
  readonly directory: string
  /** Firmware image; default: the built-in one. */
  readonly firmware?: string
  /** Signed manifest of the firmware; default: made by the emulator's own firmware signer. */
  readonly firmwareManifest?: string
  /** Boot profile uefi, with what it needs; default profile image. */
  readonly uefi?: UefiBootOptions
  /** Integrity mode: guests and workers get INTEGRITY_FAULT for frames that the host changed in DRAM; default false. */
  readonly integrity?: boolean
  /** DRAM in bytes. */
  readonly memoryBytes: number
  /** Hypervisor image to measure and run; default: the project's own. */
  readonly hypervisorImage?: string
  /** Further addresses for the hypervisor's API, as `127.0.0.1:7600`. */
  readonly listen?: readonly string[]
  /** Worker image to start with; none: no worker. */
  readonly workerImage?: string
  /** Whether fault points may be armed in the worker. */
  readonly faultPoints?: boolean
  /** How long a write waits for a copy. */
  readonly stallTimeoutMs?: number
  /** File that records every message that reaches the hypervisor. */
  readonly transcript?: string
  readonly logLevel?: LogLevel
}

/** Where a running emulator is. */
export interface EmulatorAddresses {
  readonly hypervisor: string
  readonly guestPort: string
  /** Folder of the operator's identity. */
  readonly operatorIdentity: string
  /** Folder of the authority that makes identities. */
  readonly authority: string
  /** The manufacturer's root certificate (PEM file): what policies pin. */
  readonly trustAnchor: string
  /** SHA-256 of the firmware image, hexadecimal. */
  readonly measurement: string
  readonly pids: { readonly platform: number; readonly hypervisor: number }
}

/** A running emulator. */
export interface Emulator {
  readonly addresses: EmulatorAddresses
  /** Resolves when the hypervisor's process has ended by itself. */
  readonly ended: Promise<string>
  close(): Promise<void>
}

/** Starts platform and hypervisor, and returns when the hypervisor answers. */
export async function runEmulator(options: EmulatorOptions): Promise<Emulator> {
  const directory = resolve(options.directory)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const run = runDirectory(directory)
  const log = createLogger({ name: 'platform', level: options.logLevel ?? 'warn' })
  const authority = Authority.open(join(directory, 'identities'))
  const operator = authority.identity('operator', 'operator')
  const hypervisor = authority.identity('hypervisor', 'hypervisor')
  const worker = authority.identity('worker', 'worker')
  const address = `unix:${join(run.path, 'hypervisor.sock')}`
  const platform = await runPlatform({
    stateDirectory: join(directory, 'state'),
    runDirectory: run.path,
    memoryBytes: options.memoryBytes,
    ...(options.firmware === undefined ? {} : { firmwarePath: options.firmware }),
    ...(options.firmwareManifest === undefined ? {} : { manifestPath: options.firmwareManifest }),
    ...(options.uefi === undefined ? {} : { uefi: options.uefi }),
    integrity: options.integrity ?? false,
    ...(options.stallTimeoutMs === undefined
      ? {}
      : { stallTimeoutMs: options.stallTimeoutMs + STALL_MARGIN_MS }),
    hypervisorImagePath: options.hypervisorImage ?? defaultHypervisorImage(),
    operatorCaPem: authority.caPem,
    hostIdentity: authority.identity('platform', 'hypervisor').tls,
    bootHypervisor: {
      configuration: {
        runDirectory: run.path,
        listen: [address, ...(options.listen ?? [])],
        platform: { address: `unix:${join(run.path, 'host.sock')}` },
        tls: hypervisor.tls,
        workerTls: worker.tls,
        volumesDirectory: join(directory, 'volumes'),
        faultPoints: options.faultPoints ?? false,
        logLevel: options.logLevel ?? 'warn',
        ...(options.workerImage === undefined ? {} : { workerImage: resolve(options.workerImage) }),
        ...(options.stallTimeoutMs === undefined ? {} : { stallTimeoutMs: options.stallTimeoutMs }),
        ...(options.transcript === undefined ? {} : { transcript: resolve(options.transcript) }),
      },
    },
    log,
  })
  try {
    const gone = platform.hypervisorExited.then((reason): never => {
      throw new PalimpsestError(
        'UNAVAILABLE',
        `the hypervisor ended while it started (${reason}); see its log`,
      )
    })
    await Promise.race([answering(address, operator.tls, options.workerImage !== undefined), gone])
  } catch (error) {
    await platform.close()
    run.remove()
    throw error
  }
  const addresses: EmulatorAddresses = {
    hypervisor: address,
    guestPort: platform.guestPortAddress,
    operatorIdentity: operator.directory,
    authority: authority.directory,
    trustAnchor: platform.trustAnchorFile,
    measurement: platform.firmwareDigest,
    pids: { platform: process.pid, hypervisor: platform.hypervisorPid ?? 0 },
  }
  writeFileSync(join(directory, CONNECTION_FILE), `${JSON.stringify(addresses, undefined, 2)}\n`)
  return {
    addresses,
    ended: platform.hypervisorExited,
    close: async () => {
      rmSync(join(directory, CONNECTION_FILE), { force: true })
      await platform.close()
      run.remove()
    },
  }
}

/** Sockets lie in the emulator's folder, or in a temporary one when that path is too long for a socket. */
function runDirectory(directory: string): { path: string; remove: () => void } {
  const inside = join(directory, 'run')
  if (inside.length <= LONGEST_RUN_DIRECTORY) {
    mkdirSync(inside, { recursive: true, mode: 0o700 })
    return { path: inside, remove: () => undefined }
  }
  const path = mkdtempSync(join(tmpdir(), 'palimpsest-'))
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true })
    },
  }
}

/** Waits until the hypervisor answers a call, and until its worker does when it was told to start one. */
async function answering(address: string, tls: TlsIdentity, withWorker: boolean): Promise<void> {
  const path = address.slice('unix:'.length)
  const deadline = Date.now() + START_MS
  while (!existsSync(path) && Date.now() < deadline) await setTimeout(POLL_MS)
  const client = createClient(HypervisorService, { address, tls })
  try {
    await client.waitForReady({ deadlineMs: START_MS })
    await client.getPlatform({})
    while (withWorker && !(await hasWorker(client))) {
      if (Date.now() > deadline)
        throw new PalimpsestError('WORKER_UNAVAILABLE', 'the worker did not come up; see the log')
      await setTimeout(POLL_MS)
    }
  } finally {
    client.close()
  }
}

async function hasWorker(client: ClientOf<typeof HypervisorService>): Promise<boolean> {
  try {
    await client.getWorker({})
    return true
  } catch (error) {
    if (error instanceof PalimpsestError && error.code === 'WORKER_UNAVAILABLE') return false
    throw error
  }
}
