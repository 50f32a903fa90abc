// GUIDs and variables, written and read back; another builder's bytes are the same.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeEvent, encodeVariable, EV, guidBytes, guidText } from '../../../../sdk/evidence/index.ts'
import { GLOBAL, guid, SECURITY, variable } from './logs.ts'

describe('guidBytes', () => {
  it('is the other way round of guidText', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(guidBytes(guidText(bytes))).toEqual(bytes)
        expect(guidBytes(guidText(bytes).toUpperCase())).toEqual(bytes)
      }),
    )
    expect(guidBytes(SECURITY)).toEqual(guid(SECURITY))
  })

  it.for(['', '8be4df61', `${GLOBAL}0`, GLOBAL.replace('8', 'x'), GLOBAL.replaceAll('-', '')])(
    'refuses "%s"',
    (text) => {
      expect(() => guidBytes(text)).toThrow(`expected a GUID of 8-4-4-4-12 hexadecimal digits, got "${text}"`)
      expect(guidBytes(GLOBAL)).toHaveLength(16)
    },
  )
})

describe('encodeVariable', () => {
  it('writes what decodeEvent reads', () => {
    const name = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !/\0/.test(text))
    fc.assert(
      fc.property(name, fc.uint8Array({ maxLength: 50 }), (text, data) => {
        const bytes = encodeVariable({ guid: GLOBAL, name: text, data })
        expect(bytes).toEqual(variable(GLOBAL, text, data))
        const found = decodeEvent({ eventType: EV.EFI_VARIABLE_BOOT2, data: bytes })
        expect(found).toMatchObject({ kind: 'variable', guid: GLOBAL, name: text, data })
      }),
    )
  })
})
