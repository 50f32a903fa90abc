// Symmetric encryption as TPM2_EncryptDecrypt does it: no padding, and with the value that continues the chain. And the
// XOR obfuscation of parameters.
// Source: NIST SP 800-38A (modes); TPM 2.0 Library, Part 1, clauses 11.4.6.3 (XOR), 11.4.8 (symmetric block ciphers)
// and annex D; Part 3, clause 15.

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { kdfa, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { KeyError } from './errors.ts'

/** Bytes in a block, and in an IV, of AES. */
export const AES_BLOCK_SIZE = 16

/** Sizes of a key, in bits. */
export const AES_KEY_BITS: readonly number[] = [128, 192, 256]

/** Largest mask of the XOR obfuscation at a time: what KDFa gives. */
const MAX_MASK_BITS = 16 * 1024

const MODES = new Map<number, string>([
  [TPM_ALG.CFB, 'cfb'],
  [TPM_ALG.CBC, 'cbc'],
  [TPM_ALG.CTR, 'ctr'],
  [TPM_ALG.OFB, 'ofb'],
  [TPM_ALG.ECB, 'ecb'],
])

/** What was computed, and the IV with which the next part continues (empty in mode ECB, which has none). */
export interface SymmetricResult {
  readonly outData: Uint8Array
  readonly ivOut: Uint8Array
}

function check(mode: number, key: Uint8Array, iv: Uint8Array, data: Uint8Array): string {
  const name = MODES.get(mode)
  if (name === undefined) {
    throw new KeyError(
      'SCHEME',
      `expected mode CFB, CBC, CTR, OFB or ECB, found TPM_ALG_ID 0x${mode.toString(16)}`,
    )
  }
  if (!AES_KEY_BITS.includes(8 * key.length)) {
    throw new KeyError('KEY_SIZE', `expected an AES key of 16, 24 or 32 bytes, found ${String(key.length)}`)
  }
  const ivSize = mode === TPM_ALG.ECB ? 0 : AES_BLOCK_SIZE
  if (iv.length !== ivSize) {
    throw new KeyError('VALUE', `expected an IV of ${String(ivSize)} bytes, found ${String(iv.length)}`)
  }
  const whole = mode === TPM_ALG.ECB || mode === TPM_ALG.CBC
  if (whole && data.length % AES_BLOCK_SIZE !== 0) {
    throw new KeyError('SIZE', `expected whole blocks of 16 bytes, found ${String(data.length)} bytes`)
  }
  return `aes-${String(8 * key.length)}-${name}`
}

/** `counter` as a big-endian number plus `blocks`, modulo 2^128. */
function addToCounter(counter: Uint8Array, blocks: number): Uint8Array {
  const sum = Uint8Array.from(counter)
  let carry = blocks
  for (let index = sum.length - 1; index >= 0 && carry > 0; index -= 1) {
    carry += sum[index] ?? 0
    sum[index] = carry & 0xff
    carry = Math.floor(carry / 256)
  }
  return sum
}

/** The last block of `data`, filled with zeros when it is a partial one. */
function lastBlock(data: Uint8Array): Uint8Array {
  const block = new Uint8Array(AES_BLOCK_SIZE)
  block.set(data.subarray(AES_BLOCK_SIZE * (Math.ceil(data.length / AES_BLOCK_SIZE) - 1)))
  return block
}

function run(
  encrypt: boolean,
  algorithm: string,
  key: Uint8Array,
  iv: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  const noIv = iv.length === 0 ? null : iv
  const cipher = (encrypt ? createCipheriv : createDecipheriv)(algorithm, key, noIv)
  cipher.setAutoPadding(false)
  const output = new Uint8Array(data.length)
  const body = cipher.update(data)
  output.set(body)
  output.set(cipher.final(), body.length)
  body.fill(0)
  return output
}

/** The key stream's last block in mode OFB, which continues it: the encryption of zeros. */
function outputFeedback(algorithm: string, key: Uint8Array, iv: Uint8Array, length: number): Uint8Array {
  const blocks = Math.ceil(length / AES_BLOCK_SIZE)
  const stream = run(true, algorithm, key, iv, new Uint8Array(blocks * AES_BLOCK_SIZE))
  const last = stream.slice(-AES_BLOCK_SIZE)
  stream.fill(0)
  return last
}

function aes(
  encrypt: boolean,
  mode: number,
  key: Uint8Array,
  iv: Uint8Array,
  data: Uint8Array,
): SymmetricResult {
  const algorithm = check(mode, key, iv, data)
  if (data.length === 0) return { outData: new Uint8Array(0), ivOut: Uint8Array.from(iv) }
  const outData = run(encrypt, algorithm, key, iv, data)
  switch (mode) {
    case TPM_ALG.CTR:
      return { outData, ivOut: addToCounter(iv, Math.ceil(data.length / AES_BLOCK_SIZE)) }
    case TPM_ALG.OFB:
      return { outData, ivOut: outputFeedback(algorithm, key, iv, data.length) }
    case TPM_ALG.ECB:
      return { outData, ivOut: new Uint8Array(0) }
    default:
      return { outData, ivOut: lastBlock(encrypt ? outData : data) }
  }
}

/**
 * AES of `data` in a mode of TPM_ALG. CFB has a feedback of whole blocks; after a partial one, which CFB, CTR and OFB
 * take, ivOut is the chain filled with zeros (CFB) or the next block's (CTR, OFB), as the reference implementation does.
 * Throws KeyError SCHEME (mode), KEY_SIZE, VALUE (length of the IV) or SIZE (CBC and ECB take whole blocks only).
 */
export function aesEncrypt(mode: number, key: Uint8Array, iv: Uint8Array, data: Uint8Array): SymmetricResult {
  return aes(true, mode, key, iv, data)
}

/** The reverse of {@link aesEncrypt}, with the same errors. */
export function aesDecrypt(mode: number, key: Uint8Array, iv: Uint8Array, data: Uint8Array): SymmetricResult {
  return aes(false, mode, key, iv, data)
}

/**
 * XOR obfuscation: `data` XOR KDFa(key, "XOR", contextU, contextV), its own reverse (11.4.6.3). The contexts are the
 * newer and the older nonce of a session. Throws RangeError for more data than KDFa gives, Tpm2Error for the hash.
 */
export function xorObfuscate(
  hashAlg: number,
  key: Uint8Array,
  contextU: Uint8Array,
  contextV: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  if (data.length === 0) return new Uint8Array(0)
  if (8 * data.length > MAX_MASK_BITS) {
    throw new RangeError(
      `"data" expected at most ${String(MAX_MASK_BITS / 8)} bytes, got ${String(data.length)}`,
    )
  }
  const mask = kdfa(hashAlg, key, 'XOR', contextU, contextV, 8 * data.length)
  const output = data.map((octet, index) => octet ^ (mask[index] ?? 0))
  mask.fill(0)
  return output
}
