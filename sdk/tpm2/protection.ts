// Protection of what leaves a TPM: an outer wrap (encryption and integrity with keys from a seed) and an inner wrap (a
// digest, then encryption with a given key). Children of a storage key, duplicated objects and credentials are made of
// these; a client without a TPM uses the same functions to make what it imports.
// Source: TPM 2.0 Library, Part 1, clauses 22 (protected storage), 23.3 (duplication) and 24 (credentials), revision
// 1.59; SP 800-38A (CFB).

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { concatBytes, equalBytes } from '../crypto/index.ts'
import { TPM2B_DIGEST, TPM2B_IV, TPM2B_PRIVATE } from './buffers.ts'
import { marshal, Reader, unmarshal } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, hash, hmac } from './hash.ts'
import { kdfa } from './kdf.ts'
import { type TPMT_PUBLIC } from './public.ts'
import { TPM_RC } from './response-codes.ts'
import { type TPMT_SYM_DEF_OBJECT_PLUS } from './schemes.ts'
import { TPM2B_SENSITIVE, type TPMT_SENSITIVE } from './sensitive.ts'

const NONE = new Uint8Array(0)
const NO_CIPHER: TPMT_SYM_DEF_OBJECT_PLUS = { algorithm: TPM_ALG.NULL }
/** Bytes in an IV of AES. */
export const IV_BYTES = 16

/** How a storage key or an endorsement key protects: its nameAlg, and AES-CFB with a key of so many bits. */
export interface Protector {
  readonly nameAlg: number
  readonly keyBits: number
}

/**
 * How the key of `publicArea` protects what is for it. Throws Tpm2Error UNSUPPORTED (TPM_RC_TYPE) for a key without a
 * symmetric algorithm, or with another than AES-CFB.
 */
export function protectorOf(publicArea: TPMT_PUBLIC): Protector {
  return { nameAlg: publicArea.nameAlg, keyBits: aesBits(symmetricOf(publicArea) ?? NO_CIPHER, TPM_RC.TYPE) }
}

/** The symmetric algorithm of a key; undefined for a keyed-hash object, which has none. */
export function symmetricOf(publicArea: TPMT_PUBLIC): TPMT_SYM_DEF_OBJECT_PLUS | undefined {
  switch (publicArea.type) {
    case TPM_ALG.SYMCIPHER:
      return publicArea.parameters.sym
    case TPM_ALG.KEYEDHASH:
      return undefined
    default:
      return publicArea.parameters.symmetric
  }
}

/** Key bits of AES-CFB; a key that leaves its mode open is used with CFB. */
function aesBits(symmetric: TPMT_SYM_DEF_OBJECT_PLUS, rc: number): number {
  const open = 'mode' in symmetric && symmetric.mode === TPM_ALG.NULL
  if (symmetric.algorithm === TPM_ALG.AES && (symmetric.mode === TPM_ALG.CFB || open))
    return symmetric.keyBits
  throw new Tpm2Error('UNSUPPORTED', 'expected AES-CFB as symmetric algorithm, found another or none', { rc })
}

/** AES-CFB with the key's length; the IV is zeros when it is empty. */
function cfb(
  key: Uint8Array,
  iv: Uint8Array,
  data: Uint8Array,
  direction: 'encrypt' | 'decrypt',
): Uint8Array {
  const algorithm = `aes-${String(key.length * 8)}-cfb`
  const start = iv.length === 0 ? new Uint8Array(IV_BYTES) : iv
  const make = direction === 'encrypt' ? createCipheriv : createDecipheriv
  return new Uint8Array(make(algorithm, key, start).update(data))
}

function badIntegrity(): never {
  throw new Tpm2Error(
    'BAD_INTEGRITY',
    'expected data wrapped with this key for this object, found other data',
    {
      rc: TPM_RC.INTEGRITY,
    },
  )
}

/** Reads a TPM2B_DIGEST and what follows it. */
function split(bytes: Uint8Array): { readonly digest: Uint8Array; readonly rest: Uint8Array } {
  const reader = new Reader(bytes, TPM2B_PRIVATE.name)
  return { digest: TPM2B_DIGEST.read(reader), rest: reader.bytes(reader.remaining) }
}

/** The keys of an outer wrap. Source: Part 1, 22.4 and 22.5. */
function outerKeys({ nameAlg, keyBits }: Protector, seed: Uint8Array, name: Uint8Array) {
  return {
    symKey: kdfa(nameAlg, seed, 'STORAGE', name, NONE, keyBits),
    hmacKey: kdfa(nameAlg, seed, 'INTEGRITY', NONE, NONE, digestSize(nameAlg) * 8),
  }
}

/**
 * Outer wrap: TPM2B_DIGEST integrity ‖ [TPM2B_IV] ‖ encrypted `data`, for the object named `name`. With an `iv` it is
 * written along; without one the IV is zeros, which needs a `seed` that is used once.
 */
export function wrapOuter(
  protector: Protector,
  seed: Uint8Array,
  name: Uint8Array,
  data: Uint8Array,
  iv: Uint8Array = NONE,
): Uint8Array {
  const { symKey, hmacKey } = outerKeys(protector, seed, name)
  const encrypted = cfb(symKey, iv, data, 'encrypt')
  const covered = iv.length === 0 ? encrypted : concatBytes(marshal(TPM2B_IV, iv), encrypted)
  const integrity = hmac(protector.nameAlg, hmacKey, covered, name)
  return concatBytes(marshal(TPM2B_DIGEST, integrity), covered)
}

