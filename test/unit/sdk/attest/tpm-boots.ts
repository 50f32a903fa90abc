// Boots of TPMs that are no palimpsest platforms: quotes by software keys over the PCRs of a real boot of OVMF.

import type { TpmEvidence, TpmExpectations } from '../../../../sdk/attest/index.ts'
import {
  marshal,
  type PcrBanks,
  pcrDigest,
  selectPcrs,
  signingAlgorithm,
  TPM2B_PUBLIC,
  TPM_ALG,
  type TPML_PCR_SELECTION,
} from '../../../../sdk/tpm2/index.ts'
import { ovmfLog, ovmfPcrs } from '../evidence/logs.ts'
import { attestation, attestBytes, type SoftwareAk, softwareAk } from '../tpm2/software-key.ts'

export const nonce = new Uint8Array(32).fill(0x5a)
const ALL = Array.from({ length: 24 }, (_, pcr) => pcr)
const BANKS = [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512]

/** Every PCR of every bank of the real boot. */
export const everything = BANKS.map((bank) => selectPcrs(bank, ALL))
/** PCRs 0 to 7 of SHA-256. */
export const firmware = [selectPcrs(TPM_ALG.SHA256, [0, 1, 2, 3, 4, 5, 6, 7])]

/** Evidence, and what its verifier expects of it. */
export interface Case {
  readonly evidence: TpmEvidence
  readonly expected: TpmExpectations
}

/** An honest quote of the real boot with its log; `pcrs` are what the TPM held. */
export function quoted(
  selection: TPML_PCR_SELECTION = firmware,
  { akPublic, sign }: SoftwareAk = softwareAk(),
  pcrs: PcrBanks = ovmfPcrs,
): Case {
  const digest = pcrDigest(selection, pcrs, signingAlgorithm(akPublic).hash)
  const attested = { pcrSelect: selection, pcrDigest: digest }
  const attest = attestBytes({ ...attestation(akPublic, nonce), attested })
  return {
    evidence: { attest, signature: sign(attest), eventLog: ovmfLog, pcrValues: pcrs },
    expected: { akPublic: marshal(TPM2B_PUBLIC, akPublic), qualifyingData: nonce, pcrs: selection },
  }
}
