/**
 * PalimpsestError <-> what travels: a gRPC status and, in `grpc-status-details-bin`, a google.rpc.Status with
 * ErrorInfo (reason = code), BadRequest and RetryInfo.
 * Source: google.rpc error model (google.aip.dev/193); gRPC over HTTP/2, trailers.
 */
import type { Buffer } from 'node:buffer'
import { Metadata } from '@grpc/grpc-js'
import { decodeMessage } from './codec/decode.ts'
import { encodeMessage } from './codec/encode.ts'
import { InvalidMessage, type Violation } from './codec/violations.ts'
import type { BadRequest, ErrorInfo, RetryInfo } from './contract/google/rpc/error-details.ts'
import type { Status } from './contract/google/rpc/status.ts'
import { registry } from './contract/registry.ts'
import { type ErrorCode, type ErrorDetails, PalimpsestError, grpcStatus, isErrorCode } from './errors.ts'

const detailsKey = 'grpc-status-details-bin'
const domain = 'palimpsest'
const typePrefix = 'type.googleapis.com/'

/** The messages of google.rpc that are used here. */
interface GoogleRpc {
  'google.rpc.Status': Status
  'google.rpc.ErrorInfo': ErrorInfo
  'google.rpc.BadRequest': BadRequest
  'google.rpc.RetryInfo': RetryInfo
}

/** Trailers share HTTP/2's header limits (8 KiB at many peers), so text is cut before it endangers the reply. */
const maxText = 1024
const maxDetailText = 200
const maxEntries = 16
const maxDetailsBytes = 6 * 1024

/** What grpc-js sends at the end of a call. */
export interface WireStatus {
  readonly code: number
  readonly details: string
  readonly metadata: Metadata
}

/** Whatever a handler threw, as the status to send. Unknown throwables tell the caller nothing but the request id. */
export function toWireStatus(thrown: unknown, requestId: string): WireStatus {
  const error = toPublicError(thrown, requestId)
  const code = grpcStatus[error.status]
  const message = cut(error.message, maxText)
  const metadata = new Metadata()
  let bytes: Buffer
  let entries = maxEntries
  do {
    bytes = encode('google.rpc.Status', { code, message, details: detailsOf(error, entries) })
    entries = entries >> 1
  } while (bytes.length > maxDetailsBytes && entries > 0)
  metadata.set(detailsKey, bytes)
  return { code, details: message, metadata }
}

function toPublicError(thrown: unknown, requestId: string): PalimpsestError {
  if (thrown instanceof PalimpsestError) return thrown
  const message = `internal error, request ${requestId}: the server's log has the cause`
  return new PalimpsestError('INTERNAL', message, { metadata: { requestId } })
}

function detailsOf(error: PalimpsestError, count: number): Status['details'] {
  const entries = Object.entries(error.metadata).slice(0, count)
  const metadata = Object.fromEntries(
    entries.map(([key, value]) => [cut(key, 64), cut(value, maxDetailText)]),
  )
  const details = [any('google.rpc.ErrorInfo', { reason: error.code, domain, metadata })]
  if (error.violations && error.violations.length > 0) {
    const fieldViolations = error.violations.slice(0, count).map(({ field, description }) => ({
      field: cut(field, maxDetailText),
      description: cut(description, maxDetailText),
      reason: '',
    }))
    details.push(any('google.rpc.BadRequest', { fieldViolations }))
  }
  if (error.retryAfterMs !== undefined) {
    const ms = Math.max(0, Math.round(error.retryAfterMs))
    const retryDelay = { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 }
    details.push(any('google.rpc.RetryInfo', { retryDelay }))
  }
  return details
}

function any<K extends keyof GoogleRpc>(name: K, message: GoogleRpc[K]): Status['details'][number] {
  return { typeUrl: `${typePrefix}${name}`, value: encode(name, message) }
}

function encode<K extends keyof GoogleRpc>(name: K, message: GoogleRpc[K]): Buffer {
  return encodeMessage(registry.message(name), message)
}

/** Text that may stand in a trailer: well-formed, and of bounded length. */
function cut(text: string, length: number): string {
  const short = text.length <= length ? text : `${text.slice(0, length - 1)}\u2026`
  return short.replace(/\p{Surrogate}/gu, '\ufffd')
}

/** An error of grpc-js, as far as it matters here. */
interface ServiceErrorLike extends Error {
  readonly code: number
  readonly details?: string
  readonly metadata?: Metadata
}

function isServiceError(thrown: unknown): thrown is ServiceErrorLike {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'number'
}

/** Whatever a call of grpc-js failed with, as a PalimpsestError. A foreign server's error gets the nearest code. */
export function fromCallError(thrown: unknown, method: string): PalimpsestError {
  if (thrown instanceof PalimpsestError) return thrown
  if (!isServiceError(thrown)) return new PalimpsestError('INTERNAL', `${method} failed`, { cause: thrown })
  const message = thrown.details ?? thrown.message
  const { reason, details } = readDetails(thrown.metadata)
  if (reason !== undefined && isErrorCode(reason)) return new PalimpsestError(reason, message, details)
  const metadata = { ...details.metadata, ...(reason === undefined ? {} : { reason }) }
  return new PalimpsestError(nearestCode(thrown.code), message || `${method} failed`, {
    ...details,
    metadata,
  })
}

function nearestCode(status: number): ErrorCode {
  // Each status that has no code of its own name is listed; the others are named like their code.
  if (status === grpcStatus.UNKNOWN) return 'INTERNAL'
  if (status === grpcStatus.FAILED_PRECONDITION) return 'STATE'
  const name = Object.entries(grpcStatus).find(([, number]) => number === status)?.[0]
  return name !== undefined && isErrorCode(name) ? name : 'INTERNAL'
}

function readDetails(metadata: Metadata | undefined): { reason?: string; details: ErrorDetails } {
  const [bytes] = metadata?.get(detailsKey) ?? []
  if (!(bytes instanceof Uint8Array)) return { details: {} }
  try {
    return collectDetails(decode('google.rpc.Status', bytes))
  } catch (error) {
    // Details are a courtesy: a server that sends broken ones still sent a status.
    if (error instanceof InvalidMessage) return { details: {} }
    throw error
  }
}

function collectDetails(status: Status): { reason?: string; details: ErrorDetails } {
  let info: ErrorInfo | undefined
  let violations: readonly Violation[] | undefined
  let retryAfterMs: number | undefined
  for (const { typeUrl, value } of status.details) {
    const name = typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
    if (name === 'google.rpc.ErrorInfo') info = decode(name, value)
    else if (name === 'google.rpc.BadRequest') {
      const { fieldViolations } = decode(name, value)
      violations = fieldViolations.map(({ field, description }) => ({ field, description }))
    } else if (name === 'google.rpc.RetryInfo') {
      const delay = decode(name, value).retryDelay
      if (delay) retryAfterMs = Number(delay.seconds) * 1000 + Math.round(delay.nanos / 1_000_000)
    }
  }
  const details = {
    ...(info ? { metadata: info.metadata } : {}),
    ...(violations ? { violations } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
  return info?.domain === domain ? { reason: info.reason, details } : { details }
}

function decode<K extends keyof GoogleRpc>(name: K, bytes: Uint8Array): GoogleRpc[K] {
  return decodeMessage(registry.message(name), bytes) as unknown as GoogleRpc[K]
}
