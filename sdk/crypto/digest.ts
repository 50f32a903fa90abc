// Digests (FIPS 180-4) and the tagged digest that separates one use of SHA-256 from another.

import { createHash } from 'node:crypto'
import { plainView, utf8 } from './bytes.ts'

const TAG_END = Uint8Array.of(0)

function digest(algorithm: string, parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash(algorithm)
  for (const part of parts) hash.update(part)
  return plainView(hash.digest())
}

/** SHA-256 over the concatenation of the parts: 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return digest('sha256', parts)
}

/** SHA-384 over the concatenation of the parts: 48 bytes. */
export function sha384(...parts: readonly Uint8Array[]): Uint8Array {
  return digest('sha384', parts)
}

/**
 * SHA-256(UTF-8 tag ‖ 0x00 ‖ parts): 32 bytes. The tag names the use, like `palimpsest/v1/open`, so that bytes hashed
 * for one purpose never stand for another. The parts are joined without lengths: give one canonical encoding, or
 * parts of fixed length. Throws RangeError for an empty tag or a tag holding a zero byte.
 */
export function taggedDigest(tag: string, ...parts: readonly Uint8Array[]): Uint8Array {
  if (tag === '' || tag.includes('\0')) {
    throw new RangeError('"tag" expected a non-empty string without a zero character')
  }
  return digest('sha256', [utf8(tag), TAG_END, ...parts])
}
