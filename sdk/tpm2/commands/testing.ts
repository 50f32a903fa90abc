// Self test. Source: TPM 2.0 Library, Part 3, clause 10, revision 1.59.

import { TPM2B_MAX_BUFFER } from '../buffers.ts'
import { TPMI_YES_NO, UINT32 } from '../codec.ts'
import { command } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPML_ALG } from '../lists.ts'

/** TPM2_SelfTest (10.2). */
export const TPM2_SelfTest = command({
  name: 'TPM2_SelfTest',
  code: TPM_CC.SelfTest,
  handles: {},
  parameters: { fullTest: TPMI_YES_NO },
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_IncrementalSelfTest (10.3). */
export const TPM2_IncrementalSelfTest = command({
  name: 'TPM2_IncrementalSelfTest',
  code: TPM_CC.IncrementalSelfTest,
  handles: {},
  parameters: { toTest: TPML_ALG },
  responseHandles: {},
  response: { toDoList: TPML_ALG },
  nv: true,
})

/** TPM2_GetTestResult (10.4). */
export const TPM2_GetTestResult = command({
  name: 'TPM2_GetTestResult',
  code: TPM_CC.GetTestResult,
  handles: {},
  parameters: {},
  responseHandles: {},
  response: { outData: TPM2B_MAX_BUFFER, testResult: UINT32 },
})
