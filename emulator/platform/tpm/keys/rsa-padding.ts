// The encodings that RSA schemes put around a digest or a message, over plain byte arrays.
// Source: PKCS #1 v2.2 (RFC 8017), 7.1 (OAEP), 7.2 (PKCS1-v1_5 encryption), 9.1 (PSS), 9.2 (PKCS1-v1_5 signatures) and
// B.2.1 (MGF1); TPM 2.0 Library, Part 1, annex B.

import { concatBytes, equalBytes } from '../../../../sdk/crypto/index.ts'
import { digestSize, hash, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { KeyError } from './errors.ts'
import { type Entropy } from './random.ts'

/** MGF1: `length` bytes of H(seed ‖ counter). */
function mask(hashAlg: number, seed: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length)
  const counter = new Uint8Array(4)
  const view = new DataView(counter.buffer)
  const step = digestSize(hashAlg)
  for (let offset = 0, index = 0; offset < length; offset += step, index += 1) {
    view.setUint32(0, index)
    output.set(hash(hashAlg, seed, counter).subarray(0, length - offset), offset)
  }
  return output
}

/** XORs `pad` into `target`, in place. */
function xorInto(target: Uint8Array, pad: Uint8Array): void {
  for (const [index, octet] of pad.entries()) target[index] = (target[index] ?? 0) ^ octet
}

/** DER of the DigestInfo before the digest: the hash's object identifier is all that differs. */
const DIGEST_INFO_OIDS = new Map<number, readonly number[]>([
  [TPM_ALG.SHA1, [0x2b, 0x0e, 0x03, 0x02, 0x1a]],
  [TPM_ALG.SHA256, [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]],
  [TPM_ALG.SHA384, [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02]],
  [TPM_ALG.SHA512, [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03]],
])

function digestInfo(hashAlg: number, digest: Uint8Array): Uint8Array {
  if (hashAlg === TPM_ALG.NULL) return digest
  const oid = DIGEST_INFO_OIDS.get(hashAlg)
  if (oid === undefined) {
    throw new KeyError(
      'SCHEME',
      `expected a hash with a DigestInfo, found TPM_ALG_ID 0x${hashAlg.toString(16)}`,
    )
  }
  const algorithm = [0x06, oid.length, ...oid, 0x05, 0x00]
  const content = [0x30, algorithm.length, ...algorithm, 0x04, digest.length, ...digest]
  return Uint8Array.of(0x30, content.length, ...content)
}

/** Throws KeyError SIZE unless `digest` is as long as `hashAlg` makes them; TPM_ALG_NULL takes any length. */
function checkDigest(hashAlg: number, digest: Uint8Array): void {
  if (hashAlg === TPM_ALG.NULL) return
  const size = digestSize(hashAlg)
  if (digest.length !== size) {
    throw new KeyError('SIZE', `expected a digest of ${String(size)} bytes, found ${String(digest.length)}`)
  }
}

/**
 * EMSA-PKCS1-v1_5 for a modulus of `size` bytes. With TPM_ALG_NULL the bytes are taken as they are, without DigestInfo.
 * Throws KeyError SIZE (digest), SCHEME (hash) or HASH (no room).
 */
export function encodePkcs1Signature(hashAlg: number, digest: Uint8Array, size: number): Uint8Array {
  checkDigest(hashAlg, digest)
  const info = digestInfo(hashAlg, digest)
  if (info.length + 11 > size) {
    throw new KeyError(
      'HASH',
      `expected at most ${String(size - 11)} bytes to sign, found ${String(info.length)}`,
    )
  }
  const block = new Uint8Array(size).fill(0xff)
  block.set([0, 1])
  block[size - info.length - 1] = 0
  block.set(info, size - info.length)
  return block
}

/** Bytes of salt: as many as the digest has, or as fit (annex B.7). */
function saltSize(size: number, digestBytes: number): number {
  return Math.min(digestBytes, size - digestBytes - 2)
}

function pssHash(hashAlg: number, digest: Uint8Array, salt: Uint8Array): Uint8Array {
  return hash(hashAlg, new Uint8Array(8), digest, salt)
}

/** EMSA-PSS for a modulus of `size` whole bytes. Throws KeyError SIZE (digest) or HASH (no room). */
export function encodePss(hashAlg: number, digest: Uint8Array, size: number, next: Entropy): Uint8Array {
  checkDigest(hashAlg, digest)
  const salted = saltSize(size, digest.length)
  if (salted < 0)
    throw new KeyError('HASH', `expected a hash that fits ${String(size)} bytes, found a longer one`)
  const salt = next(salted)
  const seed = pssHash(hashAlg, digest, salt)
  const block = new Uint8Array(size)
  const masked = block.subarray(0, size - seed.length - 1)
  masked[masked.length - salted - 1] = 1
  masked.set(salt, masked.length - salted)
  xorInto(masked, mask(hashAlg, seed, masked.length))
  block[0] = (block[0] ?? 0) & 0x7f
  block.set(seed, masked.length)
  block[size - 1] = 0xbc
  return block
}

