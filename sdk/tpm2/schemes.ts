// Algorithm choices: symmetric definitions and signing, encryption and KDF schemes. Each is a selector followed by a
// union; here a union of TypeScript types on the same selector, its details beside it.
// A type with NULL among its choices is what the Library marks with "+"; where it also uses the type without NULL, the
// one with NULL has the suffix _PLUS.
// Source: TPM 2.0 Library, Part 2, clauses 11.1 and 11.2, revision 1.59.

import { type Codec, struct, tagged, TPMS_EMPTY, UINT16 } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { symKeyBits, TPMI_ALG_HASH, TPMI_ALG_KDF_PLUS, TPMI_ALG_SYM_MODE_PLUS } from './interface-types.ts'
import { TPM_RC } from './response-codes.ts'

type AlgNull = typeof TPM_ALG.NULL
type NoScheme = { readonly scheme: AlgNull }
type BlockCipher = typeof TPM_ALG.AES | typeof TPM_ALG.TDES | typeof TPM_ALG.SM4 | typeof TPM_ALG.CAMELLIA

const NONE = { [TPM_ALG.NULL]: TPMS_EMPTY }

/** TPMT_SYM_DEF_OBJECT (11.1.7): a block cipher with key size in bits and mode. */
export interface TPMT_SYM_DEF_OBJECT {
  readonly algorithm: BlockCipher
  readonly keyBits: number
  /** TPM_ALG; NULL where the mode is chosen at use */
  readonly mode: number
}
/** TPMT_SYM_DEF_OBJECT+: or none. */
export type TPMT_SYM_DEF_OBJECT_PLUS = TPMT_SYM_DEF_OBJECT | { readonly algorithm: AlgNull }

function cipher(algorithm: number): Codec<{ readonly keyBits: number; readonly mode: number }> {
  return struct('TPMT_SYM_DEF', { keyBits: symKeyBits(algorithm), mode: TPMI_ALG_SYM_MODE_PLUS })
}

const BLOCK_CIPHERS = {
  [TPM_ALG.AES]: cipher(TPM_ALG.AES),
  [TPM_ALG.TDES]: cipher(TPM_ALG.TDES),
  [TPM_ALG.SM4]: cipher(TPM_ALG.SM4),
  [TPM_ALG.CAMELLIA]: cipher(TPM_ALG.CAMELLIA),
}

/** How TPMT_SYM_DEF_OBJECT is read and written. */
export const TPMT_SYM_DEF_OBJECT = tagged<TPMT_SYM_DEF_OBJECT, 'algorithm'>(
  'TPMT_SYM_DEF_OBJECT',
  'algorithm',
  UINT16,
  TPM_RC.SYMMETRIC,
  BLOCK_CIPHERS,
)
/** How TPMT_SYM_DEF_OBJECT+ is read and written. */
export const TPMT_SYM_DEF_OBJECT_PLUS = tagged<TPMT_SYM_DEF_OBJECT_PLUS, 'algorithm'>(
  'TPMT_SYM_DEF_OBJECT',
  'algorithm',
  UINT16,
  TPM_RC.SYMMETRIC,
  { ...BLOCK_CIPHERS, ...NONE },
)

/** TPMT_SYM_DEF (11.1.6), always with "+": how parameters are encrypted; XOR obfuscation has a hash instead of a key size. */
export type TPMT_SYM_DEF =
  TPMT_SYM_DEF_OBJECT_PLUS | { readonly algorithm: typeof TPM_ALG.XOR; readonly hashAlg: number }

/** A scheme whose only detail is a hash: TPMS_SCHEME_HASH (11.1.17) and its many names. */
export interface HashScheme<S extends number> {
  readonly scheme: S
  readonly hashAlg: number
}

const HASHED = struct<{ readonly hashAlg: number }>('TPMS_SCHEME_HASH', { hashAlg: TPMI_ALG_HASH })

