// The algorithms that this TPM has, and what each is for, as TPM2_GetCapability(TPM_CAP_ALGS) lists them.
// Source: TCG Algorithm Registry; TPM 2.0 Library, Part 2, clause 8.2 (TPMA_ALGORITHM), revision 1.59.

import { TPM_ALG, TPMA_ALGORITHM, type TPMS_ALG_PROPERTY } from '../../../sdk/tpm2/index.ts'

type Use = keyof typeof TPMA_ALGORITHM

/** What each algorithm is for, by TPM_ALG. */
const USES: readonly (readonly [number, readonly Use[]])[] = [
  [TPM_ALG.RSA, ['asymmetric', 'object']],
  [TPM_ALG.SHA1, ['hash']],
  [TPM_ALG.HMAC, ['hash', 'signing']],
  [TPM_ALG.AES, ['symmetric']],
  [TPM_ALG.MGF1, ['hash', 'method']],
  [TPM_ALG.KEYEDHASH, ['hash', 'object', 'signing', 'encrypting']],
  [TPM_ALG.XOR, ['hash', 'symmetric']],
  [TPM_ALG.SHA256, ['hash']],
  [TPM_ALG.SHA384, ['hash']],
  [TPM_ALG.SHA512, ['hash']],
  [TPM_ALG.RSASSA, ['asymmetric', 'signing']],
  [TPM_ALG.RSAES, ['asymmetric', 'encrypting']],
  [TPM_ALG.RSAPSS, ['asymmetric', 'signing']],
  [TPM_ALG.OAEP, ['asymmetric', 'encrypting']],
  [TPM_ALG.ECDSA, ['asymmetric', 'signing']],
  [TPM_ALG.ECDH, ['asymmetric', 'method']],
  [TPM_ALG.ECDAA, ['asymmetric', 'signing']],
  [TPM_ALG.ECSCHNORR, ['asymmetric', 'signing']],
  [TPM_ALG.ECMQV, ['asymmetric', 'method']],
  [TPM_ALG.KDF1_SP800_56A, ['hash', 'method']],
  [TPM_ALG.KDF1_SP800_108, ['hash', 'method']],
  [TPM_ALG.ECC, ['asymmetric', 'object']],
  [TPM_ALG.SYMCIPHER, ['symmetric', 'object']],
  [TPM_ALG.CTR, ['symmetric', 'encrypting']],
  [TPM_ALG.OFB, ['symmetric', 'encrypting']],
  [TPM_ALG.CBC, ['symmetric', 'encrypting']],
  [TPM_ALG.CFB, ['symmetric', 'encrypting']],
  [TPM_ALG.ECB, ['symmetric', 'encrypting']],
]

/** TPML_ALG_PROPERTY of this TPM. */
export const ALGORITHMS: readonly TPMS_ALG_PROPERTY[] = USES.map(([alg, uses]) => ({
  alg,
  algProperties: uses.reduce((bits, use) => bits | TPMA_ALGORITHM[use], 0),
}))
