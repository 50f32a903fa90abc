// Banks and PCRs as people and tools name them: "sha256", "sha256:7", "sha256:0,7+sha1:0".

import { selectedPcrs, TPM_ALG, type TPML_PCR_SELECTION } from '../tpm2/index.ts'

const BANK_NAMES = new Map<number, string>([
  [TPM_ALG.SHA1, 'sha1'],
  [TPM_ALG.SHA256, 'sha256'],
  [TPM_ALG.SHA384, 'sha384'],
  [TPM_ALG.SHA512, 'sha512'],
])

/** The name of a bank as tools write it: "sha256"; its number for one that is not computed here. */
export function bankName(bank: number): string {
  const name = BANK_NAMES.get(bank)
  return name ?? `0x${bank.toString(16).padStart(4, '0')}`
}

/** The bank (TPM_ALG) of that name, or undefined. */
export function bankOf(name: string): number | undefined {
  return [...BANK_NAMES].find(([, known]) => known === name)?.[0]
}

/** "sha256:7" */
export function pcrText({ bank, pcr }: { readonly bank: number; readonly pcr: number }): string {
  return `${bankName(bank)}:${String(pcr)}`
}

/** "sha256:0,7+sha1:0" */
export function selectionsText(selection: TPML_PCR_SELECTION): string {
  return selection.map((bank) => `${bankName(bank.hash)}:${selectedPcrs(bank).join(',')}`).join('+')
}
