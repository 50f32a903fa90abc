// Terms of a registration: one encoding, strict reading, and the rules that keep a grant to the named blocks.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeOpen, encodeOpen, type Open, OPEN_LIMIT, transcriptOf } from '../../../../sdk/attest/index.ts'
import {
  type CanonicalMap,
  CryptoError,
  decodeMap,
  encodeCanonical,
  FormatError,
  IdentityKey,
  taggedDigest,
} from '../../../../sdk/crypto/index.ts'

const party = (vm: string, fill: number) => ({
  vm,
  identity: new Uint8Array(32).fill(fill),
  report: new Uint8Array(32).fill(fill + 1),
})

const memoryOpen: Open = {
  registration: 'registration-1',
  kind: 'memory-page',
  source: party('source-vm', 1),
  destination: party('destination-vm', 5),
  pairs: [
    { first: 16n, second: 32n, count: 4n },
    { first: 100n, second: 200n, count: 1n },
  ],
  memory: {
    frames: [
      { index: 16n, frame: 1000n, count: 2n },
      { index: 18n, frame: 1n, count: 2n },
      { index: 100n, frame: 1010n, count: 1n },
    ],
    destinationPool: [{ first: 2000n, count: 5n }],
    sourcePool: [],
  },
  disk: null,
  suite: 'aes-256-xts',
  workerKey: new Uint8Array(32).fill(9),
  receiptKey: IdentityKey.generate().publicKey.spki,
  platform: Uint8Array.of(0, 0x0b, ...new Uint8Array(32).fill(3)),
}

const diskOpen: Open = {
  ...memoryOpen,
  kind: 'disk-block',
  memory: null,
  disk: { sourceVolume: 'a', destinationVolume: 'b' },
}

const memory = (change: Partial<NonNullable<Open['memory']>>): Open => ({
  ...memoryOpen,
  memory: { frames: [], destinationPool: [], sourcePool: [], ...memoryOpen.memory, ...change },
})

describe('terms', () => {
  it.each([
    ['memory', memoryOpen],
    ['a disk', diskOpen],
  ])('of %s come back from their bytes', (_what, open) => {
    expect(decodeOpen(encodeOpen(open))).toEqual(open)
  })

  it('may place two equal pages in one frame', () => {
    const frames =
      memoryOpen.memory?.frames.map((run, at) => (at === 2 ? { ...run, frame: 1000n } : run)) ?? []
    expect(decodeOpen(encodeOpen(memory({ frames })))).toEqual(memory({ frames }))
  })

  it('have a transcript under their own tag', () => {
    const bytes = encodeOpen(memoryOpen)
    expect(transcriptOf(bytes)).toEqual(taggedDigest('palimpsest/v1/open', bytes))
  })

  it('[C-29] have another transcript when the worker’s key is another', () => {
    const swapped = { ...memoryOpen, workerKey: new Uint8Array(32).fill(10) }
    expect(transcriptOf(encodeOpen(swapped))).not.toEqual(transcriptOf(encodeOpen(memoryOpen)))
  })

  it('[A-10] any changed byte is refused or changes the transcript', () => {
    const bytes = encodeOpen(memoryOpen)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Uint8Array.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ flip
        try {
          const open = decodeOpen(changed)
          expect(encodeOpen(open)).toEqual(changed)
          expect(transcriptOf(changed)).not.toEqual(transcriptOf(bytes))
        } catch (error) {
          if (!(error instanceof CryptoError)) throw error
        }
      }),
    )
  })
})

