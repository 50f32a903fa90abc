// Launches (design, sections 4 and 5; systems, 2.10): a guest is bound to its owner's identity key, a worker is measured
// and started by the platform itself. Each launch has a report signed by the report key.

import { readFile, stat } from 'node:fs/promises'
import { hex, PublicKey, sha256 } from '../../sdk/crypto/index.ts'
import { LAUNCH_DIGEST_BYTES, workerLaunchDigest } from '../../sdk/evidence/index.ts'
import { PalimpsestError, type Logger } from '../../sdk/rpc/index.ts'
import type { Attestation, ReportSubject } from './attestation.ts'
import type { EventFeed } from './event-feed.ts'
import type { Guest } from './guest.ts'
import { startImage, type ImageProcess } from './image-process.ts'
import type { LaunchAuthority } from './launch-authority.ts'
import type { MemorySystem } from './memory-system.ts'
import { FRAME_BYTES } from './memory/dram.ts'
import { HOST_WRITER, PLATFORM_WRITER } from './memory/write-log.ts'
import { MAX_GUEST_PAGES } from './ownership.ts'
import { invalid } from './refusals.ts'

const MAX_IMAGE_BYTES = 64 << 20
/** What goes into certificates, reports and the write log. */
const VM_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
/** Names in the write log that stand for no VM. */
const RESERVED_NAMES: readonly string[] = [PLATFORM_WRITER, HOST_WRITER]
const NO_DIGEST = new Uint8Array(32)
const NO_LAUNCH_DIGEST = new Uint8Array(LAUNCH_DIGEST_BYTES)

/** What launches work on. */
export interface LaunchParts {
  readonly attestation: Attestation
  readonly memory: MemorySystem
  readonly authority: LaunchAuthority
  readonly feed: EventFeed
  /** Where workers reach the worker port, once it listens. */
  readonly workerPortAddress: () => string
  readonly log: Logger
}

/** A guest to launch. */
export interface GuestLaunch {
  readonly vm: string
  /** SubjectPublicKeyInfo, DER. */
  readonly ownerPublicKey: Uint8Array
  readonly memoryBytes: bigint
}

/** A worker to launch. */
export interface WorkerLaunch {
  readonly vm: string
  readonly imagePath: string
  /** JSON of an object, handed to the worker as it is. */
  readonly hostConfiguration: Uint8Array
}

/** An image, with what is said about it: of these bytes, whatever becomes of the file. */
interface MeasuredImage {
  readonly bytes: Uint8Array
  /** SHA-256. */
  readonly measurement: Uint8Array
  /** Of a VM that starts with these bytes. */
  readonly launchDigest: Uint8Array
}

/** A worker that runs. */
export interface RunningWorker extends Omit<MeasuredImage, 'bytes'> {
  readonly vm: string
  readonly process: ImageProcess
}

/** The VMs that run. */
export class Launches {
  readonly #parts: LaunchParts
  /** Names of workers that are being started. */
  readonly #starting = new Set<string>()
  readonly #guestsByKey = new Map<string, Guest>()
  readonly #workers = new Map<string, RunningWorker>()
  /** By the digest of the launch certificate's key. */
  readonly #workersByKey = new Map<string, RunningWorker>()

  constructor(parts: LaunchParts) {
    this.#parts = parts
  }

  /** Binds a guest to its owner's key. Returns its launch report. @throws ALREADY_EXISTS, INVALID_ARGUMENT, RESOURCE_EXHAUSTED */
  launchGuest({ vm, ownerPublicKey, memoryBytes }: GuestLaunch): Uint8Array {
    this.#expectNewName(vm)
    const identity = parseIdentity(ownerPublicKey)
    const pages = checkMemory(memoryBytes)
    const digest = hex(identity.digest)
    const other = this.#guestsByKey.get(digest)
    if (other !== undefined) {
      throw new PalimpsestError(
        'ALREADY_EXISTS',
        `expected an identity key that no running VM has, found the key of "${other.name}": give each VM its own`,
        { metadata: { vm: other.name, identity: digest } },
      )
    }
    const guest = this.#parts.memory.addGuest(vm, pages, identity)
    this.#guestsByKey.set(digest, guest)
    return this.guestReport(guest, new Uint8Array(0))
  }

  /** A guest's launch report with data of its choice. @throws INVALID_ARGUMENT */
  guestReport({ name, identity }: Guest, reportData: Uint8Array): Uint8Array {
    const subject: ReportSubject = {
      kind: 'guest',
      vm: name,
      measurement: NO_DIGEST,
      launchDigest: NO_LAUNCH_DIGEST,
      note: 'a guest is known by its key; its image is not measured',
      ownerIdKeyDigest: identity.digest,
    }
    return this.#parts.attestation.report(subject, reportData)
  }

