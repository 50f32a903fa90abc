// A TPM filled up to its limits: the next thing is refused without a change, and its state can be stored and read again,
// although it is longer than anything that commands carry.

import { describe, expect, it } from 'vitest'
import {
  baseCode,
  TPM2_ClockRateAdjust,
  TPM2_EC_Ephemeral,
  TPM2_HashSequenceStart,
  TPM2_NV_DefineSpace,
  TPM2_NV_Write,
  TPM2_ReadClock,
  TPM2_StartAuthSession,
  TPM_ALG,
  TPM_CLOCK_ADJUST,
  TPM_ECC,
  TPM_RC,
  TPM_RH,
  TPM_SE,
  TpmResponseError,
} from '../../../../../../sdk/tpm2/index.ts'
import { changedState } from './attack.ts'
import { NONE, NV_INDEX, OWNER_NV, Rig, type SavedStates } from './scene.ts'

const NV_BYTES = 2048

/** Does it until the TPM refuses; returns how often it could be done. The refusal changes nothing. */
async function fill(rig: Rig, rc: number, work: (count: number) => Promise<unknown>): Promise<number> {
  for (let count = 0; ; count += 1) {
    const before = rig.states()
    try {
      await work(count)
    } catch (error) {
      if (!(error instanceof TpmResponseError)) throw error
      expect(baseCode(error.rc)).toBe(rc)
      expect(changedState(before, rig.states())).toBeUndefined()
      return count
    }
  }
}

function expectRestorable(rig: Rig): SavedStates {
  const states = rig.states()
  rig.restore(states)
  expect(changedState(states, rig.states())).toBeUndefined()
  return states
}

describe('[hostile] a full TPM', () => {
  it('NV memory without room for another index survives a restart', async () => {
    const rig = new Rig()
    await rig.startup()
    const count = await fill(rig, TPM_RC.NV_SPACE, async (done) => {
      const nvIndex = NV_INDEX + done
      const publicInfo = {
        ...{ nvIndex, nameAlg: TPM_ALG.SHA256, attributes: OWNER_NV, authPolicy: NONE },
        dataSize: NV_BYTES,
      }
      await rig.call(TPM2_NV_DefineSpace, { authHandle: TPM_RH.OWNER, auth: NONE, publicInfo })
      const data = new Uint8Array(NV_BYTES / 2).fill(done)
      for (const offset of [0, data.length]) {
        await rig.call(TPM2_NV_Write, { authHandle: TPM_RH.OWNER, nvIndex, data, offset })
      }
    })
    expect(count).toBeGreaterThan(50)
    expect(expectRestorable(rig).permanent.length).toBeGreaterThan(64 * 1024)
    rig.tpm.reset()
    await rig.startup()
    expect(rig.tpm.saveState('permanent').length).toBeGreaterThan(64 * 1024)
  })

  it('slots without room for another object or session can be put aside', async () => {
    const rig = new Rig()
    await rig.startup()
    const objects = await fill(rig, TPM_RC.OBJECT_MEMORY, () =>
      rig.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg: TPM_ALG.NULL }),
    )
    const sessions = await fill(rig, TPM_RC.SESSION_MEMORY, () =>
      rig.call(TPM2_StartAuthSession, {
        tpmKey: TPM_RH.NULL,
        bind: TPM_RH.NULL,
        nonceCaller: new Uint8Array(32),
        encryptedSalt: NONE,
        sessionType: TPM_SE.POLICY,
        symmetric: { algorithm: TPM_ALG.NULL },
        authHash: TPM_ALG.SHA256,
      }),
    )
    expect([objects, sessions].every((count) => count >= 64)).toBe(true)
    expect(expectRestorable(rig).volatile.length).toBeGreaterThan(64 * 1024)
  })
})

describe('[hostile] commits', () => {
  it('that nobody ends are forgotten, the oldest first', async () => {
    const rig = new Rig()
    await rig.startup()
    for (let count = 0; count < 140; count += 1) {
      const { counter } = await rig.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
      expect(counter).toBe(count)
    }
    expectRestorable(rig)
  })
})

describe('[hostile] a TPM that is put aside', () => {
  it('goes on with the rate that its clock was adjusted to', async () => {
    let now = 0n
    const rig = new Rig(undefined, { now: () => now })
    await rig.startup()
    const adjust = { auth: TPM_RH.OWNER, rateAdjust: TPM_CLOCK_ADJUST.COARSE_FASTER }
    await rig.call(TPM2_ClockRateAdjust, adjust)
    rig.tpm.putAside()
    rig.tpm.reset()
    const before = (await rig.call(TPM2_ReadClock, {})).currentTime.time
    now += 1_000_000n
    expect((await rig.call(TPM2_ReadClock, {})).currentTime.time - before).toBe(1_010_000n)
  })
})
