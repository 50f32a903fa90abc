/**
 * The one error family of the project: a stable code, a message for people, metadata and field violations for
 * programs. One table says what each code is on the wire and what the caller should do.
 * Source: gRPC status codes (grpc.io/docs/guides/status-codes); google.rpc.ErrorInfo, BadRequest and RetryInfo.
 */
import type { Violation } from './codec/violations.ts'

/** Status codes of gRPC by name. */
export const grpcStatus = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

/** Name of a gRPC status other than OK. */
export type GrpcStatus = keyof typeof grpcStatus

interface Row {
  readonly status: GrpcStatus
  /** What the caller does about it. */
  readonly callerAction: string
}

const stop = 'Do not retry: this host, worker or peer is not what the policy allows.'
const check = 'Correct the request; the violations name the fields.'

function refused(callerAction: string = stop): Row {
  return { status: 'PERMISSION_DENIED', callerAction }
}

function precondition(callerAction: string): Row {
  return { status: 'FAILED_PRECONDITION', callerAction }
}

function unavailable(callerAction: string): Row {
  return { status: 'UNAVAILABLE', callerAction }
}

/** Code -> gRPC status -> what the caller does. Codes never change their meaning. */
export const errorTable = {
  REFUSED_MEASUREMENT: refused(
    'Do not retry: add the measurement to the policy only if it is known to be good.',
  ),
  REFUSED_SIGNER: refused('Do not retry: the firmware is signed by somebody whom the policy does not name.'),
  REFUSED_SVN: refused('Update the firmware, then attest again.'),
  REFUSED_HYPERVISOR: refused(),
  REFUSED_WORKER: refused(),
  REFUSED_SIGNATURE: refused(),
  REFUSED_QUOTE: refused(),
  REFUSED_EVENT_LOG: refused('Do not retry: the event log does not explain the quoted PCRs.'),
  REFUSED_PCRS: refused('Quote exactly the PCRs of the challenge.'),
  REFUSED_RESET: refused('The platform restarted: enrol and attest again.'),
  REFUSED_EMULATED: refused('Allow emulated platforms in the policy, for tests only.'),
  REFUSED_EXPIRED_REFERENCE: refused('Renew the reference value in the policy.'),
  REFUSED_ENROLMENT: {
    status: 'INVALID_ARGUMENT',
    callerAction: 'Enrol the platform again with its own keys.',
  },
  REFUSED_BINDING: refused('Do not retry: the evidence or grant was made for another registration or role.'),
  REFUSED_PEER: refused('Do not retry: the other side is not an identity that the policy names.'),
  REFUSED_SCOPE: refused('Grant keys of mode both, or allow keys of scope GROUP in the policy.'),
  REFUSED_KEY_MODE: refused('Grant keys of the mode that the VM has installed in its slot.'),
  REFUSED_PLATFORM_MIX: refused('Clone between VMs of one platform.'),
  REFUSED_SIZE: { status: 'INVALID_ARGUMENT', callerAction: 'Send evidence within the documented bounds.' },
  STALE_NONCE: precondition('Make a new challenge.'),
  DEST_IN_USE: { status: 'ABORTED', callerAction: 'Choose another second block.' },
  NOT_WRITE_PROTECTED: precondition('Write-protect the first block, then copy.'),
  GENERATION_CHANGED: { status: 'ABORTED', callerAction: 'Read the new generation, then copy again.' },
  GRANT_SPENT: { status: 'ALREADY_EXISTS', callerAction: 'Ask the plugin for a new grant.' },
  GRANT_EXPIRED: unavailable('Register again, then retry: nothing is lost.'),
  GRANT_MISSING: precondition('Ask the plugin for a further grant.'),
  GRANT_INVALID: refused('Relay grants unchanged, to the registration that they were made for.'),
  REGISTRATION_UNKNOWN: {
    status: 'NOT_FOUND',
    callerAction: 'Open a new registration: a restarted worker forgets.',
  },
  REGISTRATION_STATE: precondition('Wait until both sides have granted.'),
  NOT_DUPLICATE: precondition('Leave the pages apart: they differ.'),
  OWNERSHIP_FAULT: precondition(
    'Do not retry: the frame is not in the state or with the owner that this needs.',
  ),
  INTEGRITY_FAULT: {
    status: 'DATA_LOSS',
    callerAction: 'Do not use the block: restore it from a good copy.',
  },
  UNKNOWN_VM: { status: 'NOT_FOUND', callerAction: 'Create the VM first, or correct its name.' },
  UNKNOWN_VOLUME: { status: 'NOT_FOUND', callerAction: 'Create the volume first, or correct its name.' },
  UNKNOWN_CLONE: { status: 'NOT_FOUND', callerAction: 'Create the clone first, or correct its name.' },
  NOT_FOUND: { status: 'NOT_FOUND', callerAction: 'Correct the name.' },
  ALREADY_EXISTS: { status: 'ALREADY_EXISTS', callerAction: 'Choose another name, or use what exists.' },
  OUT_OF_RANGE: { status: 'OUT_OF_RANGE', callerAction: 'Stay within the size of the volume or VM.' },
  INVALID_ARGUMENT: { status: 'INVALID_ARGUMENT', callerAction: check },
  UNAUTHENTICATED: {
    status: 'UNAUTHENTICATED',
    callerAction: "Connect with a certificate of the host's operator.",
  },
  PERMISSION_DENIED: refused('Use an identity that may do this.'),
  STATE: precondition('Bring the object into the state that the message names, then retry.'),
  ABORTED: { status: 'ABORTED', callerAction: 'Read the current state, then try again.' },
  STALLED: unavailable('Retry: the copy could not be made in time, nothing is lost.'),
  WORKER_UNAVAILABLE: unavailable('Start the worker or wait for it, then retry.'),
  PLUGIN_UNAVAILABLE: unavailable('Attach the plugin, then retry.'),
  UNAVAILABLE: unavailable('Retry with a growing delay: the server cannot be reached or is shutting down.'),
  RESOURCE_EXHAUSTED: {
    status: 'RESOURCE_EXHAUSTED',
    callerAction: 'Send less at once, or raise the limit.',
  },
  CANCELLED: { status: 'CANCELLED', callerAction: 'Nothing: the caller gave up.' },
  DEADLINE_EXCEEDED: {
    status: 'DEADLINE_EXCEEDED',
    callerAction: 'Read the state before retrying; allow more time.',
  },
  UNIMPLEMENTED: { status: 'UNIMPLEMENTED', callerAction: 'Use a server of a version that has the rpc.' },
  INTERNAL: {
    status: 'INTERNAL',
    callerAction: 'Report it with the request id; the cause is in the server log.',
  },
  DATA_LOSS: { status: 'DATA_LOSS', callerAction: 'Restore from a good copy.' },
} as const satisfies Readonly<Record<string, Row>>

