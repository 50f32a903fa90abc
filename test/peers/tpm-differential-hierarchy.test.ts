// Hierarchies, dictionary attack protection, clocks, physical presence and command audit: our TPM against swtpm, command
// by command.

import { describe, it } from 'vitest'
import {
  passwordSession,
  TPM2_ChangeEPS,
  TPM2_ChangePPS,
  TPM2_Clear,
  TPM2_ClearControl,
  TPM2_ClockRateAdjust,
  TPM2_ClockSet,
  TPM2_DictionaryAttackLockReset,
  TPM2_DictionaryAttackParameters,
  TPM2_FlushContext,
  TPM2_GetCapability,
  TPM2_HierarchyChangeAuth,
  TPM2_HierarchyControl,
  TPM2_NV_DefineSpace,
  TPM2_NV_Read,
  TPM2_NV_ReadPublic,
  TPM2_NV_Write,
  TPM2_PP_Commands,
  TPM2_ReadClock,
  TPM2_SetCommandCodeAuditStatus,
  TPM2_SetPrimaryPolicy,
  TPM2_Shutdown,
  TPM_ALG,
  TPM_CAP,
  TPM_CC,
  TPM_CLOCK_ADJUST,
  TPM_PT,
  TPM_RH,
  TPM_SU,
  TPMA_NV,
} from '../../sdk/tpm2/index.ts'
import { startHmacSession } from '../../sdk/tpm2/client.ts'
import { type Probe, sameOnBoth } from './tpm-differential/probe.ts'

const NONE = new Uint8Array(0)
const INDEX = 0x01500000
const bytes = (...octets: readonly number[]): Uint8Array => Uint8Array.from(octets)
const pw = passwordSession()
const wrong = passwordSession(bytes(9))
const HIERARCHIES = [TPM_RH.OWNER, TPM_RH.ENDORSEMENT, TPM_RH.PLATFORM, TPM_RH.LOCKOUT]

/** Records TPM_PT of the given numbers. */
async function showProperties(probe: Probe, label: string, ...properties: readonly number[]): Promise<void> {
  for (const property of properties) {
    const request = { capability: TPM_CAP.TPM_PROPERTIES, property, propertyCount: 1 }
    const response = await probe.try(label, TPM2_GetCapability, request)
    const data = response?.capabilityData
    const value = data?.capability === TPM_CAP.TPM_PROPERTIES ? data.data[0]?.value : undefined
    probe.show(`${label}, property 0x${property.toString(16)}`, value?.toString(16))
  }
}

async function defineNv(
  probe: Probe,
  label: string,
  more = 0,
  authHandle: number = TPM_RH.OWNER,
): Promise<void> {
  const attributes = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | more
  const publicInfo = { nvIndex: INDEX, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: NONE, dataSize: 4 }
  await probe.try(label, TPM2_NV_DefineSpace, { authHandle, auth: bytes(1), publicInfo }, { sessions: [pw] })
}

async function useNv(probe: Probe, label: string, password: number): Promise<void> {
  const request = { authHandle: INDEX, nvIndex: INDEX, data: bytes(1), offset: 0 }
  await probe.try(label, TPM2_NV_Write, request, { sessions: [passwordSession(bytes(password))] })
}

