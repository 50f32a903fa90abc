// TPM2_SetCommandCodeAuditStatus: which commands go into the command audit digest, and by which hash.
// Source: TPM 2.0 Library, Part 3, clause 21 and Part 1, clause 34, revision 1.59.

import { TPM2_SetCommandCodeAuditStatus, TPM_ALG, TPM_CC, TPM_RC } from '../../../../sdk/tpm2/index.ts'
import { type Registry } from '../dispatch/execute.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { TpmError } from '../errors.ts'
import { changed } from '../state/tpm-state.ts'

/** Clause 21. Codes of commands that are not implemented are passed over. */
export function auditCommands(registry: () => Registry): readonly Implementation[] {
  const setStatus = implement(TPM2_SetCommandCodeAuditStatus, (tpm, { auditAlg, setList, clearList }) => {
    const { audit } = tpm.permanent
    if (auditAlg !== TPM_ALG.NULL && auditAlg !== audit.hashAlg) {
      if (setList.length > 0 || clearList.length > 0) {
        throw new TpmError(TPM_RC.VALUE, 'expected another hash or other commands, found both', 'auditAlg')
      }
      audit.hashAlg = auditAlg
      // The audit of this very command, which hash it may begin with, is left out: see dispatch/audit.ts.
      tpm.volatile.reset.commandAuditDigest = new Uint8Array(0)
    } else {
      const next = new Set(audit.commands)
      for (const code of setList) if (registry().has(code) && code !== TPM_CC.Shutdown) next.add(code)
      for (const code of clearList) if (code !== TPM_CC.SetCommandCodeAuditStatus) next.delete(code)
      audit.commands = [...next].sort((a, b) => a - b)
    }
    changed(tpm)
    return {}
  })
  return [setStatus]
}
