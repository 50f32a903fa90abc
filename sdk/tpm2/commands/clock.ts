// Clocks and timers. Source: TPM 2.0 Library, Part 3, clause 29, revision 1.59.

import { TPMS_TIME_INFO } from '../attest.ts'
import { UINT64 } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_RH_PROVISION } from '../handles.ts'
import { CLOCK_ADJUSTMENT } from '../interface-types.ts'

/** TPM2_ReadClock (29.1). */
export const TPM2_ReadClock = command({
  name: 'TPM2_ReadClock',
  code: TPM_CC.ReadClock,
  handles: {},
  parameters: {},
  responseHandles: {},
  response: { currentTime: TPMS_TIME_INFO },
})

/** TPM2_ClockSet (29.2). */
export const TPM2_ClockSet = command({
  name: 'TPM2_ClockSet',
  code: TPM_CC.ClockSet,
  handles: { auth: handle(TPMI_RH_PROVISION, 'USER') },
  parameters: { newTime: UINT64 },
  responseHandles: {},
  response: {},
  nv: true,
  pp: 'selectable',
})

/** TPM2_ClockRateAdjust (29.3). */
export const TPM2_ClockRateAdjust = command({
  name: 'TPM2_ClockRateAdjust',
  code: TPM_CC.ClockRateAdjust,
  handles: { auth: handle(TPMI_RH_PROVISION, 'USER') },
  parameters: { rateAdjust: CLOCK_ADJUSTMENT },
  responseHandles: {},
  response: {},
  pp: 'selectable',
})
