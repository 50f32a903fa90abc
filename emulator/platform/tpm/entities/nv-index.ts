// NV indices: names, types, and which of them can be seen now.
// Source: TPM 2.0 Library, Part 1, clause 37 (NV memory) and Part 2, clause 13, revision 1.59.

import { TPM_NT, TPM_RC, TPMA_NV } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { type NvRecord } from '../state/permanent.ts'
import { type TpmState } from '../state/tpm-state.ts'

const TYPE_SHIFT = 4
const TYPE_MASK = 0xf

/** The type of an index, a TPM_NT: bits 4 to 7 of its attributes. */
export function nvType(attributes: number): number {
  return (attributes >>> TYPE_SHIFT) & TYPE_MASK
}

/** Whether an attribute is set. */
export function nvHas(nv: NvRecord, attribute: keyof typeof TPMA_NV): boolean {
  return (nv.publicArea.attributes & TPMA_NV[attribute]) !== 0
}

/** The index with attributes set or cleared: the record of the permanent state is changed. */
export function setNvAttribute(nv: NvRecord, attribute: keyof typeof TPMA_NV, value: boolean): void {
  const { attributes } = nv.publicArea
  const next = value ? attributes | TPMA_NV[attribute] : attributes & ~TPMA_NV[attribute]
  nv.publicArea = { ...nv.publicArea, attributes: next >>> 0 }
}

/** The index at a handle, if its hierarchy is enabled. Throws TpmError HANDLE. */
export function visibleNv(tpm: TpmState, handle: number, at: string): NvRecord {
  const nv = tpm.permanent.nv.get(handle)
  if (nv !== undefined) {
    const { phEnableNV, shEnable } = tpm.volatile.clear
    if (nvHas(nv, 'PLATFORMCREATE') ? phEnableNV : shEnable) return nv
  }
  throw new TpmError(TPM_RC.HANDLE, `expected a defined NV index, found 0x${handle.toString(16)}`, at)
}

/** TPMS_NV_PIN_COUNTER_PARAMETERS of a PIN index that was written. */
export interface PinCounter {
  readonly pinCount: number
  readonly pinLimit: number
}

/** The counter and limit of a PIN index; undefined when the index is none, or was never written. */
export function pinCounter(nv: NvRecord, type: number): PinCounter | undefined {
  if (nvType(nv.publicArea.attributes) !== type || !nvHas(nv, 'WRITTEN')) return undefined
  const view = new DataView(nv.data.buffer, nv.data.byteOffset, nv.data.byteLength)
  return { pinCount: view.getUint32(0), pinLimit: view.getUint32(4) }
}

/** Sets a PIN index's count. */
export function setPinCount(nv: NvRecord, pinCount: number): void {
  nv.data = nv.data.slice()
  new DataView(nv.data.buffer).setUint32(0, pinCount)
}

/** Whether an index counts uses or failures of its own authValue. */
export function isPin(nv: NvRecord): boolean {
  const type = nvType(nv.publicArea.attributes)
  return type === TPM_NT.PIN_FAIL || type === TPM_NT.PIN_PASS
}
