// Miscellaneous management. Source: TPM 2.0 Library, Part 3, clause 26, revision 1.59.

import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_RH_PLATFORM } from '../handles.ts'
import { TPML_CC } from '../lists.ts'

/** TPM2_PP_Commands (26.2). */
export const TPM2_PP_Commands = command({
  name: 'TPM2_PP_Commands',
  code: TPM_CC.PP_Commands,
  handles: { auth: handle(TPMI_RH_PLATFORM, 'USER') },
  parameters: { setList: TPML_CC, clearList: TPML_CC },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'required',
})
