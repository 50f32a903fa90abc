// A worker's copies between frames, and what becomes of mappings, frames, keys and the write log.

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { deriveBlockKey, IdentityKey, Secret } from '../../../../../sdk/crypto/index.ts'
import { PAGE, rejection, TestMachine } from './memory-fixture.ts'

const copy = {
  firstFrame: 5,
  first: { vm: 'a', index: 2 },
  secondFrame: 8,
  second: { vm: 'b', index: 9 },
}

/** Re-encrypts a frame as a worker does, with keys that the two VMs grant. */
function reencrypt(ciphertext: Uint8Array): Uint8Array {
  const unit = (root: string, frame: number): [Uint8Array, Uint8Array] => {
    const tweak = new Uint8Array(16)
    tweak[0] = frame
    const key = deriveBlockKey(
      Secret.from(new Uint8Array(32).fill(root.charCodeAt(0))),
      'location',
      BigInt(frame),
    )
    return [key.use((bytes) => Uint8Array.from(bytes)), tweak]
  }
  const plaintext = createDecipheriv('aes-256-xts', ...unit('a', 5)).update(ciphertext)
  return createCipheriv('aes-256-xts', ...unit('b', 8)).update(plaintext)
}

async function sharedMachine(): Promise<TestMachine> {
  const machine = new TestMachine()
  const [a, b] = [machine.guest('a'), machine.guest('b')]
  machine.give(a, 2, 5)
  await machine.store(a, 2, 'old data')
  machine.share(a, 2, b, 9)
  machine.memory.reserve('r', 'b', [8])
  return machine
}

function commit(machine: TestMachine): number[] {
  const { generations, ciphertext } = machine.memory.beginCopies('r', [copy])
  return machine.memory.commitCopies('worker-1', 'r', [copy], generations, reencrypt(ciphertext))
}

