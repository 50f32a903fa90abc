// Audit: of a session, whose digest its owner can have signed, and of commands, whose digest the TPM keeps for all.
// Source: TPM 2.0 Library, Part 1, clauses 33 (session audit) and 34 (command audit), revision 1.59.

import { digestSize, hash, TPM_CC, TPM_RC, TPMA_SESSION } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'
import { type Call, rpHash, type SessionUse } from './call.ts'

/** Whether a command goes into the command audit digest. */
function isAudited(tpm: TpmState, code: number): boolean {
  return tpm.permanent.audit.commands.includes(code)
}

/** Throws TpmError NV_UNAVAILABLE when an audit has to begin and its counter cannot be stored. */
export function checkCommandAudit(tpm: TpmState, code: number): void {
  if (!isAudited(tpm, code) || tpm.volatile.reset.commandAuditDigest !== undefined) return
  if (!tpm.platform.nvAvailable) {
    throw new TpmError(
      TPM_RC.NV_UNAVAILABLE,
      'expected NV memory for the audit counter, found it unavailable',
    )
  }
}

/** After a command: the audit digests go on. `parameters` are those of the response as they go out. */
export function audit(tpm: TpmState, call: Call, parameters: Uint8Array): ReadonlyMap<SessionUse, number> {
  const attributes = auditSession(tpm, call, parameters)
  if (isAudited(tpm, call.row.code) && call.row.code !== TPM_CC.Shutdown) auditCommand(tpm, call, parameters)
  return attributes
}

/** Returns the attributes that the audit session's response shows. */
function auditSession(tpm: TpmState, call: Call, parameters: Uint8Array): Map<SessionUse, number> {
  const shown = new Map<SessionUse, number>()
  const use = call.useWith(TPMA_SESSION.audit)
  const session = use?.session
  if (use === undefined || session === undefined) {
    if (call.row.noSessions !== true) tpm.volatile.exclusiveSession = undefined
    return shown
  }
  if (session.auditDigest === undefined || (use.attributes & TPMA_SESSION.auditReset) !== 0) {
    session.auditDigest = new Uint8Array(digestSize(session.authHash))
    tpm.volatile.exclusiveSession = session.handle
  } else if (tpm.volatile.exclusiveSession !== session.handle) {
    tpm.volatile.exclusiveSession = undefined
  }
  const exclusive = tpm.volatile.exclusiveSession === session.handle
  shown.set(
    use,
    exclusive ? use.attributes | TPMA_SESSION.auditExclusive : use.attributes & ~TPMA_SESSION.auditExclusive,
  )
  session.auditDigest = extended(session.auditDigest, session.authHash, call, parameters)
  return shown
}

function auditCommand(tpm: TpmState, call: Call, parameters: Uint8Array): void {
  const { audit: settings } = tpm.permanent
  const { reset } = tpm.volatile
  if (reset.commandAuditDigest?.length === 0) {
    // This command has chosen another hash: the audit begins with the next one.
    reset.commandAuditDigest = undefined
    return
  }
  if (reset.commandAuditDigest === undefined) {
    reset.commandAuditDigest = new Uint8Array(digestSize(settings.hashAlg))
    settings.counter += 1n
    changed(tpm)
  }
  reset.commandAuditDigest = extended(reset.commandAuditDigest, settings.hashAlg, call, parameters)
}

function extended(digest: Uint8Array, hashAlg: number, call: Call, parameters: Uint8Array): Uint8Array {
  return hash(hashAlg, digest, call.cpHash(hashAlg), rpHash(hashAlg, call.row, parameters))
}
