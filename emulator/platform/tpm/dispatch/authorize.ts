// Whether the sessions of a command authorize it: passwords, HMACs over cpHash, and policies.
// Source: TPM 2.0 Library, Part 1, clause 19 (authorizations) and Part 3, clause 5.6, revision 1.59.

import { concatBytes, equalBytes } from '../../../../sdk/crypto/index.ts'
import {
  type AuthRole,
  type Field,
  type HandleField,
  hmac,
  TPM_CC,
  TPM_HT,
  TPM_NT,
  TPM_RC,
  TPM_RH,
  TPMA_NV,
  TPMA_SESSION,
  trimAuth,
} from '../../../../sdk/tpm2/index.ts'
import { type AuthEntity, handleKind, hasPolicy } from '../entities/entity.ts'
import { isPin, nvHas, pinCounter, setPinCount } from '../entities/nv-index.ts'
import { TpmObject } from '../entities/object.ts'
import { inPolicyGroup } from '../entities/pcr-attributes.ts'
import { type Session } from '../entities/session.ts'
import { TpmError } from '../errors.ts'
import { checkCountable, checkNotLockedOut, countFailure } from '../state/dictionary.ts'
import { type NvRecord } from '../state/permanent.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'
import { type Call, type SessionUse } from './call.ts'
import { checkPolicy } from './check-policy.ts'
import { boundTo } from './session-key.ts'
import { sessionError } from './session-area.ts'

/** Commands on an NV index that write it; authorized by AUTHWRITE or POLICYWRITE, all others as reads. */
const NV_WRITES: ReadonlySet<number> = new Set([
  TPM_CC.NV_Write,
  TPM_CC.NV_Increment,
  TPM_CC.NV_SetBits,
  TPM_CC.NV_Extend,
  TPM_CC.NV_WriteLock,
])

/** Gives each authorized handle its session and checks all sessions, in order. Throws TpmError. */
export function authorize(tpm: TpmState, call: Call): void {
  const needed = call.row.handles.filter(({ value }) => value.auth !== undefined).length
  if (call.uses.length < needed) {
    throw new TpmError(TPM_RC.AUTH_MISSING, `expected ${String(needed)} authorizations, found fewer`)
  }
  for (const use of call.uses) {
    if (use.number <= needed) use.entity = call.entities[use.number - 1]
    checkSession(tpm, call, use)
  }
}

function checkSession(tpm: TpmState, call: Call, use: SessionUse): void {
  const { session, entity, number } = use
  if (session?.kind === 'trial') {
    throw sessionError(TPM_RC.ATTRIBUTES, number, 'expected a session that authorizes, found a trial session')
  }
  if (session?.bindDa === true) checkNotLockedOut(tpm, session.bindLockout)
  if (entity !== undefined) {
    checkAuthorization(tpm, call, use, entity)
    return
  }
  const purpose = TPMA_SESSION.audit | TPMA_SESSION.encrypt | TPMA_SESSION.decrypt
  if (session === undefined) {
    throw sessionError(TPM_RC.HANDLE, number, 'expected a session that audits or encrypts, found a password')
  }
  if ((use.attributes & purpose) === 0) {
    throw sessionError(
      TPM_RC.ATTRIBUTES,
      number,
      'expected a session with a purpose: audit, encrypt or decrypt',
    )
  }
  if (!hmacMatches(call, use, session)) throw failed(tpm, use)
}

function checkAuthorization(tpm: TpmState, call: Call, use: SessionUse, entity: AuthEntity): void {
  const { session, number } = use
  if (entity.handle === TPM_RH.PLATFORM) checkPresence(tpm, call, number)
  use.includeAuth = includesAuth(session, entity)
  if (use.includeAuth && !entity.daExempt) checkNotLockedOut(tpm, entity.handle === TPM_RH.LOCKOUT)
  if (use.includeAuth && entity.nv !== undefined && isPin(entity.nv)) checkCountable(tpm)
  const field = call.row.handles[number - 1]
  if (session?.kind === 'policy') {
    if (!policyAvailable(call, field, entity)) throw unavailable(number, 'a policy')
    checkPolicy(tpm, call, use, session, entity)
  } else {
    if (policyRequired(field, entity)) {
      throw new TpmError(TPM_RC.AUTH_TYPE, 'expected a policy session, found a password or HMAC session')
    }
    if (!authValueAvailable(call, field, entity)) throw unavailable(number, 'an authValue')
  }
  const good =
    session === undefined || session.passwordNeeded
      ? equalBytes(trimAuth(use.hmac), entity.authValue)
      : hmacMatches(call, use, session)
  if (entity.nv !== undefined && use.includeAuth) countPin(tpm, entity.nv, good)
  if (!good) throw failed(tpm, use)
}

/** Whether the entity's authValue has a part in the authorization. */
function includesAuth(session: Session | undefined, entity: AuthEntity): boolean {
  if (session === undefined) return true
  if (session.kind === 'policy') return session.authValueNeeded || session.passwordNeeded
  return !boundTo(session, entity)
}

function checkPresence(tpm: TpmState, call: Call, number: number): void {
  if (tpm.permanent.ppCommands.includes(call.row.code) && !tpm.platform.physicalPresence) {
    throw sessionError(TPM_RC.PP, number, 'expected physical presence, found none')
  }
}

