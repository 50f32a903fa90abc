// The challenge of an enrolment: a secret wrapped to an endorsement key, which that key's TPM gives out only when it holds
// the attestation key of the given name. Good for one answer and a short time.
// Source: TPM 2.0 Library, Part 1, clause 24 (credential protection), revision 1.59.

import { equalBytes } from '../crypto/index.ts'
import { type Credential, makeCredential, type TPMT_PUBLIC } from '../tpm2/index.ts'
import { randomNonce } from './nonce.ts'
import { Refusal, refuseAs } from './refusal.ts'

/** How long a credential may be on its way. */
const TTL_MS = 60_000

/** A credential that only one TPM can open, and only for one attestation key; good for one try and 60 s. */
export interface CredentialChallenge<Enrolled> extends Credential {
  /**
   * What was enrolled, if `secret` is what the credential holds. Throws {@link Refusal}: REFUSED_ENROLMENT for another
   * secret, STALE_NONCE the second time, whatever the first gave, and after 60 s.
   */
  complete(secret: Uint8Array): Enrolled
}

/** Makes one. `now` is milliseconds since 1970. Throws Refusal REFUSED_ENROLMENT for a key that can open none. */
export function credentialChallenge<Enrolled>(options: {
  readonly ekPublic: TPMT_PUBLIC
  readonly akName: Uint8Array
  readonly now: () => number
  readonly enrolled: Enrolled
}): CredentialChallenge<Enrolled> {
  const { ekPublic, akName: objectName, now, enrolled } = options
  const started = now()
  const secret = randomNonce()
  const credential = refuseAs('REFUSED_ENROLMENT', 'endorsement key', 'one that can open credentials', () =>
    makeCredential({ ekPublic, objectName, secret }),
  )
  let open = true
  return {
    ...credential,
    complete: (answer) => {
      const fresh = open && now() - started < TTL_MS
      open = false
      if (!fresh) throw staleCredential()
      if (!equalBytes(answer, secret)) throw wrongSecret()
      return enrolled
    },
  }
}

function staleCredential(): Refusal {
  return new Refusal('STALE_NONCE', 'credential', {
    expected: 'one answer within 60 s',
    found: 'a second or a late one',
    action: 'enrol again',
  })
}

function wrongSecret(): Refusal {
  return new Refusal('REFUSED_ENROLMENT', 'activated credential', {
    expected: 'the secret that was wrapped to this endorsement key and attestation key',
    found: 'another one',
    action: "have the platform's own TPM activate it",
  })
}
