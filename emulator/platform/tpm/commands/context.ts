// Context management: objects and sessions outside the TPM and back, flushed, and objects made persistent.
// Source: TPM 2.0 Library, Part 3, clause 28, and Part 1, clause 30, revision 1.59.

import {
  marshal,
  TPM2_ContextLoad,
  TPM2_ContextSave,
  TPM2_EvictControl,
  TPM2_FlushContext,
  TPM_HT,
  TPM_RC,
  TPM_RH,
  type TPMS_CONTEXT,
  unmarshal,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { type ContextHead, openContext, SAVED_STCLEAR, sealContext } from '../entities/context-protection.ts'
import { handleKind } from '../entities/entity.ts'
import { TpmObject } from '../entities/object.ts'
import { addTransient, checkFreeSlot, hierarchyEnabled, loadedObject } from '../entities/object-store.ts'
import { Sequence } from '../entities/sequence.ts'
import { SESSION } from '../entities/session.ts'
import { checkLoadable, contextGap, flushSession, gapReached, sessionAt } from '../entities/session-store.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { MAX_PERSISTENT_OBJECTS } from '../profile.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'
import { SLOT } from '../state/volatile.ts'

/** savedHandle of an ordinary object and of a sequence (Part 2, 14.6.2). */
const SAVED_OBJECT = 0x80000000
const SAVED_SEQUENCE = 0x80000001

function saveObject(tpm: TpmState, handle: number): TPMS_CONTEXT {
  const object = loadedObject(tpm, handle, 'saveHandle')
  const { reset } = tpm.volatile
  const savedHandle =
    object instanceof Sequence ? SAVED_SEQUENCE : object.record.stClear ? SAVED_STCLEAR : SAVED_OBJECT
  const hierarchy = object instanceof Sequence ? TPM_RH.NULL : object.hierarchy
  const head: ContextHead = { sequence: reset.objectContext, savedHandle, hierarchy }
  const contextBlob = sealContext(tpm, head, marshal(SLOT, object))
  reset.objectContext += 1n
  return { ...head, contextBlob }
}

/** A saved session is not loaded any more: there is one of it, here or outside. */
function saveSession(tpm: TpmState, handle: number): TPMS_CONTEXT {
  const session = sessionAt(tpm, handle)
  const { reset, sessions } = tpm.volatile
  if (gapReached(tpm)) throw contextGap()
  const head: ContextHead = { sequence: reset.sessionContext, savedHandle: handle, hierarchy: TPM_RH.NULL }
  const contextBlob = sealContext(tpm, head, marshal(SESSION, session))
  reset.sessionContext += 1n
  reset.savedSessions.set(handle, head.sequence)
  sessions.delete(handle)
  return { ...head, contextBlob }
}

const contextSave = implement(TPM2_ContextSave, (tpm, { saveHandle }) => ({
  context:
    handleKind(saveHandle) === TPM_HT.TRANSIENT ? saveObject(tpm, saveHandle) : saveSession(tpm, saveHandle),
}))

function loadObject(tpm: TpmState, context: TPMS_CONTEXT): number {
  if (!hierarchyEnabled(tpm, context.hierarchy)) {
    throw new TpmError(TPM_RC.HIERARCHY, 'expected a context of an enabled hierarchy', 'context')
  }
  const object = withKeyErrors('context', () => unmarshal(SLOT, openContext(tpm, context)))
  return addTransient(tpm, object)
}

function loadSession(tpm: TpmState, context: TPMS_CONTEXT): number {
  const { reset, sessions } = tpm.volatile
  const session = withKeyErrors('context', () => unmarshal(SESSION, openContext(tpm, context)))
  if (reset.savedSessions.get(context.savedHandle) !== context.sequence) {
    throw new TpmError(
      TPM_RC.HANDLE,
      'expected the last context of a saved session, found another',
      'context',
    )
  }
  checkLoadable(tpm)
  reset.savedSessions.delete(context.savedHandle)
  sessions.set(session.handle, session)
  return session.handle
}

const contextLoad = implement(TPM2_ContextLoad, (tpm, { context }) => {
  if (handleKind(context.savedHandle) !== TPM_HT.TRANSIENT) return { loadedHandle: loadSession(tpm, context) }
  checkFreeSlot(tpm)
  return { loadedHandle: loadObject(tpm, context) }
})

const flushContext = implement(TPM2_FlushContext, (tpm, { flushHandle }) => {
  const flushed =
    handleKind(flushHandle) === TPM_HT.TRANSIENT
      ? tpm.volatile.objects.delete(flushHandle)
      : flushSession(tpm, flushHandle)
  if (!flushed) {
    const found = `expected something loaded or a saved session, found 0x${flushHandle.toString(16)}`
    throw new TpmError(TPM_RC.HANDLE, found, 'flushHandle')
  }
  return {}
})

/** First and last persistent handle of each who may make objects persistent (Part 3, 28.5). */
const PERSISTENT_RANGES = new Map<number, readonly [number, number]>([
  [TPM_RH.OWNER, [0x81000000, 0x817fffff]],
  [TPM_RH.PLATFORM, [0x81800000, 0x81ffffff]],
])

const evictControl = implement(TPM2_EvictControl, (tpm, { auth, objectHandle, persistentHandle }) => {
  const object = loadedObject(tpm, objectHandle, 'objectHandle')
  if (!(object instanceof TpmObject) || object.record.external || object.record.stClear) {
    const message = "expected an object of this TPM's hierarchies without stClear, found another"
    throw new TpmError(TPM_RC.ATTRIBUTES, message, 'objectHandle')
  }
  checkEvictHierarchy(auth, object.hierarchy)
  const [first, last] = PERSISTENT_RANGES.get(auth) ?? [0, 0]
  if (persistentHandle < first || persistentHandle > last) {
    const range = `from 0x${first.toString(16)} to 0x${last.toString(16)}`
    throw new TpmError(TPM_RC.RANGE, `expected a persistent handle ${range}`, 'persistentHandle')
  }
  if (handleKind(objectHandle) === TPM_HT.PERSISTENT) evict(tpm, objectHandle, persistentHandle)
  else persist(tpm, object, persistentHandle)
  changed(tpm)
  return {}
})

function checkEvictHierarchy(auth: number, hierarchy: number): void {
  const platform = hierarchy === TPM_RH.PLATFORM
  const owned = hierarchy === TPM_RH.OWNER || hierarchy === TPM_RH.ENDORSEMENT
  if (auth === TPM_RH.PLATFORM ? platform : owned) return
  throw new TpmError(
    TPM_RC.HIERARCHY,
    'expected an object of a hierarchy of the authorization',
    'objectHandle',
  )
}

function evict(tpm: TpmState, objectHandle: number, persistentHandle: number): void {
  if (objectHandle !== persistentHandle) {
    throw new TpmError(TPM_RC.HANDLE, 'expected persistentHandle to be the object to evict', 'objectHandle')
  }
  tpm.permanent.persistent.delete(objectHandle)
}

function persist(tpm: TpmState, object: TpmObject, handle: number): void {
  const { persistent } = tpm.permanent
  if (persistent.has(handle)) {
    throw new TpmError(TPM_RC.NV_DEFINED, `expected a free handle, found 0x${handle.toString(16)} in use`)
  }
  if (persistent.size >= MAX_PERSISTENT_OBJECTS) {
    throw new TpmError(TPM_RC.NV_SPACE, 'expected room for one more persistent object, found none')
  }
  persistent.set(handle, object.record)
}

/** Clause 28. */
export const contextCommands: readonly Implementation[] = [
  contextSave,
  contextLoad,
  flushContext,
  evictControl,
]
