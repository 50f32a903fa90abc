// The TPM as a device: power and startup, shutdown, localities, the hash interface of its platform, physical presence, NV
// memory that can not be written, failure mode, slots, and the same keys from the same seed.

import { describe, expect, it } from 'vitest'
import {
  DEFAULT_LIMITS,
  fixedEntropy,
  HARDWARE_LIMITS,
  MemoryTpmStore,
  Tpm,
} from '../../../../../emulator/platform/tpm/index.ts'
import {
  hash,
  marshal,
  passwordSession,
  startPolicyDirectly,
  TPM2_Clear,
  TPM2_ContextLoad,
  TPM2_ContextSave,
  TPM2_GetCapability,
  TPM2_GetTestResult,
  TPM2_HashSequenceStart,
  TPM2_HierarchyChangeAuth,
  TPM2_PP_Commands,
  TPM2_ReadPublic,
  TPM2_SelfTest,
  TPM_ALG,
  TPM_CAP,
  TPM_CC,
  TPM_PT,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TPMT_PUBLIC,
} from '../../../../../sdk/tpm2/index.ts'
import { ECC_STORAGE, NONE, Powered, rcOf, responseCode, RSA_STORAGE, utf8 } from './powered.ts'

const ZERO = '00'.repeat(32)
const ONES = 'ff'.repeat(32)
const sha256 = (...parts: Uint8Array[]): string => Buffer.from(hash(TPM_ALG.SHA256, ...parts)).toString('hex')

describe('power', () => {
  it('answers nothing without it, and nothing but TPM2_Startup after it', () => {
    const tpm = new Tpm()
    expect(tpm.powered).toBe(false)
    expect(tpm.execute(new Uint8Array(10))).toEqual(NONE)
    const powered = new Powered()
    expect(powered.tpm.powered).toBe(true)
    expect(rcOf(() => powered.random())).toBe(TPM_RC.INITIALIZE)
    expect(
      rcOf(() => {
        powered.startup()
      }),
    ).toBeUndefined()
    expect(powered.random()).toHaveLength(16)
    expect(
      rcOf(() => {
        powered.startup()
      }),
    ).toBe(TPM_RC.INITIALIZE)
    powered.tpm.powerOff()
    expect(powered.tpm.execute(new Uint8Array(10))).toEqual(NONE)
  })

  it('reset() is off and on for a TPM that is on, and nothing for one that is off', () => {
    const powered = Powered.started()
    powered.tpm.reset()
    expect(rcOf(() => powered.random())).toBe(TPM_RC.INITIALIZE)
    powered.tpm.powerOff()
    powered.tpm.reset()
    expect(powered.tpm.powered).toBe(false)
  })

  it('takes whatever bytes come, from whatever locality, for a command', () => {
    const { tpm } = Powered.started()
    for (const bytes of [[], [0x80], [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0], [0x80, 1, 0, 0, 0, 9, 0, 0, 1]]) {
      expect(tpm.execute(Uint8Array.from(bytes), 255).length).toBe(10)
    }
    expect(responseCode(tpm.execute(new Uint8Array(5000)))).not.toBe(TPM_RC.SUCCESS)
    expect(tpm.execute(Uint8Array.from([0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 4]))).toHaveLength(16)
  })
})

