/** A message of the test contract with something in every field. */
import type { Everything } from './contract/index.ts'

const leaf = { state: 'on', name: 'oak' } as const

/** Without the field that contains itself. */
const flat: Everything = {
  u64: (1n << 64n) - 1n,
  i64: -(1n << 63n),
  s64: -1n,
  f64: 1n << 63n,
  sf64: -5n,
  u32: 0xffffffff,
  i32: -0x80000000,
  s32: -2,
  f32: 0x80000000,
  sf32: -7,
  real: 0.5,
  longReal: -1e300,
  flag: true,
  text: 'größer \u{1f332}',
  data: Uint8Array.of(0, 255),
  colour: 'negative',
  maybeColour: 'dark-red',
  maybeU64: 0n,
  maybeText: '',
  numbers: [0n, 1n, 1n << 40n, (1n << 64n) - 1n],
  smallNumbers1: [0, -1, 0x7fffffff, -0x80000000],
  reals: [0, -0, 1.25],
  flags: [true, false],
  colours: ['green', 'negative'],
  words: ['', 'a'],
  blobs: [new Uint8Array(), Uint8Array.of(1)],
  leaves: [leaf, { name: '' }],
  counts: { a: 0n, '': 1n },
  byName: { x: leaf, y: { name: '' } },
  byNumber: new Map([
    [0n, ''],
    [(1n << 64n) - 1n, 'last'],
  ]),
  byFlag: new Map([
    [false, 'green'],
    [true, 'dark-red'],
  ]),
  leaf,
  choice: { case: 'asLeaf', value: leaf },
}

/** With the field that contains itself. */
export const everything: Everything = { ...flat, inner: flat }
