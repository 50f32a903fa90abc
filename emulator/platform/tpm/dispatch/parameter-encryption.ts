// Encryption of a command's or response's first parameter, a TPM2B, between caller and TPM.
// Source: TPM 2.0 Library, Part 1, clause 21 (session-based encryption), revision 1.59.

import { concatBytes } from '../../../../sdk/crypto/index.ts'
import { kdfa, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { type Session } from '../entities/session.ts'
import { AES_BLOCK_SIZE, aesDecrypt, aesEncrypt, xorObfuscate } from '../keys/index.ts'

/** More than any TPM2B has; KDFa makes no longer mask. */
const MAX_BYTES = 2048

interface Exchange {
  readonly session: Session
  /** authValue of the entity that the session authorizes; empty when it authorizes nothing */
  readonly authValue: Uint8Array
  readonly nonceNewer: Uint8Array
  readonly nonceOlder: Uint8Array
}

/** The parameters with the contents of the first one encrypted. */
export function encryptFirst(exchange: Exchange, parameters: Uint8Array): Uint8Array {
  return transform(exchange, parameters, 'encrypt')
}

/** The parameters with the contents of the first one decrypted; as they are when its size is more than there is. */
export function decryptFirst(exchange: Exchange, parameters: Uint8Array): Uint8Array {
  return transform(exchange, parameters, 'decrypt')
}

function transform(exchange: Exchange, parameters: Uint8Array, direction: 'encrypt' | 'decrypt'): Uint8Array {
  const out = parameters.slice()
  if (out.length < 2) return out
  const size = new DataView(out.buffer).getUint16(0)
  // A size of more than there is, or than any TPM2B has, is refused when the parameter is read.
  if (out.length < 2 + size || size > MAX_BYTES) return out
  out.set(apply(exchange, out.subarray(2, 2 + size), direction), 2)
  return out
}

function apply(exchange: Exchange, data: Uint8Array, direction: 'encrypt' | 'decrypt'): Uint8Array {
  const { session, nonceNewer, nonceOlder } = exchange
  const { symmetric, authHash } = session
  const key = concatBytes(session.sessionKey, exchange.authValue)
  if (symmetric.algorithm === TPM_ALG.NULL) return data
  if (symmetric.algorithm === TPM_ALG.XOR) return xorObfuscate(authHash, key, nonceNewer, nonceOlder, data)
  const keyBytes = symmetric.keyBits / 8
  const material = kdfa(authHash, key, 'CFB', nonceNewer, nonceOlder, 8 * (keyBytes + AES_BLOCK_SIZE))
  const cipher = direction === 'encrypt' ? aesEncrypt : aesDecrypt
  return cipher(TPM_ALG.CFB, material.subarray(0, keyBytes), material.subarray(keyBytes), data).outData
}
