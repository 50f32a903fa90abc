// Policy assertions by which somebody agrees: the holder of a key, of a secret, of a ticket for either, or an authority
// that approves whole policies, by signature or by an NV index.
// Source: TPM 2.0 Library, Part 3, clauses 23.3 to 23.5, 23.16 and 23.22, revision 1.59.

import {
  digestSize,
  hash,
  isHash,
  marshal,
  TPM2_PolicyAuthorize,
  TPM2_PolicyAuthorizeNV,
  TPM2_PolicySecret,
  TPM2_PolicySigned,
  TPM2_PolicyTicket,
  TPM_CC,
  TPM_NT,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  Tpm2Error,
  TPMT_HA,
  type TPMT_SIGNATURE,
  Reader,
  UINT32,
  UINT64,
  unmarshal,
  nvIndexName,
} from '../../../../sdk/tpm2/index.ts'
import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { type AuthEntity, entityOf } from '../entities/entity.ts'
import { checkNvRead } from '../entities/nv-access.ts'
import { nvHas, nvType, visibleNv } from '../entities/nv-index.ts'
import { objectAt } from '../entities/object-store.ts'
import { TpmObject } from '../entities/object.ts'
import {
  approve,
  checkBinding,
  checkDeadline,
  clearPolicyDigest,
  deadline,
  extendPolicy,
  extendPolicyByName,
  isTrial,
  policySessionAt,
} from '../entities/policy.ts'
import { type Session } from '../entities/session.ts'
import { verifyDigest } from '../entities/signing.ts'
import { checkTicket, makeTicket, nullTicket, type Ticket } from '../entities/tickets.ts'
import { TpmError } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'

/** Bit of a ticket's timeout that says that a TPM Reset ends it too; TPM time never gets there. */
const EXPIRES_ON_RESET = 1n << 63n
/** A TPMT_HA with the largest digest: what of an index TPM2_PolicyAuthorizeNV reads at most. */
const MAX_POLICY_BYTES = 2 + 64

/** What TPM2_PolicySigned and TPM2_PolicySecret have in common. */
interface AuthorizationRequest {
  readonly nonceTPM: Uint8Array
  readonly cpHashA: Uint8Array
  readonly policyRef: Uint8Array
  readonly expiration: number
}

/** Throws TpmError unless the authorization is for this session, still good, and about the session's command. */
function checkRequest(tpm: TpmState, session: Session, request: AuthorizationRequest): bigint {
  const { nonceTPM, expiration, cpHashA } = request
  if (nonceTPM.length > 0 && !equalBytes(nonceTPM, session.nonceTPM)) {
    throw new TpmError(TPM_RC.NONCE, "expected the session's nonce, found another", 'nonceTPM')
  }
  const timeout = deadline(tpm, session, expiration, nonceTPM)
  checkDeadline(tpm, session, timeout, 'expiration')
  checkCpHash(session, cpHashA)
  return timeout
}

function checkCpHash(session: Session, cpHashA: Uint8Array): void {
  if (cpHashA.length > 0) checkBinding(session, { kind: 'cpHash', digest: cpHashA }, 'cpHashA')
}

/** A ticket by which TPM2_PolicyTicket repeats the authorization, when the caller asked for one by its expiration. */
interface TicketResponse {
  readonly timeout: Uint8Array
  readonly policyTicket: Ticket<typeof TPM_ST.AUTH_SIGNED | typeof TPM_ST.AUTH_SECRET>
}

function ticketFor(
  tpm: TpmState,
  tag: typeof TPM_ST.AUTH_SIGNED | typeof TPM_ST.AUTH_SECRET,
  entity: AuthEntity,
  request: AuthorizationRequest,
  timeout: bigint,
): TicketResponse {
  const expiresOnReset = request.nonceTPM.length === 0
  const policyTicket = makeTicket(tpm, tag, hierarchyOf(entity), {
    cpHash: request.cpHashA,
    policyRef: request.policyRef,
    authName: entity.name,
    timeout,
    expiresOnReset,
  })
  return { timeout: marshal(UINT64, expiresOnReset ? timeout | EXPIRES_ON_RESET : timeout), policyTicket }
}

function noTicket(tag: typeof TPM_ST.AUTH_SIGNED | typeof TPM_ST.AUTH_SECRET): TicketResponse {
  return { timeout: new Uint8Array(0), policyTicket: nullTicket(tag) }
}

/** The hierarchy whose proof makes an entity's tickets. */
function hierarchyOf({ handle, object, nv }: AuthEntity): number {
  if (object !== undefined) return object instanceof TpmObject ? object.hierarchy : TPM_RH.NULL
  if (nv !== undefined) return nvHas(nv, 'PLATFORMCREATE') ? TPM_RH.PLATFORM : TPM_RH.OWNER
  const own: readonly number[] = [TPM_RH.PLATFORM, TPM_RH.ENDORSEMENT, TPM_RH.NULL]
  return own.includes(handle) ? handle : TPM_RH.OWNER
}

const signed = implement(TPM2_PolicySigned, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const key = objectAt(tpm, request.authObject, 'authObject')
  let timeout = 0n
  if (!isTrial(session)) {
    timeout = checkRequest(tpm, session, request)
    verifyDigest(key, signedDigest(request), request.auth, 'auth')
  }
  const entity = entityOf(tpm, request.authObject)
  const { cpHashA: cpHash, policyRef } = request
  approve(session, { commandCode: TPM_CC.PolicySigned, authName: entity.name, policyRef, cpHash, timeout })
  if (request.expiration >= 0 || isTrial(session)) return noTicket(TPM_ST.AUTH_SIGNED)
  return ticketFor(tpm, TPM_ST.AUTH_SIGNED, entity, request, timeout)
})

