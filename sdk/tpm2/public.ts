// The public area of a TPM object, and the parameters of curves.
// Source: TPM 2.0 Library, Part 2, clauses 11.1, 11.2.5 and 12.2, revision 1.59.

import { TPMA_OBJECT_BITS } from './attribute-types.ts'
import { TPM2B_DIGEST, TPM2B_ECC_PARAMETER, TPM2B_LABEL, TPM2B_PUBLIC_KEY_RSA } from './buffers.ts'
import { type Codec, sized, struct, tagged, UINT16, UINT32, unmarshal } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { TPMI_ALG_HASH, TPMI_ALG_HASH_PLUS, TPMI_ECC_CURVE, TPMI_RSA_KEY_BITS } from './interface-types.ts'
import { TPM_RC } from './response-codes.ts'
import {
  TPMT_ECC_SCHEME,
  TPMT_KDF_SCHEME,
  TPMT_KEYEDHASH_SCHEME,
  TPMT_RSA_SCHEME,
  TPMT_SYM_DEF_OBJECT,
  TPMT_SYM_DEF_OBJECT_PLUS,
} from './schemes.ts'

/** TPMS_ECC_POINT (11.2.5.2). */
export interface TPMS_ECC_POINT {
  readonly x: Uint8Array
  readonly y: Uint8Array
}

/** How TPMS_ECC_POINT is read and written. */
export const TPMS_ECC_POINT = struct<TPMS_ECC_POINT>('TPMS_ECC_POINT', {
  x: TPM2B_ECC_PARAMETER,
  y: TPM2B_ECC_PARAMETER,
})

/** TPM2B_ECC_POINT (11.2.5.3). */
export const TPM2B_ECC_POINT = sized('TPM2B_ECC_POINT', TPMS_ECC_POINT)

/** TPMS_ECC_PARMS (12.2.3.6). `curveID` is a TPM_ECC value. */
export interface TPMS_ECC_PARMS {
  readonly symmetric: TPMT_SYM_DEF_OBJECT_PLUS
  readonly scheme: TPMT_ECC_SCHEME
  readonly curveID: number
  readonly kdf: TPMT_KDF_SCHEME
}

const TPMS_ECC_PARMS = struct<TPMS_ECC_PARMS>('TPMS_ECC_PARMS', {
  symmetric: TPMT_SYM_DEF_OBJECT_PLUS,
  scheme: TPMT_ECC_SCHEME,
  curveID: TPMI_ECC_CURVE,
  kdf: TPMT_KDF_SCHEME,
})

/** TPMS_RSA_PARMS (12.2.3.5). An `exponent` of 0 means 65537. */
export interface TPMS_RSA_PARMS {
  readonly symmetric: TPMT_SYM_DEF_OBJECT_PLUS
  readonly scheme: TPMT_RSA_SCHEME
  readonly keyBits: number
  readonly exponent: number
}

const TPMS_RSA_PARMS = struct<TPMS_RSA_PARMS>('TPMS_RSA_PARMS', {
  symmetric: TPMT_SYM_DEF_OBJECT_PLUS,
  scheme: TPMT_RSA_SCHEME,
  keyBits: TPMI_RSA_KEY_BITS,
  exponent: UINT32,
})

/** TPMS_KEYEDHASH_PARMS (12.2.3.3). */
export interface TPMS_KEYEDHASH_PARMS {
  readonly scheme: TPMT_KEYEDHASH_SCHEME
}

const TPMS_KEYEDHASH_PARMS = struct<TPMS_KEYEDHASH_PARMS>('TPMS_KEYEDHASH_PARMS', {
  scheme: TPMT_KEYEDHASH_SCHEME,
})

/** TPMS_SYMCIPHER_PARMS (11.1.9). */
export interface TPMS_SYMCIPHER_PARMS {
  readonly sym: TPMT_SYM_DEF_OBJECT
}

const TPMS_SYMCIPHER_PARMS = struct<TPMS_SYMCIPHER_PARMS>('TPMS_SYMCIPHER_PARMS', {
  sym: TPMT_SYM_DEF_OBJECT,
})

