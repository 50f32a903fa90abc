// Command audit. Source: TPM 2.0 Library, Part 3, clause 21, revision 1.59.

import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_RH_PROVISION } from '../handles.ts'
import { TPMI_ALG_HASH_PLUS } from '../interface-types.ts'
import { TPML_CC } from '../lists.ts'

/** TPM2_SetCommandCodeAuditStatus (21.2). */
export const TPM2_SetCommandCodeAuditStatus = command({
  name: 'TPM2_SetCommandCodeAuditStatus',
  code: TPM_CC.SetCommandCodeAuditStatus,
  handles: { auth: handle(TPMI_RH_PROVISION, 'USER') },
  parameters: { auditAlg: TPMI_ALG_HASH_PLUS, setList: TPML_CC, clearList: TPML_CC },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})