/** Whether `block` is the PSS encoding of `digest` with a salt of any length, as a TPM verifies. */
export function verifyPss(hashAlg: number, digest: Uint8Array, block: Uint8Array): boolean {
  const size = digestSize(hashAlg)
  const maskedSize = block.length - size - 1
  if (digest.length !== size || maskedSize < 1) return false
  const seed = block.subarray(maskedSize, block.length - 1)
  const data = mask(hashAlg, seed, maskedSize)
  xorInto(data, block.subarray(0, maskedSize))
  if (((block[0] ?? 0) & 0x80) !== 0 || block.at(-1) !== 0xbc) return false
  data[0] = (data[0] ?? 0) & 0x7f
  const separator = data.findIndex((octet) => octet !== 0)
  if (separator === -1 || data[separator] !== 1) return false
  return equalBytes(seed, pssHash(hashAlg, digest, data.subarray(separator + 1)))
}

/** `count` random bytes none of which is zero. */
function nonZero(count: number, next: Entropy): Uint8Array {
  const output = next(count)
  for (let index = 0; index < count; index += 1) {
    while (output[index] === 0) output[index] = next(1)[0] ?? 0
  }
  return output
}

/** EME-PKCS1-v1_5. Throws KeyError VALUE when the message is longer than the modulus less 11 bytes. */
export function encodePkcs1Message(message: Uint8Array, size: number, next: Entropy): Uint8Array {
  const padding = size - message.length - 3
  if (padding < 8) {
    throw new KeyError(
      'VALUE',
      `expected at most ${String(size - 11)} bytes, found ${String(message.length)}`,
    )
  }
  return concatBytes(Uint8Array.of(0, 2), nonZero(padding, next), Uint8Array.of(0), message)
}

/** The message of an EME-PKCS1-v1_5 block. Throws KeyError PADDING. */
export function decodePkcs1Message(block: Uint8Array): Uint8Array {
  const end = block.indexOf(0, 2)
  if (block[0] !== 0 || block[1] !== 2 || end < 10) {
    throw new KeyError('PADDING', 'expected a block with PKCS #1 v1.5 padding, found another')
  }
  return block.slice(end + 1)
}

/**
 * EME-OAEP, with MGF1 over the same hash. `label` is hashed as it is: a TPM's label includes its terminating zero.
 * Throws KeyError HASH when the hash does not fit the modulus, VALUE when the message does not.
 */
export function encodeOaep(
  hashAlg: number,
  label: Uint8Array,
  message: Uint8Array,
  size: number,
  next: Entropy,
): Uint8Array {
  const labelHash = hash(hashAlg, label)
  const room = size - 2 * labelHash.length - 2
  if (room < 0)
    throw new KeyError('HASH', `expected a hash that fits ${String(size)} bytes, found a longer one`)
  if (message.length > room) {
    throw new KeyError('VALUE', `expected at most ${String(room)} bytes, found ${String(message.length)}`)
  }
  const seed = next(labelHash.length)
  const block = new Uint8Array(size)
  const data = block.subarray(1 + seed.length)
  data.set(labelHash)
  data[data.length - message.length - 1] = 1
  data.set(message, data.length - message.length)
  xorInto(data, mask(hashAlg, seed, data.length))
  block.set(seed, 1)
  xorInto(block.subarray(1, 1 + seed.length), mask(hashAlg, data, seed.length))
  return block
}

/** The message of an EME-OAEP block. Throws KeyError HASH when the hash does not fit, or PADDING. */
export function decodeOaep(hashAlg: number, label: Uint8Array, block: Uint8Array): Uint8Array {
  const labelHash = hash(hashAlg, label)
  const size = labelHash.length
  if (block.length < 2 * size + 2) {
    throw new KeyError('HASH', `expected a hash that fits ${String(block.length)} bytes, found a longer one`)
  }
  const seed = block.slice(1, 1 + size)
  const data = block.slice(1 + size)
  xorInto(seed, mask(hashAlg, data, size))
  xorInto(data, mask(hashAlg, seed, data.length))
  const separator = data.findIndex((octet, index) => index >= size && octet !== 0)
  const labelled = equalBytes(data.subarray(0, size), labelHash)
  if (block[0] !== 0 || !labelled || data[separator] !== 1) {
    throw new KeyError('PADDING', 'expected a block with OAEP padding of this hash and label, found another')
  }
  const message = data.slice(separator + 1)
  data.fill(0)
  return message
}
