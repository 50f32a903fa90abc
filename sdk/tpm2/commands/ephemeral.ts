// Ephemeral ECC keys. Source: TPM 2.0 Library, Part 3, clause 19, revision 1.59.

import { TPM2B_ECC_PARAMETER, TPM2B_SENSITIVE_DATA } from '../buffers.ts'
import { UINT16 } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_OBJECT } from '../handles.ts'
import { TPMI_ECC_CURVE } from '../interface-types.ts'
import { TPM2B_ECC_POINT } from '../public.ts'

/** TPM2_Commit (19.2). */
export const TPM2_Commit = command({
  name: 'TPM2_Commit',
  code: TPM_CC.Commit,
  handles: { signHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: { P1: TPM2B_ECC_POINT, s2: TPM2B_SENSITIVE_DATA, y2: TPM2B_ECC_PARAMETER },
  responseHandles: {},
  response: { K: TPM2B_ECC_POINT, L: TPM2B_ECC_POINT, E: TPM2B_ECC_POINT, counter: UINT16 },
})

/** TPM2_EC_Ephemeral (19.3). */
export const TPM2_EC_Ephemeral = command({
  name: 'TPM2_EC_Ephemeral',
  code: TPM_CC.EC_Ephemeral,
  handles: {},
  parameters: { curveID: TPMI_ECC_CURVE },
  responseHandles: {},
  response: { Q: TPM2B_ECC_POINT, counter: UINT16 },
})
