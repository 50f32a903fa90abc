// The frame ownership table by itself: moves of many frames at once, which happen whole or not at all.

import { describe, expect, it } from 'vitest'
import type { CopyBetweenFrames, OwnerVm } from '../../../../emulator/platform/ownership-rows.ts'
import { OwnershipTable } from '../../../../emulator/platform/ownership.ts'

const zero = { name: 'zero' }
const keyA = { name: 'a' }
const keyB = { name: 'b' }
type Key = typeof zero

interface Machine {
  readonly table: OwnershipTable<Key>
  readonly a: OwnerVm
  readonly b: OwnerVm
  readonly scrubbed: number[]
}

function machine(frames = 64): Machine {
  const scrubbed: number[] = []
  const table = new OwnershipTable<Key>(frames, { scrub: (frame) => scrubbed.push(frame) })
  return { table, a: table.addVm('a', 100), b: table.addVm('b', 100), scrubbed }
}

/** VM a owns frame 5 as page 10, shared with page 20 of VM b; frame 7 is reserved for b under "r". */
function shared(): Machine {
  const made = machine()
  made.table.assign(made.a, [{ index: 10, frame: 5, count: 1 }], zero)
  made.table.noteStore(made.a, 5, keyA)
  made.table.share(made.a, made.b, [{ first: 10, second: 20, count: 1 }], (_frame, key) => key)
  made.table.reserve('r', made.b, [7], zero)
  return made
}

const copy: CopyBetweenFrames = {
  firstFrame: 5,
  first: { vm: 'a', index: 10 },
  secondFrame: 7,
  second: { vm: 'b', index: 20 },
}

function code(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return 'none'
}

/** Everything that a refusal must leave as it was. */
function snapshot({ table }: Machine): unknown {
  return [table.totals, Array.from({ length: table.frames }, (_, frame) => table.describe(frame))].map(
    (part) => structuredClone(part),
  )
}

