// Options as getopt_long(3) reads them.

import { describe, expect, it } from 'vitest'
import { GetoptError, readOptions } from '../../../../emulator/tpm-server/getopt.ts'

const known = [
  { long: 'daemon', short: 'd', takesValue: false },
  { long: 'port', short: 'p', takesValue: true },
  { long: 'tpmstate', takesValue: true },
  { long: 'tpm2', takesValue: false },
  { long: 'print-capabilities', takesValue: false },
  { long: 'print-states', takesValue: false },
]

describe('readOptions', () => {
  it('reads values after "=", in the next word and attached, groups, abbreviations and operands', () => {
    const words = [
      '--tpms=dir=/x',
      'one',
      '-dp',
      '1',
      '-p2',
      '--port',
      '--tpm2',
      '--daem',
      '-',
      '--',
      '--tpm2',
    ]
    expect(readOptions(words, known)).toEqual({
      options: [
        { name: 'tpmstate', value: 'dir=/x' },
        { name: 'daemon', value: '' },
        { name: 'port', value: '1' },
        { name: 'port', value: '2' },
        { name: 'port', value: '--tpm2' },
        { name: 'daemon', value: '' },
      ],
      operands: ['one', '-', '--tpm2'],
    })
  })

  it.each([
    [['--bogus'], "unrecognized option '--bogus'"],
    [['--tpm'], "option '--tpm' is ambiguous; possibilities: '--tpmstate' '--tpm2'"],
    [['--tpm2=1'], "option '--tpm2' doesn't allow an argument"],
    [['--port'], "option '--port' requires an argument"],
    [['-dx'], "invalid option -- 'x'"],
    [['-dp'], "option requires an argument -- 'p'"],
  ])('refuses %j in the words of the GNU library', (words, message) => {
    expect(() => readOptions(words, known)).toThrow(new GetoptError(message))
  })
})