describe('startup and shutdown', () => {
  /** A TPM with something in every group of state, off again; `end` is its last command. */
  function ended(end: (powered: Powered) => void) {
    const powered = Powered.started()
    for (const pcr of [4, 16, 23]) powered.extend(pcr)
    const { objectHandle } = powered.primary()
    const { context } = powered.call(TPM2_ContextSave, { saveHandle: objectHandle })
    const change = { authHandle: TPM_RH.PLATFORM, newAuth: utf8('set') }
    powered.call(TPM2_HierarchyChangeAuth, change, [passwordSession()])
    const before = { clock: powered.clock().clockInfo, pcr4: powered.pcr(4), random: powered.random() }
    end(powered)
    powered.tpm.reset()
    const after = () => ({
      clock: powered.clock().clockInfo,
      pcrs: [4, 16, 23].map((pcr) => powered.pcr(pcr)),
      object: rcOf(() => powered.call(TPM2_ReadPublic, { objectHandle })),
      context: rcOf(() => powered.call(TPM2_ContextLoad, { context })),
      platformAuth: rcOf(() =>
        powered.call(TPM2_HierarchyChangeAuth, change, [passwordSession(utf8('set'))]),
      ),
    })
    return { powered, before, after }
  }

  const gone = { pcrs: [ZERO, ZERO, ZERO], object: TPM_RC.REFERENCE_H0 }

  it('TPM Reset: state clear and state reset data begin anew, and the reset is counted', () => {
    const { powered, before, after } = ended((tpm) => {
      tpm.shutdown(TPM_SU.CLEAR)
    })
    powered.startup()
    const state = after()
    expect(state).toMatchObject({ ...gone, context: TPM_RC.INTEGRITY, platformAuth: TPM_RC.BAD_AUTH })
    expect(state.clock).toMatchObject({
      resetCount: before.clock.resetCount + 1,
      restartCount: 0,
      safe: true,
    })
  })

  it('TPM Restart: state clear data begins anew, contexts go on', () => {
    const { powered, before, after } = ended((tpm) => {
      tpm.shutdown(TPM_SU.STATE)
    })
    powered.startup()
    const state = after()
    expect(state).toMatchObject({ ...gone, context: undefined, platformAuth: TPM_RC.BAD_AUTH })
    expect(state.clock).toMatchObject({ resetCount: before.clock.resetCount, restartCount: 1, safe: true })
  })

  it('TPM Resume: PCRs of the static chain and the platform authorization go on as well', () => {
    const { powered, before, after } = ended((tpm) => {
      tpm.shutdown(TPM_SU.STATE)
    })
    powered.startup(TPM_SU.STATE)
    const state = after()
    expect(state.pcrs).toEqual([before.pcr4, ZERO, ZERO])
    expect(before.pcr4).not.toBe(ZERO)
    expect(state).toMatchObject({ object: TPM_RC.REFERENCE_H0, context: undefined, platformAuth: undefined })
    expect(state.clock).toMatchObject({ resetCount: before.clock.resetCount, restartCount: 1, safe: true })
  })

  it('TPM2_Startup(STATE) needs TPM2_Shutdown(STATE) as the last thing that changed the TPM', () => {
    const resume = (end: (powered: Powered) => void) => {
      const { powered } = ended(end)
      return rcOf(() => {
        powered.startup(TPM_SU.STATE)
      })
    }
    expect(resume(() => undefined)).toBe(TPM_RC.VALUE)
    expect(
      resume((tpm) => {
        tpm.shutdown(TPM_SU.CLEAR)
      }),
    ).toBe(TPM_RC.VALUE)
    const changed = (tpm: Powered) => {
      tpm.shutdown(TPM_SU.STATE)
      tpm.extend(4)
    }
    expect(resume(changed)).toBe(TPM_RC.VALUE)
    const looked = (tpm: Powered) => {
      tpm.shutdown(TPM_SU.STATE)
      tpm.pcr(4)
    }
    expect(resume(looked)).toBeUndefined()
    const { powered } = ended(changed)
    powered.startup()
    expect(powered.clock().clockInfo).toMatchObject({ resetCount: 2, restartCount: 0 })
  })

  it('a disorderly end is a TPM Reset, after which the clock has gone on and never back', () => {
    let now = 1000n
    const powered = Powered.started({ now: () => now })
    now += 5000n
    const before = powered.clock()
    expect(before).toMatchObject({ time: 5000n, clockInfo: { clock: 5000n, resetCount: 1, safe: true } })
    powered.tpm.reset()
    powered.startup()
    const after = powered.clock()
    expect(after.time).toBe(0n)
    expect(after.clockInfo.clock).toBeGreaterThanOrEqual(5000n)
    expect(after.clockInfo.clock).toBeLessThanOrEqual(5000n + 0x20000n)
    expect(after.clockInfo).toMatchObject({ resetCount: 2, safe: true })
  })

  it('after an orderly one the clock goes on where it was', () => {
    let now = 1000n
    const powered = Powered.started({ now: () => now })
    now += 5000n
    powered.shutdown()
    now += 7000n
    powered.tpm.reset()
    powered.startup()
    now += 10n
    expect(powered.clock()).toMatchObject({ time: 10n, clockInfo: { clock: 5010n } })
  })
})

