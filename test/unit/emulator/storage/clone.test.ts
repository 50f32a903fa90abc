/** Clones: freezing, whose key a block is under, copy-up, and who depends on whom. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ForeignRun, type StorageErrorCode, VolumeStore } from '../../../../emulator/storage/index.ts'
import { blocks, copyAsKilled, emptyDirectory, expectBytes, readVolume } from './directories.ts'

const SIZE = 64n * 4096n

let directory: string
let store: VolumeStore

beforeEach(async () => {
  directory = await emptyDirectory()
  store = await VolumeStore.open({ directory })
  await store.create({ id: 'source', sizeBytes: SIZE })
  await store.writeOwn('source', 0n, blocks(8, 1))
})

afterEach(async () => {
  await store.close()
})

function code(expected: StorageErrorCode): object {
  return expect.objectContaining({ name: 'StorageError', code: expected }) as object
}

async function foreignRuns(id: string, maxBlocks?: number): Promise<[bigint, number][]> {
  const runs: ForeignRun[] = []
  for await (const run of store.foreignRuns(id, maxBlocks === undefined ? {} : { maxBlocks })) runs.push(run)
  return runs.map(({ first, count }) => [first, count])
}

describe('what a clone sees', () => {
  test('[C-36] its blocks are foreign, in a frozen layer that the source shares under its own key', async () => {
    const clone = await store.clone('source', { id: 'clone', description: 'of source' })
    expect(clone).toMatchObject({ clonedFrom: 'source', allocatedBlocks: 8n, foreignBlocks: 8n, layers: 2 })
    const seen = store.resolve('clone', 3n)
    expect(seen).toMatchObject({ state: 'foreign', originVolume: 'source', block: 3n })
    const theirs = store.resolve('source', 3n)
    expect(theirs).toMatchObject({ state: 'shared-own', generation: seen.generation })
    const out = blocks(1, 0)
    await store.readLayer(seen.state === 'foreign' ? seen.layer : -1, 3n, 1, out)
    expectBytes(out, blocks(1, 1))
    expect(store.resolve('clone', 8n)).toEqual({ state: 'hole', block: 8n, generation: 0n })
  })

  test('a read of the clone names the foreign blocks and fills in the rest', async () => {
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('clone', 4096n, blocks(2, 5))
    const out = blocks(10, 0xee)
    const result = await store.readBlocks('clone', 0n, 10, out)
    expect(result).toMatchObject({
      status: 'NEEDS_COPY',
      foreign: [
        { first: 0n, count: 1, originVolume: 'source' },
        { first: 3n, count: 5, originVolume: 'source' },
      ],
    })
    expect(out.subarray(4096, 3 * 4096)).toEqual(blocks(2, 5))
    expect(out.subarray(8 * 4096)).toEqual(blocks(2, 0))
    expect(out.subarray(0, 4096)).toEqual(blocks(1, 0xee))
  })

  test('[C-11] writes of either side stay invisible to the other; the first blocks stay as they are', async () => {
    await store.clone('source', { id: 'clone' })
    const { generation } = store.resolve('clone', 0n)
    const frozen = store.resolve('clone', 0n)
    await store.writeOwn('source', 0n, blocks(2, 2))
    await store.writeOwn('clone', 4096n, blocks(2, 3))
    expect(store.resolve('clone', 0n).generation).toBe(generation)
    expect((await readVolume(store, 'source')).subarray(0, 3 * 4096)).toEqual(
      Uint8Array.from([...blocks(2, 2), ...blocks(1, 1)]),
    )
    expectBytes(await readVolume(store, 'clone', 1n, 2), blocks(2, 3))
    const out = blocks(8, 0)
    await store.readLayer(frozen.state === 'foreign' ? frozen.layer : -1, 0n, 8, out)
    expectBytes(out, blocks(8, 1))
  })

  test('[X-08] a layer gives only blocks that it holds', async () => {
    await store.clone('source', { id: 'clone' })
    const { layer } = store.resolve('clone', 0n) as { layer: number }
    await expect(store.readLayer(layer, 7n, 2, blocks(2, 0))).rejects.toThrow(code('NOT_IN_LAYER'))
    await store.readLayer(layer, 7n, 1, blocks(1, 0))
  })

  test('a clone of a clone names the volume under whose key each block is', async () => {
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('clone', 0n, blocks(1, 2))
    await store.clone('clone', { id: 'grandchild' })
    expect(store.resolveRuns('grandchild', 0n, 9)).toMatchObject([
      { state: 'foreign', originVolume: 'clone', count: 1 },
      { state: 'foreign', originVolume: 'source', count: 7 },
      { state: 'hole', count: 1 },
    ])
    expect(store.sharedCount('clone')).toBe(7n)
    expect(store.sharedCount('grandchild')).toBe(8n)
  })

  test('many clones of an unchanged source do not deepen its chain', async () => {
    for (let index = 0; index < 20; index++) await store.clone('source', { id: `clone-${String(index)}` })
    expect(store.describe('source').layers).toBe(2)
    expect(store.describe('clone-19').layers).toBe(2)
    await store.writeOwn('source', 0n, blocks(1, 9))
    await store.clone('source', { id: 'later' })
    expect(store.describe('source').layers).toBe(3)
    expect(store.describe('later').layers).toBe(3)
    const { layer } = store.resolve('later', 0n) as { layer: number }
    const out = blocks(1, 0)
    await store.readLayer(layer, 0n, 1, out)
    expectBytes(out, blocks(1, 9))
  })
})

describe('writes to shared blocks', () => {
  test('[C-10] a partial write to a foreign block is refused with what to copy, a whole-block write is not', async () => {
    await store.clone('source', { id: 'clone' })
    const sector = new Uint8Array(512).fill(7)
    const generation = store.resolve('clone', 2n).generation
    expect(await store.writeOwn('clone', 2n * 4096n + 512n, sector)).toMatchObject({
      status: 'NEEDS_COPY',
      foreign: [{ first: 2n, count: 1, originVolume: 'source', generation }],
    })
    const spanning = new Uint8Array(2 * 4096).fill(7)
    expect(await store.writeOwn('clone', 2n * 4096n + 512n, spanning)).toMatchObject({
      status: 'NEEDS_COPY',
      foreign: [{ first: 2n }, { first: 4n }],
    })
    expect(store.sharedCount('clone')).toBe(8n)
    expect(await store.writeOwn('clone', 2n * 4096n, blocks(3, 7))).toEqual({ status: 'WRITTEN' })
    expect(store.sharedCount('clone')).toBe(5n)
    expectBytes(await readVolume(store, 'clone', 2n, 3), blocks(3, 7))
  })

  test('[C-12] a copy, then the same partial write again: applied once, on the copied block', async () => {
    await store.clone('source', { id: 'clone' })
    const sector = new Uint8Array(512).fill(7)
    const write = await store.writeOwn('clone', 4096n + 512n, sector)
    const run = write.status === 'NEEDS_COPY' ? write.foreign[0] : undefined
    const generations = [run?.generation ?? 0n]
    const put = await store.putIfUnmodified('clone', 1n, blocks(1, 0x55), generations)
    expect(put).toEqual({ stored: [{ first: 1n, count: 1 }], present: [], stale: [] })
    expect(await store.writeOwn('clone', 4096n + 512n, sector)).toEqual({ status: 'WRITTEN' })
    const expected = blocks(1, 0x55).fill(7, 512, 1024)
    expectBytes(await readVolume(store, 'clone', 1n, 1), expected)
  })

  test('the source copies up its own ciphertext as it is, without a worker', async () => {
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('source', 4096n + 512n, new Uint8Array(512).fill(7))
    await store.writeOwn('source', 3n * 4096n - 512n, new Uint8Array(1024).fill(8))
    const expected = blocks(8, 1)
      .fill(7, 4608, 5120)
      .fill(8, 3 * 4096 - 512, 3 * 4096 + 512)
    expectBytes((await readVolume(store, 'source')).subarray(0, 8 * 4096), expected)
    expect(store.resolveRuns('source', 0n, 5).map(({ state }) => state)).toEqual([
      'shared-own',
      'own',
      'shared-own',
    ])
  })

  test('a partial write to a hole reads as zeros around it', async () => {
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('clone', 20n * 4096n + 512n, new Uint8Array(512).fill(7))
    expectBytes(await readVolume(store, 'clone', 20n, 1), blocks(1, 0).fill(7, 512, 1024))
  })
})

describe('putIfUnmodified', () => {
  test('[C-34] never replaces what a writer has written or an earlier copy stored', async () => {
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('clone', 2n * 4096n, blocks(1, 9))
    await store.putIfUnmodified('clone', 5n, blocks(1, 0x51))
    expect(await store.putIfUnmodified('clone', 0n, blocks(8, 0x52))).toEqual({
      stored: [
        { first: 0n, count: 2 },
        { first: 3n, count: 2 },
        { first: 6n, count: 2 },
      ],
      present: [
        { first: 2n, count: 1 },
        { first: 5n, count: 1 },
      ],
      stale: [],
    })
    expectBytes(await readVolume(store, 'clone', 2n, 1), blocks(1, 9))
    expectBytes(await readVolume(store, 'clone', 5n, 1), blocks(1, 0x51))
    expect(store.sharedCount('clone')).toBe(0n)
    expect(await foreignRuns('clone')).toEqual([])
  })

  test('[C-34] nor what was written and then frozen by a further clone', async () => {
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('clone', 0n, blocks(1, 9))
    await store.clone('clone', { id: 'grandchild' })
    const put = await store.putIfUnmodified('clone', 0n, blocks(2, 0x52))
    expect(put).toMatchObject({ stored: [{ first: 1n }], present: [{ first: 0n }] })
    expectBytes(await readVolume(store, 'clone', 0n, 1), blocks(1, 9))
    expect(store.resolve('grandchild', 1n)).toMatchObject({ state: 'foreign', originVolume: 'source' })
  })

  test('a block of another generation than the copied one is left alone', async () => {
    await store.clone('source', { id: 'clone' })
    const { generation } = store.resolve('clone', 0n)
    const put = await store.putIfUnmodified('clone', 0n, blocks(3, 5), [
      generation,
      generation + 1n,
      generation,
    ])
    expect(put).toEqual({
      stored: [
        { first: 0n, count: 1 },
        { first: 2n, count: 1 },
      ],
      present: [],
      stale: [{ first: 1n, count: 1 }],
    })
    expect(store.resolve('clone', 1n)).toMatchObject({ state: 'foreign', generation })
    await expect(store.putIfUnmodified('clone', 0n, blocks(3, 5), [generation])).rejects.toThrow(RangeError)
  })

  test('[C-34] 64 racing writers and copiers of the same blocks: every write is there, no copy over it', async () => {
    await store.clone('source', { id: 'clone' })
    await Promise.all(
      Array.from({ length: 64 }, async (_, index) => {
        const block = BigInt(index % 8)
        const sector = new Uint8Array(512).fill(100 + index)
        const offset = block * 4096n + BigInt(Math.floor(index / 8)) * 512n
        for (;;) {
          const result = await store.writeOwn('clone', offset, sector)
          if (result.status === 'WRITTEN') return
          await store.putIfUnmodified('clone', block, blocks(1, 0x55))
        }
      }),
    )
    const found = await readVolume(store, 'clone', 0n, 8)
    for (let index = 0; index < 64; index++) {
      const at = (index % 8) * 4096 + Math.floor(index / 8) * 512
      expect(found.subarray(at, at + 512)).toEqual(new Uint8Array(512).fill(100 + index))
    }
  })
})

describe('the foreign runs of a background copy', () => {
  test('come in order, in steps, without holes and without what was written', async () => {
    await store.writeOwn('source', 40n * 4096n, blocks(3, 1))
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('clone', 3n * 4096n, blocks(1, 9))
    expect(await foreignRuns('clone')).toEqual([
      [0n, 3],
      [4n, 4],
      [40n, 3],
    ])
    expect(await foreignRuns('clone', 2)).toEqual([
      [0n, 2],
      [2n, 1],
      [4n, 2],
      [6n, 2],
      [40n, 2],
      [42n, 1],
    ])
  })

  test('copying them all leaves nothing foreign', async () => {
    await store.clone('source', { id: 'clone' })
    for await (const run of store.foreignRuns('clone', { maxBlocks: 3 })) {
      const generations = new Array<bigint>(run.count).fill(run.generation)
      await store.putIfUnmodified('clone', run.first, blocks(run.count, 0x55), generations)
    }
    expect(store.sharedCount('clone')).toBe(0n)
    expectBytes((await readVolume(store, 'clone')).subarray(0, 8 * 4096), blocks(8, 0x55))
  })
})

describe('dependence', () => {
  test('[X-08] a source is not deleted under its clones, whose ids the error names; afterwards it is', async () => {
    await store.clone('source', { id: 'clone' })
    await store.clone('clone', { id: 'grandchild' })
    expect(store.dependents('source')).toEqual(['clone', 'grandchild'])
    await expect(store.delete('source')).rejects.toMatchObject({
      code: 'VOLUME_IN_USE',
      details: { dependents: ['clone', 'grandchild'] },
    })
    expect(store.list()).toHaveLength(3)
    await store.delete('grandchild')
    await store.delete('clone')
    expectBytes((await readVolume(store, 'source')).subarray(0, 8 * 4096), blocks(8, 1))
    await store.delete('source')
    expect(await readdir(join(directory, 'layers'))).toEqual([])
  })

  test('[X-08] a clone of nothing and a clone under a taken id are refused and freeze nothing', async () => {
    await expect(store.clone('nobody')).rejects.toThrow(code('NO_SUCH_VOLUME'))
    await expect(store.clone('source', { id: 'source' })).rejects.toThrow(code('VOLUME_EXISTS'))
    expect(store.describe('source').layers).toBe(1)
  })
})

test('[C-34] writes that race with clones are in the clone or after it, and survive a kill either way', async () => {
  await store.create({ id: 'wide', sizeBytes: 4096n * 4096n })
  let isCloning = true
  let written = 0
  const writers = Array.from({ length: 8 }, async () => {
    while (isCloning && written < 4096) {
      // A block that no layer has yet, so that every write changes the map.
      const block = written++
      await store.writeOwn('wide', BigInt(block) * 4096n, blocks(1, 1 + (block % 255)))
      await setImmediate()
    }
  })
  for (let index = 0; index < 8; index++) {
    const { id } = await store.clone('wide', { id: `clone-${String(index)}` })
    const counted = (await foreignRuns(id)).reduce((sum, [, count]) => sum + count, 0)
    expect(store.sharedCount(id)).toBe(BigInt(counted))
  }
  isCloning = false
  await Promise.all(writers)

  const recovered = await VolumeStore.open({ directory: await copyAsKilled(directory) })
  for (const opened of [store, recovered]) {
    const expected = Buffer.concat(
      Array.from({ length: written }, (_, block) => blocks(1, 1 + (block % 255))),
    )
    expectBytes(await readVolume(opened, 'wide', 0n, written), expected)
  }
  expect(recovered.list()).toEqual(store.list())
  for (const { id, blocks: count } of store.list()) {
    const placed = store.resolveRuns(id, 0n, Number(count)).map(({ state, first }) => ({ state, first }))
    expect(recovered.resolveRuns(id, 0n, Number(count))).toMatchObject(placed)
  }
  await recovered.close()
})
