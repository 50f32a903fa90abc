// Capabilities. Source: TPM 2.0 Library, Part 3, clause 30, revision 1.59.

import { TPMS_CAPABILITY_DATA } from '../capability.ts'
import { TPMI_YES_NO, UINT32 } from '../codec.ts'
import { command } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { CAPABILITY } from '../interface-types.ts'
import { TPMT_PUBLIC_PARMS } from '../public.ts'

/** TPM2_GetCapability (30.2). */
export const TPM2_GetCapability = command({
  name: 'TPM2_GetCapability',
  code: TPM_CC.GetCapability,
  handles: {},
  parameters: { capability: CAPABILITY, property: UINT32, propertyCount: UINT32 },
  responseHandles: {},
  response: { moreData: TPMI_YES_NO, capabilityData: TPMS_CAPABILITY_DATA },
})

/** TPM2_TestParms (30.3). */
export const TPM2_TestParms = command({
  name: 'TPM2_TestParms',
  code: TPM_CC.TestParms,
  handles: {},
  parameters: { parameters: TPMT_PUBLIC_PARMS },
  responseHandles: {},
  response: {},
})