describe('hierarchies as swtpm has them', () => {
  it('authValues', async (context) => {
    await sameOnBoth(context, async (probe) => {
      for (const authHandle of HIERARCHIES) {
        const label = `0x${authHandle.toString(16)}`
        const change = async (what: string, newAuth: Uint8Array, old: Uint8Array): Promise<void> => {
          const sessions = [passwordSession(old)]
          await probe.try(
            `${label}, ${what}`,
            TPM2_HierarchyChangeAuth,
            { authHandle, newAuth },
            { sessions },
          )
        }
        await change('set', bytes(1, 2, 0, 0), NONE)
        await change('with zeros', bytes(1, 2), bytes(1, 2, 0, 0, 0))
        await change('longest', new Uint8Array(64).fill(7), bytes(1, 2))
        await change('removed', NONE, new Uint8Array(64).fill(7))
        const session = await startHmacSession(probe.client)
        await probe.try(
          `${label}, by HMAC`,
          TPM2_HierarchyChangeAuth,
          { authHandle, newAuth: bytes(5) },
          { sessions: [session.use({ auth: NONE, authAfter: bytes(5) })] },
        )
        await probe.client.call(TPM2_FlushContext, { flushHandle: session.handle })
        await change('removed', NONE, bytes(5))
      }
      await probe.try(
        'wrong',
        TPM2_HierarchyChangeAuth,
        { authHandle: TPM_RH.OWNER, newAuth: NONE },
        { sessions: [wrong] },
      )
      await probe.try('none', TPM2_HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: NONE })
      await probe.try(
        'NULL',
        TPM2_HierarchyChangeAuth,
        { authHandle: TPM_RH.NULL, newAuth: NONE },
        { sessions: [pw] },
      )
    })
  })

  it('policies', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const cases = [
        [TPM_ALG.SHA256, 32],
        [TPM_ALG.SHA256, 20],
        [TPM_ALG.SHA1, 20],
        [TPM_ALG.NULL, 0],
        [TPM_ALG.NULL, 32],
        [TPM_ALG.SHA512, 64],
        [TPM_ALG.SM3_256, 32],
      ] as const
      for (const authHandle of [...HIERARCHIES, TPM_RH.ACT_0]) {
        for (const [hashAlg, size] of cases) {
          if (hashAlg === TPM_ALG.SM3_256) continue
          const label = `0x${authHandle.toString(16)}, 0x${hashAlg.toString(16)}, ${String(size)}`
          const request = { authHandle, authPolicy: new Uint8Array(size), hashAlg }
          await probe.try(label, TPM2_SetPrimaryPolicy, request, { sessions: [pw] })
        }
      }
    })
  })

  it('switches', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await defineNv(probe, 'an index of the owner', TPMA_NV.NO_DA)
      for (const authHandle of [TPM_RH.OWNER, TPM_RH.ENDORSEMENT, TPM_RH.PLATFORM]) {
        for (const enable of [TPM_RH.OWNER, TPM_RH.ENDORSEMENT, TPM_RH.PLATFORM_NV, TPM_RH.PLATFORM]) {
          for (const state of [true, false, true]) {
            const label = `0x${authHandle.toString(16)}, 0x${enable.toString(16)}, ${String(state)}`
            await probe.try(label, TPM2_HierarchyControl, { authHandle, enable, state }, { sessions: [pw] })
            await probe.try(label, TPM2_NV_ReadPublic, { nvIndex: INDEX })
            await showProperties(probe, label, TPM_PT.STARTUP_CLEAR)
          }
        }
        const shutdownType = authHandle === TPM_RH.PLATFORM ? TPM_SU.STATE : TPM_SU.CLEAR
        await probe.try('shutdown', TPM2_Shutdown, { shutdownType })
        await probe.restart(shutdownType)
        await showProperties(probe, 'after a startup', TPM_PT.STARTUP_CLEAR)
      }
    })
  })

  it('clearing', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const control = async (label: string, auth: number, disable: boolean): Promise<void> => {
        await probe.try(label, TPM2_ClearControl, { auth, disable }, { sessions: [pw] })
      }
      const clear = async (label: string, authHandle: number): Promise<void> => {
        await probe.try(label, TPM2_Clear, { authHandle }, { sessions: [pw] })
        await showProperties(probe, label, TPM_PT.PERMANENT, TPM_PT.MAX_AUTH_FAIL, TPM_PT.LOCKOUT_INTERVAL)
      }
      await control('lockout disables', TPM_RH.LOCKOUT, true)
      await clear('disabled', TPM_RH.LOCKOUT)
      await clear('disabled', TPM_RH.PLATFORM)
      await control('lockout enables', TPM_RH.LOCKOUT, false)
      await control('owner enables', TPM_RH.OWNER, false)
      await control('platform enables', TPM_RH.PLATFORM, false)
      await defineNv(probe, 'of the owner', TPMA_NV.NO_DA)
      const parameters = {
        lockHandle: TPM_RH.LOCKOUT,
        newMaxTries: 9,
        newRecoveryTime: 8,
        lockoutRecovery: 7,
      }
      await probe.try('parameters', TPM2_DictionaryAttackParameters, parameters, { sessions: [pw] })
      for (const authHandle of [TPM_RH.OWNER, TPM_RH.ENDORSEMENT]) {
        await probe.try(
          'authValue',
          TPM2_HierarchyChangeAuth,
          { authHandle, newAuth: bytes(1) },
          { sessions: [pw] },
        )
      }
      await showProperties(probe, 'before', TPM_PT.PERMANENT, TPM_PT.MAX_AUTH_FAIL)
      await clear('by the owner', TPM_RH.OWNER)
      await clear('by lockout', TPM_RH.LOCKOUT)
      await probe.try('of the owner', TPM2_NV_ReadPublic, { nvIndex: INDEX })
      await defineNv(probe, 'of the platform', TPMA_NV.PLATFORMCREATE | TPMA_NV.NO_DA, TPM_RH.PLATFORM)
      await clear('by the platform', TPM_RH.PLATFORM)
      await probe.try('of the platform', TPM2_NV_ReadPublic, { nvIndex: INDEX })
      const { currentTime } = await probe.client.call(TPM2_ReadClock, {})
      probe.show('resets', currentTime.clockInfo.resetCount)
      probe.show('restarts', currentTime.clockInfo.restartCount)
      probe.show('clock below a minute', currentTime.clockInfo.clock < 60_000n)
    })
  })

  it('seeds', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await defineNv(probe, 'of the platform', TPMA_NV.PLATFORMCREATE | TPMA_NV.NO_DA, TPM_RH.PLATFORM)
      const platform = { authHandle: TPM_RH.PLATFORM }
      for (const authHandle of [TPM_RH.PLATFORM, TPM_RH.ENDORSEMENT]) {
        await probe.try(
          'authValue',
          TPM2_HierarchyChangeAuth,
          { authHandle, newAuth: bytes(1) },
          { sessions: [pw] },
        )
      }
      const sessions = [passwordSession(bytes(1))]
      await probe.try('PPS', TPM2_ChangePPS, platform, { sessions: [pw] })
      await probe.try('PPS', TPM2_ChangePPS, platform, { sessions })
      await probe.try('of the platform', TPM2_NV_ReadPublic, { nvIndex: INDEX })
      await probe.try('EPS', TPM2_ChangeEPS, platform, { sessions })
      await showProperties(probe, 'after', TPM_PT.PERMANENT)
      await probe.try('PPS by the owner', TPM2_ChangePPS, { authHandle: TPM_RH.OWNER }, { sessions: [pw] })
    })
  })
})

