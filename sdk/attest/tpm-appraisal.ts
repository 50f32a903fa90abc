// What goes into the appraisal of any TPM's boot evidence, and what comes out of it.

import type { PcrEvent } from '../evidence/index.ts'
import type { PcrBanks, SigningAlgorithm, TPML_PCR_SELECTION, TPMS_CLOCK_INFO } from '../tpm2/index.ts'
import type { ReferenceValue } from './policy.ts'

/** What the machine hands over. Nothing of it is believed. */
export interface TpmEvidence {
  /** TPMS_ATTEST, as `tpm2_quote -m` writes it */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE, as `tpm2_quote -s` writes it */
  readonly signature: Uint8Array
  /** values of all quoted PCRs, by bank (TPM_ALG) and number; with them a refusal can name a single PCR */
  readonly pcrValues?: PcrBanks | undefined
  /** TCG event log: crypto-agile, or of TCG 1.2 where only SHA-1 is quoted */
  readonly eventLog?: Uint8Array | undefined
}

/** What the verifier knows and wants. */
export interface TpmExpectations {
  /** the enrolled attestation key: TPM2B_PUBLIC, as `tpm2_createak -u` writes it, or TPMT_PUBLIC */
  readonly akPublic: Uint8Array
  /** the challenge's nonce; without one the quote may be as old as its key */
  readonly qualifyingData: Uint8Array
  /** banks and PCRs that the quote must cover */
  readonly pcrs: TPML_PCR_SELECTION
  /** 'exact' (default): these and no others, in this order of banks; 'minimum': others too */
  readonly coverage?: 'exact' | 'minimum' | undefined
  /**
   * PCRs that the event log need not explain, like 10 for Linux' IMA, when there are `pcrValues` to go by. Default: none,
   * so that a log which leaves out a quoted PCR is refused.
   */
  readonly notLogged?: readonly number[] | undefined
  /** values and events that are known to be good */
  readonly references?: readonly TpmReference[] | undefined
  /** milliseconds since 1970, for reference values that expire; default: now */
  readonly now?: number | undefined
}

/** What is known to be good of one PCR. An empty list refuses everything. */
export interface TpmReference {
  /** TPM_ALG */
  readonly bank: number
  readonly pcr: number
  /** the PCR's value must be one of these */
  readonly values?: readonly ReferenceValue[] | undefined
  /** the PCR must have events, and the digest of each must be one of these */
  readonly events?: readonly ReferenceValue[] | undefined
}

/** Evidence that passed: everything here was signed by the key, or follows from what was. */
export interface TpmAppraisal {
  readonly key: TpmSigner
  /** of the quote. Outside of the endorsement and platform hierarchies a TPM obfuscates the counts. */
  readonly clockInfo: TPMS_CLOCK_INFO
  /** the TPM's own firmware; obfuscated likewise */
  readonly firmwareVersion: bigint
  /** what was quoted */
  readonly selection: TPML_PCR_SELECTION
  readonly pcrDigest: Uint8Array
  /** each quoted PCR; empty when neither PCR values nor an event log were there to say more than their digest */
  readonly pcrs: readonly QuotedPcr[]
}

/** Who signed, and how. */
export interface TpmSigner extends SigningAlgorithm {
  /** TPM name of the attestation key */
  readonly name: Uint8Array
  /** its qualified name, by which the TPM cites it: name and ancestors */
  readonly qualifiedName: Uint8Array
}

/** One quoted PCR. */
export interface QuotedPcr {
  /** TPM_ALG */
  readonly bank: number
  readonly pcr: number
  readonly value: Uint8Array
  /** the events that lead to the value, in order; undefined when no event log explains it */
  readonly events: readonly QuotedEvent[] | undefined
}

/**
 * A measured event. Proven are its digest and its place in its PCR. `eventType` and `data` only explain: data may be
 * believed where `coversData` is true, a type never.
 */
export interface QuotedEvent extends Pick<PcrEvent, 'number' | 'eventType' | 'data'> {
  readonly digest: Uint8Array
  /** the digest is that of the data (or of a variable's value in them) */
  readonly coversData: boolean
}
