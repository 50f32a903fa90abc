// TPM2_StartAuthSession and TPM2_PolicyRestart.
// Source: TPM 2.0 Library, Part 3, clause 11, and Part 1, clause 19.6 (session-based authorizations), revision 1.59.

import { concatBytes } from '../../../../sdk/crypto/index.ts'
import {
  digestSize,
  kdfa,
  type Request,
  TPM2_PolicyRestart,
  TPM2_StartAuthSession,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_SE,
  type TPMT_SYM_DEF,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { bindValue } from '../dispatch/session-key.ts'
import { type AuthEntity, entityOf } from '../entities/entity.ts'
import { isPin } from '../entities/nv-index.ts'
import { TpmObject } from '../entities/object.ts'
import { objectAt } from '../entities/object-store.ts'
import { recover } from '../entities/secrets.ts'
import { newPolicyState, restartPolicy, type Session } from '../entities/session.ts'
import { addSession, checkFreeSession, sessionAt } from '../entities/session-store.ts'
import { checkSymmetric } from '../entities/template.ts'
import { TpmError } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'

/** Bytes of nonceCaller, at least (Part 3, 11.1). */
const MIN_NONCE = 16
const KINDS = new Map<number, Session['kind']>([
  [TPM_SE.HMAC, 'hmac'],
  [TPM_SE.POLICY, 'policy'],
  [TPM_SE.TRIAL, 'trial'],
])

const startAuthSession = implement(TPM2_StartAuthSession, (tpm, request) => {
  const { nonceCaller, sessionType, symmetric, authHash } = request
  const kind = KINDS.get(sessionType)
  if (kind === undefined) throw new TpmError(TPM_RC.VALUE, 'expected a TPM_SE', 'sessionType')
  const size = digestSize(authHash)
  if (nonceCaller.length < MIN_NONCE || nonceCaller.length > size) {
    const range = `from ${String(MIN_NONCE)} to ${String(size)} bytes`
    throw new TpmError(
      TPM_RC.SIZE,
      `expected a nonce ${range}, found ${String(nonceCaller.length)}`,
      'nonceCaller',
    )
  }
  checkSessionSymmetric(symmetric)
  const bind = request.bind === TPM_RH.NULL ? undefined : boundEntity(tpm, request.bind)
  const salt = saltOf(tpm, request)
  checkFreeSession(tpm)
  const nonceTPM = tpm.random.next(nonceCaller.length)
  const session = addSession(tpm, {
    kind,
    authHash,
    symmetric,
    sessionKey: sessionKey(authHash, bind, salt, nonceTPM, nonceCaller),
    nonceTPM,
    bind: bind !== undefined && kind === 'hmac' ? bindValue(bind) : undefined,
    bindDa: bind?.daExempt === false,
    bindLockout: bind?.handle === TPM_RH.LOCKOUT,
    auditDigest: undefined,
    startTime: tpm.clock.time,
    timeEpoch: tpm.volatile.timeEpoch,
    ...newPolicyState(kind === 'hmac' ? 0 : size),
  })
  return { sessionHandle: session.handle, nonceTPM }
})

function checkSessionSymmetric(symmetric: TPMT_SYM_DEF): void {
  if (symmetric.algorithm === TPM_ALG.XOR || symmetric.algorithm === TPM_ALG.NULL) return
  checkSymmetric(symmetric, 'symmetric')
  if (symmetric.mode !== TPM_ALG.CFB) {
    throw new TpmError(TPM_RC.MODE, 'expected AES in CFB mode, found another mode', 'symmetric')
  }
}

function boundEntity(tpm: TpmState, bind: number): AuthEntity {
  const entity = entityOf(tpm, bind)
  const publicOnly = entity.object instanceof TpmObject && entity.object.record.sensitive === undefined
  // The authValue of a PIN index is good for a number of uses only, which a session would not count (Part 3, 11.1).
  if (publicOnly || (entity.nv !== undefined && isPin(entity.nv))) {
    throw new TpmError(TPM_RC.HANDLE, 'expected an entity with an authValue to bind to, found none', 'bind')
  }
  return entity
}

type StartRequest = Request<typeof TPM2_StartAuthSession>

/** The salt that the caller sent encrypted to tpmKey; empty without a key. */
function saltOf(tpm: TpmState, { tpmKey, encryptedSalt }: StartRequest): Uint8Array {
  if (tpmKey === TPM_RH.NULL) {
    if (encryptedSalt.length > 0) {
      throw new TpmError(TPM_RC.VALUE, 'expected no salt without a key, found one', 'encryptedSalt')
    }
    return encryptedSalt
  }
  const key = objectAt(tpm, tpmKey, 'tpmKey')
  if (key.publicArea.type !== TPM_ALG.RSA && key.publicArea.type !== TPM_ALG.ECC) {
    throw new TpmError(TPM_RC.KEY, 'expected an RSA or ECC key, found another kind of object', 'tpmKey')
  }
  if (!key.has('decrypt')) throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a key that decrypts', 'tpmKey')
  if (key.record.sensitive === undefined) {
    throw new TpmError(TPM_RC.HANDLE, 'expected a key with its private part, found a public area', 'tpmKey')
  }
  if (encryptedSalt.length === 0) {
    throw new TpmError(TPM_RC.VALUE, 'expected a salt for the key, found none', 'encryptedSalt')
  }
  return recover(key, encryptedSalt, 'SECRET', 'encryptedSalt')
}

/** KDFa over the salt and the bound entity's authValue; empty without either (Part 1, 19.6.8). */
function sessionKey(
  authHash: number,
  bind: AuthEntity | undefined,
  salt: Uint8Array,
  nonceTPM: Uint8Array,
  nonceCaller: Uint8Array,
): Uint8Array {
  if (bind === undefined && salt.length === 0) return new Uint8Array(0)
  const secret = concatBytes(bind?.authValue ?? new Uint8Array(0), salt)
  return kdfa(authHash, secret, 'ATH', nonceTPM, nonceCaller, 8 * digestSize(authHash))
}

const policyRestart = implement(TPM2_PolicyRestart, (tpm, { sessionHandle }) => {
  restartPolicy(sessionAt(tpm, sessionHandle))
  return {}
})

/** Clause 11. */
export const sessionCommands: readonly Implementation[] = [startAuthSession, policyRestart]
