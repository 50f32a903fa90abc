// The platform's refusals, one maker each, so that all of them say what was expected, what was found and what to do
// (design, section 10). Never give these functions guest data: what they are told reaches the host.

import { PalimpsestError } from '../../sdk/rpc/index.ts'

/** A frame is not in the state, or not with the owner, that a move or an access needs. */
export function ownershipFault(place: string, expected: string, found: string): PalimpsestError {
  return new PalimpsestError('OWNERSHIP_FAULT', `${place}: expected ${expected}, found ${found}`, {
    metadata: { place, expected, found },
  })
}

/** A frame does not hold what was last written to it. */
export function integrityFault(place: string): PalimpsestError {
  return new PalimpsestError(
    'INTEGRITY_FAULT',
    `${place}: expected the ciphertext that was last written there, found other bytes: the host or the memory changed them`,
    { metadata: { place } },
  )
}

/** One field of a request is malformed or out of range. */
export function invalid(field: string, description: string): PalimpsestError {
  return new PalimpsestError('INVALID_ARGUMENT', `${field}: ${description}`, {
    violations: [{ field, description }],
  })
}