/** TPMT_PUBLIC_PARMS (12.2.3.8): what TPM2_TestParms asks about. */
export type TPMT_PUBLIC_PARMS =
  | { readonly type: typeof TPM_ALG.ECC; readonly parameters: TPMS_ECC_PARMS }
  | { readonly type: typeof TPM_ALG.RSA; readonly parameters: TPMS_RSA_PARMS }
  | { readonly type: typeof TPM_ALG.KEYEDHASH; readonly parameters: TPMS_KEYEDHASH_PARMS }
  | { readonly type: typeof TPM_ALG.SYMCIPHER; readonly parameters: TPMS_SYMCIPHER_PARMS }

/** How TPMT_PUBLIC_PARMS is read and written. TPM_RC_TYPE. */
export const TPMT_PUBLIC_PARMS = tagged<TPMT_PUBLIC_PARMS, 'type'>(
  'TPMT_PUBLIC_PARMS',
  'type',
  UINT16,
  TPM_RC.TYPE,
  {
    [TPM_ALG.ECC]: struct('TPMT_PUBLIC_PARMS', { parameters: TPMS_ECC_PARMS }),
    [TPM_ALG.RSA]: struct('TPMT_PUBLIC_PARMS', { parameters: TPMS_RSA_PARMS }),
    [TPM_ALG.KEYEDHASH]: struct('TPMT_PUBLIC_PARMS', { parameters: TPMS_KEYEDHASH_PARMS }),
    [TPM_ALG.SYMCIPHER]: struct('TPMT_PUBLIC_PARMS', { parameters: TPMS_SYMCIPHER_PARMS }),
  },
)

/** What every public area has besides its type, parameters and unique value. */
interface PublicHead {
  /** hash for the object's name (TPM_ALG); NULL only where the type has "+" */
  readonly nameAlg: number
  /** bits of TPMA_OBJECT */
  readonly objectAttributes: number
  /** empty, or a digest of the size of nameAlg */
  readonly authPolicy: Uint8Array
}

/** The public area of an ECC key. */
export interface EccPublic extends PublicHead {
  readonly type: typeof TPM_ALG.ECC
  readonly parameters: TPMS_ECC_PARMS
  readonly unique: TPMS_ECC_POINT
}

/** The public area of an RSA key; `unique` is the modulus. */
export interface RsaPublic extends PublicHead {
  readonly type: typeof TPM_ALG.RSA
  readonly parameters: TPMS_RSA_PARMS
  readonly unique: Uint8Array
}

/** The public area of a keyed-hash object (HMAC key or sealed data); `unique` is a digest. */
export interface KeyedHashPublic extends PublicHead {
  readonly type: typeof TPM_ALG.KEYEDHASH
  readonly parameters: TPMS_KEYEDHASH_PARMS
  readonly unique: Uint8Array
}

/** The public area of a symmetric key; `unique` is a digest. */
export interface SymCipherPublic extends PublicHead {
  readonly type: typeof TPM_ALG.SYMCIPHER
  readonly parameters: TPMS_SYMCIPHER_PARMS
  readonly unique: Uint8Array
}

/** TPMT_PUBLIC (12.2.4). */
export type TPMT_PUBLIC = EccPublic | RsaPublic | KeyedHashPublic | SymCipherPublic

/** TPMS_DERIVE (11.1.11): what an object is derived from, besides its parent. */
export interface TPMS_DERIVE {
  readonly label: Uint8Array
  readonly context: Uint8Array
}

/** How TPMS_DERIVE is read and written. */
export const TPMS_DERIVE = struct<TPMS_DERIVE>('TPMS_DERIVE', { label: TPM2B_LABEL, context: TPM2B_LABEL })

type Derived<P extends TPMT_PUBLIC> = Omit<P, 'unique'> & { readonly unique: TPMS_DERIVE }

/** TPMT_TEMPLATE (12.2.6): the template of a derived object, with label and context in the place of `unique`. */
export type TPMT_TEMPLATE =
  Derived<EccPublic> | Derived<RsaPublic> | Derived<KeyedHashPublic> | Derived<SymCipherPublic>

/** What follows the type, for one type of object. */
function body<P, U>(nameAlg: Codec<number>, parameters: Codec<P>, unique: Codec<U>) {
  return struct<PublicHead & { readonly parameters: P; readonly unique: U }>('TPMT_PUBLIC', {
    nameAlg,
    objectAttributes: TPMA_OBJECT_BITS,
    authPolicy: TPM2B_DIGEST,
    parameters,
    unique,
  })
}