/** H(nonceTPM ‖ expiration ‖ cpHashA ‖ policyRef), by the hash of the signature. */
function signedDigest(request: AuthorizationRequest & { readonly auth: TPMT_SIGNATURE }): Uint8Array {
  const { auth, nonceTPM, expiration, cpHashA, policyRef } = request
  const hashAlg = 'hash' in auth ? auth.hash : auth.hashAlg
  return hash(hashAlg, nonceTPM, marshal(UINT32, expiration >>> 0), cpHashA, policyRef)
}

const secret = implement(TPM2_PolicySecret, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const timeout = isTrial(session) ? 0n : checkRequest(tpm, session, request)
  const entity = entityOf(tpm, request.authHandle)
  const { cpHashA: cpHash, policyRef } = request
  approve(session, { commandCode: TPM_CC.PolicySecret, authName: entity.name, policyRef, cpHash, timeout })
  // The secret of a PIN_PASS index is good for a number of uses; a ticket would be uses that nobody counts.
  const counted = entity.nv !== undefined && nvType(entity.nv.publicArea.attributes) === TPM_NT.PIN_PASS
  if (request.expiration >= 0 || isTrial(session) || counted) return noTicket(TPM_ST.AUTH_SECRET)
  return ticketFor(tpm, TPM_ST.AUTH_SECRET, entity, request, timeout)
})

const ticket = implement(TPM2_PolicyTicket, (tpm, request) => {
  const { cpHashA: cpHash, policyRef, authName } = request
  const session = policySessionAt(tpm, request.policySession)
  if (isTrial(session)) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a policy session, found a trial session', 'policySession')
  }
  if (request.timeout.length !== 8) {
    throw new TpmError(TPM_RC.SIZE, 'expected the timeout that came with the ticket, of 8 bytes', 'timeout')
  }
  const given = unmarshal(UINT64, request.timeout)
  const expiresOnReset = (given & EXPIRES_ON_RESET) !== 0n
  const timeout = given & ~EXPIRES_ON_RESET
  checkDeadline(tpm, session, timeout, 'timeout')
  checkCpHash(session, cpHash)
  checkTicket(tpm, request.ticket, { cpHash, policyRef, authName, timeout, expiresOnReset }, 'ticket')
  const commandCode = request.ticket.tag === TPM_ST.AUTH_SIGNED ? TPM_CC.PolicySigned : TPM_CC.PolicySecret
  approve(session, { commandCode, authName, policyRef, cpHash, timeout })
  return {}
})

const authorize = implement(TPM2_PolicyAuthorize, (tpm, request) => {
  const { approvedPolicy, policyRef, keySign, checkTicket: verified } = request
  const session = policySessionAt(tpm, request.policySession)
  const hashAlg = nameAlgOf(keySign)
  if (!isTrial(session)) {
    if (!equalBytes(approvedPolicy, session.policyDigest)) {
      throw new TpmError(
        TPM_RC.VALUE,
        "expected the session's digest, found another policy",
        'approvedPolicy',
      )
    }
    const facts = { digest: hash(hashAlg, approvedPolicy, policyRef), keyName: keySign }
    checkTicket(tpm, verified, facts, 'checkTicket', TPM_RC.VALUE)
  }
  clearPolicyDigest(session)
  extendPolicyByName(session, TPM_CC.PolicyAuthorize, keySign, policyRef)
  return {}
})

/** nameAlg of a key's name, by which its approval is hashed. Throws TpmError HASH or SIZE for what is no name. */
function nameAlgOf(keySign: Uint8Array): number {
  if (keySign.length < 2) {
    throw new TpmError(TPM_RC.SIZE, "expected a key's name, found less than an algorithm", 'keySign')
  }
  const hashAlg = ((keySign[0] ?? 0) << 8) | (keySign[1] ?? 0)
  if (!isHash(hashAlg)) {
    const found = `expected a name with a hash, found algorithm 0x${hashAlg.toString(16)}`
    throw new TpmError(TPM_RC.HASH, found, 'keySign')
  }
  if (keySign.length !== 2 + digestSize(hashAlg)) {
    throw new TpmError(TPM_RC.SIZE, "expected a name of its hash's size, found another", 'keySign')
  }
  return hashAlg
}

const authorizeNv = implement(TPM2_PolicyAuthorizeNV, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const index = visibleNv(tpm, request.nvIndex, 'nvIndex')
  if (!isTrial(session)) {
    checkNvRead(index, request.authHandle)
    checkApproved(session, index.data.subarray(0, MAX_POLICY_BYTES))
  }
  clearPolicyDigest(session)
  extendPolicy(session, TPM_CC.PolicyAuthorizeNV, nvIndexName(index.publicArea))
  return {}
})

/** Throws TpmError unless `data` starts with the session's policy, a TPMT_HA. */
function checkApproved(session: Session, data: Uint8Array): void {
  const { hashAlg, digest } = policyIn(data)
  if (hashAlg !== session.authHash) {
    throw new TpmError(TPM_RC.HASH, "expected a policy of the session's hash in the NV index, found another")
  }
  if (!equalBytes(digest, session.policyDigest)) {
    throw new TpmError(TPM_RC.VALUE, "expected the session's policy in the NV index, found another")
  }
}

function policyIn(data: Uint8Array): TPMT_HA {
  try {
    return TPMT_HA.read(new Reader(data, 'TPMT_HA in the NV index'))
  } catch (error) {
    if (error instanceof Tpm2Error)
      throw new TpmError(error.rc ?? TPM_RC.VALUE, error.message, undefined, { cause: error })
    throw error
  }
}

/** The authorizations of clause 23. */
export const policyAuthorizations: readonly Implementation[] = [
  signed,
  secret,
  ticket,
  authorize,
  authorizeNv,
]
