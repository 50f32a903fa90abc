// Keys of one use: each frame has its own mode, the newest grant counts, and nothing outlives a wipe.

import { describe, expect, it } from 'vitest'
import { type KeyMode, Secret } from '../../../../sdk/crypto/index.ts'
import { KeyTable, type OpenedEntry } from '../../../../sdk/grant/index.ts'
import { PalimpsestError } from '../../../../sdk/rpc/index.ts'
import { distinctKinds, KeyRing } from '../../../../sdk/worker/key-ring.ts'

/** Keys for `count` frames from `first` on, whose bytes are `fill`. */
function frames(mode: KeyMode, first: bigint, count: number, fill: number): OpenedEntry {
  const frameKeys = new KeyTable()
  const listed = Array.from({ length: count }, (_, i) => first + BigInt(i))
  frameKeys.adopt(listed, new Uint8Array(64 * count).fill(fill))
  const run = { first, count: BigInt(count) }
  return { use: 'read', mode, scope: 'block', frames: [run], frameKeys }
}

function wide(fill: number): OpenedEntry {
  const wideKey = Secret.take(new Uint8Array(64).fill(fill))
  return { use: 'read', mode: 'common', scope: 'group', frames: null, wideKey }
}

/** Mode and first byte of the key for a frame. */
function found(ring: KeyRing, frame: bigint): string {
  return ring.use(frame, (key, { mode }) => `${mode} ${String(key[0])}`)
}

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'ok'
  } catch (error) {
    return error instanceof PalimpsestError ? error.code : String(error)
  }
}

describe('a key ring', () => {
  it('[C-15] has keys of several modes at once, each frame with its own', () => {
    const ring = new KeyRing()
    ring.add(frames('location', 10n, 2, 1))
    ring.add(frames('both', 20n, 2, 2))
    ring.add(wide(3))
    expect([10n, 11n, 20n, 21n, 99n].map((frame) => found(ring, frame))).toEqual([
      'location 1',
      'location 1',
      'both 2',
      'both 2',
      'common 3',
    ])
    expect(ring.size).toBe(5)
    expect(ring.kind(99n)).toEqual({ use: 'read', mode: 'common', scope: 'group' })
  })

  it('goes by the newest grant, and wipes the one before it', () => {
    const ring = new KeyRing()
    ring.add(frames('location', 10n, 2, 1))
    ring.add(frames('both', 11n, 1, 2))
    expect([found(ring, 10n), found(ring, 11n), ring.size]).toEqual(['location 1', 'both 2', 2])
    ring.add(frames('location', 11n, 1, 4))
    expect([found(ring, 11n), ring.size]).toEqual(['location 4', 2])
    const before = wide(3)
    ring.add(before)
    ring.add(wide(5))
    expect([found(ring, 99n), before.wideKey?.wiped]).toEqual(['common 5', true])
  })

  it('[C-33] has none for a frame that was dropped, and none at all after a wipe', () => {
    const ring = new KeyRing()
    ring.add(frames('location', 10n, 2, 1))
    expect(codeOf(() => ring.kind(12n))).toBe('GRANT_MISSING')
    ring.drop([10n])
    expect([codeOf(() => ring.kind(10n)), codeOf(() => ring.kind(11n))]).toEqual(['GRANT_MISSING', 'ok'])
    ring.add(wide(3))
    ring.wipe()
    expect([codeOf(() => ring.kind(11n)), ring.size]).toEqual(['GRANT_MISSING', 0])
  })
})

describe('kinds', () => {
  it('are named once each, in the order in which they come', () => {
    const [a, b] = [frames('both', 1n, 1, 1), wide(1)].map(({ use, mode, scope }) => ({ use, mode, scope }))
    expect(a && b && distinctKinds([a, b, { ...a }, b])).toEqual([a, b])
  })
})
