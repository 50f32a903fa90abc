// How a policy session gathers its digest, and what assertions have in common: command codes and arguments extended into
// the digest, deadlines, bindings to a command, comparisons.
// Source: TPM 2.0 Library, Part 1, clause 19.7 (enhanced authorization) and Part 3, clause 23.2, revision 1.59.

import { hash, marshal, type TPM_CC, TPM_EO, TPM_HT, TPM_RC, UINT32 } from '../../../../sdk/tpm2/index.ts'
import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { TpmError } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { type PolicyBinding, type Session } from './session.ts'

/** TPMA_LOCALITY: values from here on name one locality; lower ones are bits of localities 0 to 4 (Part 2, 8.5). */
export const EXTENDED_LOCALITY = 32

/** The policy or trial session at a handle of a command, which was found to be loaded. */
export function policySessionAt(tpm: TpmState, handle: number): Session {
  const session = tpm.volatile.sessions.get(handle)
  if (session !== undefined && handle >>> 24 === TPM_HT.POLICY_SESSION) return session
  const found = `expected a policy session, found 0x${handle.toString(16)}`
  throw new TpmError(TPM_RC.HANDLE, found, 'policySession')
}

/** Whether assertions are only to be hashed, not to be checked. */
export function isTrial(session: Session): boolean {
  return session.kind === 'trial'
}

/** policyDigest := H(policyDigest ‖ commandCode ‖ parts). */
export function extendPolicy(session: Session, commandCode: number, ...parts: readonly Uint8Array[]): void {
  session.policyDigest = hash(session.authHash, session.policyDigest, marshal(UINT32, commandCode), ...parts)
}

/** As extendPolicy(), then policyDigest := H(policyDigest ‖ policyRef), also for an empty one. */
export function extendPolicyByName(
  session: Session,
  commandCode: number,
  name: Uint8Array,
  policyRef: Uint8Array,
): void {
  extendPolicy(session, commandCode, name)
  session.policyDigest = hash(session.authHash, session.policyDigest, policyRef)
}

/** Begins the digest anew for a policy that stands for others: conditions that were gathered stay. */
export function clearPolicyDigest(session: Session): void {
  session.policyDigest = new Uint8Array(session.policyDigest.length)
}

/**
 * Throws TpmError SIZE at the parameter `at` for a digest of another hash than the session's; CPHASH when the session is
 * bound to something else already.
 */
export function checkBinding(session: Session, binding: PolicyBinding, at: string): void {
  if (binding.digest.length !== session.policyDigest.length) {
    const expected = `expected a digest of ${String(session.policyDigest.length)} bytes`
    throw new TpmError(TPM_RC.SIZE, `${expected}, found ${String(binding.digest.length)}`, at)
  }
  checkUnbound(session, binding)
}

/** Throws TpmError CPHASH when the session is bound to something else than `binding`, or to anything without one. */
export function checkUnbound(session: Session, binding?: PolicyBinding): void {
  const { bound } = session
  if (bound === undefined) return
  if (binding?.kind === bound.kind && equalBytes(binding.digest, bound.digest)) return
  throw new TpmError(
    TPM_RC.CPHASH,
    `expected a session that is not bound yet, found one bound to a ${bound.kind}`,
  )
}

/**
 * TPM time in milliseconds at which an authorization ends: |expiration| seconds from the session's start when the
 * caller gave its nonce, else in absolute seconds of TPM time. 0: never.
 */
export function deadline(tpm: TpmState, session: Session, expiration: number, nonceTPM: Uint8Array): bigint {
  if (expiration === 0) return 0n
  const milliseconds = BigInt(Math.abs(expiration)) * 1000n
  // Rounded up to the present fraction of a second, so that it does not end early.
  return milliseconds + (nonceTPM.length === 0 ? tpm.clock.time % 1000n : session.startTime)
}

/** Throws TpmError EXPIRED at `at` when a deadline has passed; NV_UNAVAILABLE while the clock cannot be relied on. */
export function checkDeadline(tpm: TpmState, session: Session, time: bigint, at: string): void {
  if (time === 0n) return
  if (!tpm.platform.nvAvailable) {
    throw new TpmError(TPM_RC.NV_UNAVAILABLE, 'expected NV memory for the clock, found it unavailable')
  }
  if (time < tpm.clock.time || !equalBytes(session.timeEpoch, tpm.volatile.timeEpoch)) {
    throw new TpmError(TPM_RC.EXPIRED, 'expected an authorization in its time, found an expired one', at)
  }
}

/** An authorization that was given: by whom, for what, until when. */
export interface Approval {
  /** TPM_CC that the digest shows: PolicySigned or PolicySecret */
  readonly commandCode: typeof TPM_CC.PolicySigned | typeof TPM_CC.PolicySecret
  readonly authName: Uint8Array
  readonly policyRef: Uint8Array
  /** empty: for any command */
  readonly cpHash: Uint8Array
  /** TPM time in milliseconds; 0: it does not end */
  readonly timeout: bigint
}

/** Takes an authorization into the session, with what it is limited to. The earliest deadline holds. */
export function approve(
  session: Session,
  { commandCode, authName, policyRef, cpHash, timeout }: Approval,
): void {
  extendPolicyByName(session, commandCode, authName, policyRef)
  if (cpHash.length > 0) session.bound = { kind: 'cpHash', digest: cpHash }
  if (timeout !== 0n && (session.expires === undefined || timeout < session.expires))
    session.expires = timeout
}

/** Whether `a` stands to `b`, of the same length, as a TPM_EO says: as big-endian integers, or bit by bit. */
export function compares(a: Uint8Array, operation: number, b: Uint8Array): boolean {
  const unsigned = Buffer.compare(a, b)
  const signed = compareSigned(a, b, unsigned)
  switch (operation) {
    case TPM_EO.EQ:
      return unsigned === 0
    case TPM_EO.NEQ:
      return unsigned !== 0
    case TPM_EO.SIGNED_GT:
      return signed > 0
    case TPM_EO.UNSIGNED_GT:
      return unsigned > 0
    case TPM_EO.SIGNED_LT:
      return signed < 0
    case TPM_EO.UNSIGNED_LT:
      return unsigned < 0
    case TPM_EO.SIGNED_GE:
      return signed >= 0
    case TPM_EO.UNSIGNED_GE:
      return unsigned >= 0
    case TPM_EO.SIGNED_LE:
      return signed <= 0
    case TPM_EO.UNSIGNED_LE:
      return unsigned <= 0
    case TPM_EO.BITSET:
      return b.every((octet, index) => ((a[index] ?? 0) & octet) === octet)
    case TPM_EO.BITCLEAR:
      return b.every((octet, index) => ((a[index] ?? 0) & octet) === 0)
    default:
      throw new TpmError(TPM_RC.VALUE, `expected a TPM_EO, found ${String(operation)}`, 'operation')
  }
}

/**
 * The first bit is the sign. Of two negative values the one with the greater unsigned value is the less: so the reference
 * code compared for years, and so do the TPMs and test suites of today (not as two's complement, as one may expect).
 */
function compareSigned(a: Uint8Array, b: Uint8Array, unsigned: number): number {
  if (negative(a) !== negative(b)) return negative(a) ? -1 : 1
  return negative(a) ? -unsigned : unsigned
}

function negative(bytes: Uint8Array): boolean {
  return ((bytes[0] ?? 0) & 0x80) !== 0
}
