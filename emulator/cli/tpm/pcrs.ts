// PCRs of a TPM, read in as many answers as it takes: one holds at most eight.
// Source: TPM 2.0 Library, Part 3, clause 22.4 (TPM2_PCR_Read), revision 1.59.

import { bankName } from '../../../sdk/evidence/index.ts'
import {
  type PcrBanks,
  selectedPcrs,
  selectPcrs,
  TPM2_GetCapability,
  TPM2_PCR_Read,
  TPM_CAP,
  type TpmClient,
  type TPMS_PCR_SELECTION,
} from '../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../output.ts'

/** A PCR and its value in a bank (TPM_ALG). */
export interface PcrValue {
  readonly bank: number
  readonly pcr: number
  readonly value: Uint8Array
}

/** PCRs change while they are read: how often to begin again. */
const ATTEMPTS = 3

/** The banks that the TPM keeps, with their PCRs. */
export async function allocatedPcrs(client: TpmClient): Promise<TPMS_PCR_SELECTION[]> {
  const { capabilityData } = await client.call(TPM2_GetCapability, {
    capability: TPM_CAP.PCRS,
    property: 0,
    propertyCount: 1,
  })
  const banks = capabilityData.capability === TPM_CAP.PCRS ? capabilityData.data : []
  return banks.filter((bank) => selectedPcrs(bank).length > 0)
}

/** The values of the selected PCRs, all of one moment. Throws CommandFailure when the TPM has not all of them. */
export async function readPcrs(
  client: TpmClient,
  selection: readonly TPMS_PCR_SELECTION[],
): Promise<PcrValue[]> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const values = await readOnce(client, selection)
    if (values !== undefined) return values
  }
  throw new CommandFailure(EXIT.failed, 'the PCRs change faster than they can be read: run the command again')
}

/** Undefined when a PCR changed between two answers. */
async function readOnce(
  client: TpmClient,
  selection: readonly TPMS_PCR_SELECTION[],
): Promise<PcrValue[] | undefined> {
  const values: PcrValue[] = []
  let counter: number | undefined
  let missing = selection
  while (missing.length > 0) {
    const answer = await client.call(TPM2_PCR_Read, { pcrSelectionIn: missing })
    if (counter !== undefined && counter !== answer.pcrUpdateCounter) return undefined
    counter = answer.pcrUpdateCounter
    const read = answer.pcrSelectionOut.flatMap((bank) =>
      selectedPcrs(bank).map((pcr) => ({ bank: bank.hash, pcr })),
    )
    if (read.length === 0 || read.length !== answer.pcrValues.length) throw noSuchPcrs(missing)
    for (const [at, value] of answer.pcrValues.entries()) {
      const place = read[at]
      if (place !== undefined) values.push({ ...place, value })
    }
    missing = without(missing, read)
  }
  return inOrder(values, selection)
}

function without(
  selection: readonly TPMS_PCR_SELECTION[],
  read: readonly Omit<PcrValue, 'value'>[],
): TPMS_PCR_SELECTION[] {
  return selection.flatMap((bank) => {
    const left = selectedPcrs(bank).filter(
      (pcr) => !read.some((one) => one.bank === bank.hash && one.pcr === pcr),
    )
    return left.length === 0 ? [] : [selectPcrs(bank.hash, left)]
  })
}

function inOrder(values: readonly PcrValue[], selection: readonly TPMS_PCR_SELECTION[]): PcrValue[] {
  return selection.flatMap(({ hash }) =>
    values.filter(({ bank }) => bank === hash).sort((a, b) => a.pcr - b.pcr),
  )
}

function noSuchPcrs(missing: readonly TPMS_PCR_SELECTION[]): CommandFailure {
  const names = missing.map((bank) => bankName(bank.hash)).join(', ')
  const advice = '"palimpsest tpm info" lists the banks that it has'
  return new CommandFailure(EXIT.usage, `the TPM keeps no such PCRs in bank ${names}; ${advice}`)
}

/** In the shape that pcrDigest() takes. */
export function pcrBanks(values: readonly PcrValue[]): PcrBanks {
  const banks = new Map<number, Map<number, Uint8Array>>()
  for (const { bank, pcr, value } of values) {
    const pcrs = banks.get(bank) ?? new Map<number, Uint8Array>()
    banks.set(bank, pcrs.set(pcr, value))
  }
  return banks
}

/** As --json has them. */
export function pcrsJson(values: readonly PcrValue[]) {
  return values.map(({ bank, pcr, value }) => ({ bank: bankName(bank), pcr, value }))
}
