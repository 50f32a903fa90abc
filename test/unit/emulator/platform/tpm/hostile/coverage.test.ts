// Every command of the device has a scene, and each scene's command succeeds: what the other tests here change is valid
// before they change it.

import { describe, expect, it } from 'vitest'
import { IMPLEMENTED } from '../../../../../../emulator/platform/tpm/commands/index.ts'
import { TPM_RC } from '../../../../../../sdk/tpm2/index.ts'
import { responseOf, strike } from './attack.ts'
import { stage } from './scene.ts'
import { SCENES } from './scenes.ts'

describe('scenes', () => {
  it('there is one at least for every command of the device', () => {
    const shown = new Set(SCENES.map(({ row }) => row.code))
    const missing = [...IMPLEMENTED.values()].map(({ row }) => row).filter(({ code }) => !shown.has(code))
    expect(missing.map(({ name }) => name)).toEqual([])
  })

  it.each(SCENES.map((one) => [one.title, one] as const))(
    'control: %s succeeds, and again from the state before it',
    async (_, one) => {
      const { rig, sent } = await stage(one)
      expect(responseOf(sent.response)).toBe(TPM_RC.SUCCESS)
      rig.restore(sent.before)
      expect(rig.states()).toEqual(sent.before)
      const { rc, wrong } = strike(rig, sent.bytes, sent.locality, sent.before)
      expect({ rc, wrong }).toEqual({ rc: TPM_RC.SUCCESS, wrong: undefined })
    },
  )
})
