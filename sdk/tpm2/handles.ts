// The handle types of the command tables: which handle values a command takes in one place. With _PLUS, TPM_RH_NULL
// (of TPMI_SH_AUTH_SESSION: TPM_RS_PW) is one of them. A value of another kind is refused with TPM_RC_VALUE; whether
// the entity exists is the TPM's question. The types that no command of the tables uses are not here (TPMI_RH_OWNER,
// TPMI_RH_AC, TPMI_RH_ACT).
// Source: TPM 2.0 Library, Part 2, clause 9, revision 1.59; PCRs 0 to 23 as in the PC Client Platform TPM Profile.

import { type Codec } from './codec.ts'
import { type HandleType } from './command.ts'
import { TPM_HC, TPM_RH, TPM_RS_PW } from './constants.ts'

type Accepts = (handle: number) => boolean

const range =
  (first: number, last: number): Accepts =>
  (handle) =>
    handle >= first && handle <= last
const value =
  (...values: readonly number[]): Accepts =>
  (handle) =>
    values.includes(handle)

function type(name: string, ...kinds: readonly Accepts[]): HandleType {
  return { name, accepts: (handle) => kinds.some((accepts) => accepts(handle)) }
}

function plus(base: HandleType, also: number = TPM_RH.NULL): HandleType {
  return { name: `${base.name}+`, accepts: (handle) => handle === also || base.accepts(handle) }
}

const pcr = range(TPM_HC.PCR_FIRST, TPM_HC.PCR_LAST)
const nvIndex = range(TPM_HC.NV_INDEX_FIRST, TPM_HC.NV_INDEX_LAST)
const hmacSession = range(TPM_HC.HMAC_SESSION_FIRST, TPM_HC.HMAC_SESSION_LAST)
const policySession = range(TPM_HC.POLICY_SESSION_FIRST, TPM_HC.POLICY_SESSION_LAST)
const transient = range(TPM_HC.TRANSIENT_FIRST, TPM_HC.TRANSIENT_LAST)
const persistent = range(TPM_HC.PERSISTENT_FIRST, TPM_HC.PERSISTENT_LAST)
const act = range(TPM_RH.ACT_0, TPM_RH.ACT_F)
const hierarchy = value(TPM_RH.OWNER, TPM_RH.PLATFORM, TPM_RH.ENDORSEMENT)