  /**
   * Reads an image once, measures it, and runs exactly those bytes with a launch secret of their own.
   * @throws ALREADY_EXISTS, INVALID_ARGUMENT, UNAVAILABLE
   */
  async launchWorker(
    launch: WorkerLaunch,
  ): Promise<{ readonly worker: RunningWorker; readonly report: Uint8Array }> {
    const { vm } = launch
    this.#expectNewName(vm)
    const host = parseConfiguration(launch.hostConfiguration)
    this.#starting.add(vm)
    try {
      const image = await readImage(launch.imagePath)
      const worker = await this.#startWorker(vm, image, host)
      return { worker, report: this.workerReport(worker, new Uint8Array(0)) }
    } finally {
      this.#starting.delete(vm)
    }
  }

  /** A worker's launch report with data of its choice. @throws INVALID_ARGUMENT */
  workerReport({ vm, measurement, launchDigest }: RunningWorker, reportData: Uint8Array): Uint8Array {
    const note = `SHA-256 of the single-file image, run by node ${process.version}`
    return this.#parts.attestation.report(
      { kind: 'worker', vm, measurement, launchDigest, note, ownerIdKeyDigest: NO_DIGEST },
      reportData,
    )
  }

  /** Ends a guest, or kills a worker. @throws UNKNOWN_VM */
  async terminate(vm: string): Promise<void> {
    const worker = this.#workers.get(vm)
    if (worker !== undefined) {
      await worker.process.stop(0)
      return
    }
    const guest = this.#parts.memory.guest(vm)
    this.#parts.memory.removeGuest(guest)
    this.#guestsByKey.delete(hex(guest.identity.digest))
  }

  /** The running guest whose launch bound this identity digest. */
  guestByKey(digest: Uint8Array): Guest | undefined {
    return this.#guestsByKey.get(hex(digest))
  }

  /** The running worker whose launch certificate has this key digest. */
  workerByKey(digest: Uint8Array): RunningWorker | undefined {
    return this.#workersByKey.get(hex(digest))
  }

  /** Kills all workers. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers.values()].map(({ process }) => process.stop(0)))
  }

  async #startWorker(vm: string, image: MeasuredImage, host: unknown): Promise<RunningWorker> {
    const { authority, feed, log, workerPortAddress } = this.#parts
    const secret = authority.launch(vm)
    const { bytes, ...digests } = image
    const bundle = { vm, platform: { address: workerPortAddress(), ...secret.tls }, host }
    const process = await startImage({ name: vm, image: bytes, bundle, log })
    const worker: RunningWorker = { vm, ...digests, process }
    const key = hex(secret.digest)
    this.#workers.set(vm, worker)
    this.#workersByKey.set(key, worker)
    log.info({ vm, pid: process.pid, measurement: hex(worker.measurement) }, 'worker launched')
    void process.exited.then((reason) => {
      this.#workers.delete(vm)
      this.#workersByKey.delete(key)
      log.info({ vm, reason }, 'worker ended')
      feed.workerExit({ vm, reason })
    })
    return worker
  }

  #expectNewName(vm: string): void {
    if (!VM_NAME.test(vm) || RESERVED_NAMES.includes(vm)) {
      throw invalid(
        'vm',
        'expected 1 to 64 letters, digits, ".", "_" or "-" (and not "platform" or "host"), found another text',
      )
    }
    if (!this.#parts.memory.hasGuest(vm) && !this.#workers.has(vm) && !this.#starting.has(vm)) return
    throw new PalimpsestError(
      'ALREADY_EXISTS',
      `expected a name that no running VM has, found "${vm}" in use`,
      {
        metadata: { vm },
      },
    )
  }
}

function parseIdentity(spki: Uint8Array): PublicKey {
  try {
    return PublicKey.fromSpki(spki)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown reason'
    throw invalid('ownerPublicKey', `expected SubjectPublicKeyInfo of a P-256 key: ${reason}`)
  }
}

function checkMemory(bytes: bigint): number {
  const limit = BigInt(MAX_GUEST_PAGES) * BigInt(FRAME_BYTES)
  if (bytes >= 0n && bytes <= limit && bytes % BigInt(FRAME_BYTES) === 0n)
    return Number(bytes / BigInt(FRAME_BYTES))
  throw invalid('memoryBytes', `expected a multiple of ${FRAME_BYTES} up to ${limit}, found ${bytes}`)
}

function parseConfiguration(json: Uint8Array): object {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
  } catch {
    // Neither the text nor the parser's message goes further: there are keys in it.
    throw invalid('hostConfiguration', 'expected JSON in UTF-8, found bytes that do not parse')
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw invalid('hostConfiguration', 'expected a JSON object, found another value')
}

async function readImage(path: string): Promise<MeasuredImage> {
  try {
    const { size } = await stat(path)
    if (size > MAX_IMAGE_BYTES) throw new RangeError(`it has ${size} bytes, more than ${MAX_IMAGE_BYTES}`)
    const bytes = new Uint8Array(await readFile(path))
    return { bytes, measurement: sha256(bytes), launchDigest: workerLaunchDigest(bytes) }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown reason'
    throw invalid('imagePath', `expected a readable single-file image: ${reason}`)
  }
}
