// Random operations of hosts, workers and guests on the platform's memory, legal and illegal, against a model in plain
// objects; a failing sequence is shrunk to the operations that it needs.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FRAMES, PAGES, VMS } from './memory-model.ts'
import { type Operation, World } from './memory-world.ts'

const LONGEST = 400
const RUNS = 680

const name = fc.tuple(fc.constantFrom(...VMS), fc.nat(PAGES - 1)).map(([vm, page]) => `${vm}:${String(page)}`)
const vm = fc.constantFrom(...VMS)
const frame = fc.nat(FRAMES - 1)
const registration = fc.constantFrom('r', 's')
const choice = fc.nat(20)
const kind = <K extends string>(...kinds: [K, ...K[]]) => fc.constantFrom(...kinds)
const copy = fc.record({ registration, firstFrame: frame, first: name, secondFrame: frame, second: name })

/** Each kind as often as it takes for all states to be common. */
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: kind('assign'), name, frame }) },
  { weight: 4, arbitrary: fc.record({ kind: kind('reserve'), registration, vm, frame }) },
  { weight: 4, arbitrary: fc.record({ kind: kind('release'), registration, frame }) },
  { weight: 8, arbitrary: fc.record({ kind: kind('share'), name, peer: name }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('upgrade'), name }) },
  { weight: 16, arbitrary: fc.record({ kind: kind('map-own'), name }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('map'), name, frame }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('unmap'), name }) },
  { weight: 8, arbitrary: fc.record({ kind: kind('load', 'add'), name }) },
  { weight: 10, arbitrary: fc.record({ kind: kind('store', 'store-page'), name, value: fc.nat(255) }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('begin'), copy }) },
  { weight: 12, arbitrary: fc.record({ kind: kind('begin-some', 'commit', 'upgrade-some'), choice }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('end'), vm }) },
  { weight: 3, arbitrary: fc.record({ kind: kind('flip', 'record', 'restore'), frame }) },
)

/** What must have happened, or the operations above do not reach far enough. */
const REACHED = [
  ...[
    'assign',
    'reserve',
    'release',
    'share',
    'upgrade-some',
    'begin-some',
    'commit',
    'end',
    'flip',
    'restore',
  ],
  ...['load', 'store', 'store-page', 'add'],
].map((done) => `${done} done`)
const REFUSED = [
  ...['OWNERSHIP_FAULT', 'waits: key', 'waits: not-present'].map((why) => `load ${why}`),
  ...['OWNERSHIP_FAULT', 'INTEGRITY_FAULT', 'waits: write-protected'].map((why) => `store ${why}`),
  ...['GENERATION_CHANGED', 'DEST_IN_USE', 'OWNERSHIP_FAULT'].map((why) => `commit ${why}`),
  ...['assign', 'reserve', 'release', 'share', 'upgrade'].map((move) => `${move} OWNERSHIP_FAULT`),
  'begin NOT_WRITE_PROTECTED',
]

describe('memory and its ownership', () => {
  it(
    '[C-34] [C-13] [C-35] agree with a model over 100,000 random operations',
    { timeout: 300_000 },
    async () => {
      const outcomes = new Map<string, number>()
      const run = async (integrity: boolean, sequence: readonly Operation[]) => {
        const world = new World(integrity)
        for (const one of sequence) {
          const outcome = `${one.kind} ${(await world.step(one)) ?? 'nothing'}`
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        }
        world.checkContents()
      }
      const sequences = fc.array(operation, { minLength: 1, maxLength: LONGEST, size: 'max' })
      await fc.assert(fc.asyncProperty(fc.boolean(), sequences, run), { numRuns: RUNS })
      expect([...outcomes.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(100_000)
      for (const outcome of [...REACHED, ...REFUSED])
        expect(outcomes.get(outcome) ?? 0, outcome).toBeGreaterThan(0)
    },
  )
})
