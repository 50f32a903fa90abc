// Verification of a quote: the checks that make signed bytes a statement about this moment and these PCRs.
// The signature comes first: nothing is read from bytes that the key has not signed.
// Source: TPM 2.0 Library, Part 3, clause 18.4 (TPM2_Quote), revision 1.59.

import { equalBytes } from '../crypto/index.ts'
import { QUOTE, type Quote } from './attest.ts'
import { unmarshal } from './codec.ts'
import { TPMA_OBJECT } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { describeSelection, type TPML_PCR_SELECTION } from './pcr.ts'
import { type TPMT_PUBLIC } from './public.ts'
import { TPMT_SIGNATURE, verifySignature } from './signature.ts'

/** A quote as TPM2_Quote returns it, and what the verifier expects of it. */
export interface QuoteToVerify {
  /** the signed TPMS_ATTEST (contents of TPM2B_ATTEST) */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
  /** the enrolled attestation key */
  readonly akPublic: TPMT_PUBLIC
  /** what the verifier asked the TPM to include */
  readonly qualifyingData: Uint8Array
  /** exactly these banks and PCRs, no fewer and no more, in this order of banks */
  readonly expectedSelection: TPML_PCR_SELECTION
}

/**
 * Checks that a key can only sign what its TPM made: restricted, signing, and bound to that TPM since it was made
 * there (fixedTPM, fixedParent, sensitiveDataOrigin), and not a decryption key.
 * Throws Tpm2Error BAD_AK naming what is wrong.
 */
export function checkAttestationKey(publicArea: TPMT_PUBLIC): void {
  const needed = ['restricted', 'sign', 'fixedTPM', 'fixedParent', 'sensitiveDataOrigin'] as const
  const missing = needed.filter((bit) => (publicArea.objectAttributes & TPMA_OBJECT[bit]) === 0)
  if (missing.length > 0) {
    throw new Tpm2Error(
      'BAD_AK',
      `expected an attestation key with ${needed.join(', ')}; missing: ${missing.join(', ')}`,
    )
  }
  if ((publicArea.objectAttributes & TPMA_OBJECT.decrypt) !== 0) {
    throw new Tpm2Error('BAD_AK', 'expected an attestation key that only signs, found the attribute decrypt')
  }
}

/**
 * Verifies a quote and returns what it says. The caller still compares `attested.pcrDigest` with the PCRs it expects
 * (pcrDigest()), and the clock with the last one it saw.
 *
 * Throws Tpm2Error, in this order: BAD_AK (the key may sign what no TPM made), MALFORMED (the signature),
 * BAD_SIGNATURE, BAD_MAGIC, BAD_TYPE, MALFORMED (the attestation, trailing bytes included), BAD_QUALIFYING_DATA,
 * PCR_SELECTION.
 */
export function verifyQuote(quote: QuoteToVerify): Quote {
  checkAttestationKey(quote.akPublic)
  verifySignature(quote.akPublic, quote.attest, unmarshal(TPMT_SIGNATURE, quote.signature))
  const attest = unmarshal(QUOTE, quote.attest)
  const { extraData, attested } = attest
  if (!equalBytes(extraData, quote.qualifyingData)) {
    throw new Tpm2Error(
      'BAD_QUALIFYING_DATA',
      'expected the qualifying data of this challenge, found other data',
    )
  }
  const expected = describeSelection(quote.expectedSelection)
  const found = describeSelection(attested.pcrSelect)
  if (expected !== found) {
    throw new Tpm2Error('PCR_SELECTION', `expected a quote of PCRs ${expected}, found ${found}`)
  }
  return attest
}
