// The authorization area: which sessions go with a command, and whether they may.
// Source: TPM 2.0 Library, Part 1, clause 18.6 and Part 3, clause 5.5 (session area validation), revision 1.59.

import {
  decryptable,
  encryptable,
  isFormatOne,
  Reader,
  sessionCode,
  TPM2B_AUTH,
  TPM2B_NONCE,
  Tpm2Error,
  TPM_ALG,
  TPM_RC,
  TPM_RS_PW,
  TPMA_SESSION,
  TPMI_SH_AUTH_SESSION_PLUS,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { MAX_SESSION_NUM } from '../profile.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { type Call, type SessionUse } from './call.ts'

const RESERVED = 0b00011000
const WITHOUT_PASSWORD =
  TPMA_SESSION.encrypt |
  TPMA_SESSION.decrypt |
  TPMA_SESSION.audit |
  TPMA_SESSION.auditExclusive |
  TPMA_SESSION.auditReset

/** A refusal that points at session `number`, from 1, when its code can carry a number. */
export function sessionError(rc: number, number: number, message: string): TpmError {
  return new TpmError(isFormatOne(rc) ? sessionCode(rc, number) : rc, message)
}

/** Reads and checks the area; the sessions stand for nothing yet. Throws TpmError. */
export function readSessions(tpm: TpmState, call: Call, area: Uint8Array): SessionUse[] {
  const reader = new Reader(area, 'authorization area')
  const uses: SessionUse[] = []
  while (reader.remaining > 0) {
    const number = uses.length + 1
    if (number > MAX_SESSION_NUM) {
      throw sessionError(TPM_RC.SIZE, MAX_SESSION_NUM + 1, 'expected at most 3 sessions, found more')
    }
    const use = readSession(tpm, reader, number)
    checkUse(tpm, call, use, uses)
    uses.push(use)
  }
  return uses
}

function readSession(tpm: TpmState, reader: Reader, number: number): SessionUse {
  try {
    const handle = reader.uint32()
    if (!TPMI_SH_AUTH_SESSION_PLUS.accepts(handle)) {
      const found = `expected a session's handle or TPM_RS_PW, found 0x${handle.toString(16)}`
      throw sessionError(TPM_RC.VALUE, number, found)
    }
    const nonceCaller = TPM2B_NONCE.read(reader)
    const attributes = reader.uint8()
    if ((attributes & RESERVED) !== 0) {
      throw sessionError(TPM_RC.RESERVED_BITS, number, 'expected no reserved bits in the session attributes')
    }
    const hmac = TPM2B_AUTH.read(reader)
    const session = tpm.volatile.sessions.get(handle)
    return { number, handle, session, nonceCaller, attributes, hmac, entity: undefined, includeAuth: false }
  } catch (error) {
    if (!(error instanceof Tpm2Error)) throw error
    throw sessionError(error.rc ?? TPM_RC.VALUE, number, error.message)
  }
}

function checkUse(tpm: TpmState, call: Call, use: SessionUse, before: readonly SessionUse[]): void {
  const { number, handle, session, attributes } = use
  if (handle === TPM_RS_PW) {
    checkPassword(use)
    return
  }
  if (session === undefined) {
    const found = `expected a loaded session, found 0x${handle.toString(16)}`
    throw new TpmError(TPM_RC.REFERENCE_S0 + number - 1, found)
  }
  if (before.some((other) => other.handle === handle)) {
    throw sessionError(TPM_RC.HANDLE, number, 'expected each session once, found the same one twice')
  }
  const twice = (bit: number): boolean =>
    (attributes & bit) !== 0 && before.some((other) => (other.attributes & bit) !== 0)
  if (twice(TPMA_SESSION.decrypt) || twice(TPMA_SESSION.encrypt) || twice(TPMA_SESSION.audit)) {
    throw sessionError(TPM_RC.ATTRIBUTES, number, 'expected one session for decryption, encryption or audit')
  }
  checkEncryption(call, use)
  if ((attributes & TPMA_SESSION.audit) !== 0) checkAudit(tpm, use)
}

function checkPassword(use: SessionUse): void {
  if ((use.attributes & WITHOUT_PASSWORD) !== 0) {
    throw sessionError(TPM_RC.ATTRIBUTES, use.number, 'expected a password that neither encrypts nor audits')
  }
  if (use.nonceCaller.length > 0) {
    throw sessionError(TPM_RC.NONCE, use.number, 'expected no nonce beside a password, found one')
  }
}

function checkEncryption(call: Call, { number, attributes, session }: SessionUse): void {
  const decrypts = (attributes & TPMA_SESSION.decrypt) !== 0
  const encrypts = (attributes & TPMA_SESSION.encrypt) !== 0
  if ((decrypts && !decryptable(call.row)) || (encrypts && !encryptable(call.row))) {
    const what = `expected ${call.row.name} without encryption: its first parameter is no TPM2B`
    throw sessionError(TPM_RC.ATTRIBUTES, number, what)
  }
  if ((decrypts || encrypts) && session?.symmetric.algorithm === TPM_ALG.NULL) {
    throw sessionError(
      TPM_RC.SYMMETRIC,
      number,
      'expected a session with a symmetric algorithm to encrypt with',
    )
  }
}

function checkAudit(tpm: TpmState, { number, handle, session, attributes }: SessionUse): void {
  if (session?.kind !== 'hmac') {
    throw sessionError(
      TPM_RC.ATTRIBUTES,
      number,
      'expected an HMAC session to audit with, found a policy session',
    )
  }
  const goesOn = session.auditDigest !== undefined && (attributes & TPMA_SESSION.auditReset) === 0
  const exclusive = (attributes & TPMA_SESSION.auditExclusive) !== 0
  if (goesOn && exclusive && tpm.volatile.exclusiveSession !== handle) {
    throw new TpmError(
      TPM_RC.EXCLUSIVE,
      'expected an audit without commands in between, found that there were some',
    )
  }
}
