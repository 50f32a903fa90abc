// The walker and the TLB against the plain reference, on random tables of 4 and 5 levels: same results, same questions to
// the nested translation, same bits in memory afterwards.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type GuestAccess, Mmu, type Translation } from '../../../../../emulator/platform/paging/index.ts'
import type { GuestMemory } from './guest-memory.ts'
import { entry, entryAt, type Scene, scene, TABLES } from './random-tables.ts'
import { type Machine, modelOf, registersOf, translate } from './reference.ts'

const sameBytes = (a: GuestMemory, b: GuestMemory) => Buffer.from(a.bytes).equals(b.bytes)

/** A name for an end, to see that a run met all of them. */
function nameOf(end: Translation): string {
  if (end.kind === 'mapped') return end.encrypted ? 'private' : 'shared'
  if (end.kind === 'nested-fault') return `${end.stage} ${end.access}`
  return end.vector === 13 ? '#GP' : `#PF ${end.errorCode.toString(16)}`
}

/** All that can come out; of the error codes, RSVD has P beside it, and W has no ID. */
const ALL_ENDS = [
  ...['private', 'shared', '#GP'],
  ...['walk write', 'walk read', 'final read', 'final write', 'final execute'],
  ...['0', '1', '2', '3', '4', '5', '6', '7', '9', 'b', 'd', 'f'].map((code) => `#PF ${code}`),
  ...['10', '11', '14', '15', '19', '1d'].map((code) => `#PF ${code}`),
]

describe('the walker', () => {
  it('ends as the reference does, asks what it asks and leaves what it leaves, 40,000 times', () => {
    const met = new Set<string>()
    fc.assert(
      fc.property(scene(40), ({ machine, memory, probes }) => {
        const [walked, plain] = [memory.copy(), memory.copy()]
        for (const { gva, access } of probes) {
          const mmu = new Mmu(walked, modelOf(machine), registersOf(machine))
          walked.asked = []
          const found = mmu.translate(gva, access)
          const { end, asked } = translate(plain, machine, gva, access)
          expect(found).toEqual(end)
          // An entry that stands for two levels of one walk changes under it, and so it walks, and asks, again.
          expect(walked.asked.slice(0, asked.length)).toEqual(asked)
          expect(sameBytes(walked, plain)).toBe(true)
          met.add(nameOf(found)).add(`${String(machine.levels)} ${machine.nestedRule}`)
        }
      }),
      { numRuns: 1000 },
    )
    expect([...met]).toEqual(expect.arrayContaining([...ALL_ENDS, '4 npt', '4 ept', '5 npt', '5 ept']))
  })

  it('explains what translating would do, and changes nothing', () => {
    fc.assert(
      fc.property(scene(20), ({ machine, memory, probes }) => {
        const mmu = new Mmu(memory, modelOf(machine), registersOf(machine))
        for (const { gva, access } of probes) {
          const before = memory.copy()
          const { end, steps } = mmu.explain(gva, access)
          expect(sameBytes(memory, before)).toBe(true)
          const reference = translate(before, machine, gva, access)
          expect(end).toEqual(reference.end)
          expect(steps.map(({ gpa }) => gpa)).toEqual(reference.path)
          expect(steps.map(({ gpa }) => memory.get(gpa))).toEqual(steps.map((step) => step.entry))
        }
      }),
      { numRuns: 200 },
    )
  })
})

const PROBES = 10
/** Few flaws: most accesses must succeed for a TLB to have something to remember. */
const SOUND = 100

/** What happens to a processor: mostly accesses, and what makes its TLB wrong or right. */
const events = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: fc.record({ do: fc.constant('access' as const), probe: fc.nat(PROBES - 1) }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('change' as const), at: entryAt, to: entry(SOUND) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('invalidate' as const), probe: fc.nat(PROBES - 1) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('load-cr3' as const), table: fc.nat(TABLES - 1) }),
    },
  ),
  { minLength: 60, maxLength: 120 },
)

/** A processor with a TLB that is driven through events. */
class Run {
  readonly memory: GuestMemory
  readonly mmu: Mmu
  machine: Machine
  readonly #probes: Scene['probes']