/** How TPMT_SYM_DEF is read and written. */
export const TPMT_SYM_DEF = tagged<TPMT_SYM_DEF, 'algorithm'>(
  'TPMT_SYM_DEF',
  'algorithm',
  UINT16,
  TPM_RC.SYMMETRIC,
  { ...BLOCK_CIPHERS, ...NONE, [TPM_ALG.XOR]: HASHED },
)

/** TPMS_SCHEME_ECDAA (11.1.18) without its scheme: a hash and the counter of TPM2_Commit. */
interface EcdaaDetails {
  readonly hashAlg: number
  readonly count: number
}

const ECDAA = struct<EcdaaDetails>('TPMS_SCHEME_ECDAA', { hashAlg: TPMI_ALG_HASH, count: UINT16 })

const RSA_SIGNATURES = { [TPM_ALG.RSASSA]: HASHED, [TPM_ALG.RSAPSS]: HASHED }
const ECC_SIGNATURES = {
  [TPM_ALG.ECDSA]: HASHED,
  [TPM_ALG.SM2]: HASHED,
  [TPM_ALG.ECSCHNORR]: HASHED,
  [TPM_ALG.ECDAA]: ECDAA,
}
const RSA_ENCRYPTIONS = { [TPM_ALG.RSAES]: TPMS_EMPTY, [TPM_ALG.OAEP]: HASHED }
const ECC_EXCHANGES = { [TPM_ALG.ECDH]: HASHED, [TPM_ALG.ECMQV]: HASHED }

type RsaSignatureScheme = HashScheme<typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS>
type EccSignatureScheme =
  | HashScheme<typeof TPM_ALG.ECDSA | typeof TPM_ALG.SM2 | typeof TPM_ALG.ECSCHNORR>
  | ({ readonly scheme: typeof TPM_ALG.ECDAA } & EcdaaDetails)
type RsaEncryptionScheme = { readonly scheme: typeof TPM_ALG.RSAES } | HashScheme<typeof TPM_ALG.OAEP>
type EccExchangeScheme = HashScheme<typeof TPM_ALG.ECDH | typeof TPM_ALG.ECMQV>

/** TPMT_ECC_SCHEME (11.2.5.6), always with "+". ECDAA carries a count besides its hash. */
export type TPMT_ECC_SCHEME = NoScheme | EccSignatureScheme | EccExchangeScheme

/** How TPMT_ECC_SCHEME is read and written. TPM_RC_SCHEME. */
export const TPMT_ECC_SCHEME = tagged<TPMT_ECC_SCHEME, 'scheme'>(
  'TPMT_ECC_SCHEME',
  'scheme',
  UINT16,
  TPM_RC.SCHEME,
  { ...NONE, ...ECC_SIGNATURES, ...ECC_EXCHANGES },
)

/** TPMT_RSA_SCHEME (11.2.4.2), always with "+". RSAES has no details. */
export type TPMT_RSA_SCHEME = NoScheme | RsaSignatureScheme | RsaEncryptionScheme

/** How TPMT_RSA_SCHEME is read and written. TPM_RC_VALUE. */
export const TPMT_RSA_SCHEME = tagged<TPMT_RSA_SCHEME, 'scheme'>(
  'TPMT_RSA_SCHEME',
  'scheme',
  UINT16,
  TPM_RC.VALUE,
  { ...NONE, ...RSA_SIGNATURES, ...RSA_ENCRYPTIONS },
)

/** TPMT_RSA_DECRYPT (11.2.4.4), always with "+": padding of TPM2_RSA_Encrypt and TPM2_RSA_Decrypt. */
export type TPMT_RSA_DECRYPT = NoScheme | RsaEncryptionScheme

/** How TPMT_RSA_DECRYPT is read and written. TPM_RC_VALUE. */
export const TPMT_RSA_DECRYPT = tagged<TPMT_RSA_DECRYPT, 'scheme'>(
  'TPMT_RSA_DECRYPT',
  'scheme',
  UINT16,
  TPM_RC.VALUE,
  { ...NONE, ...RSA_ENCRYPTIONS },
)

