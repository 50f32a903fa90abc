// Where loaded objects are: transient slots, and persistent objects, which are used from NV memory and need no slot.
// Source: TPM 2.0 Library, Part 1, clauses 15.6 (transient) and 15.7 (persistent handles) and 30 (context), r1.59.

import { TPM_HT, TPM_RC, TPM_RH } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { type ObjectRecord, TpmObject } from './object.ts'
import { Sequence } from './sequence.ts'

const FIRST_TRANSIENT = 0x80000000
/** Persistent handles from here on belong to the platform (Part 2, 7.5). */
const FIRST_PLATFORM_PERSISTENT = 0x81800000

/** Whether the hierarchy can be used now. */
export function hierarchyEnabled(tpm: TpmState, hierarchy: number): boolean {
  const { shEnable, ehEnable, phEnable } = tpm.volatile.clear
  switch (hierarchy) {
    case TPM_RH.OWNER:
      return shEnable
    case TPM_RH.ENDORSEMENT:
      return ehEnable
    case TPM_RH.PLATFORM:
      return phEnable
    default:
      return true
  }
}

/** Persistent objects as they were last used: their keys are imported once. Entries follow the permanent state. */
const persistentCache = new WeakMap<ObjectRecord, TpmObject>()

/** The object or sequence at a transient or persistent handle. Throws TpmError HANDLE. */
export function loadedObject(tpm: TpmState, handle: number, at: string): TpmObject | Sequence {
  if (handle >>> 24 === TPM_HT.TRANSIENT) {
    const object = tpm.volatile.objects.get(handle)
    if (object !== undefined) return object
  }
  const record = tpm.permanent.persistent.get(handle)
  if (record !== undefined && persistentVisible(tpm, handle, record)) return persistentObject(record)
  throw new TpmError(
    TPM_RC.HANDLE,
    `expected the handle of a loaded object, found 0x${handle.toString(16)}`,
    at,
  )
}

function persistentVisible(tpm: TpmState, handle: number, record: ObjectRecord): boolean {
  if (handle >= FIRST_PLATFORM_PERSISTENT && !tpm.volatile.clear.phEnable) return false
  return hierarchyEnabled(tpm, record.hierarchy)
}

function persistentObject(record: ObjectRecord): TpmObject {
  const known = persistentCache.get(record)
  if (known !== undefined) return known
  const object = new TpmObject(record)
  persistentCache.set(record, object)
  return object
}

/** The object at a handle. Throws TpmError HANDLE when there is none, TYPE when it is a sequence. */
export function objectAt(tpm: TpmState, handle: number, at: string): TpmObject {
  const object = loadedObject(tpm, handle, at)
  if (object instanceof TpmObject) return object
  throw new TpmError(TPM_RC.TYPE, 'expected a key or data object, found a sequence', at)
}

/** The object at a handle, where a sequence is as wrong as another kind of object. Throws TpmError HANDLE or `rc`. */
export function keyAt(tpm: TpmState, handle: number, at: string, rc: number): TpmObject {
  const object = loadedObject(tpm, handle, at)
  if (object instanceof TpmObject) return object
  throw new TpmError(rc, 'expected a key, found a sequence', at)
}

/** The sequence at a handle. Throws TpmError MODE when it is none (Part 3, 17). */
export function sequenceAt(tpm: TpmState, handle: number, at: string): Sequence {
  const object = loadedObject(tpm, handle, at)
  if (object instanceof Sequence) return object
  throw new TpmError(TPM_RC.MODE, 'expected a sequence, found an object', at)
}

/** Throws TpmError OBJECT_MEMORY when no transient slot is free: to be asked before a command changes anything. */
export function checkFreeSlot(tpm: TpmState): void {
  if (tpm.volatile.objects.size >= tpm.limits.transientObjects) {
    const limit = String(tpm.limits.transientObjects)
    throw new TpmError(TPM_RC.OBJECT_MEMORY, `expected a free transient slot, found all ${limit} taken`)
  }
}

/** Takes the lowest free transient handle. Throws TpmError OBJECT_MEMORY. */
export function addTransient(tpm: TpmState, object: TpmObject | Sequence): number {
  checkFreeSlot(tpm)
  let handle = FIRST_TRANSIENT
  while (tpm.volatile.objects.has(handle)) handle += 1
  tpm.volatile.objects.set(handle, object)
  return handle
}

/** Flushes transient objects of a hierarchy. */
export function flushHierarchy(tpm: TpmState, hierarchy: number): void {
  for (const [handle, object] of tpm.volatile.objects) {
    if (object instanceof TpmObject && object.hierarchy === hierarchy) tpm.volatile.objects.delete(handle)
  }
}
