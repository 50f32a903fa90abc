// TPM2_ReadClock, TPM2_ClockSet and TPM2_ClockRateAdjust, with a time source that the test moves.

import { describe, expect, it } from 'vitest'
import {
  TPM2_ClockRateAdjust,
  TPM2_ClockSet,
  TPM2_ReadClock,
  TPM2_Shutdown,
  TPM2_Startup,
  TPM_CLOCK_ADJUST,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  type TpmClient,
  type TPMS_TIME_INFO,
} from '../../../../../../sdk/tpm2/index.ts'
import { atParameter, PW, refusal, rig } from './crypto-rig.ts'

const pw = { sessions: [PW] }

async function time(client: TpmClient): Promise<TPMS_TIME_INFO> {
  return (await client.call(TPM2_ReadClock, {})).currentTime
}

describe('the clock', () => {
  it('runs, counts resets and restarts, and never goes back at a power loss', async () => {
    let now = 0n
    const { tpm, client } = await rig({ now: () => now })
    const first = await time(client)
    now += 5000n
    const second = await time(client)
    expect(second.time - first.time).toBe(5000n)
    expect(second.clockInfo.clock - first.clockInfo.clock).toBe(5000n)
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
    const third = await time(client)
    expect(third.time).toBeLessThan(second.time)
    expect(third.clockInfo.clock).toBeGreaterThanOrEqual(second.clockInfo.clock)
    expect(third.clockInfo.resetCount).toBe(second.clockInfo.resetCount + 1)
    await client.call(TPM2_Shutdown, { shutdownType: TPM_SU.STATE })
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.STATE })
    const fourth = await time(client)
    expect(fourth.clockInfo.resetCount).toBe(third.clockInfo.resetCount)
    expect(fourth.clockInfo.restartCount).toBe(third.clockInfo.restartCount + 1)
  })

  it('is set forward only, and stays there after a power loss', async () => {
    const { tpm, client } = await rig()
    const set = (newTime: bigint): Promise<unknown> =>
      client.call(TPM2_ClockSet, { auth: TPM_RH.OWNER, newTime }, pw)
    await set(10_000_000n)
    expect((await time(client)).clockInfo.clock).toBeGreaterThanOrEqual(10_000_000n)
    expect(await refusal(set(9_999_999n))).toBe(atParameter(TPM_RC.VALUE, 1))
    expect(await refusal(set(0xffff_0000_0000_0001n))).toBe(atParameter(TPM_RC.VALUE, 1))
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
    expect((await time(client)).clockInfo.clock).toBeGreaterThanOrEqual(10_000_000n)
  })

  it('runs faster and slower by the steps that were asked for', async () => {
    let now = 0n
    const { client } = await rig({ now: () => now })
    const passed = async (): Promise<bigint> => {
      const before = (await time(client)).time
      now += 1_000_000n
      return (await time(client)).time - before
    }
    const adjust = (rateAdjust: number): Promise<unknown> =>
      client.call(TPM2_ClockRateAdjust, { auth: TPM_RH.OWNER, rateAdjust }, pw)
    expect(await passed()).toBe(1_000_000n)
    await adjust(TPM_CLOCK_ADJUST.COARSE_FASTER)
    expect(await passed()).toBe(1_010_000n)
    await adjust(TPM_CLOCK_ADJUST.NO_CHANGE)
    expect(await passed()).toBe(1_010_000n)
    await adjust(TPM_CLOCK_ADJUST.COARSE_SLOWER)
    await adjust(TPM_CLOCK_ADJUST.MEDIUM_SLOWER)
    expect(await passed()).toBe(999_000n)
    await adjust(TPM_CLOCK_ADJUST.MEDIUM_FASTER)
    await adjust(TPM_CLOCK_ADJUST.FINE_FASTER)
    expect(await passed()).toBe(1_000_033n)
  })
})