/** A stable code of the error family. */
export type ErrorCode = keyof typeof errorTable

/** What an error may carry besides its code and message. */
export interface ErrorDetails {
  /** Facts for programs; sent to the caller, so neither keys nor plaintext. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Faults of single fields of the request. */
  readonly violations?: readonly Violation[]
  /** When a retry may succeed. */
  readonly retryAfterMs?: number
  /** What led to the error. Goes to the log, never to the caller. */
  readonly cause?: unknown
}

/**
 * An error with a stable code. Thrown in a handler it reaches the caller with everything but its cause, and is
 * thrown there again as the same class.
 *
 * @example
 * throw new PalimpsestError('UNKNOWN_VM', `expected a VM of this host, found "${vm}"`, { metadata: { vm } })
 */
export class PalimpsestError extends Error {
  override readonly name = 'PalimpsestError'
  readonly code: ErrorCode
  readonly metadata: Readonly<Record<string, string>>
  readonly violations?: readonly Violation[]
  readonly retryAfterMs?: number

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.metadata = details.metadata ?? {}
    if (details.violations) this.violations = details.violations
    if (details.retryAfterMs !== undefined) this.retryAfterMs = details.retryAfterMs
  }

  /** The gRPC status that the error travels as. */
  get status(): GrpcStatus {
    return errorTable[this.code].status
  }

  /** What the caller does about it. */
  get callerAction(): string {
    return errorTable[this.code].callerAction
  }
}

/** Whether a string is a code of the table. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code)
}

/**
 * The value of a field that the contract leaves optional and this rpc needs.
 * @throws PalimpsestError INVALID_ARGUMENT with a violation of `field`.
 *
 * @example const quote = required(request.quote, 'quote')
 */
export function required<T>(value: T | undefined, field: string): T {
  if (value !== undefined) return value
  throw invalidField(field, 'expected a value, found none')
}

/** An INVALID_ARGUMENT with one violation: what was expected of `field` and what was found. */
export function invalidField(field: string, description: string): PalimpsestError {
  const violations = [{ field, description }]
  return new PalimpsestError('INVALID_ARGUMENT', `${field}: ${description}`, { violations })
}
