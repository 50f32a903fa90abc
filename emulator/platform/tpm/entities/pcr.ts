// The PCRs: values by bank, extend, reset, and the counter of changes.
// Source: TPM 2.0 Library, Part 1, clause 17 (PCR operations), revision 1.59.

import {
  digestSize,
  hash,
  PCR_COUNT,
  pcrResetValue,
  selectedPcrs,
  selectPcrs,
  TPM_RC,
  type TPML_PCR_SELECTION,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { HASHES } from '../profile.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { ALL_PCRS, pcrAttributes } from './pcr-attributes.ts'

/** Banks that are allocated, with the bit map of their PCRs. */
export function allocatedBanks(tpm: TpmState): number[] {
  return [...tpm.permanent.pcrAllocation].filter(([, pcrs]) => pcrs !== 0).map(([bank]) => bank)
}

function isAllocated(tpm: TpmState, bank: number, pcr: number): boolean {
  return ((tpm.permanent.pcrAllocation.get(bank) ?? 0) & (1 << pcr)) !== 0
}

/** Gives all PCRs their values after TPM2_Startup(CLEAR) at `locality`. */
export function resetAllPcrs(tpm: TpmState, locality: number): void {
  tpm.volatile.clear.pcrs = new Map(
    allocatedBanks(tpm).map((bank) => [bank, ALL_PCRS.map((pcr) => pcrResetValue(pcr, bank, locality))]),
  )
}

/** After TPM2_Startup(STATE): PCRs that are not kept take their reset values. */
export function resetUnsavedPcrs(tpm: TpmState): void {
  for (const [bank, values] of tpm.volatile.clear.pcrs) {
    const next = values.map((value, pcr) => (pcrAttributes(pcr).saved ? value : pcrResetValue(pcr, bank)))
    tpm.volatile.clear.pcrs.set(bank, next)
  }
}

/** The PCR's value; undefined when the bank does not have it. */
export function pcrValue(tpm: TpmState, bank: number, pcr: number): Uint8Array | undefined {
  return isAllocated(tpm, bank, pcr) ? tpm.volatile.clear.pcrs.get(bank)?.[pcr] : undefined
}

function setPcr(tpm: TpmState, bank: number, pcr: number, value: Uint8Array): void {
  const { pcrs } = tpm.volatile.clear
  pcrs.set(bank, (pcrs.get(bank) ?? []).with(pcr, value))
}

/** Counts a change of a PCR, if that PCR counts. */
export function countPcrChange(tpm: TpmState, pcr: number): void {
  if (!pcrAttributes(pcr).counted) return
  const { reset } = tpm.volatile
  reset.pcrUpdateCounter = (reset.pcrUpdateCounter + 1) >>> 0
}

/** PCR := H(PCR ‖ digest) in one bank; a bank that does not have the PCR is passed over. */
export function extendPcr(tpm: TpmState, pcr: number, bank: number, digest: Uint8Array): void {
  const value = pcrValue(tpm, bank, pcr)
  if (value === undefined) return
  setPcr(tpm, bank, pcr, hash(bank, value, digest))
  countPcrChange(tpm, pcr)
}

/** TPM2_PCR_Reset: zeros in all banks. */
export function zeroPcr(tpm: TpmState, pcr: number): void {
  for (const bank of allocatedBanks(tpm)) setPcr(tpm, bank, pcr, new Uint8Array(digestSize(bank)))
  countPcrChange(tpm, pcr)
}

/** Begin of a D-RTM sequence: its PCRs are zeros from here on. */
export function dynamicReset(tpm: TpmState): void {
  for (const pcr of ALL_PCRS.filter((one) => pcrAttributes(one).drtm)) zeroPcr(tpm, pcr)
}

/** A D-RTM or H-CRTM event (_TPM_Hash_End): PCR := H(initial ‖ digest), the initial value at locality 4. */
export function measureAtReset(tpm: TpmState, pcr: number, digests: ReadonlyMap<number, Uint8Array>): void {
  for (const [bank, digest] of digests) {
    if (pcrValue(tpm, bank, pcr) === undefined) continue
    const initial = new Uint8Array(digestSize(bank))
    if (pcr === 0) initial[initial.length - 1] = 4
    setPcr(tpm, bank, pcr, hash(bank, initial, digest))
  }
  countPcrChange(tpm, pcr)
}

/**
 * A selection without PCRs that do not exist or are not allocated: what quotes and reads really cover. Throws TpmError
 * as checkSelection().
 */
export function implementedSelection(
  tpm: TpmState,
  selection: TPML_PCR_SELECTION,
  at: string,
): TPML_PCR_SELECTION {
  checkSelection(selection, at)
  return selection.map((one) => {
    const pcrs = selectedPcrs(one).filter((pcr) => pcr < PCR_COUNT && isAllocated(tpm, one.hash, pcr))
    return selectPcrs(one.hash, pcrs)
  })
}

/**
 * Throws TpmError, at the parameter `at`, for a selection that this TPM has no PCRs or banks for: SIZE (more selections
 * than banks), HASH (of no bank) or VALUE (bit maps of another length). Source: Part 2, 10.6.2 and 10.9.7.
 */
export function checkSelection(selection: TPML_PCR_SELECTION, at: string): void {
  if (selection.length > HASHES.length) {
    throw new TpmError(TPM_RC.SIZE, `expected at most ${String(HASHES.length)} selections, found more`, at)
  }
  for (const { hash: bank, pcrSelect } of selection) {
    if (!HASHES.includes(bank)) throw new TpmError(TPM_RC.HASH, 'expected a hash that is implemented', at)
    if (pcrSelect.length !== PCR_COUNT / 8) {
      throw new TpmError(TPM_RC.VALUE, `expected PCR bit maps of ${String(PCR_COUNT / 8)} bytes`, at)
    }
  }
}

/** H of the selected PCRs' values, for a selection of implementedSelection(). */
export function selectedDigest(tpm: TpmState, selection: TPML_PCR_SELECTION, hashAlg: number): Uint8Array {
  const values = selection.flatMap((one) => selectedPcrs(one).map((pcr) => pcrValue(tpm, one.hash, pcr)))
  return hash(hashAlg, ...values.filter((value) => value !== undefined))
}
