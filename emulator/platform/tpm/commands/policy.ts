// Enhanced authorization: all commands of the clause. Assertions are in policy-assertions.ts, those of a signature, a
// secret or an authority's approval in policy-authorizations.ts.
// Source: TPM 2.0 Library, Part 3, clause 23, revision 1.59.

import { type Registry } from '../dispatch/execute.ts'
import { type Implementation } from '../dispatch/implementation.ts'
import { policyAssertions } from './policy-assertions.ts'
import { policyAuthorizations } from './policy-authorizations.ts'

/** Clause 23. TPM2_PolicyCommandCode asks which commands there are. */
export function policyCommands(registry: () => Registry): readonly Implementation[] {
  return [...policyAuthorizations, ...policyAssertions(registry)]
}
