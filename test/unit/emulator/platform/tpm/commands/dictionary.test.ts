// Protection against dictionary attacks, with a clock that the test moves.

import { describe, expect, it } from 'vitest'
import { type Tpm } from '../../../../../../emulator/platform/tpm/tpm.ts'
import {
  passwordSession,
  TPM2_Clear,
  TPM2_DictionaryAttackLockReset,
  TPM2_DictionaryAttackParameters,
  TPM2_NV_DefineSpace,
  TPM2_NV_ReadPublic,
  TPM2_NV_Write,
  TPM2_Startup,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TPMA_NV,
  type TpmClient,
} from '../../../../../../sdk/tpm2/index.ts'
import { NONE, PW, refusal, rig, utf8 } from './crypto-rig.ts'

const INDEX = 0x01c00100
const lockHandle = TPM_RH.LOCKOUT
const pw = { sessions: [PW] }
const FAILED = TPM_RC.AUTH_FAIL + 0x900

interface Scene {
  readonly tpm: Tpm
  readonly client: TpmClient
  readonly wait: (seconds: number) => void
  readonly use: (auth: string) => Promise<unknown>
}

/** A TPM with an index that is protected by the authValue "right". */
async function scene(): Promise<Scene> {
  let now = 0n
  const { tpm, client } = await rig({ now: () => now })
  const attributes = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE
  const publicInfo = { nvIndex: INDEX, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: NONE, dataSize: 1 }
  const define = { authHandle: TPM_RH.OWNER, auth: utf8('right'), publicInfo }
  await client.call(TPM2_NV_DefineSpace, define, pw)
  return {
    tpm,
    client,
    wait: (seconds) => {
      now += BigInt(seconds) * 1000n
    },
    use: (auth) => {
      const request = { authHandle: INDEX, nvIndex: INDEX, data: Uint8Array.of(1), offset: 0 }
      return client.call(TPM2_NV_Write, request, { sessions: [passwordSession(utf8(auth))] })
    },
  }
}

const parameters = { lockHandle, newMaxTries: 2, newRecoveryTime: 60, lockoutRecovery: 600 }

describe('dictionary attack protection', () => {
  it('locks out after newMaxTries failures; recoveryTime forgives one at a time', async () => {
    const { client, use, wait } = await scene()
    await client.call(TPM2_DictionaryAttackParameters, parameters, pw)
    expect(await refusal(use('wrong'))).toBe(FAILED)
    await use('right')
    expect(await refusal(use('wrong'))).toBe(FAILED)
    expect(await refusal(use('right'))).toBe(TPM_RC.LOCKOUT)
    wait(59)
    expect(await refusal(use('right'))).toBe(TPM_RC.LOCKOUT)
    wait(1)
    await use('right')
    expect(await refusal(use('wrong'))).toBe(FAILED)
    expect(await refusal(use('right'))).toBe(TPM_RC.LOCKOUT)
  })

  it('a power cycle forgives nothing; LockReset forgives all', async () => {
    const { tpm, client, use } = await scene()
    await client.call(TPM2_DictionaryAttackParameters, parameters, pw)
    for (const attempt of ['wrong', 'wronger']) expect(await refusal(use(attempt))).toBe(FAILED)
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
    expect(await refusal(use('right'))).toBe(TPM_RC.LOCKOUT)
    await client.call(TPM2_DictionaryAttackLockReset, { lockHandle }, pw)
    await use('right')
  })

  it('one failure of lockoutAuth closes it for lockoutRecovery', async () => {
    const { client, wait } = await scene()
    await client.call(TPM2_DictionaryAttackParameters, parameters, pw)
    const reset = (auth: Uint8Array): Promise<unknown> =>
      client.call(TPM2_DictionaryAttackLockReset, { lockHandle }, { sessions: [passwordSession(auth)] })
    expect(await refusal(reset(utf8('wrong')))).toBe(FAILED)
    wait(599)
    expect(await refusal(reset(NONE))).toBe(TPM_RC.LOCKOUT)
    wait(1)
    await reset(NONE)
  })

  it('with lockoutRecovery 0 only a restart opens lockoutAuth again', async () => {
    const { tpm, client, wait } = await scene()
    await client.call(TPM2_DictionaryAttackParameters, { ...parameters, lockoutRecovery: 0 }, pw)
    const clear = (auth: Uint8Array): Promise<unknown> =>
      client.call(TPM2_Clear, { authHandle: lockHandle }, { sessions: [passwordSession(auth)] })
    expect(await refusal(clear(utf8('wrong')))).toBe(FAILED)
    wait(100_000)
    expect(await refusal(clear(NONE))).toBe(TPM_RC.LOCKOUT)
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
    await clear(NONE)
    expect(await refusal(client.call(TPM2_NV_ReadPublic, { nvIndex: INDEX }))).toBe(TPM_RC.HANDLE + 0x100)
  })

  it('with recoveryTime 0 nothing counts, with no tries nothing is protected but locked', async () => {
    const { client, use } = await scene()
    await client.call(TPM2_DictionaryAttackParameters, { ...parameters, newRecoveryTime: 0 }, pw)
    for (const attempt of ['a', 'b', 'c', 'd']) expect(await refusal(use(attempt))).toBe(FAILED)
    await use('right')
    await client.call(TPM2_DictionaryAttackParameters, { ...parameters, newMaxTries: 0 }, pw)
    expect(await refusal(use('right'))).toBe(TPM_RC.LOCKOUT)
  })
})