describe('copies between frames', () => {
  it('[C-11] [C-12] the store that faulted lands in the second frame, once, and the first stays as it was', async () => {
    const machine = await sharedMachine()
    const [a, b] = [machine.memory.guest('a'), machine.memory.guest('b')]
    const before = machine.memory.read([5])
    machine.onFault = ({ id }) => {
      queueMicrotask(() => {
        commit(machine)
        machine.memory.setMappings('b', [{ index: 9, frame: 8, writable: true }], [id])
      })
    }
    await machine.store(b, 9, 'NEW')
    expect(machine.events).toHaveLength(1)
    expect(await machine.load(b, 9, 8)).toBe('NEW data')
    expect(await machine.load(a, 2, 8)).toBe('old data')
    expect(machine.memory.read([5])).toEqual(before)
  })

  it('[C-07] the write log shows who wrote which frame, in order', async () => {
    const machine = await sharedMachine()
    commit(machine)
    machine.memory.setMappings('b', [{ index: 9, frame: 8, writable: true }], [])
    await machine.store(machine.memory.guest('b'), 9, 'x')
    machine.memory.removeGuest(machine.memory.guest('b'))
    const { entries, next } = machine.memory.readWriteLog({ since: 0, limit: 0 })
    expect(entries).toEqual([
      { sequence: 1, frame: 5, writer: 'a', cause: 'store', generation: 2 },
      { sequence: 2, frame: 8, writer: 'worker-1', cause: 'copy', generation: 2 },
      { sequence: 3, frame: 8, writer: 'b', cause: 'store', generation: 3 },
      { sequence: 4, frame: 8, writer: 'platform', cause: 'scrub', generation: 4 },
    ])
    expect(next).toBe(5)
    const ofFrame = machine.memory.readWriteLog({ since: 2, frame: 8, limit: 1 })
    expect(ofFrame.entries.map(({ sequence }) => sequence)).toEqual([2])
    expect(ofFrame.next).toBe(3)
    expect(machine.memory.describe([8])).toMatchObject([{ state: 'free', generation: 4 }])
  })

  it('[C-07 control] a second frame that somebody else writes too shows that writer', async () => {
    const machine = await sharedMachine()
    commit(machine)
    machine.memory.setMappings('b', [{ index: 9, frame: 8, writable: true }], [])
    await machine.store(machine.memory.guest('b'), 9, 'x')
    const { entries } = machine.memory.readWriteLog({ since: 0, frame: 8, limit: 0 })
    expect(entries.map(({ writer }) => writer)).toEqual(['worker-1', 'b'])
  })

  it('after a copy the old mapping waits for the host instead of looking like an attack', async () => {
    const machine = await sharedMachine()
    const b = machine.memory.guest('b')
    commit(machine)
    const load = machine.load(b, 9, 8)
    expect(machine.events).toMatchObject([{ vm: 'b', index: 9, reason: 'not-present' }])
    machine.memory.setMappings('b', [{ index: 9, frame: 8, writable: true }], [1])
    expect(await load).toBe('old data')
    // A host that maps the first frame again is refused: that frame is not this page any more.
    machine.memory.setMappings('b', [{ index: 9, frame: 5, writable: true }], [])
    expect(await rejection(machine.load(b, 9, 8))).toBe('OWNERSHIP_FAULT')
  })

  it('[C-22] [A-12] a copy into a frame in use is refused, and the frame keeps its data', async () => {
    const machine = await sharedMachine()
    const b = machine.memory.guest('b')
    machine.give(b, 1, 20)
    await machine.store(b, 1, 'in use')
    const { generations, ciphertext } = machine.memory.beginCopies('r', [copy])
    const taken = { ...copy, secondFrame: 20 }
    const before = machine.memory.describe([5, 8, 20])
    const attempt = () => machine.memory.commitCopies('w', 'r', [taken], generations, reencrypt(ciphertext))
    expect(attempt).toThrow(expect.objectContaining({ code: 'DEST_IN_USE' }))
    expect(machine.memory.describe([5, 8, 20])).toEqual(before)
    expect(await machine.load(b, 1, 6)).toBe('in use')
  })

  it('[C-22 control] [A-12 control] the same copy into its reserved frame is done', async () => {
    const machine = await sharedMachine()
    expect(commit(machine)).toEqual([2])
  })

  it('refuses a commit whose parts do not fit, or whose second VM has no keys, and changes nothing', async () => {
    const machine = await sharedMachine()
    const before = machine.memory.describe([5, 8])
    const { generations, ciphertext } = machine.memory.beginCopies('r', [copy])
    const tries = [
      () => machine.memory.commitCopies('w', 'r', [copy], [], ciphertext),
      () => machine.memory.commitCopies('w', 'r', [copy], generations, ciphertext.subarray(1)),
      () =>
        machine.memory.beginCopies(
          'r',
          Array.from({ length: 1025 }, () => copy),
        ),
    ]
    for (const attempt of tries)
      expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(machine.memory.describe([5, 8])).toEqual(before)
  })

  it('shares a page that its owner never wrote as encrypted zeros', async () => {
    const machine = new TestMachine()
    const [a, b] = [machine.guest('a'), machine.guest('b')]
    machine.give(a, 2, 5)
    expect(machine.memory.writtenFrames).toBe(0)
    machine.share(a, 2, b, 9)
    machine.memory.reserve('r', 'b', [8])
    expect(machine.memory.read([5])).not.toEqual(new Uint8Array(PAGE))
    expect(await machine.load(a, 2, 4)).toBe('\0\0\0\0')
    commit(machine)
    machine.memory.setMappings('b', [{ index: 9, frame: 8, writable: true }], [])
    expect(await machine.load(b, 9, 4)).toBe('\0\0\0\0')
  })

  it('says how both frames are keyed, and refuses to begin for a VM without keys', () => {
    const group = new Uint8Array(32).fill(7)
    const machine = new TestMachine()
    const a = machine.guest('a', { mode: 'both', group })
    const b = machine.memory.addGuest('b', 64, IdentityKey.generate().publicKey)
    machine.give(a, 2, 5)
    machine.share(a, 2, b, 9)
    machine.memory.reserve('r', 'b', [8])
    expect(machine.memory.keyMode('b')).toBeUndefined()
    expect(() => machine.memory.beginCopies('r', [copy])).toThrow(expect.objectContaining({ code: 'STATE' }))
    machine.memory.installKeys(b, Secret.random(32), 'common', Secret.from(group))
    expect(machine.memory.keyMode('b')).toBe('common')
    expect(machine.memory.beginCopies('r', [copy])).toMatchObject({
      firstModes: ['both'],
      secondModes: ['common'],
    })
  })

  it('shares a page that its owner took over from a sharer under the key that the owner writes with', async () => {
    const group = new Uint8Array(32).fill(7)
    const machine = new TestMachine()
    const a = machine.guest('a', { mode: 'both', group })
    const b = machine.guest('b', { mode: 'location', group })
    const c = machine.guest('c')
    machine.give(a, 2, 5)
    await machine.store(a, 2, 'old data')
    machine.share(a, 2, b, 9)
    machine.memory.removeGuest(a)
    machine.memory.upgrade('b', [9])
    machine.share(b, 9, c, 4)
    machine.memory.reserve('r', 'c', [8])
    const second = { ...copy, first: { vm: 'b', index: 9 }, second: { vm: 'c', index: 4 } }
    const { firstModes, ciphertext } = machine.memory.beginCopies('r', [second])
    expect(firstModes).toEqual(['location'])
    const key = deriveBlockKey(Secret.from(new Uint8Array(32).fill('b'.charCodeAt(0))), 'location', 5n)
    const opened = key.use((bytes) =>
      createDecipheriv('aes-256-xts', bytes, Uint8Array.of(5, ...new Uint8Array(15))).update(ciphertext),
    )
    expect(opened.subarray(0, 8).toString()).toBe('old data')
    expect(await machine.load(b, 9, 8)).toBe('old data')
    const { entries } = machine.memory.readWriteLog({ since: 0, frame: 5, limit: 0 })
    expect(entries.map(({ writer, cause }) => [writer, cause])).toEqual([
      ['a', 'store'],
      ['platform', 'rekey'],
    ])
  })

  it('[C-34] the last sharer goes on writing in place where its own key opens the frame, else not', async () => {
    const machine = await sharedMachine()
    commit(machine)
    machine.memory.upgrade('a', [2])
    machine.memory.setMappings('a', [{ index: 2, frame: 5, writable: true }], [])
    await machine.store(machine.memory.guest('a'), 2, 'mine')
    expect(machine.memory.describe([5])).toMatchObject([{ state: 'private' }])

    const other = await sharedMachine()
    other.memory.removeGuest(other.memory.guest('a'))
    expect(() => {
      other.memory.upgrade('b', [9])
    }).toThrow(expect.objectContaining({ code: 'OWNERSHIP_FAULT' }))
    // Control: it is copied like any other.
    expect(commit(other)).toEqual([2])
    expect(other.memory.describe([5])).toMatchObject([{ state: 'free' }])
  })
})
