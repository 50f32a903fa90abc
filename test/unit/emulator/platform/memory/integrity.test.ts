// What the host's own writes to DRAM do: in integrity mode a guest or worker that reads there gets INTEGRITY_FAULT; the
// control is the default mode, where the same write gives garbage or old data, silently.

import { describe, expect, it } from 'vitest'
import type { Guest } from '../../../../../emulator/platform/guest.ts'
import { PAGE, rejection, TestMachine } from './memory-fixture.ts'

const FRAME = 5
const copy = {
  firstFrame: FRAME,
  first: { vm: 'a', index: 2 },
  secondFrame: 8,
  second: { vm: 'b', index: 9 },
}

interface Scene {
  readonly machine: TestMachine
  readonly a: Guest
}

/** VM a has pages 2 and 3 in frames 5 and 6, with texts in them. */
async function scene(integrity: boolean): Promise<Scene> {
  const machine = new TestMachine({ integrity })
  const a = machine.guest('a')
  machine.give(a, 2, FRAME, 2)
  await machine.store(a, 2, 'the first text, longer than one block of the cipher')
  await machine.store(a, 3, 'another page')
  return { machine, a }
}

/** Flips one bit of a frame's ciphertext. */
function flip(machine: TestMachine, frame: number, at = 20): void {
  const bytes = machine.memory.read([frame])
  bytes[at] = (bytes[at] ?? 0) ^ 1
  machine.memory.overwrite([frame], bytes)
}