describe('dictionary attack protection as swtpm has it', () => {
  it('lockout and its end', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const lockHandle = TPM_RH.LOCKOUT
      const show = (label: string): Promise<void> =>
        showProperties(probe, label, TPM_PT.LOCKOUT_COUNTER, TPM_PT.PERMANENT)
      await defineNv(probe, 'protected')
      await useNv(probe, 'right', 1)
      for (const attempt of [1, 2, 3, 4]) {
        await useNv(probe, `wrong, ${String(attempt)}`, 2)
        await show(`wrong, ${String(attempt)}`)
      }
      await useNv(probe, 'locked out', 1)
      await probe.try('reset', TPM2_DictionaryAttackLockReset, { lockHandle }, { sessions: [pw] })
      await show('reset')
      await useNv(probe, 'right', 1)
      const parameters = { lockHandle, newMaxTries: 0, newRecoveryTime: 10, lockoutRecovery: 10 }
      await probe.try('no tries', TPM2_DictionaryAttackParameters, parameters, { sessions: [pw] })
      await useNv(probe, 'no tries', 1)
      await show('no tries')
      const lenient = { lockHandle, newMaxTries: 2, newRecoveryTime: 0, lockoutRecovery: 0 }
      await probe.try('no recovery', TPM2_DictionaryAttackParameters, lenient, { sessions: [pw] })
      await useNv(probe, 'wrong, not counted', 2)
      await show('wrong, not counted')
      await probe.try(
        'by the owner',
        TPM2_DictionaryAttackLockReset,
        { lockHandle: TPM_RH.OWNER },
        { sessions: [pw] },
      )
      await probe.try('wrong', TPM2_DictionaryAttackLockReset, { lockHandle }, { sessions: [wrong] })
      await probe.try('right, too late', TPM2_DictionaryAttackLockReset, { lockHandle }, { sessions: [pw] })
      await probe.try('right, too late', TPM2_Clear, { authHandle: lockHandle }, { sessions: [pw] })
      await probe.try('shutdown', TPM2_Shutdown, { shutdownType: TPM_SU.CLEAR })
      await probe.restart()
      await probe.try(
        'right after a restart',
        TPM2_DictionaryAttackLockReset,
        { lockHandle },
        { sessions: [pw] },
      )
      const request = { authHandle: TPM_RH.OWNER, nvIndex: INDEX, size: 1, offset: 0 }
      await probe.try('not protected', TPM2_NV_Read, request, { sessions: [pw] })
    })
  })
})

