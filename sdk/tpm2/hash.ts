// Hashes by TPM_ALG_ID, and HMAC over them: what names, KDFs, PCRs and signatures are made of.
// Source: TPM 2.0 Library, Part 2, clause 6.3 (TPM_ALG_ID), revision 1.59; FIPS 180-4; FIPS 198-1.

import { createHash, createHmac } from 'node:crypto'
import { TPM_ALG } from './constants.ts'
import { Tpm2Error } from './errors.ts'

interface HashAlgorithm {
  readonly node: string
  readonly size: number
}

const HASHES = new Map<number, HashAlgorithm>([
  [TPM_ALG.SHA1, { node: 'sha1', size: 20 }],
  [TPM_ALG.SHA256, { node: 'sha256', size: 32 }],
  [TPM_ALG.SHA384, { node: 'sha384', size: 48 }],
  [TPM_ALG.SHA512, { node: 'sha512', size: 64 }],
])

/** The largest digest of any TPM hash, in bytes: the limit of TPM2B_DIGEST. */
export const MAX_DIGEST_SIZE = 64

function algorithm(hashAlg: number): HashAlgorithm {
  const found = HASHES.get(hashAlg)
  if (found === undefined) {
    throw new Tpm2Error(
      'UNSUPPORTED',
      `expected SHA1, SHA256, SHA384 or SHA512 as hash, found TPM_ALG_ID 0x${hashAlg.toString(16)}`,
    )
  }
  return found
}

/** Whether `hashAlg` is a hash that this room computes. */
export function isHash(hashAlg: number): boolean {
  return HASHES.has(hashAlg)
}

/** The hash's name as node:crypto spells it. Throws Tpm2Error UNSUPPORTED. */
export function hashName(hashAlg: number): string {
  return algorithm(hashAlg).node
}

/** Bytes in a digest of `hashAlg`. Throws Tpm2Error UNSUPPORTED. */
export function digestSize(hashAlg: number): number {
  return algorithm(hashAlg).size
}

/** The digest of the concatenation of `parts`. Throws Tpm2Error UNSUPPORTED. */
export function hash(hashAlg: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(algorithm(hashAlg).node)
  for (const part of parts) state.update(part)
  return new Uint8Array(state.digest())
}

/** HMAC of the concatenation of `parts`. Throws Tpm2Error UNSUPPORTED. */
export function hmac(hashAlg: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHmac(algorithm(hashAlg).node, key)
  for (const part of parts) state.update(part)
  return new Uint8Array(state.digest())
}
