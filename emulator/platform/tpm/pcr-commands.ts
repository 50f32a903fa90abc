// TPM2_PCR_Extend, TPM2_PCR_Event, TPM2_PCR_Read.
// Source: TPM 2.0 Library, Part 3, clauses 22.2, 22.3 and 22.4, revision 1.59.

import { hash, selectedPcrs, selectPcrs, TPM_RC, type TPML_PCR_SELECTION } from '../../../sdk/tpm2/index.ts'
import { started, type TpmContext } from './context.ts'
import { TpmError } from './errors.ts'
import { BANKS } from './pcr-banks.ts'

/** TPM2B_EVENT's limit (Part 2, 10.4.7). */
const MAX_EVENT = 1024
/** TPML_DIGEST's limit (Part 2, 10.9.4): what one TPM2_PCR_Read returns at most. */
export const MAX_DIGESTS = 8

/** Answer of TPM2_PCR_Read. */
export interface PcrReadResponse {
  readonly pcrUpdateCounter: number
  /** the PCRs that were read: may be fewer than asked for */
  readonly pcrSelectionOut: TPML_PCR_SELECTION
  /** in the order of pcrSelectionOut, PCRs of a bank ascending */
  readonly pcrValues: readonly Uint8Array[]
}

/** TPM2_PCR_Extend: one digest per bank (TPM_ALG). */
export function pcrExtend(
  context: TpmContext,
  pcr: number,
  digests: ReadonlyMap<number, Uint8Array>,
  locality: number,
): void {
  started(context).extend(pcr, digests, locality)
}

/** TPM2_PCR_Event: hashes `eventData` in every bank, extends, and returns the digests for the event log. */
export function pcrEvent(
  context: TpmContext,
  pcr: number,
  eventData: Uint8Array,
  locality: number,
): Map<number, Uint8Array> {
  const pcrs = started(context)
  if (eventData.length > MAX_EVENT) {
    throw new TpmError(
      TPM_RC.SIZE,
      `expected at most ${String(MAX_EVENT)} bytes of event, found ${String(eventData.length)}`,
    )
  }
  const digests = new Map(BANKS.map((bank) => [bank, hash(bank, eventData)]))
  pcrs.extend(pcr, digests, locality)
  return digests
}

/** TPM2_PCR_Read: at most 8 values per answer. */
export function pcrRead(context: TpmContext, pcrSelectionIn: TPML_PCR_SELECTION): PcrReadResponse {
  const pcrs = started(context)
  const pcrValues: Uint8Array[] = []
  const pcrSelectionOut = pcrs.implemented(pcrSelectionIn).map((bank) => {
    const wanted = selectedPcrs(bank).slice(0, MAX_DIGESTS - pcrValues.length)
    for (const pcr of wanted) {
      const value = pcrs.values.get(bank.hash)?.get(pcr)
      if (value !== undefined) pcrValues.push(value.slice())
    }
    return selectPcrs(bank.hash, wanted)
  })
  return { pcrUpdateCounter: pcrs.updateCounter, pcrSelectionOut, pcrValues }
}
