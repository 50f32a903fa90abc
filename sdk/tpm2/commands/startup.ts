// Startup and shutdown. Source: TPM 2.0 Library, Part 3, clause 9, revision 1.59.

import { command } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { STARTUP_TYPE } from '../interface-types.ts'

/** TPM2_Startup (9.3). */
export const TPM2_Startup = command({
  name: 'TPM2_Startup',
  code: TPM_CC.Startup,
  handles: {},
  parameters: { startupType: STARTUP_TYPE },
  responseHandles: {},
  response: {},
  nv: true,
  noSessions: true,
})

/** TPM2_Shutdown (9.4). */
export const TPM2_Shutdown = command({
  name: 'TPM2_Shutdown',
  code: TPM_CC.Shutdown,
  handles: {},
  parameters: { shutdownType: STARTUP_TYPE },
  responseHandles: {},
  response: {},
  nv: true,
})