/** TPMI_DH_OBJECT (9.3): a loaded or persistent object. */
export const TPMI_DH_OBJECT = type('TPMI_DH_OBJECT', transient, persistent)
/** TPMI_DH_OBJECT+ (9.3). */
export const TPMI_DH_OBJECT_PLUS = plus(TPMI_DH_OBJECT)
/** TPMI_DH_PARENT (9.4): an object or a hierarchy. */
export const TPMI_DH_PARENT = type('TPMI_DH_PARENT', transient, persistent, hierarchy)
/** TPMI_DH_PARENT+ (9.4). */
export const TPMI_DH_PARENT_PLUS = plus(TPMI_DH_PARENT)
/** TPMI_DH_PERSISTENT (9.5). */
export const TPMI_DH_PERSISTENT = type('TPMI_DH_PERSISTENT', persistent)
/** TPMI_DH_ENTITY (9.6): whatever has an authorization value. */
export const TPMI_DH_ENTITY = type(
  'TPMI_DH_ENTITY',
  hierarchy,
  value(TPM_RH.LOCKOUT),
  transient,
  persistent,
  nvIndex,
  pcr,
  range(TPM_RH.AUTH_00, TPM_RH.AUTH_FF),
)
/** TPMI_DH_ENTITY+ (9.6). */
export const TPMI_DH_ENTITY_PLUS = plus(TPMI_DH_ENTITY)
/** TPMI_DH_PCR (9.7). */
export const TPMI_DH_PCR = type('TPMI_DH_PCR', pcr)
/** TPMI_DH_PCR+ (9.7). */
export const TPMI_DH_PCR_PLUS = plus(TPMI_DH_PCR)
/** TPMI_SH_AUTH_SESSION (9.8): an HMAC or policy session. */
export const TPMI_SH_AUTH_SESSION = type('TPMI_SH_AUTH_SESSION', hmacSession, policySession)
/** TPMI_SH_AUTH_SESSION+ (9.8): or TPM_RS_PW. */
export const TPMI_SH_AUTH_SESSION_PLUS = plus(TPMI_SH_AUTH_SESSION, TPM_RS_PW)
/** TPMI_SH_HMAC (9.9). */
export const TPMI_SH_HMAC = type('TPMI_SH_HMAC', hmacSession)
/** TPMI_SH_POLICY (9.10). */
export const TPMI_SH_POLICY = type('TPMI_SH_POLICY', policySession)
/** TPMI_DH_CONTEXT (9.11): what can be saved, loaded and flushed. */
export const TPMI_DH_CONTEXT = type('TPMI_DH_CONTEXT', hmacSession, policySession, transient)
/** TPMI_DH_SAVED (9.12): a session, or 0x80000000 an object, 0x80000001 a sequence, 0x80000002 one with stClear. */
export const TPMI_DH_SAVED = type(
  'TPMI_DH_SAVED',
  hmacSession,
  policySession,
  value(0x80000000, 0x80000001, 0x80000002),
)
/** TPMI_RH_HIERARCHY (9.13). */
export const TPMI_RH_HIERARCHY = type('TPMI_RH_HIERARCHY', hierarchy)
/** TPMI_RH_HIERARCHY+ (9.13). */
export const TPMI_RH_HIERARCHY_PLUS = plus(TPMI_RH_HIERARCHY)
/** TPMI_RH_ENABLES (9.14): what TPM2_HierarchyControl turns on and off. */
export const TPMI_RH_ENABLES = type('TPMI_RH_ENABLES', hierarchy, value(TPM_RH.PLATFORM_NV))
/** TPMI_RH_HIERARCHY_AUTH (9.15): a hierarchy, or lockout. */
export const TPMI_RH_HIERARCHY_AUTH = type('TPMI_RH_HIERARCHY_AUTH', hierarchy, value(TPM_RH.LOCKOUT))
/** TPMI_RH_HIERARCHY_POLICY (9.16): what has a policy besides objects and NV indices. */
export const TPMI_RH_HIERARCHY_POLICY = type(
  'TPMI_RH_HIERARCHY_POLICY',
  hierarchy,
  value(TPM_RH.LOCKOUT),
  act,
)
/** TPMI_RH_PLATFORM (9.17). */
export const TPMI_RH_PLATFORM = type('TPMI_RH_PLATFORM', value(TPM_RH.PLATFORM))
/** TPMI_RH_ENDORSEMENT (9.19). */
export const TPMI_RH_ENDORSEMENT = type('TPMI_RH_ENDORSEMENT', value(TPM_RH.ENDORSEMENT))
/** TPMI_RH_PROVISION (9.20): who manages NV and persistent objects. */
export const TPMI_RH_PROVISION = type('TPMI_RH_PROVISION', value(TPM_RH.OWNER, TPM_RH.PLATFORM))
/** TPMI_RH_CLEAR (9.21): who may clear the TPM. */
export const TPMI_RH_CLEAR = type('TPMI_RH_CLEAR', value(TPM_RH.LOCKOUT, TPM_RH.PLATFORM))
/** TPMI_RH_NV_AUTH (9.22): who may use an NV index. */
export const TPMI_RH_NV_AUTH = type('TPMI_RH_NV_AUTH', value(TPM_RH.OWNER, TPM_RH.PLATFORM), nvIndex)
/** TPMI_RH_LOCKOUT (9.23). */
export const TPMI_RH_LOCKOUT = type('TPMI_RH_LOCKOUT', value(TPM_RH.LOCKOUT))
/** TPMI_RH_NV_INDEX (9.24). */
export const TPMI_RH_NV_INDEX = type('TPMI_RH_NV_INDEX', nvIndex)

/** TPM_HANDLE of a response: any handle. */
export const TPM_HANDLE: HandleType = { name: 'TPM_HANDLE', accepts: () => true }

/** A handle type as a parameter: where the tables have it after the authorization area, as in TPM2_FlushContext. */
export function handleParameter(handleType: HandleType): Codec<number> {
  return {
    name: handleType.name,
    read: (reader) => {
      const found = reader.uint32()
      if (!handleType.accepts(found)) {
        reader.fail(`expected a ${handleType.name}, found 0x${found.toString(16)}`)
      }
      return found
    },
    write: (writer, handle) => {
      writer.uint32(handle)
    },
  }
}
