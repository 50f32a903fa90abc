// PCR selections and the digest that a quote makes over the selected PCRs.
// Source: TPM 2.0 Library, Part 2, clauses 10.6 and 10.9.7, and Part 1, clause 17 (PCR), revision 1.59.

import { type Codec, list, type Reader, type Writer } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { digestSize, hash } from './hash.ts'

/** PCRs of a PC Client platform: 0 to 23 in every bank. */
export const PCR_COUNT = 24
const SELECT_BYTES = PCR_COUNT / 8
/** Banks in one selection; TPMs have fewer. */
export const MAX_BANKS = 16
/** Octets in one bit map that is read. */
const MAX_SELECT_BYTES = 32

/** PCRs of the dynamic root of trust read as all ones until one is launched. */
const DYNAMIC_PCRS = { first: 17, last: 22 }

/**
 * A PCR's value after TPM2_Startup(CLEAR) in a bank (TPM_ALG): zeros; all ones for PCRs 17 to 22; PCR 0 ends with the
 * locality of the startup. Source: TCG PC Client Platform TPM Profile, version 1.05, clause 4.6.
 */
export function pcrResetValue(pcr: number, bank: number, startupLocality = 0): Uint8Array {
  const dynamic = pcr >= DYNAMIC_PCRS.first && pcr <= DYNAMIC_PCRS.last
  const value = new Uint8Array(digestSize(bank)).fill(dynamic ? 0xff : 0)
  if (pcr === 0) value[value.length - 1] = startupLocality
  return value
}

/** TPMS_PCR_SELECTION (10.6.2): a bank and a bit map, PCR n at bit n mod 8 of octet n / 8. */
export interface TPMS_PCR_SELECTION {
  readonly hash: number
  readonly pcrSelect: Uint8Array
}

/** Reads a bit map of PCRs: an 8-bit size, then octets. TPM_RC_VALUE. */
export function readSelect(reader: Reader): Uint8Array {
  const size = reader.uint8()
  if (size > MAX_SELECT_BYTES) {
    reader.fail(`expected a PCR bit map of at most ${String(MAX_SELECT_BYTES)} bytes, found ${String(size)}`)
  }
  return reader.bytes(size)
}

/** Writes a bit map of PCRs. */
export function writeSelect(writer: Writer, pcrSelect: Uint8Array): void {
  writer.uint8(pcrSelect.length)
  writer.bytes(pcrSelect)
}

/** How TPMS_PCR_SELECTION is read and written. The bank may be one that is not computed here. */
export const TPMS_PCR_SELECTION: Codec<TPMS_PCR_SELECTION> = {
  name: 'TPMS_PCR_SELECTION',
  read: (reader) => ({ hash: reader.uint16(), pcrSelect: readSelect(reader) }),
  write: (writer, value) => {
    writer.uint16(value.hash)
    writeSelect(writer, value.pcrSelect)
  },
}

/** TPML_PCR_SELECTION (10.9.7). */
export type TPML_PCR_SELECTION = readonly TPMS_PCR_SELECTION[]

/** How TPML_PCR_SELECTION is read and written. */
export const TPML_PCR_SELECTION = list('TPML_PCR_SELECTION', TPMS_PCR_SELECTION, MAX_BANKS)

/** Values of PCRs by bank (TPM_ALG) and PCR number. */
export type PcrBanks = ReadonlyMap<number, ReadonlyMap<number, Uint8Array>>

/** The selection of `pcrs` in `bank`. Throws RangeError for a PCR that does not exist. */
export function selectPcrs(bank: number, pcrs: readonly number[]): TPMS_PCR_SELECTION {
  const pcrSelect = new Uint8Array(SELECT_BYTES)
  for (const pcr of pcrs) {
    if (!Number.isInteger(pcr) || pcr < 0 || pcr >= PCR_COUNT) {
      throw new RangeError(`expected a PCR from 0 to ${String(PCR_COUNT - 1)}, got ${String(pcr)}`)
    }
    pcrSelect[pcr >> 3] = (pcrSelect[pcr >> 3] ?? 0) | (1 << (pcr & 7))
  }
  return { hash: bank, pcrSelect }
}

/** The PCR numbers of a selection, ascending. */
export function selectedPcrs(selection: TPMS_PCR_SELECTION): number[] {
  const pcrs: number[] = []
  for (const [octet, bits] of selection.pcrSelect.entries()) {
    for (let bit = 0; bit < 8; bit += 1) {
      if ((bits & (1 << bit)) !== 0) pcrs.push(octet * 8 + bit)
    }
  }
  return pcrs
}

/** A selection in words, e.g. "0xb:0,4,7": equal words, equal meaning, whatever the bit maps' length. */
export function describeSelection(selection: TPML_PCR_SELECTION): string {
  return selection.map((bank) => `0x${bank.hash.toString(16)}:${selectedPcrs(bank).join(',')}`).join('+')
}

/**
 * The digest of a quote over `values`: H of the selected PCRs' values, banks in the selection's order and PCRs
 * ascending. `hashAlg` is the hash of the signing scheme, not of the bank.
 * Throws RangeError when `values` lacks a selected PCR. Source: Part 1, clause 17.6 (TPMS_QUOTE_INFO.pcrDigest).
 */
export function pcrDigest(
  selection: TPML_PCR_SELECTION,
  values: PcrBanks,
  hashAlg: number = TPM_ALG.SHA256,
): Uint8Array {
  const parts: Uint8Array[] = []
  for (const bank of selection) {
    for (const pcr of selectedPcrs(bank)) {
      const value = values.get(bank.hash)?.get(pcr)
      if (value === undefined) {
        throw new RangeError(
          `"values" expected PCR ${String(pcr)} of bank 0x${bank.hash.toString(16)}, got none`,
        )
      }
      parts.push(value)
    }
  }
  return hash(hashAlg, ...parts)
}