describe('integrity mode', () => {
  it('[C-35] [A-22] a flipped bit of ciphertext is INTEGRITY_FAULT for loads, stores and additions', async () => {
    const { machine, a } = await scene(true)
    const honest = machine.memory.read([FRAME])
    const before = machine.memory.describe([FRAME])
    for (const at of [0, 20, PAGE - 1]) {
      flip(machine, FRAME, at)
      const found = machine.memory.read([FRAME])
      expect(await rejection(machine.load(a, 2, 1, 4000))).toBe('INTEGRITY_FAULT')
      expect(await rejection(machine.store(a, 2, 'x'))).toBe('INTEGRITY_FAULT')
      expect(await rejection(machine.memory.access.fetchAdd(a, BigInt(2 * PAGE), 1n))).toBe('INTEGRITY_FAULT')
      // The refused store changed nothing, and the neighbour is as it was.
      expect(machine.memory.read([FRAME])).toEqual(found)
      expect(machine.memory.describe([FRAME])).toEqual(before)
      expect(await machine.load(a, 3, 12)).toBe('another page')
      machine.memory.overwrite([FRAME], honest)
      expect(await machine.load(a, 2, 14)).toBe('the first text')
    }
    expect(machine.events).toEqual([])
  })

  it('[C-35] a page that must be re-encrypted to be shared is not shared when the host changed it, nor are those beside it', async () => {
    const group = new Uint8Array(32).fill(7)
    const machine = new TestMachine({ integrity: true })
    const a = machine.guest('a', { mode: 'both', group })
    const b = machine.guest('b', { mode: 'location', group })
    const c = machine.guest('c')
    machine.give(a, 2, FRAME)
    await machine.store(a, 2, 'old data')
    machine.share(a, 2, b, 9)
    machine.memory.removeGuest(a)
    machine.memory.upgrade('b', [9])
    machine.give(b, 8, FRAME + 1)
    const honest = machine.memory.read([FRAME])
    const before = machine.memory.describe([FRAME, FRAME + 1])
    flip(machine, FRAME)
    const pairs = [{ first: 8, second: 3, count: 2 }]
    expect(() => machine.memory.share(b, c, pairs)).toThrow(/found other bytes/)
    expect(machine.memory.describe([FRAME, FRAME + 1])).toEqual(before)
    machine.memory.overwrite([FRAME], honest)
    machine.memory.share(b, c, pairs)
    expect(await machine.load(b, 9, 8)).toBe('old data')
  })

  it('[C-35 control] [A-22 control] by default a flipped bit garbles one block of 16 bytes, silently', async () => {
    const { machine, a } = await scene(false)
    const before = await machine.memory.access.load(a, BigInt(2 * PAGE), PAGE)
    flip(machine, FRAME)
    const after = await machine.memory.access.load(a, BigInt(2 * PAGE), PAGE)
    const changed = [...after.keys()].filter((at) => after[at] !== before[at])
    expect(changed.length).toBeGreaterThan(0)
    expect(new Set(changed.map((at) => at >> 4))).toEqual(new Set([1]))
  })

  it('[C-35] [A-22] ciphertext of an earlier time is INTEGRITY_FAULT', async () => {
    const { machine, a } = await scene(true)
    const old = machine.memory.read([FRAME])
    await machine.store(a, 2, 'THE')
    machine.memory.overwrite([FRAME], old)
    expect(await rejection(machine.load(a, 2, 3))).toBe('INTEGRITY_FAULT')
  })

  it('[C-35 control] [A-22 control] by default ciphertext of an earlier time is old data, silently', async () => {
    const { machine, a } = await scene(false)
    const old = machine.memory.read([FRAME])
    await machine.store(a, 2, 'THE')
    machine.memory.overwrite([FRAME], old)
    expect(await machine.load(a, 2, 3)).toBe('the')
  })

  it('[C-35] [C-13] [A-02] ciphertext of another frame is INTEGRITY_FAULT', async () => {
    const { machine, a } = await scene(true)
    machine.memory.overwrite([FRAME + 1], machine.memory.read([FRAME]))
    expect(await rejection(machine.load(a, 3, 9))).toBe('INTEGRITY_FAULT')
  })

  it('[C-13] [A-02] by default ciphertext of another frame is garbage, never its plaintext', async () => {
    const { machine, a } = await scene(false)
    machine.memory.overwrite([FRAME + 1], machine.memory.read([FRAME]))
    const moved = Buffer.from(await machine.memory.access.load(a, BigInt(3 * PAGE), PAGE))
    expect(moved.includes('first')).toBe(false)
    expect(moved.includes('another')).toBe(false)
    // Nor does the mapping of the frame that it was copied from help: that is another page's.
    machine.memory.setMappings('a', [{ index: 3, frame: FRAME, writable: true }], [])
    expect(await rejection(machine.load(a, 3, 9))).toBe('OWNERSHIP_FAULT')
  })

  it('[A-02 control] in mode common, without a tweak, moved ciphertext is the plaintext', async () => {
    const machine = new TestMachine()
    const group = new Uint8Array(32).fill(9)
    const a = machine.guest('a', { mode: 'common', group })
    machine.give(a, 2, FRAME, 2)
    await machine.store(a, 2, 'the first text')
    await machine.store(a, 3, 'another page')
    machine.memory.overwrite([FRAME + 1], machine.memory.read([FRAME]))
    expect(await machine.load(a, 3, 14)).toBe('the first text')
  })

  it('[C-35] a worker gets INTEGRITY_FAULT instead of a changed first frame, and nothing is copied', async () => {
    const { machine, a } = await scene(true)
    machine.share(a, 2, machine.guest('b'), 9)
    machine.memory.reserve('r', 'b', [8])
    const honest = machine.memory.read([FRAME])
    const before = machine.memory.describe([FRAME, 8])
    flip(machine, FRAME)
    expect(() => machine.memory.beginCopies('r', [copy])).toThrow(
      expect.objectContaining({ code: 'INTEGRITY_FAULT' }),
    )
    expect(machine.memory.describe([FRAME, 8])).toEqual(before)
    machine.memory.overwrite([FRAME], honest)
    expect(machine.memory.beginCopies('r', [copy]).ciphertext).toEqual(honest)
  })

  it('[C-35 control] by default a worker is given what the host has put there', async () => {
    const { machine, a } = await scene(false)
    machine.share(a, 2, machine.guest('b'), 9)
    machine.memory.reserve('r', 'b', [8])
    flip(machine, FRAME)
    expect(machine.memory.beginCopies('r', [copy]).ciphertext).toEqual(machine.memory.read([FRAME]))
  })

  it('[C-35 control] tags follow every honest write and survive every move', async () => {
    const { machine, a } = await scene(true)
    const b = machine.guest('b')
    machine.give(a, 7, 20)
    machine.share(a, 7, b, 1)
    machine.share(a, 2, b, 9)
    expect(await machine.load(a, 7, 2)).toBe('\0\0')
    expect(await machine.load(a, 2, 14)).toBe('the first text')
    machine.memory.reserve('r', 'b', [8])
    const { generations, ciphertext } = machine.memory.beginCopies('r', [copy])
    machine.memory.commitCopies('worker-1', 'r', [copy], generations, ciphertext)
    machine.memory.setMappings('b', [{ index: 9, frame: 8, writable: true }], [])
    // Not b's plaintext, for the test copied ciphertext as it was; but what the worker wrote, so no fault.
    expect(await rejection(machine.load(b, 9, 1))).toBe('none')
    machine.memory.upgrade('a', [2])
    machine.memory.setMappings('a', [{ index: 2, frame: FRAME, writable: true }], [])
    await machine.store(a, 2, 'THE')
    expect(await machine.load(a, 2, 14)).toBe('THE first text')
  })

  it('a whole page that is stored makes a changed frame usable again', async () => {
    const { machine, a } = await scene(true)
    flip(machine, FRAME)
    await machine.memory.access.store(a, BigInt(2 * PAGE), new Uint8Array(PAGE).fill(65))
    expect(await machine.load(a, 2, 3)).toBe('AAA')
  })

  it.each([true, false])(
    '[A-22] what lay in a frame before its owner got it never comes back (integrity %s)',
    async (integrity) => {
      const { machine, a } = await scene(integrity)
      const old = machine.memory.read([FRAME])
      machine.memory.removeGuest(a)
      const next = machine.guest('a')
      machine.give(next, 2, FRAME)
      // The same keys and the same page: only the ownership table knows that this VM never wrote it.
      machine.memory.overwrite([FRAME], old)
      expect(await machine.load(next, 2, 14)).toBe('\0'.repeat(14))
      await machine.store(next, 2, 'new')
      expect(await machine.load(next, 2, 5)).toBe('new\0\0')
    },
  )
})

