// The public area of a TPM object, and the names that follow from it.
// A name is what other structures cite an object by; it changes when any bit of the public area does.
// Source: TPM 2.0 Library, Part 2, clause 12.2, and Part 1, clauses 16 (names) and 26.5 (qualified names), r1.59.

import { type Codec, buffer, marshal, struct, UINT16, UINT32 } from './codec.ts'
import { TPM_ALG, TPMA_OBJECT } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { hash, MAX_DIGEST_SIZE } from './hash.ts'
import {
  TPMT_ECC_SCHEME,
  TPMT_KDF_SCHEME,
  TPMT_KEYEDHASH_SCHEME,
  TPMT_RSA_SCHEME,
  TPMT_SYM_DEF_OBJECT,
  unknownSelector,
} from './schemes.ts'

/** Largest RSA modulus, in bytes (RSA 4096). */
const MAX_RSA_KEY_BYTES = 512
/** Largest ECC coordinate, in bytes (P-521). */
const MAX_ECC_KEY_BYTES = 66

/** TPM2B_DIGEST (10.4.2): its contents, without the size. */
export const TPM2B_DIGEST = buffer('TPM2B_DIGEST', MAX_DIGEST_SIZE)
/** TPM2B_NAME (10.5.3): its contents, without the size. */
export const TPM2B_NAME = buffer('TPM2B_NAME', 2 + MAX_DIGEST_SIZE)

/** TPM2B_ECC_PARAMETER (11.2.5.1): an unsigned big-endian integer. */
export const TPM2B_ECC_PARAMETER = buffer('TPM2B_ECC_PARAMETER', MAX_ECC_KEY_BYTES)
/** TPM2B_PUBLIC_KEY_RSA (11.2.4.5): an unsigned big-endian integer. */
export const TPM2B_PUBLIC_KEY_RSA = buffer('TPM2B_PUBLIC_KEY_RSA', MAX_RSA_KEY_BYTES)

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

/** TPMS_ECC_PARMS (12.2.3.6). `curveID` is a TPM_ECC value. */
export interface TPMS_ECC_PARMS {
  readonly symmetric: TPMT_SYM_DEF_OBJECT
  readonly scheme: TPMT_ECC_SCHEME
  readonly curveID: number
  readonly kdf: TPMT_KDF_SCHEME
}

const TPMS_ECC_PARMS = struct<TPMS_ECC_PARMS>('TPMS_ECC_PARMS', {
  symmetric: TPMT_SYM_DEF_OBJECT,
  scheme: TPMT_ECC_SCHEME,
  curveID: UINT16,
  kdf: TPMT_KDF_SCHEME,
})

/** TPMS_RSA_PARMS (12.2.3.5). An `exponent` of 0 means 65537. */
export interface TPMS_RSA_PARMS {
  readonly symmetric: TPMT_SYM_DEF_OBJECT
  readonly scheme: TPMT_RSA_SCHEME
  readonly keyBits: number
  readonly exponent: number
}

const TPMS_RSA_PARMS = struct<TPMS_RSA_PARMS>('TPMS_RSA_PARMS', {
  symmetric: TPMT_SYM_DEF_OBJECT,
  scheme: TPMT_RSA_SCHEME,
  keyBits: UINT16,
  exponent: UINT32,
})

/** TPMS_KEYEDHASH_PARMS (12.2.3.3). */
export interface TPMS_KEYEDHASH_PARMS {
  readonly scheme: TPMT_KEYEDHASH_SCHEME
}

const TPMS_KEYEDHASH_PARMS = struct<TPMS_KEYEDHASH_PARMS>('TPMS_KEYEDHASH_PARMS', {
  scheme: TPMT_KEYEDHASH_SCHEME,
})

/** What every public area has besides its type, parameters and unique value. */
interface PublicHead {
  /** hash for the object's name (TPM_ALG) */
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

/** TPMT_PUBLIC (12.2.4). */
export type TPMT_PUBLIC = EccPublic | RsaPublic | KeyedHashPublic

const PublicHead = struct<PublicHead>('TPMT_PUBLIC', {
  nameAlg: UINT16,
  objectAttributes: UINT32,
  authPolicy: TPM2B_DIGEST,
})

/** How TPMT_PUBLIC is read and written. */
export const TPMT_PUBLIC: Codec<TPMT_PUBLIC> = {
  name: 'TPMT_PUBLIC',
  read: (reader) => {
    const type = reader.uint16()
    const head = PublicHead.read(reader)
    switch (type) {
      case TPM_ALG.ECC:
        return { type, ...head, parameters: TPMS_ECC_PARMS.read(reader), unique: TPMS_ECC_POINT.read(reader) }
      case TPM_ALG.RSA:
        return {
          type,
          ...head,
          parameters: TPMS_RSA_PARMS.read(reader),
          unique: TPM2B_PUBLIC_KEY_RSA.read(reader),
        }
      case TPM_ALG.KEYEDHASH:
        return {
          type,
          ...head,
          parameters: TPMS_KEYEDHASH_PARMS.read(reader),
          unique: TPM2B_DIGEST.read(reader),
        }
      default:
        return unknownSelector(reader, 'TPMT_PUBLIC', type)
    }
  },
  write: (writer, value) => {
    writer.uint16(value.type)
    PublicHead.write(writer, value)
    switch (value.type) {
      case TPM_ALG.ECC:
        TPMS_ECC_PARMS.write(writer, value.parameters)
        TPMS_ECC_POINT.write(writer, value.unique)
        break
      case TPM_ALG.RSA:
        TPMS_RSA_PARMS.write(writer, value.parameters)
        TPM2B_PUBLIC_KEY_RSA.write(writer, value.unique)
        break
      case TPM_ALG.KEYEDHASH:
        TPMS_KEYEDHASH_PARMS.write(writer, value.parameters)
        TPM2B_DIGEST.write(writer, value.unique)
        break
    }
  },
}

/** A name's bytes: nameAlg ‖ digest. */
function name(hashAlg: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const digest = hash(hashAlg, ...parts)
  const out = new Uint8Array(2 + digest.length)
  new DataView(out.buffer).setUint16(0, hashAlg)
  out.set(digest, 2)
  return out
}

/** The name of an object: nameAlg ‖ H(TPMT_PUBLIC). Source: Part 1, clause 16. */
export function objectName(publicArea: TPMT_PUBLIC): Uint8Array {
  return name(publicArea.nameAlg, marshal(TPMT_PUBLIC, publicArea))
}

/** The name of a permanent handle, PCR or session: the handle itself. Source: Part 1, clause 16. */
export function handleName(handle: number): Uint8Array {
  return marshal(UINT32, handle)
}

/**
 * The qualified name of an object: nameAlg ‖ H(the parent's qualified name ‖ the object's name). The parent of a
 * primary object is its hierarchy, whose qualified name is its handle.
 * Source: Part 1, clause 26.5.
 */
export function qualifiedName(parentQualifiedName: Uint8Array, publicArea: TPMT_PUBLIC): Uint8Array {
  return name(publicArea.nameAlg, parentQualifiedName, objectName(publicArea))
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
