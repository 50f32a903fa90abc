// The PCRs: their values, what may change them, and the counter of changes.
// Source: TPM 2.0 Library, Part 1, clause 17 (PCR operations), revision 1.59; TCG PC Client Platform TPM Profile,
// version 1.05, clause 4.6 (PCR attributes).

import {
  digestSize,
  hash,
  PCR_COUNT,
  type PcrBanks as PcrValues,
  pcrResetValue,
  selectedPcrs,
  selectPcrs,
  TPM_ALG,
  TPM_RC,
  type TPML_PCR_SELECTION,
} from '../../../sdk/tpm2/index.ts'
import { TpmError } from './errors.ts'

/** Banks that are allocated. */
export const BANKS: readonly number[] = [TPM_ALG.SHA256, TPM_ALG.SHA384]

/** Localities that may extend a PCR, one bit each; PCRs that are not listed: all five. */
const EXTEND_LOCALITIES: ReadonlyMap<number, number> = new Map([
  [17, 0b11100],
  [18, 0b11100],
  [19, 0b01100],
  [20, 0b01110],
  [21, 0b00100],
  [22, 0b00100],
  [23, 0b01111],
])
const ALL_LOCALITIES = 0b11111

/** Debug, dynamic OS and application PCRs do not count as updates. */
const UNCOUNTED: ReadonlySet<number> = new Set([16, 21, 22, 23])

/** All PCRs of all allocated banks. */
export class PcrBanks {
  readonly #values = new Map<number, Map<number, Uint8Array>>()
  #updateCounter = 0

  constructor(startupLocality: number) {
    for (const bank of BANKS) {
      const pcrs = Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)
      this.#values.set(bank, new Map(pcrs.map((pcr) => [pcr, pcrResetValue(pcr, bank, startupLocality)])))
    }
  }

  /** pcrUpdateCounter: changes of counted PCRs since the reset, one per bank. */
  get updateCounter(): number {
    return this.#updateCounter
  }

  get values(): PcrValues {
    return this.#values
  }

  /**
   * PCR := H(PCR ‖ digest) in each bank of `digests` that is allocated; others are ignored, as TPM2_PCR_Extend does.
   * Throws TpmError VALUE, LOCALITY or SIZE before anything changes.
   */
  extend(pcr: number, digests: ReadonlyMap<number, Uint8Array>, locality: number): void {
    if (!Number.isInteger(pcr) || pcr < 0 || pcr >= PCR_COUNT) {
      throw new TpmError(
        TPM_RC.VALUE,
        `expected a PCR from 0 to ${String(PCR_COUNT - 1)}, found ${String(pcr)}`,
      )
    }
    if (((EXTEND_LOCALITIES.get(pcr) ?? ALL_LOCALITIES) & (1 << locality)) === 0) {
      throw new TpmError(
        TPM_RC.LOCALITY,
        `expected a locality that may extend PCR ${String(pcr)}, found ${String(locality)}`,
      )
    }
    for (const [bank, digest] of digests) {
      if (digest.length !== digestSize(bank)) {
        throw new TpmError(
          TPM_RC.SIZE,
          `expected ${String(digestSize(bank))} bytes of bank 0x${bank.toString(16)}`,
        )
      }
    }
    for (const [bank, digest] of digests) {
      const value = this.#values.get(bank)?.get(pcr)
      if (value === undefined) continue
      this.#values.get(bank)?.set(pcr, hash(bank, value, digest))
      if (!UNCOUNTED.has(pcr)) this.#updateCounter = (this.#updateCounter + 1) >>> 0
    }
  }

  /** The selection without PCRs that do not exist: what quotes and reads really cover. */
  implemented(selection: TPML_PCR_SELECTION): TPML_PCR_SELECTION {
    return selection.map((one) => {
      const pcrs = this.#values.has(one.hash) ? selectedPcrs(one).filter((pcr) => pcr < PCR_COUNT) : []
      return selectPcrs(one.hash, pcrs)
    })
  }
}
