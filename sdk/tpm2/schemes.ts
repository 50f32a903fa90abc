// Algorithm choices inside a public area: symmetric definitions and signing, encryption and KDF schemes.
// Each is a selector followed by a union; here a union of TypeScript types on the same selector.
// Source: TPM 2.0 Library, Part 2, clauses 11.1 and 11.2, revision 1.59.

import { type Codec, type Reader, type Writer } from './codec.ts'
import { TPM_ALG } from './constants.ts'

type AlgNull = typeof TPM_ALG.NULL

/** TPMT_SYM_DEF_OBJECT (11.1.7): a block cipher with key size in bits and mode, or none. */
export type TPMT_SYM_DEF_OBJECT =
  | { readonly algorithm: AlgNull }
  | {
      readonly algorithm:
        typeof TPM_ALG.AES | typeof TPM_ALG.TDES | typeof TPM_ALG.SM4 | typeof TPM_ALG.CAMELLIA
      readonly keyBits: number
      readonly mode: number
    }

/** How TPMT_SYM_DEF_OBJECT is read and written. */
export const TPMT_SYM_DEF_OBJECT: Codec<TPMT_SYM_DEF_OBJECT> = {
  name: 'TPMT_SYM_DEF_OBJECT',
  read: (reader) => {
    const algorithm = reader.uint16()
    switch (algorithm) {
      case TPM_ALG.NULL:
        return { algorithm }
      case TPM_ALG.AES:
      case TPM_ALG.TDES:
      case TPM_ALG.SM4:
      case TPM_ALG.CAMELLIA:
        return { algorithm, keyBits: reader.uint16(), mode: reader.uint16() }
      default:
        return unknownSelector(reader, 'TPMT_SYM_DEF_OBJECT', algorithm)
    }
  },
  write: (writer, value) => {
    writer.uint16(value.algorithm)
    if (value.algorithm === TPM_ALG.NULL) return
    writer.uint16(value.keyBits)
    writer.uint16(value.mode)
  },
}

/** A scheme whose only detail is a hash: TPMS_SCHEME_HASH (11.1.17) and its many names. */
export interface HashScheme<S extends number> {
  readonly scheme: S
  readonly hashAlg: number
}

/** TPMT_ECC_SCHEME (11.2.5.6). ECDAA carries a count besides its hash. */
export type TPMT_ECC_SCHEME =
  | { readonly scheme: AlgNull }
  | HashScheme<
      | typeof TPM_ALG.ECDSA
      | typeof TPM_ALG.ECDH
      | typeof TPM_ALG.SM2
      | typeof TPM_ALG.ECSCHNORR
      | typeof TPM_ALG.ECMQV
    >
  | { readonly scheme: typeof TPM_ALG.ECDAA; readonly hashAlg: number; readonly count: number }

/** How TPMT_ECC_SCHEME is read and written. */
export const TPMT_ECC_SCHEME: Codec<TPMT_ECC_SCHEME> = {
  name: 'TPMT_ECC_SCHEME',
  read: (reader) => {
    const scheme = reader.uint16()
    switch (scheme) {
      case TPM_ALG.NULL:
        return { scheme }
      case TPM_ALG.ECDSA:
      case TPM_ALG.ECDH:
      case TPM_ALG.SM2:
      case TPM_ALG.ECSCHNORR:
      case TPM_ALG.ECMQV:
        return { scheme, hashAlg: reader.uint16() }
      case TPM_ALG.ECDAA:
        return { scheme, hashAlg: reader.uint16(), count: reader.uint16() }
      default:
        return unknownSelector(reader, 'TPMT_ECC_SCHEME', scheme)
    }
  },
  write: (writer, value) => {
    writeScheme(writer, value)
    if (value.scheme === TPM_ALG.ECDAA) writer.uint16(value.count)
  },
}

