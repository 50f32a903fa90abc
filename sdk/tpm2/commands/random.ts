// The random number generator. Source: TPM 2.0 Library, Part 3, clause 16, revision 1.59.

import { TPM2B_DIGEST, TPM2B_SENSITIVE_DATA } from '../buffers.ts'
import { UINT16 } from '../codec.ts'
import { command } from '../command.ts'
import { TPM_CC } from '../constants.ts'

/** TPM2_GetRandom (16.1). */
export const TPM2_GetRandom = command({
  name: 'TPM2_GetRandom',
  code: TPM_CC.GetRandom,
  handles: {},
  parameters: { bytesRequested: UINT16 },
  responseHandles: {},
  response: { randomBytes: TPM2B_DIGEST },
})

/** TPM2_StirRandom (16.2). */
export const TPM2_StirRandom = command({
  name: 'TPM2_StirRandom',
  code: TPM_CC.StirRandom,
  handles: {},
  parameters: { inData: TPM2B_SENSITIVE_DATA },
  responseHandles: {},
  response: {},
  nv: true,
})
