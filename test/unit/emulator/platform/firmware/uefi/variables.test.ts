// The reader of variable stores: which of several values counts, and stores that are none.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Area } from '../../../../../../emulator/platform/firmware/uefi/area.ts'
import { readVariables } from '../../../../../../emulator/platform/firmware/uefi/variables.ts'
import { readVolume } from '../../../../../../emulator/platform/firmware/uefi/volumes.ts'
import { utf8 } from '../../../../../../sdk/crypto/index.ts'
import { GLOBAL, SECURITY } from '../../../../sdk/evidence/logs.ts'
import { FIRST_FILE, type StoredVariable, variablesFlash } from './flash.ts'
import { refusalOf } from './refusal.ts'

const read = (flash: Uint8Array) => readVariables(readVolume(new Area(flash, 'flash')))
const stored = (name: string, value: string, state = 0x3f, guid = GLOBAL): StoredVariable => ({
  guid,
  name,
  data: utf8(value),
  state,
})
const textOf = (variables: readonly StoredVariable[], name: string, guid = GLOBAL) => {
  const value = read(variablesFlash(variables)).get(guid, name)
  return value && Buffer.from(value).toString('latin1')
}
/** Of the first variable. */
const HEADER = FIRST_FILE + 28

describe('readVariables', () => {
  it('finds values by vendor and name, of any length', () => {
    const variables = [stored('PK', 'a'), stored('PK', 'bcd', 0x3f, SECURITY), stored('KEK', 'efghi')]
    expect(textOf(variables, 'PK')).toBe('a')
    expect(textOf(variables, 'PK', SECURITY)).toBe('bcd')
    expect(textOf(variables, 'KEK')).toBe('efghi')
    expect(textOf(variables, 'KEK', SECURITY)).toBeUndefined()
  })

  it.for([
    { what: 'one that was added, not those that were deleted', states: [0x3d, 0x3c, 0x3f, 0x7f], value: '2' },
    { what: 'the old value, while no new one is complete', states: [0x3e, 0x7f], value: '0' },
    { what: 'the new value, when both are there', states: [0x3e, 0x3f], value: '1' },
    { what: 'nothing, when all are deleted', states: [0x3c, 0x3d], value: undefined },
  ])('takes $what', ({ states, value }) => {
    expect(
      textOf(
        states.map((state, at) => stored('db', String(at), state)),
        'db',
      ),
    ).toBe(value)
  })

  it('passes over a variable whose sizes were never written', () => {
    const flash = variablesFlash([
      { guid: GLOBAL, name: '', data: new Uint8Array(), state: 0x7f },
      stored('PK', 'a'),
    ])
    // The builder writes the terminator of an empty name; here it is no more than the header.
    const sizes = new Uint8Array(8).fill(0xff)
    const broken = Uint8Array.from([...flash.slice(0, HEADER + 60), ...flash.slice(HEADER + 64)])
    broken.set(sizes, HEADER + 36)
    const whole = Uint8Array.from([...broken, 0xff, 0xff, 0xff, 0xff])
    expect(read(whole).get(GLOBAL, 'PK')).toEqual(utf8('a'))
  })

  it.for([
    {
      what: 'without authentication',
      flash: variablesFlash([], { signature: 'ddcf3616-3275-4164-98b6-fe85707ffe7d' }),
      message: /^IMAGE_UNSUPPORTED flash, offset 0x48: .* found ddcf3616/,
    },
    {
      what: 'that is not formatted',
      flash: variablesFlash([], { format: 0xff }),
      message: /^IMAGE_MALFORMED flash, offset 0x5c: .* formatted and healthy/,
    },
    {
      what: 'larger than its volume',
      flash: variablesFlash([]).with(FIRST_FILE + 17, 0xff),
      message: /^IMAGE_MALFORMED flash, offset 0x0: expected 65.* bytes of the variable store, found 4096/,
    },
    {
      what: 'with a name beyond its end',
      flash: variablesFlash([stored('PK', 'a')]).with(HEADER + 37, 0xff),
      message: /bytes of the name of a variable/,
    },
    {
      what: 'with a value beyond its end',
      flash: variablesFlash([stored('PK', 'a')]).with(HEADER + 41, 0xff),
      message: /bytes of the value of a variable/,
    },
  ])('refuses a store $what', ({ flash, message }) => {
    expect(refusalOf(() => read(flash))).toMatch(message)
    expect(textOf([stored('PK', 'a')], 'PK')).toBe('a')
  })

  it('answers mutated stores with variables or a FirmwareError', () => {
    const sound = variablesFlash([stored('PK', 'key'), stored('db', 'hashes', 0x3e, SECURITY)])
    const at = fc.integer({ min: FIRST_FILE, max: FIRST_FILE + 300 })
    fc.assert(
      fc.property(fc.array(fc.tuple(at, fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        refusalOf(() => read(changes.reduce((flash, [place, octet]) => flash.with(place, octet), sound)))
      }),
      { numRuns: 1000 },
    )
  })
})