describe('frame ownership', () => {
  it('[C-34 control] gives free frames to a VM, one frame per guest page', () => {
    const { table, a } = machine()
    table.assign(a, [{ index: 10, frame: 5, count: 2 }], zero)
    expect(table.describe(6)).toEqual({
      frame: 6,
      state: 'private',
      generation: 1,
      names: [{ vm: 'a', index: 11 }],
      registration: '',
    })
    expect(table.frameAt(a, 11)).toBe(6)
    expect(table.totals).toEqual({ free: 62, reserved: 0, private: 2, 'shared-ro': 0 })
  })

  it.each<[string, (machine: Machine) => unknown]>([
    [
      'a frame of another VM',
      ({ table, b }) => {
        table.assign(b, [{ index: 1, frame: 5, count: 1 }], zero)
      },
    ],
    [
      'a page that has a frame',
      ({ table, a }) => {
        table.assign(a, [{ index: 10, frame: 9, count: 1 }], zero)
      },
    ],
    [
      'one frame twice',
      ({ table, b }) => {
        table.assign(
          b,
          [
            { index: 1, frame: 9, count: 1 },
            { index: 2, frame: 9, count: 1 },
          ],
          zero,
        )
      },
    ],
    [
      'a reserved frame',
      ({ table, b }) => {
        table.assign(b, [{ index: 1, frame: 7, count: 1 }], zero)
      },
    ],
    [
      'reserving an owned frame',
      ({ table, b }) => {
        table.reserve('r', b, [8, 5], zero)
      },
    ],
    ['releasing what another registration holds', ({ table }) => table.release('other', [7])],
    ['releasing an owned frame', ({ table }) => table.release('r', [7, 5])],
    [
      'sharing a page without a frame',
      ({ table, a, b }) => table.share(a, b, [{ first: 11, second: 30, count: 1 }], (_frame, key) => key),
    ],
    [
      'sharing by a VM that did not make the frame',
      ({ table, a, b }) => table.share(b, a, [{ first: 20, second: 30, count: 1 }], (_frame, key) => key),
    ],
    [
      'sharing onto a page that has a frame',
      ({ table, a, b }) => table.share(a, b, [{ first: 10, second: 20, count: 1 }], (_frame, key) => key),
    ],
    [
      'upgrading while others share',
      ({ table, a }) => {
        table.upgrade(a, [10], () => true)
      },
    ],
  ])('[C-34] refuses %s with OWNERSHIP_FAULT and changes nothing', (_title, run) => {
    const made = shared()
    const before = snapshot(made)
    expect(code(() => run(made))).toBe('OWNERSHIP_FAULT')
    expect(snapshot(made)).toEqual(before)
    expect(made.scrubbed).toEqual([])
  })

  it('refuses frames and pages that do not exist', () => {
    const { table, a } = machine()
    expect(
      code(() => {
        table.assign(a, [{ index: 0, frame: 60, count: 5 }], zero)
      }),
    ).toBe('INVALID_ARGUMENT')
    expect(
      code(() => {
        table.assign(a, [{ index: 99, frame: 0, count: 2 }], zero)
      }),
    ).toBe('OUT_OF_RANGE')
    expect(code(() => table.describe(64))).toBe('INVALID_ARGUMENT')
    expect(table.totals.free).toBe(64)
  })

  it('[C-22] refuses a second frame that is in use', () => {
    const made = shared()
    made.table.assign(made.b, [{ index: 1, frame: 8, count: 1 }], zero)
    made.table.reserve('other', made.b, [9], zero)
    made.table.reserve('r', made.a, [11], zero)
    const before = snapshot(made)
    for (const secondFrame of [5, 8, 9, 11, 40]) {
      expect(code(() => made.table.checkCopies('r', [{ ...copy, secondFrame }]))).toBe('DEST_IN_USE')
      const stored: number[] = []
      const commit = () =>
        made.table.commitCopies('r', [{ ...copy, secondFrame }], [made.table.generation(5)], (position) => {
          stored.push(position)
          return keyB
        })
      expect(code(commit)).toBe('DEST_IN_USE')
      expect(stored).toEqual([])
    }
    expect(snapshot(made)).toEqual(before)
  })

  it('[C-22 control] accepts the reserved frame of that registration and VM', () => {
    const made = shared()
    const generations = made.table.checkCopies('r', [copy])
    expect(made.table.commitCopies('r', [copy], generations, () => keyB)).toEqual([2])
    expect(made.table.describe(7)).toMatchObject({ state: 'private', names: [{ vm: 'b', index: 20 }] })
    expect(made.table.frameAt(made.b, 20)).toBe(7)
    expect(made.table.keyOf(7)).toBe(keyB)
    expect(made.table.describe(5)).toMatchObject({ state: 'shared-ro', names: [{ vm: 'a', index: 10 }] })
    expect(made.table.release('r', [])).toBe(0)
  })

  it('refuses a first frame that is not write-protected, or not the one named', () => {
    const made = shared()
    made.table.assign(made.a, [{ index: 11, frame: 6, count: 1 }], zero)
    expect(code(() => made.table.checkCopies('r', [{ ...copy, firstFrame: 6 }]))).toBe('NOT_WRITE_PROTECTED')
    expect(code(() => made.table.checkCopies('r', [{ ...copy, first: { vm: 'a', index: 11 } }]))).toBe(
      'OWNERSHIP_FAULT',
    )
    expect(code(() => made.table.checkCopies('r', [{ ...copy, second: { vm: 'b', index: 21 } }]))).toBe(
      'OWNERSHIP_FAULT',
    )
  })

  it('[C-34] refuses the whole batch when one first frame changed since it was read', () => {
    const made = shared()
    made.table.reserve('r', made.a, [8], zero)
    made.table.assign(made.a, [{ index: 11, frame: 6, count: 1 }], zero)
    made.table.share(made.a, made.b, [{ first: 11, second: 21, count: 1 }], () => keyA)
    made.table.reserve('r', made.b, [9], zero)
    const other: CopyBetweenFrames = {
      firstFrame: 6,
      first: { vm: 'a', index: 11 },
      secondFrame: 9,
      second: { vm: 'b', index: 21 },
    }
    const generations = made.table.checkCopies('r', [copy, other])
    // VM b leaves frame 5, its last sharer lifts the protection and writes.
    made.table.commitCopies('r', [copy], generations.slice(0, 1), () => keyB)
    made.table.upgrade(made.a, [10], () => true)
    const before = snapshot(made)
    const stored: number[] = []
    const late = () =>
      made.table.commitCopies(
        'r',
        [other, { ...copy, secondFrame: 9 }],
        generations.toReversed(),
        (position) => {
          stored.push(position)
          return keyB
        },
      )
    expect(code(late)).toBe('GENERATION_CHANGED')
    expect(stored).toEqual([])
    expect(snapshot(made)).toEqual(before)
    // Control: the copy whose first frame did not change is accepted by itself.
    expect(made.table.commitCopies('r', [other], generations.slice(1), () => keyB)).toHaveLength(1)
  })

  it('[C-34] upgrades the last sharer in place only where its own key opens the frame', () => {
    const made = shared()
    made.table.commitCopies('r', [copy], made.table.checkCopies('r', [copy]), () => keyB)
    expect(
      code(() => {
        made.table.upgrade(made.a, [10], (key) => key === keyB)
      }),
    ).toBe('OWNERSHIP_FAULT')
    made.table.upgrade(made.a, [10], (key) => key === keyA)
    expect(made.table.describe(5)).toMatchObject({ state: 'private', names: [{ vm: 'a', index: 10 }] })
  })

  it('frees and scrubs the first frame with its last name, also when its maker left it first', () => {
    const made = shared()
    made.table.reserve('r', made.a, [8], zero)
    const own: CopyBetweenFrames = { ...copy, secondFrame: 8, second: copy.first }
    made.table.commitCopies('r', [own], made.table.checkCopies('r', [own]), () => keyA)
    expect(made.table.describe(5).names).toEqual([{ vm: 'b', index: 20 }])
    made.table.commitCopies('r', [copy], made.table.checkCopies('r', [copy]), () => keyB)
    expect(made.table.describe(5)).toMatchObject({ state: 'free', names: [] })
    expect(made.scrubbed).toEqual([5])
  })

  it('takes everything from a VM that ends, and leaves shared frames to the others', () => {
    const made = shared()
    made.table.assign(made.a, [{ index: 11, frame: 6, count: 1 }], zero)
    made.table.removeVm(made.a)
    expect(made.table.describe(6).state).toBe('free')
    expect(made.table.describe(5)).toMatchObject({ state: 'shared-ro', names: [{ vm: 'b', index: 20 }] })
    // The ended VM's page stays the name of the first block, but is no name of a later VM that is called the same.
    expect(made.table.checkCopies('r', [copy])).toHaveLength(1)
    made.table.addVm('a', 100)
    expect(code(() => made.table.checkCopies('r', [copy]))).toBe('OWNERSHIP_FAULT')
    made.table.removeVm(made.b)
    expect(made.table.totals.free).toBe(64)
    expect(made.scrubbed.toSorted()).toEqual([5, 6, 7])
  })
})
