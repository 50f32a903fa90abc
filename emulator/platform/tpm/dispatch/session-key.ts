// What binds a session to an entity: its name and authValue at the time, so that a change of either unbinds it.
// Source: TPM 2.0 Library, Part 1, clause 19.6.10 (bound sessions), revision 1.59.

import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { hash, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { type AuthEntity } from '../entities/entity.ts'
import { type Session } from '../entities/session.ts'

/** What a session that is bound to the entity keeps of it: a digest, not the authValue itself. */
export function bindValue(entity: AuthEntity): Uint8Array {
  const { name, authValue } = entity
  return hash(TPM_ALG.SHA256, Uint8Array.of(name.length), name, authValue)
}

/** Whether the session is bound to the entity as it is now. An audit session is bound to nothing (Part 1, 19.6.10). */
export function boundTo(session: Session, entity: AuthEntity): boolean {
  if (session.bind === undefined || session.auditDigest !== undefined) return false
  return equalBytes(session.bind, bindValue(entity))
}