  constructor({ machine, memory, probes }: Scene) {
    this.memory = memory.copy()
    this.machine = machine
    this.#probes = probes
    this.mmu = new Mmu(this.memory, modelOf(machine), registersOf(machine))
  }

  /** The address of a probe, and an access: any probe's, so that one address meets many kinds. */
  probe(number: number, step: number): { readonly gva: bigint; readonly access: GuestAccess } {
    const where = this.#probes[number]
    const how = this.#probes[(number + step) % PROBES]
    if (where === undefined || how === undefined) throw new RangeError('no such probe')
    return { gva: where.gva, access: how.access }
  }

  /** Sets CR3; translations of global pages go as well, since another space maps other pages there. */
  loadCr3(table: number): void {
    this.machine = { ...this.machine, root: table * 4096 }
    if (this.machine.pge) this.mmu.writeRegisters(registersOf(this.machine))
    else this.mmu.writeCr3(BigInt(this.machine.root))
  }

  /** The probes whose walks read an entry. */
  *readers(at: number): Generator<bigint> {
    for (const { gva } of this.#probes) {
      const { path } = translate(this.memory.copy(), this.machine, gva, this.probe(0, 0).access)
      if (path.includes(at)) yield gva
    }
  }
}

describe('the TLB', () => {
  it('changes nothing but the cost, when every change is followed by its shootdown', () => {
    let hits = 0
    fc.assert(
      fc.property(scene(PROBES, SOUND), events, (start, happening) => {
        const run = new Run(start)
        const plain = start.memory.copy()
        happening.forEach((event, step) => {
          switch (event.do) {
            case 'access': {
              const { gva, access } = run.probe(event.probe, step)
              expect(run.mmu.translate(gva, access)).toEqual(translate(plain, run.machine, gva, access).end)
              break
            }
            case 'change': {
              const readers = [...run.readers(event.at)]
              const to = event.to(run.machine.encryptionBit)
              run.memory.set(event.at, to)
              plain.set(event.at, to)
              for (const gva of readers) run.mmu.invalidatePage(gva)
              break
            }
            case 'invalidate':
              run.mmu.invalidatePage(run.probe(event.probe, 0).gva)
              break
            case 'load-cr3':
              run.loadCr3(event.table)
          }
          expect(sameBytes(run.memory, plain)).toBe(true)
        })
        hits += run.mmu.counters.hits
      }),
      { numRuns: 400 },
    )
    expect(hits).toBeGreaterThan(500)
  })

  it('without shootdowns it gives what the tables say or once said since the last one, and only such mappings', () => {
    let stale = 0
    fc.assert(
      fc.property(scene(PROBES, SOUND), events, (start, happening) => {
        const run = new Run(start)
        // Memory as it was before each change, and the step since which an address may be answered from it.
        const versions: { readonly memory: GuestMemory; readonly until: number }[] = []
        const freshSince = new Map<bigint, number>()
        let allFreshSince = 0
        happening.forEach((event, step) => {
          switch (event.do) {
            case 'access': {
              const { gva, access } = run.probe(event.probe, step)
              const now = translate(run.memory.copy(), run.machine, gva, access).end
              const found = run.mmu.translate(gva, access)
              if (JSON.stringify(found) === JSON.stringify(now)) break
              stale++
              expect(found.kind).not.toBe('fault')
              const since = Math.max(allFreshSince, freshSince.get(gva) ?? 0)
              const said = versions
                .filter(({ until }) => until >= since)
                .map((version) => translate(version.memory.copy(), run.machine, gva, access).end)
              expect(said).toContainEqual(found)
              break
            }
            case 'change':
              versions.push({ memory: run.memory.copy(), until: step })
              run.memory.set(event.at, event.to(run.machine.encryptionBit))
              break
            case 'invalidate': {
              const { gva } = run.probe(event.probe, 0)
              run.mmu.invalidatePage(gva)
              freshSince.set(gva, step)
              break
            }
            case 'load-cr3':
              run.loadCr3(event.table)
              allFreshSince = step
          }
        })
      }),
      { numRuns: 400 },
    )
    expect(stale).toBeGreaterThan(10)
  })
})
