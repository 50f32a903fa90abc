// Faults on purpose: each kind does what it says, to the commands that it waits for, as often as it was asked to.

import { describe, expect, it, vi } from 'vitest'
import { MemoryTpmStore } from '../../../../../emulator/platform/tpm/index.ts'
import {
  Tpm2Error,
  TPM2_GetCapability,
  TPM2_GetTestResult,
  TPM_CAP,
  TPM_CC,
  TPM_PT,
  TPM_RC,
} from '../../../../../sdk/tpm2/index.ts'
import { fromHex } from '../../../../../sdk/crypto/index.ts'
import { Powered, rcOf } from './powered.ts'

/** TPM2_PCR_Read of PCR 4, SHA-256. */
const READ_PCR_4 = fromHex('8001000000140000017e00000001000b03100000')

const random = (powered: Powered) => rcOf(() => powered.random())
const extend = (powered: Powered) =>
  rcOf(() => {
    powered.extend(4)
  })

describe('a fault', () => {
  it('response-code: the command is not executed', () => {
    const powered = Powered.started()
    const before = powered.pcr(4)
    powered.tpm.faults.add({ kind: 'response-code', rc: TPM_RC.RETRY })
    expect(extend(powered)).toBe(TPM_RC.RETRY)
    expect(powered.pcr(4)).toBe(before)
    expect(extend(powered)).toBeUndefined()
    expect(powered.pcr(4)).not.toBe(before)
  })

  it('slow: the command takes longer, and is executed', () => {
    const powered = Powered.started()
    const before = powered.pcr(4)
    powered.tpm.faults.add({ kind: 'slow', milliseconds: 60 })
    const start = performance.now()
    expect(extend(powered)).toBeUndefined()
    expect(performance.now() - start).toBeGreaterThanOrEqual(59)
    expect(powered.pcr(4)).not.toBe(before)
  })

  it('corrupt-response: one bit of the response is another, and the command was executed', () => {
    const powered = Powered.started()
    const read = () => powered.tpm.execute(READ_PCR_4)
    const good = read()
    powered.tpm.faults.add({ kind: 'corrupt-response', offset: 12 })
    expect(read()).toEqual(good.with(12, (good[12] ?? 0) ^ 1))
    expect(read()).toEqual(good)
    powered.tpm.faults.add({ kind: 'corrupt-response', offset: 5 })
    expect(() => {
      powered.extend(4)
    }).toThrow(Tpm2Error)
    expect(read()).not.toEqual(good)
  })

  it('short-response: only the first bytes come out, and the command was executed', () => {
    const powered = Powered.started()
    const before = powered.pcr(4)
    powered.tpm.faults.add({ kind: 'short-response', bytes: 7 })
    expect(() => {
      powered.extend(4)
    }).toThrow(Tpm2Error)
    expect(powered.pcr(4)).not.toBe(before)
  })

  it('reset: power is lost before the command', () => {
    const powered = Powered.started()
    const { resetCount } = powered.clock().clockInfo
    powered.tpm.faults.add({ kind: 'reset' })
    expect(extend(powered)).toBe(TPM_RC.INITIALIZE)
    expect(random(powered)).toBe(TPM_RC.INITIALIZE)
    powered.startup()
    expect(powered.pcr(4)).toBe('00'.repeat(32))
    expect(powered.clock().clockInfo.resetCount).toBe(resetCount + 1)
  })

  it('reset, when the stored state can not be read: failure mode, until it can be and power is cycled', () => {
    const store = new MemoryTpmStore()
    const failures: unknown[] = []
    const powered = Powered.started({ store, onFailure: (error) => failures.push(error) })
    const broken = new Error('expected the disk, found none')
    const load = vi.spyOn(store, 'load').mockImplementation(() => {
      throw broken
    })
    powered.tpm.faults.add({ kind: 'reset' })
    expect(extend(powered)).toBe(TPM_RC.FAILURE)
    expect(failures).toEqual([broken])
    expect(random(powered)).toBe(TPM_RC.FAILURE)
    expect(powered.call(TPM2_GetTestResult, {}).testResult).toBe(TPM_RC.FAILURE)
    load.mockRestore()
    powered.tpm.reset()
    powered.startup()
    expect(random(powered)).toBeUndefined()
    expect(failures).toHaveLength(1)
  })

  it('failure-mode: before the command, for this one and all that follow', () => {
    const powered = Powered.started()
    powered.tpm.faults.add({ kind: 'failure-mode' })
    expect(extend(powered)).toBe(TPM_RC.FAILURE)
    expect(random(powered)).toBe(TPM_RC.FAILURE)
    expect(powered.call(TPM2_GetTestResult, {}).testResult).toBe(TPM_RC.FAILURE)
    const request = { capability: TPM_CAP.TPM_PROPERTIES, property: TPM_PT.LEVEL, propertyCount: 1 }
    expect(rcOf(() => powered.call(TPM2_GetCapability, request))).toBeUndefined()
    powered.tpm.reset()
    powered.startup()
    expect(random(powered)).toBeUndefined()
  })
})

describe('when it happens', () => {
  const outcomes = (powered: Powered, count: number) => Array.from({ length: count }, () => random(powered))

  it('once, or as often as asked for, after as many commands as asked for', () => {
    const powered = Powered.started()
    powered.tpm.faults.add({ kind: 'response-code', rc: TPM_RC.RETRY })
    expect(outcomes(powered, 2)).toEqual([TPM_RC.RETRY, undefined])
    powered.tpm.faults.add({ kind: 'response-code', rc: TPM_RC.RETRY, after: 1, times: 2 })
    expect(outcomes(powered, 4)).toEqual([undefined, TPM_RC.RETRY, TPM_RC.RETRY, undefined])
  })

  it('to the command that it waits for: others neither meet it nor count', () => {
    const powered = Powered.started()
    const command = TPM_CC.PCR_Extend
    powered.tpm.faults.add({ kind: 'response-code', rc: TPM_RC.TESTING, command, after: 1 })
    expect(outcomes(powered, 3)).toEqual([undefined, undefined, undefined])
    expect([extend(powered), random(powered), extend(powered), extend(powered)]).toEqual([
      undefined,
      undefined,
      TPM_RC.TESTING,
      undefined,
    ])
  })

  it('several wait side by side; clear() forgets them', () => {
    const powered = Powered.started()
    powered.tpm.faults.add({ kind: 'response-code', rc: TPM_RC.RETRY })
    powered.tpm.faults.add({ kind: 'slow', milliseconds: 30 })
    const start = performance.now()
    expect(random(powered)).toBe(TPM_RC.RETRY)
    expect(performance.now() - start).toBeGreaterThanOrEqual(29)
    powered.tpm.faults.add({ kind: 'failure-mode' })
    powered.tpm.faults.clear()
    expect(random(powered)).toBeUndefined()
  })
})