function unavailable(number: number, what: string): TpmError {
  const message = `expected an authorization that the handle allows; ${what} is not for this use of it (session ${String(number)})`
  return new TpmError(TPM_RC.AUTH_UNAVAILABLE, message)
}

type Handle = Field<HandleField> | undefined

function role(field: Handle): AuthRole | undefined {
  return field?.value.auth
}

/** Source: Part 1, clause 19.2 (roles). */
function policyRequired(field: Handle, entity: AuthEntity): boolean {
  if (role(field) === 'DUP') return true
  if (role(field) === 'ADMIN') {
    return !(entity.object instanceof TpmObject) || entity.object.has('adminWithPolicy')
  }
  return handleKind(entity.handle) === TPM_HT.PCR && inPolicyGroup(entity.handle) && hasPolicy(entity.policy)
}

function authValueAvailable(call: Call, field: Handle, entity: AuthEntity): boolean {
  if (entity.object instanceof TpmObject) {
    if (entity.object.record.sensitive === undefined) return false
    return entity.object.has('userWithAuth') || role(field) === 'ADMIN'
  }
  if (entity.nv === undefined) return true
  if (NV_WRITES.has(call.row.code)) return nvHas(entity.nv, 'AUTHWRITE')
  if (isPin(entity.nv)) return pinUsable(entity.nv)
  return nvHas(entity.nv, 'AUTHREAD')
}

function pinUsable(nv: NvRecord): boolean {
  const pin = pinCounter(nv, TPM_NT.PIN_FAIL) ?? pinCounter(nv, TPM_NT.PIN_PASS)
  return pin !== undefined && pin.pinCount < pin.pinLimit
}

function policyAvailable(call: Call, field: Handle, entity: AuthEntity): boolean {
  if (entity.object !== undefined) {
    return entity.object instanceof TpmObject && entity.object.record.sensitive !== undefined
  }
  if (entity.policy.digest.length === 0) return false
  if (entity.nv === undefined || policyRequired(field, entity)) return true
  const needed = NV_WRITES.has(call.row.code) ? TPMA_NV.POLICYWRITE : TPMA_NV.POLICYREAD
  return (entity.nv.publicArea.attributes & needed) !== 0
}

/** Counts a use of a PIN index's authValue: PIN_FAIL counts failures, PIN_PASS successes (Part 1, 37.2.7). */
function countPin(tpm: TpmState, nv: NvRecord, good: boolean): void {
  const fail = pinCounter(nv, TPM_NT.PIN_FAIL)
  const pass = pinCounter(nv, TPM_NT.PIN_PASS)
  const last = 0xffffffff
  if (fail !== undefined) setPinCount(nv, good ? 0 : Math.min(fail.pinCount + 1, last))
  else if (pass !== undefined && good) setPinCount(nv, Math.min(pass.pinCount + 1, last))
  else return
  changed(tpm)
}

/** A failed authorization, counted when the entity is protected against guessing. */
function failed(tpm: TpmState, use: SessionUse): TpmError {
  const { session, entity, number } = use
  const byEntity = use.includeAuth && entity?.daExempt === false
  if (byEntity || session?.bindDa === true) {
    countFailure(tpm, entity?.handle === TPM_RH.LOCKOUT || session?.bindLockout === true)
    return sessionError(
      TPM_RC.AUTH_FAIL,
      number,
      'expected the right authorization, found another; it counts',
    )
  }
  return sessionError(TPM_RC.BAD_AUTH, number, 'expected the right authorization, found another')
}

/** Whether a session's HMAC over the command is right; no key and no HMAC are right together (Part 1, 19.6.5). */
function hmacMatches(call: Call, use: SessionUse, session: Session): boolean {
  const key = hmacKey(session, use)
  if (key.length === 0 && use.hmac.length === 0) return true
  const expected = hmac(
    session.authHash,
    key,
    call.cpHash(session.authHash),
    use.nonceCaller,
    session.nonceTPM,
    ...otherNonces(call, use),
    Uint8Array.of(use.attributes),
  )
  return equalBytes(use.hmac, expected)
}

/** The key of a session's HMACs: sessionKey ‖ authValue, when the latter has a part in it. */
export function hmacKey(
  session: Session,
  use: SessionUse,
  entity: AuthEntity | undefined = use.entity,
): Uint8Array {
  const authValue = use.includeAuth ? (entity?.authValue ?? new Uint8Array(0)) : new Uint8Array(0)
  return concatBytes(session.sessionKey, authValue)
}

/** The first session's HMAC covers the nonces of the sessions that decrypt and encrypt (Part 1, 19.6.5). */
function otherNonces(call: Call, use: SessionUse): Uint8Array[] {
  if (use.number !== 1 || use.entity === undefined) return []
  const decrypting = call.useWith(TPMA_SESSION.decrypt)
  const encrypting = call.useWith(TPMA_SESSION.encrypt)
  const nonces: Uint8Array[] = []
  if (decrypting?.session !== undefined && decrypting !== use) nonces.push(decrypting.session.nonceTPM)
  if (encrypting?.session !== undefined && encrypting !== use && encrypting !== decrypting) {
    nonces.push(encrypting.session.nonceTPM)
  }
  return nonces
}
