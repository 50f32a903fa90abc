// Self-tests.

import { describe, expect, it } from 'vitest'
import { ALGORITHMS } from '../../../../../../emulator/platform/tpm/algorithms.ts'
import { passes, TESTED_ALGORITHMS } from '../../../../../../emulator/platform/tpm/entities/self-test.ts'
import { systemEntropy } from '../../../../../../emulator/platform/tpm/keys/index.ts'
import {
  TPM2_GetRandom,
  TPM2_GetTestResult,
  TPM2_IncrementalSelfTest,
  TPM2_SelfTest,
  TPM_ALG,
  TPM_RC,
} from '../../../../../../sdk/tpm2/index.ts'
import { atParameter, refusal, rig } from './crypto-rig.ts'

describe('self-tests', () => {
  it('there is one of every algorithm that the TPM reports, and each passes', () => {
    expect([...TESTED_ALGORITHMS].sort()).toEqual(ALGORITHMS.map(({ alg }) => alg).sort())
    const { next } = systemEntropy()
    for (const algorithm of TESTED_ALGORITHMS)
      expect([algorithm, passes(algorithm, next)]).toEqual([algorithm, true])
  })

  it('[control] an algorithm without a test, and one that cannot compute, do not pass', () => {
    expect(passes(TPM_ALG.SM2, systemEntropy().next)).toBe(false)
    const broken = (): Uint8Array => {
      throw new Error('no random bytes')
    }
    expect(passes(TPM_ALG.ECDSA, broken)).toBe(false)
    expect(passes(TPM_ALG.SHA256, broken)).toBe(true)
  })

  it('are done one by one, and stay done until power is cycled', async () => {
    const { client } = await rig()
    const toDo = async (...toTest: number[]) =>
      (await client.call(TPM2_IncrementalSelfTest, { toTest })).toDoList
    expect(await toDo()).toEqual([...TESTED_ALGORITHMS])
    expect(await toDo(TPM_ALG.SHA256, TPM_ALG.AES)).not.toContain(TPM_ALG.AES)
    expect(await toDo()).not.toContain(TPM_ALG.SHA256)
    const unknown = client.call(TPM2_IncrementalSelfTest, { toTest: [TPM_ALG.AES, 0x7fff] })
    expect(await refusal(unknown)).toBe(atParameter(TPM_RC.VALUE, 1))
    await client.call(TPM2_SelfTest, { fullTest: false })
    expect(await toDo()).toEqual([])
    expect((await client.call(TPM2_GetTestResult, {})).testResult).toBe(TPM_RC.SUCCESS)
  })

  it('are canceled by the platform, and go on later', async () => {
    const { tpm, client } = await rig()
    tpm.setCancel(true)
    expect(await refusal(client.call(TPM2_SelfTest, { fullTest: true }))).toBe(TPM_RC.CANCELED)
    tpm.setCancel(false)
    await client.call(TPM2_SelfTest, { fullTest: true })
  })

  it('in failure mode the result is all that can be had', async () => {
    const { tpm, client } = await rig()
    tpm.enterFailureMode()
    expect(await refusal(client.call(TPM2_GetRandom, { bytesRequested: 1 }))).toBe(TPM_RC.FAILURE)
    expect(await refusal(client.call(TPM2_SelfTest, { fullTest: true }))).toBe(TPM_RC.FAILURE)
    const { testResult, outData } = await client.call(TPM2_GetTestResult, {})
    expect(testResult).toBe(TPM_RC.FAILURE)
    expect(outData.length).toBeGreaterThan(0)
  })

  it('a test that fails takes the TPM into failure mode', async () => {
    const source = systemEntropy()
    let broken = false
    const entropy = {
      ...source,
      next: (bytes: number) => {
        if (broken) throw new Error('no random bytes')
        return source.next(bytes)
      },
    }
    const { client } = await rig({ entropy })
    broken = true
    expect(await refusal(client.call(TPM2_SelfTest, { fullTest: true }))).toBe(TPM_RC.FAILURE)
    broken = false
    expect(await refusal(client.call(TPM2_GetRandom, { bytesRequested: 1 }))).toBe(TPM_RC.FAILURE)
    expect((await client.call(TPM2_GetTestResult, {})).testResult).toBe(TPM_RC.FAILURE)
  })
})
