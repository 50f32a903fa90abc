// The worker: puts registrations, copiers, audit and receipts together, and answers WorkerService.

import { IdentityKey, selectEngine } from '../crypto/index.ts'
import { widestScope } from '../grant/index.ts'
import {
  type ClientOf,
  type CopyRequest,
  type CopyResponse,
  type HandlersOf,
  type Logger,
  PalimpsestError,
  type WorkerDataService,
  type WorkerService,
} from '../rpc/index.ts'
import { AuditLog } from './audit.ts'
import { checkRequest, type Copier } from './copy.ts'
import { copyStream } from './copy-stream.ts'
import { DiskCopier } from './disk-copier.ts'
import { FAULT_POINTS, FaultPoints, isFaultPoint } from './fault-points.ts'
import { MemoryCopier } from './memory-copier.ts'
import { kindText } from './key-ring.ts'
import type { PlatformPort } from './platform-port.ts'
import { makeReceipt } from './receipts.ts'
import type { Registration } from './registration.ts'
import { Registrations } from './registrations.ts'
import { onWire } from './wire-errors.ts'

/** How often leases that nobody uses are looked at, in milliseconds. */
const SWEEP_MS = 5_000

/** What a worker is made of. */
export interface WorkerOptions {
  /** Name of this worker VM. */
  readonly vm: string
  readonly platform: PlatformPort
  readonly data: ClientOf<typeof WorkerDataService>
  readonly engine?: string
  /** Whether SetFaultPoint is allowed. */
  readonly faultPoints: boolean
  readonly log: Logger
}

/** One worker. */
export class Worker {
  readonly #vm: string
  readonly #log: Logger
  readonly #platform: PlatformPort
  readonly #receiptKey = IdentityKey.generate()
  readonly #registrations: Registrations
  readonly #audit: AuditLog
  readonly #copiers: { readonly 'memory-page': Copier; readonly 'disk-block': Copier }
  readonly #points: FaultPoints
  readonly #pointsAllowed: boolean
  readonly #engine: string
  readonly #sweeper: NodeJS.Timeout
  #sessions = 0n
  #copied = 0n

