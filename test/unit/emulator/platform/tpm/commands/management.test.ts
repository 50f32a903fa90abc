// TPM2_PP_Commands: commands that need physical presence beside the platform's authorization.

import { describe, expect, it } from 'vitest'
import {
  TPM2_GetCapability,
  TPM2_ClearControl,
  TPM2_GetRandom,
  TPM2_PP_Commands,
  TPM_CAP,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  type TpmClient,
} from '../../../../../../sdk/tpm2/index.ts'
import { PW, refusal, rig } from './crypto-rig.ts'

const pw = { sessions: [PW] }
const NOT_PRESENT = TPM_RC.PP + 0x900
const auth = TPM_RH.PLATFORM

async function selected(client: TpmClient): Promise<readonly number[]> {
  const request = { capability: TPM_CAP.PP_COMMANDS, property: 0, propertyCount: 100 }
  const { capabilityData } = await client.call(TPM2_GetCapability, request)
  return capabilityData.capability === TPM_CAP.PP_COMMANDS ? capabilityData.data : []
}

describe('TPM2_PP_Commands', () => {
  it('needs presence itself, always', async () => {
    const { tpm, client } = await rig()
    const none = { auth, setList: [], clearList: [TPM_CC.PP_Commands] }
    expect(await refusal(client.call(TPM2_PP_Commands, none, pw))).toBe(NOT_PRESENT)
    tpm.setPhysicalPresence(true)
    await client.call(TPM2_PP_Commands, none, pw)
    expect(await selected(client)).toEqual([TPM_CC.PP_Commands])
  })

  it('selects commands that can be; with the platform they then need presence, with others not', async () => {
    const { tpm, client } = await rig()
    const control = { auth, disable: false }
    await client.call(TPM2_ClearControl, control, pw)
    tpm.setPhysicalPresence(true)
    const setList = [TPM_CC.ClearControl, TPM_CC.GetRandom, 0x1000]
    await client.call(TPM2_PP_Commands, { auth, setList, clearList: [] }, pw)
    expect(await selected(client)).toEqual([TPM_CC.ClearControl, TPM_CC.PP_Commands])
    await client.call(TPM2_ClearControl, control, pw)
    tpm.setPhysicalPresence(false)
    expect(await refusal(client.call(TPM2_ClearControl, control, pw))).toBe(NOT_PRESENT)
    await client.call(TPM2_ClearControl, { auth: TPM_RH.LOCKOUT, disable: true }, pw)
    await client.call(TPM2_GetRandom, { bytesRequested: 1 })
    tpm.setPhysicalPresence(true)
    await client.call(TPM2_PP_Commands, { auth, setList: [], clearList: setList }, pw)
    tpm.setPhysicalPresence(false)
    await client.call(TPM2_ClearControl, control, pw)
  })
})
