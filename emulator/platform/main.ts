// Runs a platform: boots it, serves its three ports, each on an address of its own, and starts the hypervisor image that
// was measured. Used by the command and the testbed. (Design, section 3, house rule 2.)

import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, sep } from 'node:path'
import { hex, sha256 } from '../../sdk/crypto/index.ts'
import {
  createServer,
  PalimpsestError,
  silentLogger,
  type Logger,
  type RpcServer,
  type ServiceImplementation,
  type TlsIdentity,
} from '../../sdk/rpc/index.ts'
import { guestPortService } from '../services/guest-port.ts'
import { hostPortService } from '../services/host-port.ts'
import { workerPortService } from '../services/worker-port.ts'
import { startImage, type ImageProcess } from './image-process.ts'
import { EmulatedPlatform, type UefiBootOptions } from './platform.ts'

/** Longer than any host's own limit: the host is to say why an access failed. */
const DEFAULT_STALL_TIMEOUT_MS = 120_000
/** Time for the hypervisor to end in order. */
const HYPERVISOR_GRACE_MS = 5000
/** A native module of the hypervisor image: too native to be bundled, so it is found by path, and not measured. */
const NATIVE_MODULE = 'lmdb'

/** What to run. */
export interface PlatformOptions {
  /** TPM state, manufacturer's keys, firmware manifests; made if missing. */
  readonly stateDirectory: string
  /** Folder of the manufacturer that certifies the platform; default in the state folder. Platforms may share one. */
  readonly manufacturerDirectory?: string
  /** Folder of the sockets host.sock, guest.sock and worker.sock; made if missing. */
  readonly runDirectory: string
  /** DRAM in bytes, a multiple of 4096; it costs what is touched. */
  readonly memoryBytes: number
  /** Firmware image; default the built-in one. */
  readonly firmwarePath?: string
  /** Signed firmware manifest; default FILE.manifest beside the image, else one by the emulator's own signer. */
  readonly manifestPath?: string
  /** Boot profile uefi; default profile image. */
  readonly uefi?: UefiBootOptions
  /** Integrity mode: guests and workers get INTEGRITY_FAULT for frames that the host changed in DRAM; default false. */
  readonly integrity?: boolean
  /** Image to measure as the hypervisor, and to run when `bootHypervisor` is given. */
  readonly hypervisorImagePath: string
  /** Authority of the certificates that host and guests connect with (PEM). */
  readonly operatorCaPem: string
  /**
   * TLS identity of the host port, by the operator's authority, so that the hypervisor needs to trust no other. Without
   * it the host port shows the manufacturer's certificate, as the guest port does.
   */
  readonly hostIdentity?: TlsIdentity
  /** Starts the measured image, with this configuration on descriptor 3. */
  readonly bootHypervisor?: { readonly configuration: unknown }
  /** Further addresses of the ports, as `127.0.0.1:0`. */
  readonly listen?: { readonly host?: readonly string[]; readonly guest?: readonly string[] }
  /** Milliseconds that an access waits for the host before it fails with STALLED; default 2 min, 0 means for ever. */
  readonly stallTimeoutMs?: number
  readonly log?: Logger
}

/** A running platform. */
export interface Platform {
  readonly hostPortAddress: string
  readonly guestPortAddress: string
  readonly workerPortAddress: string
  /** All addresses of the host and guest ports, in the order of {@link PlatformOptions.listen} after the socket. */
  readonly addresses: { readonly host: readonly string[]; readonly guest: readonly string[] }
  /** The manufacturer's root certificate, a PEM file: what policies pin. */
  readonly trustAnchorFile: string
  /** SHA-256 of the firmware image, hexadecimal. */
  readonly firmwareDigest: string
  /** SHA-256 of the hypervisor image, hexadecimal. */
  readonly hypervisorDigest: string
  /** Process id of the hypervisor that the platform started. */
  readonly hypervisorPid: number | undefined
  /** Resolves with the reason when that hypervisor has ended by itself; never, when none was started. */
  readonly hypervisorExited: Promise<string>
  /** Ends hypervisor and workers, then the ports. May be called again. */
  close(): Promise<void>
}

/**
 * Boots a platform and serves it; with `bootHypervisor`, starts the hypervisor last.
 * @throws PalimpsestError, FirmwareError or RangeError for what does not fit; nothing is left running then.
 */
