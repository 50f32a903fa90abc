// Every structure: what is written is read back, what is cut short or too long is refused with the code of a TPM.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { marshal, TPM_RC, Tpm2Error, unmarshal } from '../../../../sdk/tpm2/index.ts'
import * as tpm2 from '../../../../sdk/tpm2/index.ts'
import { type Sample, SAMPLES } from './arbitraries.ts'

function isCodec(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'read' in value && 'write' in value
}

/** The response code with which `input` is refused; undefined when it is read. */
function refusal({ codec }: Sample, input: Uint8Array): number | undefined {
  try {
    unmarshal(codec, input)
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(Tpm2Error)
    return (error as Tpm2Error).rc
  }
}

describe('TPM structures', () => {
  it('there are values of every codec that the room exports', () => {
    const codecs = Object.entries(tpm2).filter(([, value]) => isCodec(value))
    expect(codecs.map(([name]) => name).sort()).toEqual(Object.keys(SAMPLES).sort())
  })

  it.each(Object.entries(SAMPLES))('reads back every %s that it writes', (_, { codec, values }) => {
    fc.assert(
      fc.property(values, (value) => {
        expect(unmarshal(codec, marshal(codec, value))).toEqual(value)
      }),
      { numRuns: 30 },
    )
  })

  it.each(Object.entries(SAMPLES))('refuses a %s that is cut short or goes on', (_, sample) => {
    const [value] = fc.sample(sample.values, { numRuns: 1, seed: 7 })
    const whole = marshal(sample.codec, value)
    for (let length = 0; length < whole.length; length += 1) {
      expect(refusal(sample, whole.subarray(0, length))).toBeOneOf([TPM_RC.INSUFFICIENT, TPM_RC.SIZE])
    }
    expect(refusal(sample, Uint8Array.from([...whole, 0]))).toBe(TPM_RC.SIZE)
  })

  it('turns arbitrary bytes into a value or a Tpm2Error with a response code, never another exception', () => {
    const samples = Object.values(SAMPLES)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (input) => {
        for (const sample of samples) {
          const { codec } = sample
          let value: unknown
          try {
            value = unmarshal(codec, input)
          } catch (error) {
            expect(error).toBeInstanceOf(Tpm2Error)
            expect((error as Tpm2Error).rc).toBeGreaterThan(0)
            continue
          }
          // What is accepted is canonical: there is one encoding of it.
          expect(marshal(codec, value)).toEqual(input)
        }
      }),
      { numRuns: 100 },
    )
  })
})