/** TPMT_ASYM_SCHEME (11.2.3.6), always with "+": any scheme of an asymmetric key. */
export type TPMT_ASYM_SCHEME =
  NoScheme | RsaSignatureScheme | EccSignatureScheme | RsaEncryptionScheme | EccExchangeScheme

/** How TPMT_ASYM_SCHEME is read and written. TPM_RC_VALUE. */
export const TPMT_ASYM_SCHEME = tagged<TPMT_ASYM_SCHEME, 'scheme'>(
  'TPMT_ASYM_SCHEME',
  'scheme',
  UINT16,
  TPM_RC.VALUE,
  { ...NONE, ...RSA_SIGNATURES, ...ECC_SIGNATURES, ...RSA_ENCRYPTIONS, ...ECC_EXCHANGES },
)

/** TPMT_SIG_SCHEME+ (11.2.1.5), always with "+": how to sign; HMAC among the ways. */
export type TPMT_SIG_SCHEME_PLUS =
  NoScheme | RsaSignatureScheme | EccSignatureScheme | HashScheme<typeof TPM_ALG.HMAC>

/** How TPMT_SIG_SCHEME+ is read and written. TPM_RC_SCHEME. */
export const TPMT_SIG_SCHEME_PLUS = tagged<TPMT_SIG_SCHEME_PLUS, 'scheme'>(
  'TPMT_SIG_SCHEME',
  'scheme',
  UINT16,
  TPM_RC.SCHEME,
  { ...NONE, ...RSA_SIGNATURES, ...ECC_SIGNATURES, [TPM_ALG.HMAC]: HASHED },
)

/** TPMT_KDF_SCHEME (11.2.3.3), always with "+". */
export type TPMT_KDF_SCHEME =
  | NoScheme
  | HashScheme<
      | typeof TPM_ALG.MGF1
      | typeof TPM_ALG.KDF1_SP800_56A
      | typeof TPM_ALG.KDF2
      | typeof TPM_ALG.KDF1_SP800_108
    >

/** How TPMT_KDF_SCHEME is read and written. TPM_RC_KDF. */
export const TPMT_KDF_SCHEME = tagged<TPMT_KDF_SCHEME, 'scheme'>(
  'TPMT_KDF_SCHEME',
  'scheme',
  UINT16,
  TPM_RC.KDF,
  {
    ...NONE,
    [TPM_ALG.MGF1]: HASHED,
    [TPM_ALG.KDF1_SP800_56A]: HASHED,
    [TPM_ALG.KDF2]: HASHED,
    [TPM_ALG.KDF1_SP800_108]: HASHED,
  },
)

/** TPMS_SCHEME_XOR (11.1.21) without its scheme. */
interface XorDetails {
  readonly hashAlg: number
  readonly kdf: number
}

/** TPMT_KEYEDHASH_SCHEME (11.1.23), always with "+": HMAC with a hash, XOR with a hash and a KDF, or none. */
export type TPMT_KEYEDHASH_SCHEME =
  NoScheme | HashScheme<typeof TPM_ALG.HMAC> | ({ readonly scheme: typeof TPM_ALG.XOR } & XorDetails)

/** How TPMT_KEYEDHASH_SCHEME is read and written. TPM_RC_VALUE. */
export const TPMT_KEYEDHASH_SCHEME = tagged<TPMT_KEYEDHASH_SCHEME, 'scheme'>(
  'TPMT_KEYEDHASH_SCHEME',
  'scheme',
  UINT16,
  TPM_RC.VALUE,
  {
    ...NONE,
    [TPM_ALG.HMAC]: HASHED,
    [TPM_ALG.XOR]: struct<XorDetails>('TPMS_SCHEME_XOR', {
      hashAlg: TPMI_ALG_HASH,
      kdf: TPMI_ALG_KDF_PLUS,
    }),
  },
)
