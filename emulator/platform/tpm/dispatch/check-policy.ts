// Whether a policy session satisfies an entity's policy: its digest, and the conditions that were put off until now.
// Source: TPM 2.0 Library, Part 1, clause 19.7 (enhanced authorization), revision 1.59.

import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { hash, TPM_CC, TPM_RC } from '../../../../sdk/tpm2/index.ts'
import { type AuthEntity } from '../entities/entity.ts'
import { nvHas } from '../entities/nv-index.ts'
import { EXTENDED_LOCALITY } from '../entities/policy.ts'
import { type PolicyBinding, type Session } from '../entities/session.ts'
import { TpmError } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { type Call, type SessionUse } from './call.ts'
import { sessionError } from './session-area.ts'

/** Commands whose parameters hold a template, at the second place. */
const WITH_TEMPLATE: ReadonlySet<number> = new Set([TPM_CC.Create, TPM_CC.CreatePrimary, TPM_CC.CreateLoaded])

/** Throws TpmError when the session does not authorize this command for the entity. */
export function checkPolicy(
  tpm: TpmState,
  call: Call,
  use: SessionUse,
  session: Session,
  entity: AuthEntity,
): void {
  const refuse = (rc: number, message: string): TpmError => sessionError(rc, use.number, message)
  if (call.row.code === TPM_CC.PolicySecret && !session.passwordNeeded && !session.authValueNeeded) {
    throw refuse(
      TPM_RC.MODE,
      'expected a policy with PolicyAuthValue or PolicyPassword to prove a secret with',
    )
  }
  if (
    session.pcrUpdateCounter !== undefined &&
    session.pcrUpdateCounter !== tpm.volatile.reset.pcrUpdateCounter
  ) {
    throw new TpmError(
      TPM_RC.PCR_CHANGED,
      'expected the PCRs as at TPM2_PolicyPCR, found that one changed since',
    )
  }
  const { hashAlg, digest } = entity.policy
  if (hashAlg !== session.authHash || !equalBytes(digest, session.policyDigest)) {
    throw refuse(TPM_RC.POLICY_FAIL, "expected the policy digest of the handle's policy, found another")
  }
  if (session.expires !== undefined && !inTime(tpm, session, session.expires)) {
    throw refuse(TPM_RC.EXPIRED, 'expected a session in its time, found an expired one')
  }
  checkCommand(call, use, session)
  checkSurroundings(tpm, use, session)
  if (session.bound !== undefined && !matchesBinding(call, session, session.bound)) {
    throw refuse(
      TPM_RC.POLICY_FAIL,
      `expected the command of the policy's ${session.bound.kind}, found another`,
    )
  }
  if (session.nvWritten !== undefined) {
    if (entity.nv === undefined || nvHas(entity.nv, 'WRITTEN') !== session.nvWritten) {
      throw refuse(TPM_RC.POLICY_FAIL, 'expected an NV index that is written as TPM2_PolicyNvWritten says')
    }
  }
}

/** Whether a deadline has not passed; one of an earlier run of the TPM's time has. */
function inTime(tpm: TpmState, session: Session, expires: bigint): boolean {
  return expires >= tpm.clock.time && equalBytes(session.timeEpoch, tpm.volatile.timeEpoch)
}

function checkCommand(call: Call, use: SessionUse, session: Session): void {
  if (session.commandCode !== undefined) {
    if (session.commandCode === call.row.code) return
    throw sessionError(TPM_RC.POLICY_CC, use.number, 'expected the command of the policy, found another')
  }
  const role = call.row.handles[use.number - 1]?.value.auth
  if (role === 'ADMIN' || role === 'DUP') {
    const message = `expected a policy that names the command, as the role ${role} needs it; found none`
    throw sessionError(TPM_RC.POLICY_FAIL, use.number, message)
  }
}

function checkSurroundings(tpm: TpmState, use: SessionUse, session: Session): void {
  if (session.locality !== 0 && !localityMatches(session.locality, tpm.locality)) {
    const found = `expected a locality of the policy, found ${String(tpm.locality)}`
    throw new TpmError(TPM_RC.LOCALITY, found)
  }
  if (session.physicalPresenceNeeded && !tpm.platform.physicalPresence) {
    throw sessionError(TPM_RC.PP, use.number, 'expected physical presence, found none')
  }
}

function localityMatches(allowed: number, locality: number): boolean {
  if (locality >= EXTENDED_LOCALITY) return allowed === locality
  return allowed < EXTENDED_LOCALITY && (allowed & (1 << locality)) !== 0
}

function matchesBinding(call: Call, session: Session, bound: PolicyBinding): boolean {
  const digest = boundDigest(call, session.authHash, bound.kind)
  return digest !== undefined && equalBytes(digest, bound.digest)
}

function boundDigest(call: Call, hashAlg: number, kind: PolicyBinding['kind']): Uint8Array | undefined {
  switch (kind) {
    case 'cpHash':
      return call.cpHash(hashAlg)
    case 'nameHash':
      return call.nameHash(hashAlg)
    case 'template':
      return templateHash(call, hashAlg)
  }
}

/** Hash of the second parameter's contents: the template of a creation command. */
function templateHash(call: Call, hashAlg: number): Uint8Array | undefined {
  if (!WITH_TEMPLATE.has(call.row.code)) return undefined
  const { parameters } = call
  const view = new DataView(parameters.buffer, parameters.byteOffset, parameters.byteLength)
  if (parameters.length < 2) return undefined
  const start = 2 + view.getUint16(0)
  if (parameters.length < start + 2) return undefined
  const end = start + 2 + view.getUint16(start)
  return end > parameters.length ? undefined : hash(hashAlg, parameters.subarray(start + 2, end))
}
