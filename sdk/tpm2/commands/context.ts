// Contexts. Source: TPM 2.0 Library, Part 3, clause 28, revision 1.59.

import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMS_CONTEXT } from '../context.ts'
import {
  TPMI_DH_CONTEXT,
  TPMI_DH_OBJECT,
  TPMI_DH_PERSISTENT,
  TPMI_RH_PROVISION,
  handleParameter,
} from '../handles.ts'

/** TPM2_ContextSave (28.2). */
export const TPM2_ContextSave = command({
  name: 'TPM2_ContextSave',
  code: TPM_CC.ContextSave,
  handles: { saveHandle: handle(TPMI_DH_CONTEXT) },
  parameters: {},
  responseHandles: {},
  response: { context: TPMS_CONTEXT },
  noSessions: true,
})

/** TPM2_ContextLoad (28.3). */
export const TPM2_ContextLoad = command({
  name: 'TPM2_ContextLoad',
  code: TPM_CC.ContextLoad,
  handles: {},
  parameters: { context: TPMS_CONTEXT },
  responseHandles: { loadedHandle: handle(TPMI_DH_CONTEXT) },
  response: {},
  noSessions: true,
})

/** TPM2_FlushContext (28.4): the handle is a parameter, so that a TPM without it still knows how many handles come first. */
export const TPM2_FlushContext = command({
  name: 'TPM2_FlushContext',
  code: TPM_CC.FlushContext,
  handles: {},
  parameters: { flushHandle: handleParameter(TPMI_DH_CONTEXT) },
  responseHandles: {},
  response: {},
  noSessions: true,
})

/** TPM2_EvictControl (28.5). */
export const TPM2_EvictControl = command({
  name: 'TPM2_EvictControl',
  code: TPM_CC.EvictControl,
  handles: { auth: handle(TPMI_RH_PROVISION, 'USER'), objectHandle: handle(TPMI_DH_OBJECT) },
  parameters: { persistentHandle: handleParameter(TPMI_DH_PERSISTENT) },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})
