// Where sessions are: loaded, or saved outside with only their number kept here, so that each saved session can be
// loaded once. Source: TPM 2.0 Library, Part 1, clause 30.5 (session context management), revision 1.59.

import { TPM_HT, TPM_RC } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { CONTEXT_GAP_MAX } from '../profile.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { handleNumber } from './entity.ts'
import { type Session } from './session.ts'

/** The loaded session at a handle. Throws TpmError HANDLE. */
export function sessionAt(tpm: TpmState, handle: number): Session {
  const session = tpm.volatile.sessions.get(handle)
  if (session !== undefined) return session
  throw new TpmError(TPM_RC.HANDLE, `expected a loaded session, found 0x${handle.toString(16)}`)
}

/** The handle of the saved session with the number of `handle`; undefined when there is none. */
function savedSession(tpm: TpmState, handle: number): number | undefined {
  return [...tpm.volatile.reset.savedSessions.keys()].find(
    (one) => handleNumber(one) === handleNumber(handle),
  )
}

/**
 * Throws TpmError SESSION_MEMORY when no more sessions can be loaded, SESSION_HANDLES when none more can be active,
 * CONTEXT_GAP when the last slot is needed for the oldest saved session.
 */
export function checkFreeSession(tpm: TpmState): void {
  const { sessions, reset } = tpm.volatile
  checkLoadable(tpm)
  if (sessions.size + reset.savedSessions.size >= tpm.limits.activeSessions) {
    throw new TpmError(TPM_RC.SESSION_HANDLES, 'expected fewer active sessions, found the limit reached')
  }
  if (sessions.size === tpm.limits.loadedSessions - 1 && gapReached(tpm)) throw contextGap()
}

/** Throws TpmError SESSION_MEMORY when no more sessions can be loaded. */
export function checkLoadable(tpm: TpmState): void {
  if (tpm.volatile.sessions.size < tpm.limits.loadedSessions) return
  throw new TpmError(TPM_RC.SESSION_MEMORY, 'expected fewer loaded sessions, found the limit reached')
}

/** Whether the oldest saved session is as old as a saved session may be. */
export function gapReached(tpm: TpmState): boolean {
  const { sessionContext, savedSessions } = tpm.volatile.reset
  return [...savedSessions.values()].some((number) => sessionContext - number >= BigInt(CONTEXT_GAP_MAX))
}

/** The oldest saved session has to be loaded before others can be saved. */
export function contextGap(): TpmError {
  return new TpmError(
    TPM_RC.CONTEXT_GAP,
    'expected the oldest saved session to be loaded first; it is too old',
  )
}

/** Adds a session under the lowest free number. */
export function addSession(tpm: TpmState, session: Omit<Session, 'handle'>): Session {
  const { sessions, reset } = tpm.volatile
  const used = new Set([...sessions.keys(), ...reset.savedSessions.keys()].map(handleNumber))
  let number = 0
  while (used.has(number)) number += 1
  const kind = session.kind === 'hmac' ? TPM_HT.HMAC_SESSION : TPM_HT.POLICY_SESSION
  const added = { ...session, handle: kind * 2 ** 24 + number }
  sessions.set(added.handle, added)
  return added
}

/** Ends a session, loaded or saved. False when there is none with that number. */
export function flushSession(tpm: TpmState, handle: number): boolean {
  const { sessions, reset } = tpm.volatile
  const loaded = [...sessions.keys()].find((one) => handleNumber(one) === handleNumber(handle))
  if (loaded !== undefined) return sessions.delete(loaded)
  const saved = savedSession(tpm, handle)
  return saved !== undefined && reset.savedSessions.delete(saved)
}
