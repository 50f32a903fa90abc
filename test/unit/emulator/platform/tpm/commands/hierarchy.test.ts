// Hierarchies: what becomes of keys, objects, authorizations and tickets when they are cleared, renewed or switched off.

import { describe, expect, it } from 'vitest'
import { MemoryTpmStore } from '../../../../../../emulator/platform/tpm/state/store.ts'
import {
  hash,
  passwordSession,
  startPolicySession,
  TPM2_ChangeEPS,
  TPM2_ChangePPS,
  TPM2_Clear,
  TPM2_ClearControl,
  TPM2_ClockSet,
  TPM2_EvictControl,
  TPM2_FlushContext,
  TPM2_HierarchyChangeAuth,
  TPM2_HierarchyControl,
  TPM2_PolicyAuthValue,
  TPM2_ReadClock,
  TPM2_ReadPublic,
  TPM2_SetPrimaryPolicy,
  TPM2_Shutdown,
  TPM2_Startup,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  type TpmClient,
} from '../../../../../../sdk/tpm2/index.ts'
import { atHandle, NONE, primaryAk, PW, refusal, rig, utf8 } from './crypto-rig.ts'

const pw = { sessions: [PW] }
const PERSISTENT = 0x81010001
async function createPrimary(
  client: TpmClient,
  primaryHandle: number,
): Promise<{ handle: number; name: string }> {
  const { objectHandle, name } = await primaryAk(client, primaryHandle)
  return { handle: objectHandle, name: Buffer.from(name).toString('hex') }
}

/** Names of the primary keys of the three hierarchies, which tell their seeds apart. */
async function primaries(client: TpmClient): Promise<string[]> {
  const names: string[] = []
  for (const hierarchy of [TPM_RH.OWNER, TPM_RH.ENDORSEMENT, TPM_RH.PLATFORM]) {
    const { handle, name } = await createPrimary(client, hierarchy)
    names.push(name)
    await client.call(TPM2_FlushContext, { flushHandle: handle })
  }
  return names
}

const changed = (before: readonly string[], after: readonly string[]): boolean[] =>
  before.map((name, at) => name !== after[at])

const changeAuth = (
  client: TpmClient,
  authHandle: number,
  newAuth: Uint8Array,
  old: Uint8Array = NONE,
): Promise<unknown> =>
  client.call(TPM2_HierarchyChangeAuth, { authHandle, newAuth }, { sessions: [passwordSession(old)] })

describe('TPM2_Clear', () => {
  it("renews the owner's seed only, and takes objects, authValues and counters of owner and endorser", async () => {
    const { client } = await rig()
    const before = await primaries(client)
    const { handle } = await createPrimary(client, TPM_RH.OWNER)
    const evict = { auth: TPM_RH.OWNER, objectHandle: handle, persistentHandle: PERSISTENT }
    await client.call(TPM2_EvictControl, evict, pw)
    for (const hierarchy of [TPM_RH.OWNER, TPM_RH.ENDORSEMENT])
      await changeAuth(client, hierarchy, utf8('auth'))
    await client.call(TPM2_ClockSet, { auth: TPM_RH.PLATFORM, newTime: 100_000n }, pw)
    await client.call(TPM2_Clear, { authHandle: TPM_RH.LOCKOUT }, pw)
    expect(await refusal(client.call(TPM2_ReadPublic, { objectHandle: handle }))).toBe(TPM_RC.REFERENCE_H0)
    expect(await refusal(client.call(TPM2_ReadPublic, { objectHandle: PERSISTENT }))).toBe(
      atHandle(TPM_RC.HANDLE, 1),
    )
    expect(changed(before, await primaries(client))).toEqual([true, false, false])
    const { clockInfo } = (await client.call(TPM2_ReadClock, {})).currentTime
    expect(clockInfo).toMatchObject({ resetCount: 0, restartCount: 0 })
    expect(clockInfo.clock).toBeLessThan(60_000n)
  })

  it('is stored before it is answered', async () => {
    const store = new MemoryTpmStore()
    const { client } = await rig({ store })
    const before = await primaries(client)
    await client.call(TPM2_Clear, { authHandle: TPM_RH.PLATFORM }, pw)
    const after = await primaries(client)
    expect(changed(before, after)).toEqual([true, false, false])
    const other = await rig({ store })
    expect(await primaries(other.client)).toEqual(after)
  })

  it('is refused after TPM2_ClearControl, which only the platform takes back', async () => {
    const { client } = await rig()
    const before = await primaries(client)
    const control = (auth: number, disable: boolean): Promise<unknown> =>
      client.call(TPM2_ClearControl, { auth, disable }, pw)
    const clear = (): Promise<unknown> => client.call(TPM2_Clear, { authHandle: TPM_RH.LOCKOUT }, pw)
    await control(TPM_RH.LOCKOUT, true)
    expect(await refusal(clear())).toBe(TPM_RC.DISABLED)
    expect(await refusal(control(TPM_RH.LOCKOUT, false))).toBe(TPM_RC.AUTH_FAIL)
    expect(await primaries(client)).toEqual(before)
    await control(TPM_RH.PLATFORM, false)
    await clear()
  })
})

