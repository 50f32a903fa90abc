// Looking up a measured digest among a policy's reference values.

import { hex } from '../crypto/index.ts'
import type { ReferenceValue } from './policy.ts'
import { Refusal, type RefusalCode } from './refusal.ts'

/** What is looked up, and for whom. */
export interface Lookup {
  readonly values: readonly ReferenceValue[]
  readonly digest: Uint8Array
  /** another digest of the same thing, by which it may be listed as well */
  readonly otherDigest?: Uint8Array
  /** code when the digest is not listed */
  readonly code: RefusalCode
  /** as in "firmware image" */
  readonly subject: string
  /** milliseconds since 1970 */
  readonly now: number
}

/**
 * The entry that has the digest and has not expired. It may be listed more than once; one living entry is enough.
 * Throws {@link Refusal}: `code` when it is not listed (an empty list refuses everything), REFUSED_EXPIRED_REFERENCE
 * when every entry that has it is past its notAfter.
 */
export function requireReference({
  values,
  digest,
  otherDigest,
  code,
  subject,
  now,
}: Lookup): ReferenceValue {
  const names = [digest, ...(otherDigest === undefined ? [] : [otherDigest])].map(hex)
  const matching = values.filter((value) => names.includes(value.digest))
  const [first] = matching
  if (first === undefined) {
    throw new Refusal(code, subject, {
      expected: `one of ${String(values.length)} reference values of the policy`,
      found: names.join(', also '),
      action: 'add it to the policy only if it is known to be good',
    })
  }
  const living = matching.find(({ notAfter }) => notAfter === undefined || now <= Date.parse(notAfter))
  if (living !== undefined) return living
  throw new Refusal('REFUSED_EXPIRED_REFERENCE', subject, {
    expected: 'a reference value that has not expired',
    found: `${first.digest}, which expired at ${first.notAfter ?? ''}`,
    action: 'renew the reference value in the policy if it is still good',
  })
}
