// The two key derivation functions of a TPM: KDFa (counter mode HMAC) and KDFe (for ECDH secrets).
// Source: TPM 2.0 Library, Part 1, clauses 11.4.10.2 (KDFa) and 11.4.10.3 (KDFe), revision 1.59;
// NIST SP 800-108 and SP 800-56A.

import { digestSize, hash, hmac } from './hash.ts'

/** Largest output, in bits: more than any key of the Library. */
const MAX_BITS = 16 * 1024

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** A label: text is UTF-8. It goes into the KDFs with one terminating zero octet, which is added when it lacks one. */
export type Label = string | Uint8Array

/** A label as the KDFs and OAEP use it, terminated. Source: Part 1, clause 11.4.10.2 and annex B.4. */
export function labelBytes(label: Label): Uint8Array {
  const bytes = typeof label === 'string' ? new TextEncoder().encode(label) : label
  return bytes.at(-1) === 0 ? bytes : Uint8Array.from([...bytes, 0])
}

/** Runs `block` for counters 1, 2, ... until `bits` are there; unused high bits of the first octet are cleared. */
function derive(hashAlg: number, bits: number, block: (counter: Uint8Array) => Uint8Array): Uint8Array {
  if (!Number.isInteger(bits) || bits < 1 || bits > MAX_BITS) {
    throw new RangeError(`"bits" expected an integer from 1 to ${String(MAX_BITS)}, got ${String(bits)}`)
  }
  const length = Math.ceil(bits / 8)
  const output = new Uint8Array(length)
  const step = digestSize(hashAlg)
  for (let offset = 0, counter = 1; offset < length; offset += step, counter += 1) {
    output.set(block(uint32(counter)).subarray(0, length - offset), offset)
  }
  const spare = length * 8 - bits
  output[0] = (output[0] ?? 0) & (0xff >> spare)
  return output
}

/**
 * KDFa: `bits` of HMAC(key, counter ‖ label ‖ 0 ‖ contextU ‖ contextV ‖ bits).
 * Source: Part 1, 11.4.10.2.
 */
export function kdfa(
  hashAlg: number,
  key: Uint8Array,
  label: Label,
  contextU: Uint8Array,
  contextV: Uint8Array,
  bits: number,
): Uint8Array {
  const text = labelBytes(label)
  return derive(hashAlg, bits, (counter) =>
    hmac(hashAlg, key, counter, text, contextU, contextV, uint32(bits)),
  )
}

/**
 * KDFe: `bits` of H(counter ‖ z ‖ use ‖ 0 ‖ partyUInfo ‖ partyVInfo). `z` and both infos are x coordinates, padded
 * to the curve's field size.
 * Source: Part 1, 11.4.10.3.
 */
export function kdfe(
  hashAlg: number,
  z: Uint8Array,
  use: Label,
  partyUInfo: Uint8Array,
  partyVInfo: Uint8Array,
  bits: number,
): Uint8Array {
  const text = labelBytes(use)
  return derive(hashAlg, bits, (counter) => hash(hashAlg, counter, z, text, partyUInfo, partyVInfo))
}
