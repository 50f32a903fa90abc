// The authorization area of a response: new nonces, encryption, audit, HMACs over rpHash; sessions that do not continue
// are flushed. Source: TPM 2.0 Library, Part 1, clauses 18.8 and 19.6.6, revision 1.59.

import { hmac, TPM2B_AUTH, TPM2B_NONCE, TPMA_SESSION, Writer } from '../../../../sdk/tpm2/index.ts'
import { type AuthEntity, remainingEntity } from '../entities/entity.ts'
import { Sequence } from '../entities/sequence.ts'
import { restartPolicy, type Session } from '../entities/session.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { audit } from './audit.ts'
import { hmacKey } from './authorize.ts'
import { type Call, rpHash, type SessionUse } from './call.ts'
import { encryptFirst } from './parameter-encryption.ts'

/** What goes out after the handles. */
export interface Acknowledged {
  readonly parameters: Uint8Array
  /** undefined: the command came without sessions */
  readonly authorization: Uint8Array | undefined
}

/** Acknowledges a command that has succeeded; `plain` are its response parameters. */
export function acknowledge(tpm: TpmState, call: Call, plain: Uint8Array): Acknowledged {
  for (const { session } of call.uses) {
    if (session !== undefined) session.nonceTPM = tpm.random.next(session.nonceTPM.length)
  }
  const parameters = encrypted(tpm, call, plain)
  const shown = audit(tpm, call, parameters)
  if (call.uses.length === 0) return { parameters, authorization: undefined }
  const writer = new Writer()
  for (const use of call.uses) {
    const attributes = shown.get(use) ?? use.attributes
    if (use.session === undefined)
      writeAnswer(writer, new Uint8Array(0), TPMA_SESSION.continueSession, new Uint8Array(0))
    else {
      const answer = answerHmac(tpm, call, use, use.session, attributes, parameters)
      writeAnswer(writer, use.session.nonceTPM, attributes, answer)
      settle(tpm, use.session, attributes)
    }
  }
  return { parameters, authorization: writer.finish() }
}

function writeAnswer(writer: Writer, nonce: Uint8Array, attributes: number, hmacValue: Uint8Array): void {
  TPM2B_NONCE.write(writer, nonce)
  writer.uint8(attributes)
  TPM2B_AUTH.write(writer, hmacValue)
}

function encrypted(tpm: TpmState, call: Call, plain: Uint8Array): Uint8Array {
  const use = call.useWith(TPMA_SESSION.encrypt)
  if (use?.session === undefined) return plain
  const { session, nonceCaller, entity } = use
  const authValue = entityNow(tpm, entity)?.authValue ?? new Uint8Array(0)
  return encryptFirst({ session, authValue, nonceNewer: session.nonceTPM, nonceOlder: nonceCaller }, plain)
}

/**
 * The authorized entity as it is after the command, which may have changed its authValue. A sequence that ended with
 * the command counts as it was; an NV index that the command took away has no authValue any more (Part 3, 31.5).
 */
function entityNow(tpm: TpmState, entity: AuthEntity | undefined): AuthEntity | undefined {
  if (entity === undefined || entity.object instanceof Sequence) return entity
  return remainingEntity(tpm, entity.handle)
}

/** The HMAC of one session's acknowledgement; empty where the key is, and for passwords. */
function answerHmac(
  tpm: TpmState,
  call: Call,
  use: SessionUse,
  session: Session,
  attributes: number,
  parameters: Uint8Array,
): Uint8Array {
  if (session.passwordNeeded) return new Uint8Array(0)
  const now = entityNow(tpm, use.entity)
  const key = use.includeAuth && now !== undefined ? hmacKey(session, use, now) : session.sessionKey
  if (key.length === 0 && use.hmac.length === 0) return new Uint8Array(0)
  return hmac(
    session.authHash,
    key,
    rpHash(session.authHash, call.row, parameters),
    session.nonceTPM,
    use.nonceCaller,
    Uint8Array.of(attributes),
  )
}

/** After its use: a policy begins anew, with its time; a session that shall not continue is gone. */
function settle(tpm: TpmState, session: Session, attributes: number): void {
  if ((attributes & TPMA_SESSION.continueSession) === 0) tpm.volatile.sessions.delete(session.handle)
  else if (session.kind === 'policy') {
    restartPolicy(session)
    session.startTime = tpm.clock.time
    session.timeEpoch = tpm.volatile.timeEpoch
  }
}
