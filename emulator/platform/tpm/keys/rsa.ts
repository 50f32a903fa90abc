// What a TPM does with an RSA key: raw operations, encryption and signatures of a digest. The exponentiation is
// OpenSSL's (with blinding and the Chinese remainder theorem), the encodings are ours where node:crypto takes a message
// instead of a digest, or would answer bad padding with random bytes instead of an error.
// Source: TPM 2.0 Library, Part 1, annex B; Part 3, clauses 14 and 20; RFC 8017.

import { constants, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto'
import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { KeyError } from './errors.ts'
import { type Entropy } from './random.ts'
import {
  decodeOaep,
  decodePkcs1Message,
  encodeOaep,
  encodePkcs1Message,
  encodePkcs1Signature,
  encodePss,
  verifyPss,
} from './rsa-padding.ts'

/** Bytes in the modulus of a key. */
function rsaKeySize(key: KeyObject): number {
  const bits = key.asymmetricKeyDetails?.modulusLength
  if (bits === undefined)
    throw new TypeError(`"key" expected an RSA key, got ${key.asymmetricKeyType ?? key.type}`)
  return Math.ceil(bits / 8)
}

/** `block` with leading zeros added or dropped until it is as long as the modulus. Throws KeyError SIZE. */
function fit(block: Uint8Array, size: number): Uint8Array {
  if (block.length === size) return block
  const excess = Math.max(0, block.length - size)
  if (block.subarray(0, excess).some((octet) => octet !== 0)) {
    throw new KeyError('SIZE', `expected at most ${String(size)} bytes, found ${String(block.length)}`)
  }
  const fitted = new Uint8Array(size)
  fitted.set(block.subarray(excess), size - (block.length - excess))
  return fitted
}

/** Runs a raw operation, which fails only for a number that is not below the modulus. */
function raw(operation: typeof publicEncrypt, key: KeyObject, block: Uint8Array): Uint8Array {
  try {
    const result = operation({ key, padding: constants.RSA_NO_PADDING }, block)
    return new Uint8Array(result.buffer, result.byteOffset, result.byteLength)
  } catch (cause) {
    throw new KeyError('VALUE', 'expected a number below the RSA modulus, found a greater one', { cause })
  }
}

/**
 * The number in `block` to the public exponent; the result is as long as the modulus. A private key will do.
 * Throws KeyError SIZE (longer than the modulus, leading zeros aside) or VALUE (not below it).
 */
export function rsaPublic(key: KeyObject, block: Uint8Array): Uint8Array {
  return raw(publicEncrypt, key, fit(block, rsaKeySize(key)))
}

/** The number in `block` to the private exponent; otherwise as {@link rsaPublic}. */
export function rsaPrivate(key: KeyObject, block: Uint8Array): Uint8Array {
  return raw(privateDecrypt, key, fit(block, rsaKeySize(key)))
}

/** RSAES_PKCS1-v1_5 encryption. Throws KeyError VALUE when the message is too long. */
export function rsaesEncrypt(key: KeyObject, message: Uint8Array, next: Entropy): Uint8Array {
  const block = encodePkcs1Message(message, rsaKeySize(key), next)
  try {
    return rsaPublic(key, block)
  } finally {
    block.fill(0)
  }
}

/** A ciphertext must be exactly as long as the modulus. */
function checkCipherText(key: KeyObject, cipherText: Uint8Array): void {
  const size = rsaKeySize(key)
  if (cipherText.length !== size) {
    throw new KeyError(
      'SIZE',
      `expected a ciphertext of ${String(size)} bytes, found ${String(cipherText.length)}`,
    )
  }
}

/** RSAES_PKCS1-v1_5 decryption. Throws KeyError SIZE, VALUE (not below the modulus) or PADDING. */
export function rsaesDecrypt(key: KeyObject, cipherText: Uint8Array): Uint8Array {
  checkCipherText(key, cipherText)
  const block = rsaPrivate(key, cipherText)
  try {
    return decodePkcs1Message(block)
  } finally {
    block.fill(0)
  }
}

/**
 * OAEP encryption with MGF1 over the same hash. `label` is taken as it is: a TPM's ends in a zero byte, or is empty.
 * Throws KeyError HASH (too large for the key) or VALUE (message too long).
 */
export function oaepEncrypt(
  key: KeyObject,
  hashAlg: number,
  label: Uint8Array,
  message: Uint8Array,
  next: Entropy,
): Uint8Array {
  const block = encodeOaep(hashAlg, label, message, rsaKeySize(key), next)
  try {
    return rsaPublic(key, block)
  } finally {
    block.fill(0)
  }
}

/**
 * OAEP decryption. Throws KeyError SIZE, VALUE (not below the modulus), HASH (too large for the key), or PADDING when
 * the ciphertext, hash or label is another.
 */
export function oaepDecrypt(
  key: KeyObject,
  hashAlg: number,
  label: Uint8Array,
  cipherText: Uint8Array,
): Uint8Array {
  checkCipherText(key, cipherText)
  const block = rsaPrivate(key, cipherText)
  try {
    return decodeOaep(hashAlg, label, block)
  } finally {
    block.fill(0)
  }
}

/**
 * RSASSA-PKCS1-v1_5 signature of a digest. With TPM_ALG_NULL as hash the bytes are padded and signed as they are.
 * Throws KeyError SIZE (digest), SCHEME (hash) or HASH (too long for the key).
 */
export function rsassaSign(key: KeyObject, hashAlg: number, digest: Uint8Array): Uint8Array {
  return rsaPrivate(key, encodePkcs1Signature(hashAlg, digest, rsaKeySize(key)))
}

/** RSASSA-PSS signature of a digest, with a salt as long as the digest, or as fits. Throws KeyError SIZE or HASH. */
export function rsapssSign(key: KeyObject, hashAlg: number, digest: Uint8Array, next: Entropy): Uint8Array {
  return rsaPrivate(key, encodePss(hashAlg, digest, rsaKeySize(key), next))
}

/** The block that a signature opens to, or undefined when it is no number below the modulus or of another length. */
function openSignature(key: KeyObject, signature: Uint8Array): Uint8Array | undefined {
  if (signature.length !== rsaKeySize(key)) return undefined
  try {
    return rsaPublic(key, signature)
  } catch (error) {
    if (error instanceof KeyError) return undefined
    throw error
  }
}

/** Whether `signature` is the key's RSASSA signature of `digest`. Throws as {@link rsassaSign} for a bad digest. */
export function rsassaVerify(
  key: KeyObject,
  hashAlg: number,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const expected = encodePkcs1Signature(hashAlg, digest, rsaKeySize(key))
  const block = openSignature(key, signature)
  return block !== undefined && equalBytes(block, expected)
}

/** Whether `signature` is the key's RSAPSS signature of `digest`, with a salt of any length. */
export function rsapssVerify(
  key: KeyObject,
  hashAlg: number,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const block = openSignature(key, signature)
  return block !== undefined && verifyPss(hashAlg, digest, block)
}
