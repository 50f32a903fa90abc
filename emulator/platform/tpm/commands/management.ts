// TPM2_PP_Commands: which commands need physical presence beside the platform's authorization.
// Source: TPM 2.0 Library, Part 3, clause 26 and Part 1, clause 13.6 (physical presence), revision 1.59.

import { TPM2_PP_Commands } from '../../../../sdk/tpm2/index.ts'
import { type Registry } from '../dispatch/execute.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { changed } from '../state/tpm-state.ts'

/** Clause 26. Codes of commands that cannot be selected, or that are not implemented, are passed over. */
export function managementCommands(registry: () => Registry): readonly Implementation[] {
  const ppCommands = implement(TPM2_PP_Commands, (tpm, { setList, clearList }) => {
    const pp = (code: number): 'selectable' | 'required' | undefined => registry().get(code)?.row.pp
    const next = new Set(tpm.permanent.ppCommands)
    for (const code of setList) if (pp(code) !== undefined) next.add(code)
    for (const code of clearList) if (pp(code) !== 'required') next.delete(code)
    tpm.permanent.ppCommands = [...next].sort((a, b) => a - b)
    changed(tpm)
    return {}
  })
  return [ppCommands]
}