describe("the host's way to DRAM", () => {
  it('[C-07 control] [C-08 control] changes neither state nor generation, and stands in the write log', async () => {
    const { machine } = await scene(false)
    const before = machine.memory.describe([FRAME, 40])
    const { next } = machine.memory.readWriteLog({ since: 0, limit: 0 })
    machine.memory.overwrite([FRAME, 40], new Uint8Array(2 * PAGE).fill(3))
    expect(machine.memory.describe([FRAME, 40])).toEqual(before)
    expect(machine.memory.readWriteLog({ since: next, limit: 0 }).entries).toEqual([
      { sequence: next, frame: FRAME, writer: 'host', cause: 'host', generation: before[0]?.generation },
      { sequence: next + 1, frame: 40, writer: 'host', cause: 'host', generation: 0 },
    ])
    expect(machine.memory.read([40])).toEqual(new Uint8Array(PAGE).fill(3))
  })

  it('takes whole frames that exist, all or none', async () => {
    const { machine } = await scene(false)
    const before = machine.memory.read([FRAME])
    const tries = [
      () => {
        machine.memory.overwrite([FRAME, 256], new Uint8Array(2 * PAGE))
      },
      () => {
        machine.memory.overwrite([FRAME], new Uint8Array(PAGE - 1))
      },
      () => {
        machine.memory.overwrite(Array<number>(4097).fill(FRAME), new Uint8Array(4097 * PAGE))
      },
    ]
    for (const attempt of tries)
      expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(machine.memory.read([FRAME])).toEqual(before)
  })
})
