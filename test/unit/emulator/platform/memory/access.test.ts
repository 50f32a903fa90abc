// Loads and stores through mapping, ownership table, keys and write bit; faults and their endings.

import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { PAGE, rejection, TestMachine } from './memory-fixture.ts'

const root = new Uint8Array(32).fill(7)
const group = new Uint8Array(32).fill(9)

/** The frame cipher by node:crypto alone: an independent reference. */
function referenceKey(key: Uint8Array, mode: string, frame: number): [Uint8Array, Uint8Array] {
  const place = Buffer.alloc(8)
  place.writeBigUInt64LE(BigInt(frame))
  const label = Buffer.from(`palimpsest/v1/${mode}/aes-256-xts`)
  const info = mode === 'common' ? label : Buffer.concat([label, place])
  const tweak = Buffer.alloc(16)
  if (mode !== 'common') tweak.writeBigUInt64LE(BigInt(frame))
  return [new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), info, 64)), tweak]
}

describe('memory access', () => {
  it('loads what was stored, across pages, and zeros where nothing was', async () => {
    const machine = new TestMachine()
    const guest = machine.guest('a')
    machine.give(guest, 0, 10, 4)
    const data = randomBytes(2 * PAGE + 100)
    await machine.memory.access.store(guest, 4000n, data)
    expect(Buffer.from(await machine.memory.access.load(guest, 4000n, data.length)).equals(data)).toBe(true)
    expect(await machine.memory.access.load(guest, 3999n, 1)).toEqual(Uint8Array.of(0))
    expect(await machine.memory.access.load(guest, BigInt(3 * PAGE + 8), 4)).toEqual(new Uint8Array(4))
  })

  it.each(['location', 'common', 'both'] as const)(
    '[C-13] [C-21] a frame holds AES-256-XTS of its page under the key of mode %s, as node:crypto computes it',
    async (mode) => {
      const machine = new TestMachine()
      const guest = machine.guest('a', { root, mode, group })
      machine.give(guest, 3, 17)
      const page = randomBytes(PAGE)
      await machine.memory.access.store(guest, BigInt(3 * PAGE), page)
      const key = referenceKey(mode === 'location' ? root : group, mode, 17)
      const expected = createCipheriv('aes-256-xts', ...key).update(page)
      expect(Buffer.from(machine.memory.read([17])).equals(expected)).toBe(true)
    },
  )

  it('[C-13] the same plaintext at two frames gives different ciphertext, and one key does not open the other', async () => {
    const machine = new TestMachine()
    const guest = machine.guest('a', { root })
    machine.give(guest, 0, 17, 2)
    const page = Buffer.alloc(PAGE, 'the same page ')
    await machine.memory.access.store(guest, 0n, Buffer.concat([page, page]))
    const [first, second] = [machine.memory.read([17]), machine.memory.read([18])]
    expect(Buffer.from(first).equals(second)).toBe(false)
    const open = (frame: number, content: Uint8Array) =>
      createDecipheriv('aes-256-xts', ...referenceKey(root, 'location', frame)).update(content)
    expect(open(17, first).equals(page)).toBe(true)
    expect(open(18, second).equals(page)).toBe(true)
    expect(open(17, second).equals(page)).toBe(false)
  })

  it('[C-13 control] in mode common the same plaintext gives the same ciphertext, and one key opens both', async () => {
    const machine = new TestMachine()
    const guest = machine.guest('a', { root, mode: 'common', group })
    machine.give(guest, 0, 17, 2)
    const page = Buffer.alloc(PAGE, 'the same page ')
    await machine.memory.access.store(guest, 0n, Buffer.concat([page, page]))
    expect(Buffer.from(machine.memory.read([17])).equals(machine.memory.read([18]))).toBe(true)
  })

  it('[C-21] [A-01] what the host reads holds no plaintext', async () => {
    const machine = new TestMachine()
    const guest = machine.guest('a')
    machine.give(guest, 0, 5)
    await machine.store(guest, 0, 'attack at dawn')
    expect(Buffer.from(machine.memory.read([5])).includes('attack')).toBe(false)
  })

  it('[C-21 control] [A-01 control] the guest itself reads its plaintext there', async () => {
    const machine = new TestMachine()
    const guest = machine.guest('a')
    machine.give(guest, 0, 5)
    await machine.store(guest, 0, 'attack at dawn')
    expect(await machine.load(guest, 0, 14)).toBe('attack at dawn')
  })

  it('[C-21] [A-03] a remapped page gives OWNERSHIP_FAULT, though the key would open the frame', async () => {
    const machine = new TestMachine()
    const guest = machine.guest('a')
    machine.give(guest, 0, 5, 2)
    await machine.store(guest, 0, 'page zero')
    machine.memory.setMappings('a', [{ index: 1, frame: 5, writable: true }], [])
    expect(await rejection(machine.load(guest, 1, 9))).toBe('OWNERSHIP_FAULT')
    expect(await rejection(machine.store(guest, 1, 'x'))).toBe('OWNERSHIP_FAULT')
    expect(machine.events).toEqual([])
  })

  it('[A-03 control] with the mapping that the table records, the same load is done', async () => {
    const machine = new TestMachine()
    const guest = machine.guest('a')
    machine.give(guest, 0, 5, 2)
    await machine.store(guest, 0, 'page zero')
    machine.memory.setMappings('a', [{ index: 1, frame: 6, writable: true }], [])
    expect(await machine.load(guest, 1, 1)).toBe('\0')
  })

  it('refuses frames that are free, reserved or of another VM', async () => {
    const machine = new TestMachine()
    const [a, b] = [machine.guest('a'), machine.guest('b')]
    machine.give(b, 0, 5)
    machine.memory.reserve('r', 'a', [6])
    for (const frame of [5, 6, 7]) {
      machine.memory.setMappings('a', [{ index: 0, frame, writable: true }], [])
      expect(await rejection(machine.load(a, 0, 1))).toBe('OWNERSHIP_FAULT')
    }
  })

  it('[C-19] a store to a shared page faults, and a load of the group goes through', async () => {
    const machine = new TestMachine()
    const keys = { group, mode: 'both' } as const
    const [a, b] = [machine.guest('a', keys), machine.guest('b', keys)]
    machine.give(a, 2, 5)
    await machine.store(a, 2, 'shared')
    machine.share(a, 2, b, 9)
    expect(await machine.load(b, 9, 6)).toBe('shared')
    expect(machine.events).toEqual([])
    const store = machine.store(b, 9, 'S')
    expect(machine.events).toEqual([{ id: 1, vm: 'b', index: 9, access: 'write', reason: 'write-protected' }])
    machine.memory.resolveFaults([], [{ id: 1, code: 'STALLED', message: 'no frame' }])
    expect(await rejection(store)).toBe('STALLED')
    // The write bit alone does not help: the frame is SHARED_RO.
    machine.memory.setMappings('b', [{ index: 9, frame: 5, writable: true }], [])
    const again = machine.store(b, 9, 'S')
    expect(machine.events.at(-1)).toMatchObject({ reason: 'write-protected' })
    machine.memory.removeGuest(b)
    expect(await rejection(again)).toBe('STATE')
    expect(await machine.load(a, 2, 6)).toBe('shared')
  })

  it('[C-19 control] a store to a private page with the write bit does not fault, without it faults', async () => {
    const machine = new TestMachine()
    const a = machine.guest('a')
    machine.give(a, 2, 5)
    await machine.store(a, 2, 'x')
    expect(machine.events).toEqual([])
    machine.memory.setMappings('a', [{ index: 2, frame: 5, writable: false }], [])
    machine.onFault = ({ id }) => {
      machine.memory.setMappings('a', [{ index: 2, frame: 5, writable: true }], [id])
    }
    await machine.store(a, 2, 'y')
    expect(machine.events.map(({ reason }) => reason)).toEqual(['write-protected'])
    expect(await machine.load(a, 2, 1)).toBe('y')
  })

  it('a sharer in mode location faults for the key, load or store', async () => {
    const machine = new TestMachine()
    const [a, b] = [machine.guest('a'), machine.guest('b')]
    machine.give(a, 2, 5)
    await machine.store(a, 2, 'private key')
    machine.share(a, 2, b, 9)
    machine.onFault = ({ id }) => {
      machine.memory.resolveFaults([], [{ id, code: 'STALLED', message: 'no' }])
    }
    expect(await rejection(machine.load(b, 9, 1))).toBe('STALLED')
    expect(await rejection(machine.store(b, 9, 'x'))).toBe('STALLED')
    expect(machine.events.map(({ reason, access }) => `${reason} ${access}`)).toEqual([
      'key read',
      'key write',
    ])
  })

  it('[C-12] an increment counts once, however often the access is tried again', async () => {
    const machine = new TestMachine()
    const a = machine.guest('a')
    machine.give(a, 2, 5)
    machine.memory.setMappings('a', [{ index: 2, frame: undefined, writable: false }], [])
    let tries = 0
    machine.onFault = ({ id }) => {
      tries++
      if (tries === 4) machine.memory.setMappings('a', [{ index: 2, frame: 5, writable: true }], [id])
      else if (tries === 3) machine.memory.setMappings('a', [{ index: 2, frame: 5, writable: false }], [id])
      else
        queueMicrotask(() => {
          machine.memory.resolveFaults([id, id, 99], [])
        })
    }
    expect(await machine.memory.access.fetchAdd(a, BigInt(2 * PAGE + 16), 1n)).toBe(1n)
    expect(machine.events.map(({ reason }) => reason)).toEqual([
      'not-present',
      'not-present',
      'not-present',
      'write-protected',
    ])
    expect(await machine.memory.access.fetchAdd(a, BigInt(2 * PAGE + 16), 2n ** 64n - 1n)).toBe(0n)
  })

  it('[C-12] a refused increment counts not at all, and 64 at once count 64', async () => {
    const machine = new TestMachine()
    const a = machine.guest('a')
    machine.give(a, 2, 5)
    machine.memory.setMappings('a', [{ index: 2, frame: undefined, writable: false }], [])
    const adds = Array.from({ length: 66 }, () => machine.memory.access.fetchAdd(a, BigInt(2 * PAGE), 1n))
    expect(machine.events).toHaveLength(66)
    machine.memory.resolveFaults(
      [],
      [1, 2].map((id) => ({ id, code: 'STALLED' as const, message: 'no' })),
    )
    const retry = machine.events.slice(2).map(({ id }) => id)
    machine.memory.setMappings('a', [{ index: 2, frame: 5, writable: true }], retry)
    const results = await Promise.allSettled(adds)
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(2)
    const sums = results.flatMap((result) => (result.status === 'fulfilled' ? [Number(result.value)] : []))
    expect(sums.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 64 }, (_, i) => i + 1))
  })

  it('a cancelled access takes its fault away, and a stalled one fails by itself', async () => {
    const machine = new TestMachine({ stallTimeoutMs: 30 })
    const a = machine.guest('a')
    const cancel = new AbortController()
    const load = machine.memory.access.load(a, 0n, 1, cancel.signal)
    expect(machine.memory.faults.open()).toHaveLength(1)
    cancel.abort()
    expect(await rejection(load)).toBe('CANCELLED')
    expect(machine.memory.faults.open()).toEqual([])
    expect(await rejection(machine.memory.access.load(a, 0n, 1))).toBe('STALLED')
    expect(machine.memory.faults.open()).toEqual([])
  })

  it('a store across a page boundary waits at the second page, with the first one stored', async () => {
    const machine = new TestMachine()
    const a = machine.guest('a')
    machine.give(a, 0, 5, 2)
    machine.memory.setMappings('a', [{ index: 1, frame: 6, writable: false }], [])
    const store = machine.store(a, 0, 'abcd', PAGE - 2)
    expect(machine.events).toMatchObject([{ index: 1 }])
    expect(await machine.load(a, 0, 2, PAGE - 2)).toBe('ab')
    machine.memory.setMappings('a', [{ index: 1, frame: 6, writable: true }], [1])
    await store
    expect(await machine.load(a, 0, 4, PAGE - 2)).toBe('abcd')
  })

  it('refuses accesses outside memory, of a wrong size, unaligned counters and guests without keys', async () => {
    const machine = new TestMachine()
    const a = machine.guest('a', {}, 4)
    machine.give(a, 3, 5)
    const { access } = machine.memory
    expect(await rejection(access.load(a, BigInt(4 * PAGE), 1))).toBe('OUT_OF_RANGE')
    expect(await rejection(access.store(a, BigInt(4 * PAGE - 1), new Uint8Array(2)))).toBe('OUT_OF_RANGE')
    expect(await rejection(access.load(a, 2n ** 64n - 1n, 1))).toBe('OUT_OF_RANGE')
    expect(await rejection(access.load(a, 0n, 0))).toBe('INVALID_ARGUMENT')
    expect(await rejection(access.load(a, 0n, (4 << 20) + 1))).toBe('INVALID_ARGUMENT')
    expect(await rejection(access.fetchAdd(a, 4n, 1n))).toBe('INVALID_ARGUMENT')
    machine.memory.removeGuest(a)
    expect(await rejection(access.load(a, 0n, 1))).toBe('STATE')
    expect(machine.events).toEqual([])
  })
})
