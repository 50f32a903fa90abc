// Commands that are refused for reasons outside of their bytes: authorization, locality, a disabled hierarchy, NV memory
// that cannot be written, a cancel signal. Each of the scenes' commands is put into each of these positions; what is
// refused changes nothing, and what succeeds changes nothing that it may not.

import { describe, expect, it } from 'vitest'
import { equalBytes } from '../../../../../../sdk/crypto/index.ts'
import {
  authHandles,
  baseCode,
  describeResponseCode,
  TPM2_HierarchyControl,
  TPM2_Shutdown,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  TPM_RS_PW,
  TPM_ST,
  TPM_SU,
  TPMA_SESSION,
  Writer,
} from '../../../../../../sdk/tpm2/index.ts'
import { strike } from './attack.ts'
import { type Rig, type Scene, stage, utf8 } from './scene.ts'
import { SCENES } from './scenes.ts'

const titled = (scenes: readonly Scene[]) => scenes.map((one) => [one.title, one] as const)
const started = SCENES.filter(({ off }) => !off)

/** A command with other passwords for all that it authorizes, each of these octets. */
function withPassword(scene: Scene, bytes: Uint8Array, password: Uint8Array): Uint8Array {
  const after = 10 + 4 * scene.row.handles.length
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const parameters = bytes.slice(after + 4 + view.getUint32(after))
  const area = new Writer()
  for (let left = authHandles(scene.row); left > 0; left -= 1) {
    area.uint32(TPM_RS_PW)
    area.uint16(0)
    area.uint8(TPMA_SESSION.continueSession)
    area.uint16(password.length)
    area.bytes(password)
  }
  const sealed = area.finish()
  const writer = new Writer()
  writer.bytes(bytes.subarray(0, after))
  writer.uint32(sealed.length)
  writer.bytes(sealed)
  writer.bytes(parameters)
  const command = writer.finish()
  new DataView(command.buffer).setUint32(2, command.length)
  return command
}

/** A command without its authorization area. */
function withoutSessions(scene: Scene, bytes: Uint8Array): Uint8Array {
  const after = 10 + 4 * scene.row.handles.length
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const command = Uint8Array.from([
    ...bytes.subarray(0, after),
    ...bytes.subarray(after + 4 + view.getUint32(after)),
  ])
  const header = new DataView(command.buffer)
  header.setUint16(0, TPM_ST.NO_SESSIONS)
  header.setUint32(2, command.length)
  return command
}

/** Sends the command and returns its code; throws when the response or the state is not what it may be. */
function outcome(rig: Rig, bytes: Uint8Array, locality: number): number {
  const { rc, wrong } = strike(rig, bytes, locality, rig.states())
  expect(wrong).toBeUndefined()
  return rc
}

const UNAUTHORIZED = new Set<number>([
  TPM_RC.BAD_AUTH,
  TPM_RC.AUTH_FAIL,
  TPM_RC.AUTH_TYPE,
  TPM_RC.AUTH_UNAVAILABLE,
])

describe('[hostile] authorization', () => {
  it.each(titled(started.filter(({ row }) => authHandles(row) > 0)))(
    '%s: a wrong password and no password at all change nothing but counts',
    async (_, one) => {
      const { rig, sent } = await stage(one)
      rig.restore(sent.before)
      const { row } = one
      const platformOnly = utf8('wrong')
      const rc = outcome(rig, withPassword(one, sent.bytes, platformOnly), sent.locality)
      expect(UNAUTHORIZED, describeResponseCode(rc)).toContain(baseCode(rc))
      rig.restore(sent.before)
      const none = outcome(rig, withoutSessions(one, sent.bytes), sent.locality)
      expect(none, row.name).toBe(TPM_RC.AUTH_MISSING)
    },
  )
})

