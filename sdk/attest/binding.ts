// The one value that ties a quote and a worker's report to one registration, one side and one moment.
// d_role = SHA-256("palimpsest/v1/binding" ‖ 0 ‖ T ‖ role ‖ nonce); T and nonce have fixed lengths and the role is one
// of two words, so that the concatenation has one reading.

import { assertBytes, taggedDigest, utf8 } from '../crypto/index.ts'

/** Which side of a clone a challenge or grant speaks for. */
export type Role = 'source' | 'destination'

/** Both sides, source first. */
export const roles: readonly Role[] = ['source', 'destination']

/** The other side. */
export function otherRole(role: Role): Role {
  return role === 'source' ? 'destination' : 'source'
}

/** Bytes of a challenge's nonce. */
export const NONCE_LENGTH = 32

/**
 * d_role, 32 bytes: the quote's qualifying data, the worker report's report data and the grants' HPKE info.
 * `transcript` is T (32 bytes, see transcriptOf), `nonce` the challenge's 32 bytes. Throws RangeError for other lengths.
 */
export function bindingDigest(transcript: Uint8Array, role: Role, nonce: Uint8Array): Uint8Array {
  assertBytes('transcript', transcript, 32)
  assertBytes('nonce', nonce, NONCE_LENGTH)
  return taggedDigest('palimpsest/v1/binding', transcript, utf8(role), nonce)
}