describe('clocks, physical presence and audit as swtpm has them', () => {
  it('clocks', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const set = async (label: string, newTime: bigint, auth: number = TPM_RH.OWNER): Promise<void> => {
        await probe.try(label, TPM2_ClockSet, { auth, newTime }, { sessions: [pw] })
      }
      await set('future', 10_000_000n)
      await set('past again', 9_000_000n)
      await set('by the platform', 20_000_000n, TPM_RH.PLATFORM)
      await set('by lockout', 30_000_000n, TPM_RH.LOCKOUT)
      await set('too far', 0xffff000000000001n)
      const { currentTime } = await probe.client.call(TPM2_ReadClock, {})
      probe.show('from there on', currentTime.clockInfo.clock >= 20_000_000n)
      probe.show('not much', currentTime.clockInfo.clock < 20_100_000n)
      probe.show('not time', currentTime.time < 1_000_000n)
      await set('as far as can be', 0xffff000000000000n)
      for (const rateAdjust of Object.values(TPM_CLOCK_ADJUST)) {
        const request = { auth: TPM_RH.OWNER, rateAdjust }
        await probe.try(`rate ${String(rateAdjust)}`, TPM2_ClockRateAdjust, request, { sessions: [pw] })
      }
    })
  })

  it('physical presence', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const request = { auth: TPM_RH.PLATFORM, setList: [TPM_CC.Clear], clearList: [] }
      await probe.try('not present', TPM2_PP_Commands, request, { sessions: [pw] })
      await probe.try(
        'not the platform',
        TPM2_PP_Commands,
        { ...request, auth: TPM_RH.OWNER },
        { sessions: [pw] },
      )
      const list = { capability: TPM_CAP.PP_COMMANDS, property: 0, propertyCount: 100 }
      const response = await probe.try('list', TPM2_GetCapability, list)
      probe.show('list', JSON.stringify(response?.capabilityData))
    })
  })

  it('command audit', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const none: readonly number[] = []
      const set = async (
        label: string,
        auditAlg: number,
        setList = none,
        clearList = none,
      ): Promise<void> => {
        const request = { auth: TPM_RH.OWNER, auditAlg, setList, clearList }
        await probe.try(label, TPM2_SetCommandCodeAuditStatus, request, { sessions: [pw] })
        const list = { capability: TPM_CAP.AUDIT_COMMANDS, property: 0, propertyCount: 100 }
        const response = await probe.try(label, TPM2_GetCapability, list)
        probe.show(label, JSON.stringify(response?.capabilityData))
        await showProperties(probe, label, TPM_PT.AUDIT_COUNTER_1)
      }
      await set('nothing', TPM_ALG.NULL)
      await set('two', TPM_ALG.NULL, [TPM_CC.GetRandom, TPM_CC.Clear])
      await set('shutdown', TPM_ALG.NULL, [TPM_CC.Shutdown])
      await set('unknown', TPM_ALG.NULL, [0x1000])
      await set('another hash with commands', TPM_ALG.SHA256, [TPM_CC.GetRandom])
      await set('another hash', TPM_ALG.SHA256)
      await set('the same hash with commands', TPM_ALG.SHA256, [TPM_CC.PCR_Read])
      await set('itself', TPM_ALG.NULL, none, [TPM_CC.SetCommandCodeAuditStatus, TPM_CC.Clear])
      await set('both ways', TPM_ALG.NULL, [TPM_CC.PCR_Extend], [TPM_CC.PCR_Extend])
      await set('another hash', TPM_ALG.SHA512)
      const request = { auth: TPM_RH.LOCKOUT, auditAlg: TPM_ALG.NULL, setList: none, clearList: none }
      await probe.try('by lockout', TPM2_SetCommandCodeAuditStatus, request, { sessions: [pw] })
    })
  })
})
