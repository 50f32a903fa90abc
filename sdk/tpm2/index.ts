// TPM 2.0 as data: structures and their bytes, names, key derivation, credentials and the verification of quotes.
// Pure: no device and no I/O, so that a verifier and the emulated TPM share every byte of it.
// Source: TPM 2.0 Library, revision 1.59; each file cites its part and clause.

export { TPM2B_DATA, TPMS_ATTEST, TPMS_CLOCK_INFO, type TPMS_QUOTE_INFO, TPMS_TIME_INFO } from './attest.ts'
export {
  buffer,
  type Codec,
  list,
  marshal,
  Reader,
  struct,
  TPMI_YES_NO,
  UINT16,
  UINT32,
  UINT64,
  unmarshal,
  Writer,
} from './codec.ts'
export {
  TPM_ALG,
  TPM_ECC,
  TPM_GENERATED_VALUE,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  TPM_SU,
  TPMA_OBJECT,
} from './constants.ts'
export {
  type Credential,
  makeCredential,
  openCredential,
  TPM2B_ENCRYPTED_SECRET,
  TPM2B_ID_OBJECT,
} from './credential.ts'
export { Tpm2Error, type Tpm2ErrorCode } from './errors.ts'
export { digestSize, hash, hmac, isHash } from './hash.ts'
export { kdfa, kdfe } from './kdf.ts'
export {
  describeSelection,
  PCR_COUNT,
  type PcrBanks,
  pcrDigest,
  pcrResetValue,
  selectedPcrs,
  selectPcrs,
  TPML_PCR_SELECTION,
  TPMS_PCR_SELECTION,
} from './pcr.ts'
export {
  checkAttestationKey,
  type EccPublic,
  handleName,
  type KeyedHashPublic,
  objectName,
  qualifiedName,
  type RsaPublic,
  TPM2B_DIGEST,
  TPM2B_NAME,
  TPMS_ECC_POINT,
  TPMT_PUBLIC,
} from './public.ts'
export { type QuoteToVerify, verifyQuote } from './quote.ts'
export { leftPad, publicKeyOf, TPMT_SIGNATURE, verifySignature } from './signature.ts'