describe('localities', () => {
  it('TPM2_Startup is taken from 0 and 3, and PCR 0 begins with that', () => {
    const powered = new Powered()
    for (const locality of [1, 2, 4, 32]) {
      powered.locality = locality
      expect(
        rcOf(() => {
          powered.startup()
        }),
      ).toBe(TPM_RC.LOCALITY)
    }
    powered.locality = 3
    powered.startup()
    expect(powered.pcr(0)).toBe(`${'00'.repeat(31)}03`)
    expect(powered.pcr(1)).toBe(ZERO)
  })

  it('decide which PCRs a command may extend', () => {
    const powered = Powered.started()
    const allowed = (pcr: number) =>
      [0, 1, 2, 3, 4, 32].filter((locality) => {
        powered.locality = locality
        const rc = rcOf(() => {
          powered.extend(pcr)
        })
        expect([undefined, TPM_RC.LOCALITY]).toContain(rc)
        return rc === undefined
      })
    expect([0, 16, 17, 19, 20, 21, 23].map(allowed)).toEqual([
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3, 4],
      [2, 3, 4],
      [2, 3],
      [1, 2, 3],
      [2],
      [0, 1, 2, 3, 4],
    ])
  })
})

describe('hash interface', () => {
  it('a D-RTM sequence resets the dynamic PCRs and measures into PCR 17 from zeros', () => {
    const powered = Powered.started()
    const { tpm } = powered
    powered.extend(4)
    const pcr4 = powered.pcr(4)
    expect([17, 18, 22].map((pcr) => powered.pcr(pcr))).toEqual([ONES, ONES, ONES])
    expect(tpm.established).toBe(false)
    tpm.hashStart()
    tpm.hashData(utf8('dynamic '))
    tpm.hashData(utf8('launch'))
    tpm.hashEnd()
    expect(powered.pcr(17)).toBe(sha256(new Uint8Array(32), hash(TPM_ALG.SHA256, utf8('dynamic launch'))))
    expect([18, 22].map((pcr) => powered.pcr(pcr))).toEqual([ZERO, ZERO])
    expect(powered.pcr(4)).toBe(pcr4)
    expect(tpm.established).toBe(true)
    expect(tpm.resetEstablished(2)).toBe(false)
    expect(tpm.established).toBe(true)
    expect(tpm.resetEstablished(3)).toBe(true)
    expect(tpm.established).toBe(false)
  })

  it('an H-CRTM sequence before TPM2_Startup measures into PCR 0 from locality 4, in every bank', () => {
    const powered = new Powered()
    powered.tpm.hashStart()
    powered.tpm.hashData(utf8('crtm'))
    powered.tpm.hashEnd()
    powered.startup()
    const initial = (size: number) => new Uint8Array(size).with(size - 1, 4)
    for (const [bank, size] of [
      [TPM_ALG.SHA1, 20],
      [TPM_ALG.SHA256, 32],
      [TPM_ALG.SHA384, 48],
      [TPM_ALG.SHA512, 64],
    ] as const) {
      const expected = hash(bank, initial(size), hash(bank, utf8('crtm')))
      expect(powered.pcr(0, bank)).toBe(Buffer.from(expected).toString('hex'))
    }
    expect(powered.tpm.established).toBe(false)
  })

  it('data and ends without a start, and starts without power, change nothing', () => {
    const powered = Powered.started()
    powered.tpm.hashData(utf8('lost'))
    powered.tpm.hashEnd()
    expect(powered.pcr(17)).toBe(ONES)
    const off = new Tpm()
    off.hashStart()
    off.hashData(utf8('lost'))
    off.hashEnd()
    expect(off.powered).toBe(false)
  })
})

