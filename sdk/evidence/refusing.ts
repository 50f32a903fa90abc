// Turns the errors of sdk/crypto about bad bytes into this room's error, keeping their message as the reason.

import { type CanonicalMap, CryptoError, field, FormatError } from '../crypto/index.ts'
import { EvidenceError, type EvidenceErrorCode } from './errors.ts'

/** Runs `work`; bad data that it throws become an EvidenceError with `code`, wrong calls pass through. */
export function refusing<T>(code: EvidenceErrorCode, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof CryptoError) throw new EvidenceError(code, cause.message, { cause })
    throw cause
  }
}

/** Refuses a map whose `version` is not exactly `version`: an older or newer artefact is never half understood. */
export function expectVersion(map: CanonicalMap, what: string, version: bigint): void {
  const found = field.uint(map, 'version')
  if (found !== version) {
    throw new FormatError(`${what}.version`, `expected ${version.toString()}, found ${found.toString()}`)
  }
}
