// Endorsement keys: decryption keys that never leave their TPM, by which a TPM is known.
// Source: TCG EK Credential Profile, version 2.5 (templates); TPM 2.0 Library, Part 2, clause 8.3 (TPMA_OBJECT).

import { digestSize, isHash, TPMA_OBJECT, type TPMT_PUBLIC } from '../tpm2/index.ts'
import { Refusal } from './refusal.ts'

/** SHA-256's, the weakest name that is accepted. */
const SHORTEST_NAME = 32

/**
 * Checks that a key can do nothing but open credentials and protect other keys, and has a name that nobody can make for
 * another. Throws Refusal REFUSED_ENROLMENT.
 */
export function checkEndorsementKey({ objectAttributes, nameAlg }: TPMT_PUBLIC): void {
  const needed = ['restricted', 'decrypt', 'fixedTPM', 'fixedParent', 'sensitiveDataOrigin'] as const
  const missing = needed.filter((bit) => (objectAttributes & TPMA_OBJECT[bit]) === 0)
  if (!isHash(nameAlg) || digestSize(nameAlg) < SHORTEST_NAME) {
    throw new Refusal('REFUSED_ENROLMENT', 'endorsement key', {
      expected: 'a name of SHA-256 or stronger',
      found: `TPM_ALG_ID 0x${nameAlg.toString(16)}`,
    })
  }
  if (missing.length === 0 && (objectAttributes & TPMA_OBJECT.sign) === 0) return
  throw new Refusal('REFUSED_ENROLMENT', 'endorsement key', {
    expected: `the attributes ${needed.join(', ')} and not sign`,
    found: missing.length > 0 ? `a key without ${missing.join(', ')}` : 'a key that signs',
  })
}