export async function runPlatform(options: PlatformOptions): Promise<Platform> {
  const log = options.log ?? silentLogger
  const image = await readHypervisor(options.hypervisorImagePath)
  const { stateDirectory, manufacturerDirectory, memoryBytes, firmwarePath, manifestPath, uefi, integrity } =
    options
  const stallTimeoutMs = options.stallTimeoutMs ?? DEFAULT_STALL_TIMEOUT_MS
  const core = await EmulatedPlatform.boot({
    stateDirectory,
    manufacturerDirectory,
    memoryBytes,
    firmwarePath,
    manifestPath,
    uefi,
    integrity,
    hypervisorImage: image,
    stallTimeoutMs,
    log,
  })
  mkdirSync(options.runDirectory, { recursive: true, mode: 0o700 })
  const running = new RunningPlatform(core, image, log)
  try {
    await running.serve(options)
    if (options.bootHypervisor) await running.startHypervisor(options.bootHypervisor.configuration)
  } catch (error) {
    await running.close()
    throw error
  }
  return running
}

async function readHypervisor(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown reason'
    throw new PalimpsestError('INVALID_ARGUMENT', `expected a readable hypervisor image: ${reason}`, {
      cause,
    })
  }
}

class RunningPlatform implements Platform {
  readonly #core: EmulatedPlatform
  readonly #image: Uint8Array
  readonly #log: Logger
  readonly #servers: RpcServer[] = []
  #hypervisor: ImageProcess | undefined
  #closing: Promise<void> | undefined
  addresses: Platform['addresses'] = { host: [], guest: [] }
  hypervisorExited = new Promise<string>(() => undefined)

  constructor(core: EmulatedPlatform, image: Uint8Array, log: Logger) {
    this.#core = core
    this.#image = image
    this.#log = log
  }

  get hostPortAddress(): string {
    return this.addresses.host[0] ?? ''
  }

  get guestPortAddress(): string {
    return this.#core.guestPortAddress
  }

  get workerPortAddress(): string {
    return this.#core.workerPortAddress
  }

  get trustAnchorFile(): string {
    return this.#core.manufacturer.rootPath
  }

  get firmwareDigest(): string {
    return hex(this.#core.attestation.firmware.digest)
  }

  get hypervisorDigest(): string {
    return hex(sha256(this.#image))
  }

  get hypervisorPid(): number | undefined {
    return this.#hypervisor?.pid
  }

  /** Opens the ports; the host port last, because it tells where the others are. */
  async serve({ runDirectory, operatorCaPem, hostIdentity, listen }: PlatformOptions): Promise<void> {
    const core = this.#core
    const socket = (name: string) => `unix:${join(runDirectory, `${name}.sock`)}`
    const { key, certificate } = core.port
    const manufacturers: TlsIdentity = {
      certificatePem: certificate.pem,
      keyPem: key.toPem(),
      caPem: operatorCaPem,
    }
    const operators = hostIdentity === undefined ? manufacturers : { ...hostIdentity, caPem: operatorCaPem }
    const worker = await this.#listen(workerPortService(core), core.authority.port(), [socket('worker')])
    core.workerPortAddress = worker[0] ?? ''
    const guest = await this.#listen(guestPortService(core), manufacturers, [
      socket('guest'),
      ...(listen?.guest ?? []),
    ])
    core.guestPortAddress = guest[0] ?? ''
    const host = await this.#listen(hostPortService(core), operators, [
      socket('host'),
      ...(listen?.host ?? []),
    ])
    this.addresses = { host, guest }
  }

  async #listen(
    service: ServiceImplementation,
    tls: TlsIdentity,
    addresses: readonly string[],
  ): Promise<string[]> {
    const server = createServer({ services: [service], tls, log: this.#log })
    this.#servers.push(server)
    return server.listen(...addresses)
  }

  /** Runs the bytes that were measured into PCR 4. */
  async startHypervisor(configuration: unknown): Promise<void> {
    const launch = { name: 'hypervisor', image: this.#image, bundle: configuration, log: this.#log }
    const process = await startImage({ ...launch, nodePath: nativeModules() })
    this.#hypervisor = process
    this.hypervisorExited = new Promise((resolve) => {
      void process.exited.then((reason) => {
        this.#log.info({ reason }, 'hypervisor ended')
        if (this.#closing === undefined) resolve(reason)
      })
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async #shutDown(): Promise<void> {
    // The hypervisor first, while the ports that it needs for an orderly end still answer.
    await this.#hypervisor?.stop(HYPERVISOR_GRACE_MS)
    await this.#core.launches.close()
    await Promise.all(this.#servers.map((server) => server.close()))
  }
}

/** The folder that the native module lies in, or nothing when it is not installed: the image will say so itself. */
function nativeModules(): string | undefined {
  try {
    const file = createRequire(import.meta.url).resolve(NATIVE_MODULE)
    const folder = `${sep}node_modules${sep}`
    return file.slice(0, file.lastIndexOf(`${folder}${NATIVE_MODULE}`) + folder.length - 1)
  } catch {
    return undefined
  }
}