/**
 * Opens an outer wrap. `withIv` says whether an IV was written along.
 * Throws Tpm2Error MALFORMED for bytes that are none, BAD_INTEGRITY for another seed, name or changed bytes.
 */
export function unwrapOuter(
  protector: Protector,
  seed: Uint8Array,
  name: Uint8Array,
  wrapped: Uint8Array,
  withIv = false,
): Uint8Array {
  const { digest, rest } = split(wrapped)
  const { symKey, hmacKey } = outerKeys(protector, seed, name)
  if (!equalBytes(digest, hmac(protector.nameAlg, hmacKey, rest, name))) badIntegrity()
  if (!withIv) return cfb(symKey, NONE, rest, 'decrypt')
  const reader = new Reader(rest, TPM2B_PRIVATE.name)
  const iv = TPM2B_IV.read(reader)
  if (iv.length !== IV_BYTES) {
    reader.fail(`expected an IV of ${String(IV_BYTES)} bytes, found ${String(iv.length)}`)
  }
  return cfb(symKey, iv, reader.bytes(reader.remaining), 'decrypt')
}

/** Inner wrap: encrypted (TPM2B_DIGEST H(data ‖ name) ‖ `data`), with `key` as it is and an IV of zeros. */
export function wrapInner(hashAlg: number, key: Uint8Array, name: Uint8Array, data: Uint8Array): Uint8Array {
  const integrity = marshal(TPM2B_DIGEST, hash(hashAlg, data, name))
  return cfb(key, NONE, concatBytes(integrity, data), 'encrypt')
}

/** Opens an inner wrap. Throws Tpm2Error MALFORMED or BAD_INTEGRITY: mostly for another key. */
export function unwrapInner(
  hashAlg: number,
  key: Uint8Array,
  name: Uint8Array,
  wrapped: Uint8Array,
): Uint8Array {
  const { digest, rest } = split(cfb(key, NONE, wrapped, 'decrypt'))
  if (!equalBytes(digest, hash(hashAlg, rest, name))) badIntegrity()
  return rest
}

/** The object that is wrapped: its name, and the hash of that name. */
export interface WrappedObject {
  readonly name: Uint8Array
  readonly nameAlg: number
}

/** TPM2B_SENSITIVE with the authValue padded to a digest of nameAlg, so that its length does not show. */
function sensitiveBytes({ nameAlg }: WrappedObject, sensitive: TPMT_SENSITIVE): Uint8Array {
  const size = Math.max(sensitive.authValue.length, digestSize(nameAlg))
  const authValue = new Uint8Array(size)
  authValue.set(sensitive.authValue)
  return marshal(TPM2B_SENSITIVE, { ...sensitive, authValue })
}

/** An authValue without the zeros that pad it, as authorizations use it (Part 1, 19.6). */
export function trimAuth(authValue: Uint8Array): Uint8Array {
  return authValue.slice(0, authValue.findLastIndex((octet) => octet !== 0) + 1)
}

function readSensitive(bytes: Uint8Array): TPMT_SENSITIVE {
  const sensitive = unmarshal(TPM2B_SENSITIVE, bytes)
  return { ...sensitive, authValue: trimAuth(sensitive.authValue) }
}

/**
 * A child's sensitive area as it lies outside the TPM: contents of a TPM2B_PRIVATE. `seed` is the parent's seedValue;
 * `iv` is random. Source: Part 1, 22.3 to 22.5.
 */
export function wrapChild(
  parent: Protector,
  seed: Uint8Array,
  child: WrappedObject,
  sensitive: TPMT_SENSITIVE,
  iv: Uint8Array,
): Uint8Array {
  return wrapOuter(parent, seed, child.name, sensitiveBytes(child, sensitive), iv)
}

/** Opens what wrapChild() made. Throws Tpm2Error MALFORMED or BAD_INTEGRITY. The authValue has no trailing zeros. */
export function unwrapChild(
  parent: Protector,
  seed: Uint8Array,
  child: WrappedObject,
  wrapped: Uint8Array,
): TPMT_SENSITIVE {
  return readSensitive(unwrapOuter(parent, seed, child.name, wrapped, true))
}

/** The wraps of a duplicated object; each may be absent. */
export interface DuplicationWraps {
  /** to the new parent: how it protects, and the seed shared with it for 'DUPLICATE' */
  readonly outer?: { readonly parent: Protector; readonly seed: Uint8Array } | undefined
  /** with a key that the caller hands over otherwise: AES-CFB, by the key's length */
  readonly inner?: { readonly key: Uint8Array } | undefined
}

/** A sensitive area for TPM2_Import: contents of a TPM2B_PRIVATE, with the inner wrap inside the outer one. */
export function wrapDuplicate(
  wraps: DuplicationWraps,
  object: WrappedObject,
  sensitive: TPMT_SENSITIVE,
): Uint8Array {
  let data = sensitiveBytes(object, sensitive)
  if (wraps.inner) data = wrapInner(object.nameAlg, wraps.inner.key, object.name, data)
  if (wraps.outer) data = wrapOuter(wraps.outer.parent, wraps.outer.seed, object.name, data)
  return data
}

/** Opens what wrapDuplicate() made. Throws Tpm2Error MALFORMED or BAD_INTEGRITY. */
export function unwrapDuplicate(
  wraps: DuplicationWraps,
  object: WrappedObject,
  wrapped: Uint8Array,
): TPMT_SENSITIVE {
  let data = wrapped
  if (wraps.outer) data = unwrapOuter(wraps.outer.parent, wraps.outer.seed, object.name, data)
  if (wraps.inner) data = unwrapInner(object.nameAlg, wraps.inner.key, object.name, data)
  return readSensitive(data)
}