  constructor(options: WorkerOptions) {
    const { platform, data, log } = options
    const engine = selectEngine(options.engine)
    this.#vm = options.vm
    this.#log = log
    this.#platform = platform
    this.#engine = engine.name
    this.#pointsAllowed = options.faultPoints
    this.#points = new FaultPoints((point, action) => {
      log.warn({ point, action, pid: process.pid }, 'fault point reached')
    })
    this.#registrations = new Registrations(platform, this.#receiptKey.publicKey.spki)
    this.#sweeper = setInterval(() => {
      this.#registrations.sweep().catch((error: unknown) => {
        log.warn({ err: error }, 'could not look for leases that have ended')
      })
    }, SWEEP_MS)
    this.#audit = new AuditLog(hostSink(options.vm, data, log))
    this.#copiers = {
      'memory-page': new MemoryCopier(platform, engine, this.#points),
      'disk-block': new DiskCopier(platform, data, engine, this.#points),
    }
  }

  /** Handlers of WorkerService. */
  handlers(): HandlersOf<typeof WorkerService> {
    return {
      openRegistration: (request) =>
        onWire(async () => {
          const registration = await this.#registrations.open(request)
          this.#record('opened', { registration: registration.id, transcript: registration.transcript })
          return { open: registration.openBytes }
        }),
      answerChallenge: ({ registration, challenge }) =>
        onWire(async () => ({ report: await this.#registrations.answer(registration, challenge) })),
      submitGrants: ({ registration: id, grants }) => onWire(() => this.#submit(id, grants)),
      copy: (requests) => copyStream(requests, (request) => this.#session(request), this.#log),
      listRegistrations: () => ({ registrations: this.#registrations.list().map(describe) }),
      closeRegistration: ({ registration }) => {
        this.#registrations.close(registration)
        this.#record('closed', { registration })
        return {}
      },
      getStatus: () => ({
        vm: this.#vm,
        engine: this.#engine,
        copied: this.#copied,
        sessions: this.#sessions,
        receiptKey: this.#receiptKey.publicKey.spki,
        auditHead: this.#audit.head.digest,
        auditSequence: this.#audit.head.sequence,
      }),
      setFaultPoint: ({ point, action }) => {
        this.#setFaultPoint(point, action)
        return {}
      },
    }
  }

  /** Wipes all keys. */
  close(): void {
    clearInterval(this.#sweeper)
    this.#registrations.closeAll()
  }

  async #submit(id: string, grants: readonly Uint8Array[]) {
    const registration = await this.#registrations.submit(id, grants)
    const { state, granted } = registration
    const keys = granted.map((one) => `${one.role} ${kindText(one)}`).join(', ')
    this.#record('granted', {
      registration: id,
      state,
      grants: BigInt(grants.length),
      keys,
      scope: widestScope(granted),
    })
    return { state: registration.state, leaseUntil: registration.lease.until }
  }

  async #session(request: CopyRequest): Promise<CopyResponse['result']> {
    const registration = this.#registrations.get(request.registration)
    registration.checkLive()
    const writer = checkRequest(registration, request)
    const outcome = await this.#copiers[registration.open.kind].copy(registration, writer, request)
    this.#sessions += 1n
    if (outcome.kind === 'transient') return { case: 'data', value: { ciphertext: outcome.ciphertext } }
    this.#copied += BigInt(outcome.copies.length)
    const audit = this.#record('copied', {
      registration: registration.id,
      writer,
      first: outcome.copies[0]?.first ?? 0n,
      second: outcome.copies[0]?.second ?? 0n,
      blocks: BigInt(outcome.copies.length),
      keys: outcome.keys.map(kindText).join(', '),
      scope: widestScope(outcome.keys),
    })
    const receipt = makeReceipt({ key: this.#receiptKey, registration, writer, outcome, audit })
    return { case: 'receipt', value: { receipt, stored: outcome.positions } }
  }

  #record(event: string, fields: Parameters<AuditLog['append']>[2]) {
    return this.#audit.append(this.#platform.clock, event, fields)
  }

  #setFaultPoint(point: string, action: 'pause' | 'kill' | 'none' | undefined): void {
    if (!this.#pointsAllowed) {
      throw new PalimpsestError('PERMISSION_DENIED', 'this worker was launched without fault points')
    }
    if (!isFaultPoint(point) || action === undefined) {
      throw new PalimpsestError(
        'INVALID_ARGUMENT',
        `expected one of the fault points ${FAULT_POINTS.join(', ')} and an action, found "${point}"`,
      )
    }
    this.#points.set(point, action === 'none' ? undefined : action)
  }
}

function describe(registration: Registration) {
  return {
    registration: registration.id,
    state: registration.state,
    source: registration.open.source.vm,
    destination: registration.open.destination.vm,
    copied: registration.copies,
    leaseUntil: registration.lease.until,
    keys: registration.keys,
    wideScope: registration.wideScope,
    granted: registration.granted,
  }
}

/** Sends audit entries to the host in order, many a message, without making copies wait for it. */
function hostSink(
  worker: string,
  data: ClientOf<typeof WorkerDataService>,
  log: Logger,
): (entry: Uint8Array) => void {
  const pending: Uint8Array[] = []
  let sending = false
  const send = async () => {
    sending = true
    while (pending.length > 0) {
      const entries = pending.splice(0, 1000)
      try {
        await data.appendAudit({ worker, entries })
      } catch (error) {
        // The host may lose its own copy of the log; whoever holds a head will notice.
        log.warn({ err: error, entries: entries.length }, 'audit entries were not taken by the host')
      }
    }
    sending = false
  }
  return (entry) => {
    pending.push(entry)
    if (!sending) void send()
  }
}