/** TPMT_RSA_SCHEME (11.2.4.2). RSAES has no details. */
export type TPMT_RSA_SCHEME =
  | { readonly scheme: AlgNull | typeof TPM_ALG.RSAES }
  | HashScheme<typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS | typeof TPM_ALG.OAEP>

/** How TPMT_RSA_SCHEME is read and written. */
export const TPMT_RSA_SCHEME: Codec<TPMT_RSA_SCHEME> = {
  name: 'TPMT_RSA_SCHEME',
  read: (reader) => {
    const scheme = reader.uint16()
    switch (scheme) {
      case TPM_ALG.NULL:
      case TPM_ALG.RSAES:
        return { scheme }
      case TPM_ALG.RSASSA:
      case TPM_ALG.RSAPSS:
      case TPM_ALG.OAEP:
        return { scheme, hashAlg: reader.uint16() }
      default:
        return unknownSelector(reader, 'TPMT_RSA_SCHEME', scheme)
    }
  },
  write: writeScheme,
}

/** TPMT_KDF_SCHEME (11.2.3.3). */
export type TPMT_KDF_SCHEME =
  | { readonly scheme: AlgNull }
  | HashScheme<
      | typeof TPM_ALG.MGF1
      | typeof TPM_ALG.KDF1_SP800_56A
      | typeof TPM_ALG.KDF2
      | typeof TPM_ALG.KDF1_SP800_108
    >

/** How TPMT_KDF_SCHEME is read and written. */
export const TPMT_KDF_SCHEME: Codec<TPMT_KDF_SCHEME> = {
  name: 'TPMT_KDF_SCHEME',
  read: (reader) => {
    const scheme = reader.uint16()
    switch (scheme) {
      case TPM_ALG.NULL:
        return { scheme }
      case TPM_ALG.MGF1:
      case TPM_ALG.KDF1_SP800_56A:
      case TPM_ALG.KDF2:
      case TPM_ALG.KDF1_SP800_108:
        return { scheme, hashAlg: reader.uint16() }
      default:
        return unknownSelector(reader, 'TPMT_KDF_SCHEME', scheme)
    }
  },
  write: writeScheme,
}

/** TPMT_KEYEDHASH_SCHEME (11.1.23): HMAC with a hash, XOR with a hash and a KDF, or none. */
export type TPMT_KEYEDHASH_SCHEME =
  | { readonly scheme: AlgNull }
  | HashScheme<typeof TPM_ALG.HMAC>
  | { readonly scheme: typeof TPM_ALG.XOR; readonly hashAlg: number; readonly kdf: number }

/** How TPMT_KEYEDHASH_SCHEME is read and written. */
export const TPMT_KEYEDHASH_SCHEME: Codec<TPMT_KEYEDHASH_SCHEME> = {
  name: 'TPMT_KEYEDHASH_SCHEME',
  read: (reader) => {
    const scheme = reader.uint16()
    switch (scheme) {
      case TPM_ALG.NULL:
        return { scheme }
      case TPM_ALG.HMAC:
        return { scheme, hashAlg: reader.uint16() }
      case TPM_ALG.XOR:
        return { scheme, hashAlg: reader.uint16(), kdf: reader.uint16() }
      default:
        return unknownSelector(reader, 'TPMT_KEYEDHASH_SCHEME', scheme)
    }
  },
  write: (writer, value) => {
    writeScheme(writer, value)
    if (value.scheme === TPM_ALG.XOR) writer.uint16(value.kdf)
  },
}

function writeScheme(writer: Writer, value: { readonly scheme: number; readonly hashAlg?: number }): void {
  writer.uint16(value.scheme)
  if (value.hashAlg !== undefined) writer.uint16(value.hashAlg)
}

/** Refuses a selector that the union does not have. */
export function unknownSelector(reader: Reader, name: string, selector: number): never {
  return reader.fail(`expected an algorithm of ${name}, found TPM_ALG_ID 0x${selector.toString(16)}`)
}
