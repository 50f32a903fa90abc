// NV indices in the permanent state: room for them, defining, writing, reading and deleting, and what a startup does.
// Source: TPM 2.0 Library, Part 1, clause 37 (NV memory) and Part 3, clauses 9.3 and 31, revision 1.59.
//
// An index with TPMA_NV_ORDERLY is stored at each write like any other. The Library only lets a TPM put that off until
// TPM2_Shutdown (Part 2, 13.4: its state "is only required to be saved" then): what is stored early is never older than
// what a late write would leave, and an orderly counter need not be rounded up after a power loss.

import { marshal, TPM_NT, TPM_RC, TPMS_NV_PUBLIC, UINT64 } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { MAX_NV_BYTES } from '../profile.ts'
import { type NvRecord } from '../state/permanent.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'
import { nvHas, nvType, setNvAttribute } from './nv-index.ts'

/** Room that an authValue takes, whatever its size: it may change. */
const AUTH_BYTES = 2 + 64
/** A counter without a policy: its public area, authValue and data. */
const COUNTER_BYTES = 14 + AUTH_BYTES + 8
/** What octets of an ordinary index read as that its first write left out: erased memory. */
const ERASED = 0xff

/** Bytes of NV memory that an index takes, of MAX_NV_BYTES. */
function nvBytes(publicArea: TPMS_NV_PUBLIC): number {
  return marshal(TPMS_NV_PUBLIC, publicArea).length + AUTH_BYTES + publicArea.dataSize
}

/** Bytes of NV memory that no index takes. */
function nvBytesFree(tpm: TpmState): number {
  let free = MAX_NV_BYTES
  for (const nv of tpm.permanent.nv.values()) free -= nvBytes(nv.publicArea)
  return Math.max(free, 0)
}

/** How many more counters without a policy can be defined (TPM_PT_NV_COUNTERS_AVAIL). */
export function nvCountersAvailable(tpm: TpmState): number {
  return Math.floor(nvBytesFree(tpm) / COUNTER_BYTES)
}

/** Adds an index that was never written. Throws TpmError NV_SPACE. */
export function defineNv(tpm: TpmState, publicArea: TPMS_NV_PUBLIC, authValue: Uint8Array): void {
  const [needed, free] = [nvBytes(publicArea), nvBytesFree(tpm)]
  if (needed > free) {
    const found = `expected ${String(needed)} bytes of NV memory, found ${String(free)} free: undefine an index`
    throw new TpmError(TPM_RC.NV_SPACE, found)
  }
  tpm.permanent.nv.set(publicArea.nvIndex, { publicArea, authValue, data: new Uint8Array(0) })
  changed(tpm)
}

/** Deletes an index. Of a counter its value stays known, so that no later counter shows it again. */
export function deleteNv(tpm: TpmState, handle: number): void {
  const nv = tpm.permanent.nv.get(handle)
  if (nv === undefined) return
  if (nvType(nv.publicArea.attributes) === TPM_NT.COUNTER && nvHas(nv, 'WRITTEN')) {
    const count = nvUint64(nv)
    if (count > tpm.permanent.maxCounter) tpm.permanent.maxCounter = count
  }
  tpm.permanent.nv.delete(handle)
  changed(tpm)
}

/** Deletes the indices that are not the platform's (TPM2_Clear). */
export function deleteOwnerNv(tpm: TpmState): void {
  for (const [handle, nv] of tpm.permanent.nv) {
    if (!nvHas(nv, 'PLATFORMCREATE')) deleteNv(tpm, handle)
  }
}

/** Writes `data` at `offset`, which the caller has checked, and marks the index as written. */
export function writeNv(tpm: TpmState, nv: NvRecord, offset: number, data: Uint8Array): void {
  const next = nvHas(nv, 'WRITTEN') ? nv.data.slice() : unwrittenData(nv)
  next.set(data, offset)
  nv.data = next
  setNvAttribute(nv, 'WRITTEN', true)
  changed(tpm)
}

/** What a first write starts from: nothing of what was written before the index became unwritten at a startup. */
function unwrittenData(nv: NvRecord): Uint8Array {
  const { attributes, dataSize } = nv.publicArea
  const erased = nvType(attributes) === TPM_NT.ORDINARY && !nvHas(nv, 'ORDERLY')
  return new Uint8Array(dataSize).fill(erased ? ERASED : 0)
}

/** Value of a counter or bit field that was written. */
export function nvUint64(nv: NvRecord): bigint {
  return new DataView(nv.data.buffer, nv.data.byteOffset, nv.data.byteLength).getBigUint64(0)
}

/** Writes a counter or bit field. */
export function writeNvUint64(tpm: TpmState, nv: NvRecord, value: bigint): void {
  writeNv(tpm, nv, 0, marshal(UINT64, value))
}

/**
 * What TPM2_Startup(CLEAR) does to the indices: locks that are not for good are opened; those with CLEAR_STCLEAR, and
 * after a TPM Reset those with ORDERLY but counters, are unwritten again (Part 3, 9.3).
 */
export function restartNv(tpm: TpmState, reset: boolean): void {
  for (const nv of tpm.permanent.nv.values()) {
    setNvAttribute(nv, 'READLOCKED', false)
    const counter = nvType(nv.publicArea.attributes) === TPM_NT.COUNTER
    if (!counter && (nvHas(nv, 'CLEAR_STCLEAR') || (reset && nvHas(nv, 'ORDERLY')))) {
      setNvAttribute(nv, 'WRITTEN', false)
    }
    if (!nvHas(nv, 'WRITTEN') || !nvHas(nv, 'WRITEDEFINE')) setNvAttribute(nv, 'WRITELOCKED', false)
  }
}