describe('the platform’s signals', () => {
  it('physical presence: asked for by TPM2_PP_Commands and by what it selected, with platform authorization', () => {
    const powered = Powered.started()
    const select = (setList: readonly number[]) =>
      rcOf(() =>
        powered.call(TPM2_PP_Commands, { auth: TPM_RH.PLATFORM, setList, clearList: [] }, [
          passwordSession(),
        ]),
      )
    const clear = (authHandle: number) =>
      rcOf(() => powered.call(TPM2_Clear, { authHandle }, [passwordSession()]))
    expect(select([TPM_CC.Clear])).toBe(TPM_RC.PP)
    expect(clear(TPM_RH.PLATFORM)).toBeUndefined()
    powered.tpm.setPhysicalPresence(true)
    expect(select([TPM_CC.Clear])).toBeUndefined()
    powered.tpm.setPhysicalPresence(false)
    expect(clear(TPM_RH.PLATFORM)).toBe(TPM_RC.PP)
    expect(clear(TPM_RH.LOCKOUT)).toBeUndefined()
    powered.tpm.setPhysicalPresence(true)
    expect(clear(TPM_RH.PLATFORM)).toBeUndefined()
  })

  it('NV memory that can not be written stops commands that write it, and no others', () => {
    const powered = Powered.started()
    powered.tpm.setNvAvailable(false)
    const define = () =>
      rcOf(() => {
        powered.defineNv()
      })
    expect(define()).toBe(TPM_RC.NV_UNAVAILABLE)
    expect(powered.random()).toHaveLength(16)
    expect(
      rcOf(() => {
        powered.extend(4)
      }),
    ).toBeUndefined()
    powered.tpm.setNvAvailable(true)
    expect(define()).toBeUndefined()
  })

  it('cancel stops what takes long', () => {
    const powered = Powered.started()
    const test = () => rcOf(() => powered.call(TPM2_SelfTest, { fullTest: true }))
    powered.tpm.setCancel(true)
    expect(test()).toBe(TPM_RC.CANCELED)
    expect(powered.random()).toHaveLength(16)
    powered.tpm.setCancel(false)
    expect(test()).toBeUndefined()
  })
})

describe('failure mode', () => {
  it('answers TPM2_GetTestResult and TPM2_GetCapability alone, until power is cycled', () => {
    const powered = Powered.started()
    powered.extend(4)
    powered.tpm.enterFailureMode()
    expect(rcOf(() => powered.random())).toBe(TPM_RC.FAILURE)
    expect(
      rcOf(() => {
        powered.shutdown()
      }),
    ).toBe(TPM_RC.FAILURE)
    const { testResult, outData } = powered.call(TPM2_GetTestResult, {})
    expect(testResult).toBe(TPM_RC.FAILURE)
    expect(outData.length).toBeGreaterThan(0)
    const manufacturer = {
      capability: TPM_CAP.TPM_PROPERTIES,
      property: TPM_PT.MANUFACTURER,
      propertyCount: 1,
    }
    expect(powered.call(TPM2_GetCapability, manufacturer).capabilityData.data).toHaveLength(1)
    powered.tpm.reset()
    powered.startup()
    expect(powered.random()).toHaveLength(16)
    expect(powered.call(TPM2_GetTestResult, {}).testResult).toBe(TPM_RC.SUCCESS)
  })
})