describe('TPM2_ChangeEPS and TPM2_ChangePPS', () => {
  it('renew one seed each', async () => {
    const { client } = await rig()
    const before = await primaries(client)
    await client.call(TPM2_ChangeEPS, { authHandle: TPM_RH.PLATFORM }, pw)
    const between = await primaries(client)
    expect(changed(before, between)).toEqual([false, true, false])
    await client.call(TPM2_ChangePPS, { authHandle: TPM_RH.PLATFORM }, pw)
    expect(changed(between, await primaries(client))).toEqual([false, false, true])
  })
})

describe('TPM2_HierarchyControl', () => {
  it('takes the objects of a hierarchy out of use until it is enabled or the TPM restarts', async () => {
    const { tpm, client } = await rig()
    const { handle } = await createPrimary(client, TPM_RH.OWNER)
    const evict = { auth: TPM_RH.OWNER, objectHandle: handle, persistentHandle: PERSISTENT }
    await client.call(TPM2_EvictControl, evict, pw)
    const control = (authHandle: number, state: boolean): Promise<unknown> =>
      client.call(TPM2_HierarchyControl, { authHandle, enable: TPM_RH.OWNER, state }, pw)
    await control(TPM_RH.OWNER, false)
    expect(await refusal(client.call(TPM2_ReadPublic, { objectHandle: handle }))).toBe(TPM_RC.REFERENCE_H0)
    expect(await refusal(client.call(TPM2_ReadPublic, { objectHandle: PERSISTENT }))).toBe(
      atHandle(TPM_RC.HANDLE, 1),
    )
    expect(await refusal(createPrimary(client, TPM_RH.OWNER))).toBe(atHandle(TPM_RC.HIERARCHY, 1))
    expect(await refusal(control(TPM_RH.OWNER, true))).toBe(atHandle(TPM_RC.HIERARCHY, 1))
    await control(TPM_RH.PLATFORM, true)
    await client.call(TPM2_ReadPublic, { objectHandle: PERSISTENT })
    await control(TPM_RH.PLATFORM, false)
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
    await client.call(TPM2_ReadPublic, { objectHandle: PERSISTENT })
  })

  it('every startup enables the platform hierarchy, a resume leaves the others as they were', async () => {
    const { tpm, client } = await rig()
    for (const enable of [TPM_RH.OWNER, TPM_RH.PLATFORM]) {
      await client.call(TPM2_HierarchyControl, { authHandle: TPM_RH.PLATFORM, enable, state: false }, pw)
    }
    await client.call(TPM2_Shutdown, { shutdownType: TPM_SU.STATE })
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.STATE })
    expect(await refusal(createPrimary(client, TPM_RH.OWNER))).toBe(atHandle(TPM_RC.HIERARCHY, 1))
    await createPrimary(client, TPM_RH.PLATFORM)
  })
})

describe('authorizations of hierarchies', () => {
  it("survive a restart, but the platform's, which lasts until the next reset", async () => {
    const { tpm, client } = await rig()
    for (const hierarchy of [TPM_RH.OWNER, TPM_RH.PLATFORM]) await changeAuth(client, hierarchy, utf8('auth'))
    expect(await refusal(changeAuth(client, TPM_RH.OWNER, NONE))).toBe(TPM_RC.BAD_AUTH + 0x900)
    expect(await refusal(changeAuth(client, TPM_RH.PLATFORM, NONE))).toBe(TPM_RC.BAD_AUTH + 0x900)
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
    await changeAuth(client, TPM_RH.PLATFORM, NONE)
    expect(await refusal(changeAuth(client, TPM_RH.OWNER, NONE))).toBe(TPM_RC.BAD_AUTH + 0x900)
    await changeAuth(client, TPM_RH.OWNER, NONE, utf8('auth'))
  })

  it('by policy, once there is one', async () => {
    const { client } = await rig()
    const session = await startPolicySession(client)
    const authHandle = TPM_RH.LOCKOUT
    const use = async (): Promise<unknown> => {
      await client.call(TPM2_PolicyAuthValue, { policySession: session.handle })
      const sessions = [session.use({ proof: 'hmac' })]
      return client.call(TPM2_ClearControl, { auth: authHandle, disable: true }, { sessions })
    }
    expect(await refusal(use())).toBe(TPM_RC.AUTH_UNAVAILABLE)
    const authPolicy = hash(TPM_ALG.SHA256, new Uint8Array(32), Uint8Array.of(0, 0, 1, 0x6b))
    await client.call(TPM2_SetPrimaryPolicy, { authHandle, authPolicy, hashAlg: TPM_ALG.SHA256 }, pw)
    expect(await refusal(use())).toBe(TPM_RC.POLICY_FAIL + 0x900)
    const other = await startPolicySession(client)
    await client.call(TPM2_PolicyAuthValue, { policySession: other.handle })
    const sessions = [other.use({ proof: 'hmac' })]
    await client.call(TPM2_ClearControl, { auth: authHandle, disable: true }, { sessions })
  })
})
