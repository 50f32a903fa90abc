// Block ids: one text per id, and refusal of every other text.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BlockError,
  type BlockId,
  blockKinds,
  equalBlockIds,
  formatBlockId,
  parseBlockId,
  validateBlockId,
} from '../../../../sdk/block/index.ts'

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const anyId: fc.Arbitrary<BlockId> = fc.record({
  vm: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
  kind: fc.constantFrom(...blockKinds),
  index: u64,
  generation: u64,
})

describe('block ids', () => {
  it('have the documented text form', () => {
    const id: BlockId = { vm: 'vm-a', kind: 'memory-page', index: 0x12n, generation: 3n }
    expect(formatBlockId(id)).toBe('vm-a/memory-page/0x12@3')
    expect(parseBlockId('vm-a/memory-page/0x12@3')).toEqual(id)
  })

  it('survive the text form, which is unique', () => {
    fc.assert(
      fc.property(anyId, anyId, (a, b) => {
        expect(parseBlockId(formatBlockId(a))).toEqual(a)
        expect(formatBlockId(a) === formatBlockId(b)).toBe(equalBlockIds(a, b))
      }),
    )
  })

  it.each([
    'vm-a/memory-page/0x012@3',
    'vm-a/memory-page/0xA@3',
    'vm-a/memory-page/12@3',
    'vm-a/memory-page/0x12@03',
    'vm-a/memory-page/0x12',
    'vm-a/MEMORY_PAGE/0x12@3',
    'vm-a/disk-block/0x10000000000000000@0',
    'vm-a/disk-block/0x1@18446744073709551616',
    '-vm/disk-block/0x1@1',
    'vm/a/disk-block/0x1@1',
    '/disk-block/0x1@1',
    ' vm/disk-block/0x1@1',
    'vm/disk-block/0x1@1\n',
    'v\u00e9/disk-block/0x1@1',
    `${'v'.repeat(65)}/disk-block/0x1@1`,
    '',
  ])('refuse the text %j', (text) => {
    expect(() => parseBlockId(text)).toThrow(BlockError)
  })

  it('refuse values outside the grammar', () => {
    const good: BlockId = { vm: 'vm', kind: 'disk-block', index: 0n, generation: 0n }
    expect(() => {
      validateBlockId(good)
    }).not.toThrow()
    const bad: Record<string, unknown>[] = [
      { vm: '' },
      { vm: 'a b' },
      { vm: 7 },
      { kind: 'page' },
      { index: -1n },
      { index: 2n ** 64n },
      { index: 1 },
      { generation: 2n ** 64n },
    ]
    for (const change of bad) {
      expect(() => {
        validateBlockId({ ...good, ...change })
      }).toThrow(/expected/)
    }
  })

  it('are equal only in all four parts', () => {
    const id: BlockId = { vm: 'vm', kind: 'disk-block', index: 1n, generation: 1n }
    expect(equalBlockIds(id, { ...id })).toBe(true)
    for (const change of [{ vm: 'v' }, { kind: 'memory-page' as const }, { index: 2n }, { generation: 2n }]) {
      expect(equalBlockIds(id, { ...id, ...change })).toBe(false)
    }
  })
})