function publicArea(nameAlg: Codec<number>): Codec<TPMT_PUBLIC> {
  return tagged<TPMT_PUBLIC, 'type'>('TPMT_PUBLIC', 'type', UINT16, TPM_RC.TYPE, {
    [TPM_ALG.ECC]: body(nameAlg, TPMS_ECC_PARMS, TPMS_ECC_POINT),
    [TPM_ALG.RSA]: body(nameAlg, TPMS_RSA_PARMS, TPM2B_PUBLIC_KEY_RSA),
    [TPM_ALG.KEYEDHASH]: body(nameAlg, TPMS_KEYEDHASH_PARMS, TPM2B_DIGEST),
    [TPM_ALG.SYMCIPHER]: body(nameAlg, TPMS_SYMCIPHER_PARMS, TPM2B_DIGEST),
  })
}

/** How TPMT_PUBLIC is read and written. */
export const TPMT_PUBLIC = publicArea(TPMI_ALG_HASH)
/** How TPMT_PUBLIC+ is read and written: an object without a name may be among them. */
export const TPMT_PUBLIC_PLUS = publicArea(TPMI_ALG_HASH_PLUS)
/** TPM2B_PUBLIC (12.2.5). */
export const TPM2B_PUBLIC = sized('TPM2B_PUBLIC', TPMT_PUBLIC)
/** TPM2B_PUBLIC+ (12.2.5). */
export const TPM2B_PUBLIC_PLUS = sized('TPM2B_PUBLIC', TPMT_PUBLIC_PLUS)

/**
 * A public area in either form that others hand over: TPM2B_PUBLIC, as tpm2-tools write files, or TPMT_PUBLIC. A size
 * that covers the rest tells the first: no type (TPM_ALG) is as great as the area of a key is long.
 * Throws Tpm2Error MALFORMED.
 */
export function readPublicArea(bytes: Uint8Array): TPMT_PUBLIC {
  const size = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)
  return unmarshal(size === bytes.length - 2 ? TPM2B_PUBLIC : TPMT_PUBLIC, bytes)
}

/** How TPMT_TEMPLATE is read and written. */
export const TPMT_TEMPLATE = tagged<TPMT_TEMPLATE, 'type'>('TPMT_TEMPLATE', 'type', UINT16, TPM_RC.TYPE, {
  [TPM_ALG.ECC]: body(TPMI_ALG_HASH, TPMS_ECC_PARMS, TPMS_DERIVE),
  [TPM_ALG.RSA]: body(TPMI_ALG_HASH, TPMS_RSA_PARMS, TPMS_DERIVE),
  [TPM_ALG.KEYEDHASH]: body(TPMI_ALG_HASH, TPMS_KEYEDHASH_PARMS, TPMS_DERIVE),
  [TPM_ALG.SYMCIPHER]: body(TPMI_ALG_HASH, TPMS_SYMCIPHER_PARMS, TPMS_DERIVE),
})

/** TPMS_ALGORITHM_DETAIL_ECC (11.2.5.7): a curve, y^2 = x^3 + ax + b over p, with a generator of order n. */
export interface TPMS_ALGORITHM_DETAIL_ECC {
  readonly curveID: number
  /** in bits */
  readonly keySize: number
  readonly kdf: TPMT_KDF_SCHEME
  readonly sign: TPMT_ECC_SCHEME
  readonly p: Uint8Array
  readonly a: Uint8Array
  readonly b: Uint8Array
  readonly gX: Uint8Array
  readonly gY: Uint8Array
  readonly n: Uint8Array
  /** the cofactor */
  readonly h: Uint8Array
}

/** How TPMS_ALGORITHM_DETAIL_ECC is read and written. */
export const TPMS_ALGORITHM_DETAIL_ECC = struct<TPMS_ALGORITHM_DETAIL_ECC>('TPMS_ALGORITHM_DETAIL_ECC', {
  curveID: TPMI_ECC_CURVE,
  keySize: UINT16,
  kdf: TPMT_KDF_SCHEME,
  sign: TPMT_ECC_SCHEME,
  p: TPM2B_ECC_PARAMETER,
  a: TPM2B_ECC_PARAMETER,
  b: TPM2B_ECC_PARAMETER,
  gX: TPM2B_ECC_PARAMETER,
  gY: TPM2B_ECC_PARAMETER,
  n: TPM2B_ECC_PARAMETER,
  h: TPM2B_ECC_PARAMETER,
})
