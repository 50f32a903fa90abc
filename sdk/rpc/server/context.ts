/** What a handler knows about its call. */
import { createHash, randomUUID, X509Certificate } from 'node:crypto'
import type { ServerSurfaceCall } from '@grpc/grpc-js/build/src/server-call.js'
import { PalimpsestError } from '../errors.ts'
import type { Logger } from '../log.ts'

/** Who calls. Without mutual TLS only `address` is known. */
export interface Peer {
  /** `127.0.0.1:40312`, or `unix` for UNIX sockets. */
  readonly address: string
  /** SHA-256 of the client certificate's SubjectPublicKeyInfo (DER). */
  readonly certificateDigest?: Uint8Array | undefined
  /** Common name of the client certificate. */
  readonly subject?: string | undefined
  /** Organisational unit of the client certificate: what the authority says that the caller is. */
  readonly unit?: string | undefined
}

/** Second argument of every handler. */
export interface CallContext {
  /** Path of the rpc, `/package.Service/Method`. */
  readonly method: string
  /**
   * Aborts when the caller cancels, the deadline passes or the server shuts down; `reason` is a PalimpsestError. A
   * caller whose clock sees the deadline first cancels, so a passed deadline may show as CANCELLED.
   */
  readonly signal: AbortSignal
  /** When the caller gives up. */
  readonly deadline?: Date
  readonly peer: Peer
  /** Carries the request id. */
  readonly log: Logger
  /** The caller's `x-request-id` or a new one. */
  readonly requestId: string
  /** Text metadata of the call. */
  readonly metadata: Readonly<Record<string, string>>
}

/** A call in progress: its context and the switch that ends it. */
export interface ActiveCall {
  readonly context: CallContext
  /** Aborts the signal; the first reason stays. */
  abort(reason: PalimpsestError): void
}

/** Makes the context of a call. `finished` tells whether the reply is out, after which nothing is aborted. */
export function openCall(
  call: ServerSurfaceCall,
  method: string,
  log: Logger,
  finished: () => boolean,
): ActiveCall {
  const controller = new AbortController()
  const metadata = textMetadata(call)
  const requestId = readRequestId(metadata['x-request-id'])
  const deadline = deadlineOf(call)
  const abort = (reason: PalimpsestError): void => {
    if (!controller.signal.aborted) controller.abort(reason)
  }
  call.on('cancelled', () => {
    // grpc-js says "cancelled" at the end of every call, also of one that succeeded.
    if (finished()) return
    const late = deadline !== undefined && deadline.getTime() <= Date.now()
    abort(
      late
        ? new PalimpsestError('DEADLINE_EXCEEDED', `${method}: the caller's deadline passed`)
        : new PalimpsestError('CANCELLED', `${method}: the caller cancelled`),
    )
  })
  let callLog: Logger | undefined
  const context: CallContext = {
    method,
    signal: controller.signal,
    ...(deadline ? { deadline } : {}),
    peer: lazyPeer(call),
    get log() {
      return (callLog ??= log.child({ requestId, method }))
    },
    requestId,
    metadata,
  }
  return { context, abort }
}

function deadlineOf(call: ServerSurfaceCall): Date | undefined {
  const deadline = call.getDeadline()
  if (deadline instanceof Date) return deadline
  return Number.isFinite(deadline) ? new Date(deadline) : undefined
}

function textMetadata(call: ServerSurfaceCall): Record<string, string> {
  const entries = Object.entries(call.metadata.getMap())
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** Ids of callers end up in logs, so only harmless ones are taken over. */
function readRequestId(given: string | undefined): string {
  return given !== undefined && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID()
}

/** The certificate is parsed when somebody asks for it: most handlers do not. */
function lazyPeer(call: ServerSurfaceCall): Peer {
  const address = call.getPeer() === 'unknown' ? 'unix' : call.getPeer()
  let certificate: Omit<Peer, 'address'> | undefined
  const read = (): Omit<Peer, 'address'> => (certificate ??= readCertificate(call))
  return {
    address,
    get certificateDigest() {
      return read().certificateDigest
    },
    get subject() {
      return read().subject
    },
    get unit() {
      return read().unit
    },
  }
}

/** What certificates say, by fingerprint: parsing one costs more than a small call, and few peers make all calls. */
const certificates = new Map<string, Omit<Peer, 'address'>>()
const MAX_CERTIFICATES = 1024

function readCertificate(call: ServerSurfaceCall): Omit<Peer, 'address'> {
  const peer = call.getAuthContext().sslPeerCertificate
  if (!peer) return {}
  const known = certificates.get(peer.fingerprint512)
  if (known) return known
  const spki = new X509Certificate(peer.raw).publicKey.export({ type: 'spki', format: 'der' })
  const certificateDigest = new Uint8Array(createHash('sha256').update(spki).digest())
  const { CN: subject, OU: unit } = peer.subject as { CN?: unknown; OU?: unknown }
  const read = {
    certificateDigest,
    ...(typeof subject === 'string' ? { subject } : {}),
    ...(typeof unit === 'string' ? { unit } : {}),
  }
  const [oldest] = certificates.keys()
  if (oldest !== undefined && certificates.size >= MAX_CERTIFICATES) certificates.delete(oldest)
  certificates.set(peer.fingerprint512, read)
  return read
}
