// How large commands and responses may be: what the interface in front of the TPM holds, as it tells while power is off.

import { describe, expect, it } from 'vitest'
import { DEFAULT_LIMITS } from '../../../../../emulator/platform/tpm/index.ts'
import { TPM2_GetCapability, TPM_CAP, TPM_CC, TPM_PT, TPM_RC, Writer } from '../../../../../sdk/tpm2/index.ts'
import { Powered, responseCode } from './powered.ts'

/** What a TPM says of its largest command and its largest response. */
function reported(powered: Powered): unknown {
  const { MAX_COMMAND_SIZE: property, MAX_RESPONSE_SIZE } = TPM_PT
  const propertyCount = MAX_RESPONSE_SIZE - property + 1
  const request = { capability: TPM_CAP.TPM_PROPERTIES, property, propertyCount }
  return powered.call(TPM2_GetCapability, request).capabilityData.data
}

/** A command of so many bytes, of which GetRandom needs twelve. */
function sized(bytes: number): Uint8Array {
  const writer = new Writer()
  writer.uint16(0x8001)
  writer.uint32(bytes)
  writer.uint32(TPM_CC.GetRandom)
  writer.bytes(new Uint8Array(bytes - 10))
  return writer.finish()
}

/** Whether a command of that size is looked into: then it has too many parameters. */
function tried(powered: Powered, bytes: number): number {
  return responseCode(powered.tpm.execute(sized(bytes)))
}

const limits = (bytes: number) => [
  { property: TPM_PT.MAX_COMMAND_SIZE, value: bytes },
  { property: TPM_PT.MAX_RESPONSE_SIZE, value: bytes },
]

describe('the buffer size', () => {
  it('is 4096 bytes, and what is reported is what is taken', () => {
    const powered = Powered.started()
    expect(reported(powered)).toEqual(limits(4096))
    expect([tried(powered, 4096), tried(powered, 4097)]).toEqual([TPM_RC.SIZE, TPM_RC.COMMAND_SIZE])
  })

  it('is what the interface says, from the next power-on to the last', () => {
    const powered = Powered.started()
    powered.tpm.powerOff()
    powered.tpm.setBufferSize(3000)
    for (let cycles = 0; cycles < 2; cycles += 1) {
      powered.tpm.powerOn()
      powered.startup()
      expect(reported(powered)).toEqual(limits(3000))
      expect([tried(powered, 3000), tried(powered, 3001)]).toEqual([TPM_RC.SIZE, TPM_RC.COMMAND_SIZE])
      powered.tpm.powerOff()
    }
    const other = Powered.started({ limits: { ...DEFAULT_LIMITS, bufferSize: 3500 } })
    expect(reported(other)).toEqual(limits(3500))
  })

  it('is not set while there is power, nor to what is too little or too much', () => {
    const powered = Powered.started()
    expect(() => {
      powered.tpm.setBufferSize(3000)
    }).toThrow('expected a TPM without power')
    powered.tpm.powerOff()
    for (const bytes of [2807, 4097, 3000.5, NaN]) {
      expect(() => {
        powered.tpm.setBufferSize(bytes)
      }).toThrow('expected a buffer size of 2808 to 4096 bytes')
    }
    powered.tpm.powerOn()
    powered.startup()
    expect(reported(powered)).toEqual(limits(4096))
    powered.tpm.powerOff()
    for (const bytes of [2808, 4096]) powered.tpm.setBufferSize(bytes)
  })
})
