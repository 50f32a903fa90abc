// The command tables beside what TPMs say of their commands.
// Source: TPM 2.0 Library, Part 2, clause 8.9 (TPMA_CC), and Part 3, clause 30.2, revision 1.59.

import { expect, it } from 'vitest'
import {
  COMMANDS,
  commandAttributes,
  TPM2_GetCapability,
  TPM_CAP,
  TPM_CC,
  TpmClient,
} from '../../../sdk/tpm2/index.ts'
import { onEachTpm, type Tools } from './tools.ts'

/** Commands that the tables do not have: TPM_RC_COMMAND_CODE is the answer to them. */
const LEFT_OUT: ReadonlySet<number> = new Set([
  TPM_CC.SetAlgorithmSet,
  TPM_CC.FieldUpgradeStart,
  TPM_CC.FieldUpgradeData,
  TPM_CC.FirmwareRead,
  TPM_CC.AC_GetCapability,
  TPM_CC.AC_Send,
  TPM_CC.Policy_AC_SendSelect,
  TPM_CC.CertifyX509,
  TPM_CC.ACT_SetTimeout,
  TPM_CC.ECC_Encrypt,
  TPM_CC.ECC_Decrypt,
])

async function attributesOfCommands(t: Tools): Promise<Map<number, number>> {
  const client = new TpmClient(t.tpm)
  const attributes = new Map<number, number>()
  for (let property = 0, more = true; more;) {
    const { moreData, capabilityData } = await client.call(TPM2_GetCapability, {
      capability: TPM_CAP.COMMANDS,
      property,
      propertyCount: 256,
    })
    if (capabilityData.capability !== TPM_CAP.COMMANDS) throw new Error('expected commands')
    for (const value of capabilityData.data) {
      const vendor = (value & 0x2000_0000) !== 0
      if (!vendor) attributes.set(value & 0xffff, value)
      property = (value & 0xffff) + 1
    }
    more = moreData
  }
  return attributes
}

onEachTpm((on) => {
  it('TPMA_CC of every command is as in the tables', async () => {
    const found = await attributesOfCommands(on())
    const [ours, theirs] = [new Map<number, number>(), new Map<number, number>()]
    for (const [code, value] of found) if (!LEFT_OUT.has(code)) theirs.set(code, value)
    for (const [code, row] of COMMANDS) ours.set(code, commandAttributes(row))
    expect(theirs).toEqual(ours)
  })
})