const wrong: [title: string, open: Open, path: string][] = [
  ['no pair', { ...diskOpen, pairs: [] }, 'pairs'],
  ['a pair of nothing', { ...diskOpen, pairs: [{ first: 1n, second: 1n, count: 0n }] }, 'pairs (first)'],
  [
    'a pair past 2^64',
    { ...diskOpen, pairs: [{ first: 1n, second: (1n << 64n) - 1n, count: 2n }] },
    'pairs (second)',
  ],
  [
    'a first block twice',
    {
      ...diskOpen,
      pairs: [
        { first: 1n, second: 1n, count: 2n },
        { first: 2n, second: 10n, count: 1n },
      ],
    },
    'pairs (first)',
  ],
  [
    'a second block twice',
    {
      ...diskOpen,
      pairs: [
        { first: 9n, second: 1n, count: 2n },
        { first: 2n, second: 2n, count: 1n },
      ],
    },
    'pairs (second)',
  ],
  [
    'frames of a page that no pair names',
    memory({ frames: [{ index: 16n, frame: 1n, count: 5n }] }),
    'memory.frames',
  ],
  ['no frames', memory({ frames: [] }), 'memory.frames'],
  [
    'a page placed twice',
    memory({
      frames: [
        { index: 16n, frame: 1n, count: 4n },
        { index: 17n, frame: 9n, count: 1n },
        { index: 100n, frame: 20n, count: 1n },
      ],
    }),
    'memory.frames (pages)',
  ],
  ['a frame past 2^52', memory({ destinationPool: [{ first: 1n << 52n, count: 1n }] }), 'memory pools'],
  [
    'a pool that holds a first block',
    memory({ destinationPool: [{ first: 999n, count: 3n }] }),
    'memory pools',
  ],
  ['a frame in both pools', memory({ sourcePool: [{ first: 2004n, count: 1n }] }), 'memory pools'],
  ['memory terms for a disk', { ...memoryOpen, kind: 'disk-block' }, 'kind'],
  ['disk terms beside memory terms', { ...memoryOpen, disk: diskOpen.disk }, 'kind'],
  ['no terms of storage', { ...diskOpen, disk: null }, 'kind'],
  ['one VM twice', { ...diskOpen, destination: { ...diskOpen.destination, vm: 'source-vm' } }, 'destination'],
  [
    'one identity twice',
    { ...diskOpen, destination: { ...diskOpen.destination, identity: diskOpen.source.identity } },
    'destination',
  ],
  [
    'a short identity',
    { ...diskOpen, source: { ...diskOpen.source, identity: new Uint8Array(31) } },
    'source.identity',
  ],
  [
    'a short report digest',
    { ...diskOpen, source: { ...diskOpen.source, report: new Uint8Array(31) } },
    'source.report',
  ],
  ['a short worker key', { ...diskOpen, workerKey: new Uint8Array(31) }, 'workerKey'],
  ['a receipt key of another length', { ...diskOpen, receiptKey: new Uint8Array(90) }, 'receiptKey'],
  ['a platform that is no name', { ...diskOpen, platform: new Uint8Array(33) }, 'platform'],
  ['no registration', { ...diskOpen, registration: '' }, 'registration'],
  [
    'a volume without a name',
    { ...diskOpen, disk: { sourceVolume: '', destinationVolume: 'b' } },
    'disk.sourceVolume',
  ],
]

/** The bytes that a careless writer would have made. */
function careless(open: Open): Uint8Array {
  const numbers = (list: readonly object[]): bigint[][] => list.map((run) => Object.values(run) as bigint[])
  const { memory: m, disk } = open
  const map = decodeMap(encodeOpen(memoryOpen), 'terms')
  const changed: CanonicalMap = {
    ...map,
    ...open,
    source: { ...open.source },
    destination: { ...open.destination },
    pairs: numbers(open.pairs),
    memory:
      m === null
        ? null
        : {
            frames: numbers(m.frames),
            destinationPool: numbers(m.destinationPool),
            sourcePool: numbers(m.sourcePool),
          },
    disk: disk === null ? null : { ...disk },
  }
  return encodeCanonical(changed)
}

describe('terms that break a rule', () => {
  it('[C-01 control] the careless writer’s bytes of good terms are read', () => {
    expect(decodeOpen(careless(memoryOpen))).toEqual(memoryOpen)
    expect(decodeOpen(careless(diskOpen))).toEqual(diskOpen)
  })

  it.each(wrong)('[C-01] %s are neither written nor read', (_title, open, path) => {
    expect(() => encodeOpen(open)).toThrow(RangeError)
    expect(() => encodeOpen(open)).toThrow(path)
    expect(() => decodeOpen(careless(open))).toThrow(FormatError)
  })

  it('are refused with an unknown field, another version or another suite', () => {
    const map = decodeMap(encodeOpen(memoryOpen), 'terms')
    for (const change of [{ extra: 1n }, { v: 2n }, { hpke: 'none' }, { suite: 'none' }, { memory: 1n }]) {
      expect(() => decodeOpen(encodeCanonical({ ...map, ...change }))).toThrow(FormatError)
    }
  })

  it('are refused beyond the limit before they are parsed', () => {
    expect(() => decodeOpen(new Uint8Array(OPEN_LIMIT + 1))).toThrow('expected at most')
  })
})