describe('[hostile] locality', () => {
  it.each(titled(SCENES))(
    '%s at any other locality: a success, or a refusal without a change',
    async (_, one) => {
      const { rig, sent } = await stage(one)
      for (const locality of [0, 1, 2, 3, 4, 32, 255]) {
        rig.restore(sent.before)
        const rc = outcome(rig, sent.bytes, locality)
        expect([TPM_RC.SUCCESS, TPM_RC.LOCALITY], describeResponseCode(rc)).toContain(rc)
      }
    },
  )
})

const HIERARCHIES = [TPM_RH.OWNER, TPM_RH.ENDORSEMENT, TPM_RH.PLATFORM] as const

describe('[hostile] disabled hierarchies', () => {
  it.each(titled(started))(
    '%s with a hierarchy switched off: a success, or a refusal without a change',
    async (_, one) => {
      for (const enable of HIERARCHIES) {
        const { rig, sent } = await stage(one)
        rig.restore(sent.before)
        await rig.call(TPM2_HierarchyControl, { authHandle: TPM_RH.PLATFORM, enable, state: false })
        outcome(rig, sent.bytes, sent.locality)
      }
    },
  )

  it('control: what is authorized by a disabled hierarchy is refused', async () => {
    const authorized = started.filter(
      ({ title }) => title === 'TPM2_NV_DefineSpace' || title === 'TPM2_CreatePrimary',
    )
    expect(authorized).toHaveLength(2)
    for (const one of authorized) {
      const { rig, sent } = await stage(one)
      rig.restore(sent.before)
      await rig.call(TPM2_HierarchyControl, {
        authHandle: TPM_RH.PLATFORM,
        enable: TPM_RH.OWNER,
        state: false,
      })
      expect(baseCode(outcome(rig, sent.bytes, sent.locality))).toBe(TPM_RC.HIERARCHY)
    }
  })
})

/** Their rows say that they write NV memory, and they do not; see dispatch/execute.ts. */
const WITHOUT_NV = new Set<number>([
  TPM_CC.PCR_Extend,
  TPM_CC.PCR_Event,
  TPM_CC.PCR_Reset,
  TPM_CC.EventSequenceComplete,
])

describe('[hostile] NV memory that cannot be written', () => {
  it.each(titled(SCENES))('%s writes nothing to it', async (_, one) => {
    const { rig, sent } = await stage(one)
    rig.restore(sent.before)
    rig.tpm.setNvAvailable(false)
    const rc = outcome(rig, sent.bytes, sent.locality)
    const refused = one.row.nv === true && !WITHOUT_NV.has(one.row.code)
    const fit: readonly number[] = refused ? [TPM_RC.NV_UNAVAILABLE] : [TPM_RC.SUCCESS, TPM_RC.NV_UNAVAILABLE]
    expect(fit, describeResponseCode(rc)).toContain(rc)
    expect(equalBytes(rig.tpm.saveState('permanent'), sent.before.permanent)).toBe(true)
  })
})

describe('[hostile] NV memory that cannot be written, after TPM2_Shutdown', () => {
  it.each(titled(started))('%s leaves what the shutdown stored', async (_, one) => {
    const { rig, sent } = await stage(one)
    rig.restore(sent.before)
    await rig.call(TPM2_Shutdown, { shutdownType: TPM_SU.STATE })
    const before = rig.tpm.saveState('permanent')
    rig.tpm.setNvAvailable(false)
    outcome(rig, sent.bytes, sent.locality)
    expect(equalBytes(rig.tpm.saveState('permanent'), before)).toBe(true)
  })
})

describe('[hostile] a cancel signal', () => {
  it.each(titled(SCENES))('%s is canceled without a change, or succeeds', async (_, one) => {
    const { rig, sent } = await stage(one)
    rig.restore(sent.before)
    rig.tpm.setCancel(true)
    const rc = outcome(rig, sent.bytes, sent.locality)
    expect([TPM_RC.SUCCESS, TPM_RC.CANCELED], describeResponseCode(rc)).toContain(rc)
  })
})