describe('slots', () => {
  function room(powered: Powered, most: number) {
    const count = (work: () => unknown, full: number) => {
      for (let used = 0; used <= most; used += 1) {
        const rc = rcOf(work)
        if (rc === undefined) continue
        expect(rc).toBe(full)
        return used
      }
      return most + 1
    }
    const sequence = { auth: NONE, hashAlg: TPM_ALG.SHA256 }
    return {
      objects: count(() => powered.call(TPM2_HashSequenceStart, sequence), TPM_RC.OBJECT_MEMORY),
      sessions: count(
        () => startPolicyDirectly((command) => powered.tpm.execute(command)),
        TPM_RC.SESSION_MEMORY,
      ),
    }
  }

  it('are enough for use without a resource manager by default, and three as hardware has by option', () => {
    const { transientObjects, loadedSessions } = DEFAULT_LIMITS
    expect(Math.min(transientObjects, loadedSessions)).toBeGreaterThanOrEqual(64)
    expect(room(Powered.started(), 1000)).toEqual({ objects: transientObjects, sessions: loadedSessions })
    const hardware = Powered.started({ limits: HARDWARE_LIMITS })
    expect(room(hardware, 10)).toEqual({ objects: 3, sessions: 3 })
  })

  it('are reported as they are', () => {
    const reported = (powered: Powered) => {
      const request = {
        capability: TPM_CAP.TPM_PROPERTIES,
        property: TPM_PT.HR_TRANSIENT_MIN,
        propertyCount: 1,
      }
      return powered.call(TPM2_GetCapability, request).capabilityData.data
    }
    const value = (transient: number) => [{ property: TPM_PT.HR_TRANSIENT_MIN, value: transient }]
    expect(reported(Powered.started())).toEqual(value(DEFAULT_LIMITS.transientObjects))
    expect(reported(Powered.started({ limits: HARDWARE_LIMITS }))).toEqual(value(3))
  })
})

describe('banks', () => {
  it('of a new TPM are those that it is given, all that there are by default', () => {
    const allocated = (powered: Powered) =>
      [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512].filter(
        (bank) => powered.pcr(0, bank) !== '',
      )
    expect(allocated(Powered.started())).toHaveLength(4)
    const banks = [TPM_ALG.SHA256, TPM_ALG.SHA384]
    expect(allocated(Powered.started({ banks }))).toEqual(banks)
    expect(() => new Powered({ banks: [] })).toThrow(/"banks" expected/)
    expect(() => new Powered({ banks: [TPM_ALG.SHA3_256] })).toThrow(/"banks" expected/)
  })
})

describe('determinism', () => {
  const publics = (powered: Powered) =>
    [ECC_STORAGE, RSA_STORAGE].map((template) => marshal(TPMT_PUBLIC, powered.primary(template).outPublic))

  it('the same seed and template give the same primary keys, RSA and ECC, in any TPM and after restarts', () => {
    const store = new MemoryTpmStore()
    const first = Powered.started({ store })
    const keys = publics(first)
    first.tpm.reset()
    first.startup()
    expect(publics(first)).toEqual(keys)
    expect(publics(Powered.started({ store, seed: new Uint8Array(32) }))).toEqual(keys)
    expect(publics(Powered.started())).toEqual(keys)
  })

  it('another seed, hierarchy or template gives others', () => {
    const name = (powered: Powered, ...args: Parameters<Powered['primary']>) =>
      Buffer.from(powered.primary(...args).name).toString('hex')
    const one = Powered.started()
    const names = [
      name(one),
      name(one, ECC_STORAGE, TPM_RH.ENDORSEMENT),
      name(one, { ...ECC_STORAGE, unique: { x: new Uint8Array(32).fill(1), y: NONE } } as TPMT_PUBLIC),
      name(Powered.started({ seed: new Uint8Array(32) })),
    ]
    expect(new Set(names).size).toBe(4)
    expect(name(one)).toBe(names[0])
  })

  it('random numbers come from the given source: the same ones for the same seed', () => {
    const drawn = (seed: string) => {
      const powered = Powered.started({ entropy: fixedEntropy(seed) })
      return Buffer.from(powered.random(32)).toString('hex')
    }
    expect(drawn('a')).toBe(drawn('a'))
    expect(drawn('a')).not.toBe(drawn('b'))
    expect(Powered.started().random(32)).not.toEqual(Powered.started().random(32))
  })
})
