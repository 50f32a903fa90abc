// Block keys: the published vectors, node's own HKDF, and what each mode gives and hides (systems 2.5).

import { createCipheriv, createHash, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BlockKeyDeriver,
  concatBytes,
  deriveBlockKey,
  fromHex,
  hex,
  type KeyedLayout,
  type KeyMode,
  keyModes,
  le64,
  Secret,
  selectEngine,
  tweakFor,
  utf8,
} from '../../../../sdk/crypto/index.ts'
import published from '../../../vectors/block-keys.json' with { type: 'json' }

const page = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) & 255)

function encryptPage(root: Secret, mode: KeyMode, frame: bigint): string {
  const tweak = concatBytes(le64(tweakFor(mode, frame)), new Uint8Array(8))
  return deriveBlockKey(root, mode, frame).use((key) =>
    createCipheriv('aes-256-xts', key, tweak).update(page, undefined, 'hex'),
  )
}

describe('deriveBlockKey', () => {
  it.each(published.vectors)('vector: $mode, frame $frame', (vector) => {
    const root = Secret.from(fromHex(vector.root))
    const mode = vector.mode as KeyMode
    const frame = BigInt(vector.frame)
    expect(deriveBlockKey(root, mode, frame).use(hex)).toBe(vector.key)
    expect(tweakFor(mode, frame)).toBe(BigInt(vector.tweak))
    const ciphertext = Buffer.from(encryptPage(root, mode, frame), 'hex')
    expect(createHash('sha256').update(ciphertext).digest('hex')).toBe(vector.pageSha256)
  })

  it("equals node's HKDF for any root, mode and frame", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.constantFrom(...keyModes),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (root, mode, frame) => {
          const label = utf8(`palimpsest/v1/${mode}/aes-256-xts`)
          const info = mode === 'common' ? label : concatBytes(label, le64(frame))
          const expected = new Uint8Array(hkdfSync('sha256', root, new Uint8Array(0), info, 64))
          expect(deriveBlockKey(Secret.from(root), mode, frame).use(hex)).toBe(hex(expected))
        },
      ),
    )
  })

  it('[C-13] location: the same page has another ciphertext at another frame, and another key', () => {
    const root = Secret.random(32)
    expect(encryptPage(root, 'location', 1n)).not.toBe(encryptPage(root, 'location', 2n))
    expect(deriveBlockKey(root, 'location', 1n).equals(deriveBlockKey(root, 'location', 2n))).toBe(false)
  })

  it('[C-13 control] location: the same page at the same frame has the same ciphertext', () => {
    const root = Secret.random(32)
    expect(encryptPage(root, 'location', 1n)).toBe(encryptPage(root, 'location', 1n))
  })

  it('[C-14] common: the same page has the same ciphertext at every frame, and only within its group', () => {
    const group = Secret.random(32)
    expect(encryptPage(group, 'common', 1n)).toBe(encryptPage(group, 'common', 2n))
    expect(encryptPage(group, 'common', 1n)).not.toBe(encryptPage(Secret.random(32), 'common', 1n))
  })

  it('both: bound to group and frame, and apart from the other modes of the same root', () => {
    const group = Secret.random(32)
    expect(encryptPage(group, 'both', 1n)).not.toBe(encryptPage(group, 'both', 2n))
    const keys = keyModes.map((mode) => deriveBlockKey(group, mode, 1n).use(hex))
    expect(new Set(keys).size).toBe(3)
  })

  it('refuses roots of another length, unknown modes and frames outside 64 bits', () => {
    const root = Secret.random(32)
    expect(() => deriveBlockKey(Secret.random(16), 'both', 0n)).toThrow(/expected 32 bytes/)
    expect(() => deriveBlockKey(root, 'LOCATION' as KeyMode, 0n)).toThrow(RangeError)
    expect(() => deriveBlockKey(root, 'common', 2n ** 64n)).toThrow(RangeError)
    expect(() => deriveBlockKey(root, 'location', 1 as unknown as bigint)).toThrow(TypeError)
    expect(() => tweakFor('location', -1n)).toThrow(RangeError)
  })
})

// The matrix of claim 6: a block of the source at frame 5 is copied to a block of the destination at frame 6. Location
// keys come from each VM's own root, common and both from the root of their share group.
const roots = { source: Secret.random(32), destination: Secret.random(32), group: Secret.random(32) }

function sideOf(vm: 'source' | 'destination', mode: KeyMode, frame: bigint): KeyedLayout {
  const root = mode === 'location' ? roots[vm] : roots.group
  return {
    key: deriveBlockKey(root, mode, frame),
    firstSector: tweakFor(mode, frame),
    sectorSize: 4096,
    tweakStep: 1n,
  }
}

const cells = keyModes.flatMap((first) => keyModes.map((second) => ({ first, second })))

describe.each(cells)('[C-15] matrix: $first to $second', ({ first, second }) => {
  const engine = selectEngine()
  const source = sideOf('source', first, 5n)
  const destination = sideOf('destination', second, 6n)
  const firstBlock = new Uint8Array(4096)
  const secondBlock = new Uint8Array(4096)
  engine.encrypt({ ...source, input: page, output: firstBlock })
  engine.run({ source, destination, input: firstBlock, output: secondBlock })

  it('the destination reads the source data from the second block', () => {
    const opened = new Uint8Array(4096)
    engine.decrypt({ ...sideOf('destination', second, 6n), input: secondBlock, output: opened })
    expect(hex(opened)).toBe(hex(page))
  })

  it('the ciphertexts are equal, and key 1 opens the second block, only under one common key', () => {
    const isSameKey = first === 'common' && second === 'common'
    expect(hex(firstBlock) === hex(secondBlock)).toBe(isSameKey)
    const opened = new Uint8Array(4096)
    engine.decrypt({ ...destination, key: source.key, input: secondBlock, output: opened })
    expect(hex(opened) === hex(page)).toBe(isSameKey)
  })
})

describe('BlockKeyDeriver', () => {
  it('derives as deriveBlockKey does, after its root is wiped, until it is wiped itself', () => {
    const root = Secret.random(32)
    const expected = deriveBlockKey(root, 'location', 9n)
    const deriver = new BlockKeyDeriver(root, 'location')
    root.wipe()
    expect(deriver.key(9n).equals(expected)).toBe(true)
    deriver.wipe()
    expect(() => deriver.key(9n)).toThrow(/wiped/)
  })
})
