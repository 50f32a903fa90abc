// Verification of a quote: the checks that make signed bytes a statement about this moment and these PCRs.
// The signature comes first: nothing is read from bytes that the key has not signed.
// Source: TPM 2.0 Library, Part 3, clause 18.4 (TPM2_Quote), revision 1.59.

import { equalBytes } from '../crypto/index.ts'
import { QUOTE, type Quote } from './attest.ts'
import { checkAttestationKey, signingAlgorithm } from './attestation-key.ts'
import { unmarshal } from './codec.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize } from './hash.ts'
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
 * Verifies a quote and returns what it says. The caller still compares `attested.pcrDigest` with the PCRs it expects
 * (pcrDigest()), and the clock with the last one it saw.
 *
 * Throws Tpm2Error, in this order: BAD_AK (the key may sign what no TPM made, or with a weak algorithm), MALFORMED (the
 * signature), BAD_SIGNATURE, BAD_MAGIC, BAD_TYPE, MALFORMED (the attestation, trailing bytes included),
 * BAD_QUALIFYING_DATA, PCR_SELECTION.
 */
export function verifyQuote(quote: QuoteToVerify): Quote {
  checkAttestationKey(quote.akPublic)
  signingAlgorithm(quote.akPublic)
  verifySignature(quote.akPublic, quote.attest, unmarshal(TPMT_SIGNATURE, quote.signature))
  const attest = readQuote(quote.akPublic, quote.attest)
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

/**
 * The quote in `attest`, whose signature by `akPublic` was verified. Its hashes must be the key's: that of the PCR
 * digest the scheme's, that of the signer's name the name's.
 * Throws Tpm2Error BAD_MAGIC, BAD_TYPE or MALFORMED.
 */
export function readQuote(akPublic: TPMT_PUBLIC, attest: Uint8Array): Quote {
  const quote = unmarshal(QUOTE, attest)
  const { hash } = signingAlgorithm(akPublic)
  const { qualifiedSigner, attested } = quote
  const nameAlg = ((qualifiedSigner[0] ?? 0) << 8) | (qualifiedSigner[1] ?? 0)
  const named = nameAlg === akPublic.nameAlg && qualifiedSigner.length === 2 + digestSize(akPublic.nameAlg)
  if (!named || attested.pcrDigest.length !== digestSize(hash)) {
    const found = 'a signer’s name or a PCR digest of another hash'
    throw new Tpm2Error('MALFORMED', `TPMS_ATTEST: expected the hashes of its key, found ${found}`)
  }
  return quote
}
