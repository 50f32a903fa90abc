/** Volumes by themselves: create, import, read, write, delete, lock, refusals. */
import { execFileSync } from 'node:child_process'
import { readdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { open } from 'lmdb'
import { describe, expect, test } from 'vitest'
import { BLOCK_SIZE, type StorageErrorCode, VolumeStore } from '../../../../emulator/storage/index.ts'
import { blocks, copyAsKilled, emptyDirectory, expectBytes, readVolume } from './directories.ts'

const MIB = 1n << 20n

async function withStore(action: (store: VolumeStore, directory: string) => Promise<void>): Promise<void> {
  const directory = await emptyDirectory()
  const store = await VolumeStore.open({ directory })
  try {
    await action(store, directory)
  } finally {
    await store.close().catch(() => undefined)
  }
}

async function setFormat(directory: string, format: number): Promise<void> {
  const root = open({
    path: join(directory, 'metadata'),
    encoding: 'json',
    maxDbs: 8,
    overlappingSync: false,
  })
  await root.openDB({ name: 'settings', encoding: 'json' }).put('format', format)
  await root.close()
}

function code(expected: StorageErrorCode): object {
  return expect.objectContaining({ name: 'StorageError', code: expected }) as object
}

describe('create, list, describe', () => {
  test('a new volume is holes and survives a reopening', async () => {
    const directory = await emptyDirectory()
    const first = await VolumeStore.open({ directory })
    const made = await first.create({ id: 'disk', sizeBytes: MIB, description: 'a disk' })
    expect(made).toMatchObject({ id: 'disk', blocks: 256n, allocatedBlocks: 0n, clonedFrom: null, layers: 1 })
    expect(first.resolve('disk', 255n)).toEqual({ state: 'hole', block: 255n, generation: 0n })
    await first.close()
    const second = await VolumeStore.open({ directory })
    expect(second.list()).toEqual([made])
    expectBytes(await readVolume(second, 'disk'), blocks(256, 0))
    await second.close()
  })

  test('without an id a volume gets one of its own', async () => {
    await withStore(async (store) => {
      const one = await store.create({ sizeBytes: MIB })
      const two = await store.create({ sizeBytes: MIB })
      expect(one.id).not.toBe(two.id)
    })
  })

  test('[X-08] bad ids, sizes and a second volume of the same id are refused; good ones are not', async () => {
    await withStore(async (store) => {
      for (const id of ['', '.', '../x', 'a/b', 'x'.repeat(129)]) {
        await expect(store.create({ id, sizeBytes: MIB })).rejects.toThrow(code('BAD_VOLUME_ID'))
      }
      for (const sizeBytes of [0n, -4096n, 4097n, 512n, 1n << 49n]) {
        await expect(store.create({ sizeBytes })).rejects.toThrow(code('BAD_SIZE'))
      }
      expect(store.list()).toEqual([])
      await store.create({ id: 'x'.repeat(128), sizeBytes: 4096n })
      await store.create({ id: 'a', sizeBytes: 1n << 48n })
      await expect(store.create({ id: 'a', sizeBytes: MIB })).rejects.toThrow(code('VOLUME_EXISTS'))
      expect(store.describe('a').sizeBytes).toBe(1n << 48n)
    })
  })
})

describe('write and read', () => {
  test('[X-08 control] whole blocks and single sectors land where they belong', async () => {
    await withStore(async (store) => {
      await store.create({ id: 'disk', sizeBytes: MIB })
      expect(await store.writeOwn('disk', 8192n, blocks(2, 1))).toEqual({ status: 'WRITTEN' })
      await store.writeOwn('disk', 8192n + 512n, new Uint8Array(512).fill(2))
      await store.writeOwn('disk', 4096n - 512n, new Uint8Array(1024).fill(3))
      const expected = blocks(256, 0)
      expected.fill(1, 8192, 16384).fill(2, 8704, 9216).fill(3, 3584, 4608)
      expectBytes(await readVolume(store, 'disk'), expected)
      expect(store.describe('disk').allocatedBlocks).toBe(4n)
      expect(store.resolveRuns('disk', 0n, 256).map(({ state, count }) => [state, count])).toEqual([
        ['own', 4],
        ['hole', 252],
      ])
    })
  })

  test('[X-08] ranges outside the volume and broken sectors are refused and change nothing', async () => {
    await withStore(async (store) => {
      await store.create({ id: 'disk', sizeBytes: MIB })
      const sector = new Uint8Array(512).fill(9)
      await expect(store.writeOwn('disk', MIB, sector)).rejects.toThrow(code('OUT_OF_RANGE'))
      await expect(store.writeOwn('disk', MIB - 512n, new Uint8Array(1024))).rejects.toThrow(
        code('OUT_OF_RANGE'),
      )
      await expect(store.writeOwn('disk', -512n, sector)).rejects.toThrow(code('OUT_OF_RANGE'))
      await expect(store.writeOwn('disk', 1n, sector)).rejects.toThrow(code('MISALIGNED'))
      await expect(store.writeOwn('disk', 0n, new Uint8Array(511))).rejects.toThrow(code('MISALIGNED'))
      await expect(store.writeOwn('nobody', 0n, sector)).rejects.toThrow(code('NO_SUCH_VOLUME'))
      await expect(store.putIfUnmodified('disk', 256n, blocks(1, 9))).rejects.toThrow(code('OUT_OF_RANGE'))
      await expect(store.putIfUnmodified('disk', 0n, sector)).rejects.toThrow(RangeError)
      await expect(store.readBlocks('disk', 255n, 2, blocks(2, 0))).rejects.toThrow(code('OUT_OF_RANGE'))
      await expect(store.readBlocks('disk', 0n, 2, blocks(1, 0))).rejects.toThrow(RangeError)
      await expect(store.readLayer(99, 0n, 1, blocks(1, 0))).rejects.toThrow(code('NO_SUCH_LAYER'))
      expect(() => store.resolve('disk', 256n)).toThrow(code('OUT_OF_RANGE'))
      expect(store.describe('disk').allocatedBlocks).toBe(0n)
      await store.writeOwn('disk', MIB - 512n, sector)
      expect(store.describe('disk').allocatedBlocks).toBe(1n)
    })
  })

  test('the generation of a block rises with each of its writes and with no other', async () => {
    await withStore(async (store) => {
      await store.create({ id: 'disk', sizeBytes: MIB })
      const seen = [store.resolve('disk', 5n).generation]
      for (let write = 0; write < 3; write++) {
        await store.writeOwn('disk', 5n * 4096n + 512n, new Uint8Array(512).fill(write))
        seen.push(store.resolve('disk', 5n).generation)
        await store.writeOwn('disk', 6n * 4096n, blocks(1, write))
        expect(store.resolve('disk', 5n).generation).toBe(seen.at(-1))
      }
      expect(seen).toEqual([...new Set(seen)].sort((left, right) => (left < right ? -1 : 1)))
    })
  })

  test('a generation is not used again after a reopening', async () => {
    const directory = await emptyDirectory()
    const seen = new Set<bigint>()
    for (let round = 0; round < 3; round++) {
      const store = await VolumeStore.open({ directory })
      if (round === 0) await store.create({ id: 'disk', sizeBytes: MIB })
      await store.writeOwn('disk', 0n, blocks(1, round))
      seen.add(store.resolve('disk', 0n).generation)
      await store.close()
    }
    expect(seen.size).toBe(3)
  })

  test('a full disk fails the write, not the volume: the block is as before', async () => {
    await withStore(async (store, directory) => {
      await store.create({ id: 'disk', sizeBytes: MIB })
      await symlink('/dev/full', join(directory, 'layers', '1.data'))
      await expect(store.writeOwn('disk', 0n, blocks(1, 1))).rejects.toMatchObject({ code: 'ENOSPC' })
      expect(store.resolve('disk', 0n).state).toBe('hole')
    })
  })

  test('a failed sync is told, for good, and to this volume only', async () => {
    await withStore(async (store, directory) => {
      await store.create({ id: 'disk', sizeBytes: MIB })
      await store.create({ id: 'other', sizeBytes: MIB })
      await symlink('/dev/null', join(directory, 'layers', '1.data'))
      await store.writeOwn('disk', 0n, blocks(1, 1))
      await expect(store.flush('disk')).rejects.toThrow(code('SYNC_FAILED'))
      await expect(store.flush('disk')).rejects.toThrow(code('SYNC_FAILED'))
      await expect(store.writeOwn('disk', 0n, blocks(1, 1))).rejects.toThrow(code('SYNC_FAILED'))
      await store.writeOwn('other', 0n, blocks(1, 1))
      await store.flush('other')
    })
  })

  test('a layer file that is too short is found, not read as zeros', async () => {
    await withStore(async (store, directory) => {
      await store.create({ id: 'disk', sizeBytes: MIB })
      await store.writeOwn('disk', 4096n, blocks(1, 1))
      await truncate(join(directory, 'layers', '1.data'), 4096)
      await expect(readVolume(store, 'disk')).rejects.toThrow(code('LAYER_DAMAGED'))
    })
  })
})

describe('import', () => {
  test('a sparse file comes in byte for byte, its blocks of zeros as holes', async () => {
    await withStore(async (store, directory) => {
      const path = join(directory, 'source.img')
      const bytes = Buffer.alloc(3 * Number(MIB))
      bytes
        .fill(7, 4096, 12288)
        .fill(8, 5 * 4096 + 1, 5 * 4096 + 2)
        .fill(9, bytes.length - 4096)
      await writeFile(path, bytes)
      const info = await store.import({ id: 'disk', path, description: 'imported' })
      expect(info).toMatchObject({ blocks: 768n, allocatedBlocks: 4n, foreignBlocks: 0n })
      expectBytes(await readVolume(store, 'disk'), bytes)
    })
  })

  test('[X-08] a failed or aborted import leaves nothing, and its id free', async () => {
    await withStore(async (store, directory) => {
      const path = join(directory, 'source.img')
      await writeFile(path, blocks(2, 7))
      const signal = AbortSignal.abort(new Error('enough'))
      await expect(store.import({ id: 'disk', path, signal })).rejects.toThrow('enough')
      await expect(store.import({ id: 'disk', path: `${path}.none` })).rejects.toMatchObject({
        code: 'ENOENT',
      })
      await writeFile(`${path}.odd`, 'x')
      await expect(store.import({ id: 'disk', path: `${path}.odd` })).rejects.toThrow(code('BAD_SIZE'))
      expect(store.list()).toEqual([])
      expect(await readdir(join(directory, 'layers'))).toEqual([])
      await store.import({ id: 'disk', path })
      expectBytes(await readVolume(store, 'disk'), blocks(2, 7))
    })
  })

  test('an import that a crash interrupts is gone after reopening', async () => {
    await withStore(async (store, directory) => {
      const path = join(directory, 'source.img')
      await writeFile(path, blocks(4096, 7))
      const importing = store.import({ id: 'disk', path })
      while (!(await readdir(join(directory, 'layers'))).includes('1.data')) await Promise.resolve()
      const copy = await copyAsKilled(directory)
      await importing
      const recovered = await VolumeStore.open({ directory: copy })
      expect(recovered.list()).toEqual([])
      expect(await readdir(join(copy, 'layers'))).toEqual([])
      await recovered.close()
    })
  })
})

describe('delete', () => {
  test('a deleted volume frees its files, and its id begins anew', async () => {
    await withStore(async (store, directory) => {
      await store.create({ id: 'disk', sizeBytes: MIB })
      await store.writeOwn('disk', 0n, blocks(3, 1))
      await store.flush('disk')
      const { generation } = store.resolve('disk', 0n)
      await store.delete('disk')
      expect(() => store.describe('disk')).toThrow(code('NO_SUCH_VOLUME'))
      expect(await readdir(join(directory, 'layers'))).toEqual([])
      await store.create({ id: 'disk', sizeBytes: MIB })
      expectBytes(await readVolume(store, 'disk'), blocks(256, 0))
      await store.writeOwn('disk', 0n, blocks(1, 1))
      expect(store.resolve('disk', 0n).generation).toBeGreaterThan(generation)
    })
  })
})

describe('one writer', () => {
  test('[X-08] a second opening is refused while the first lives, and goes through after it', async () => {
    const directory = await emptyDirectory()
    const first = await VolumeStore.open({ directory })
    await expect(VolumeStore.open({ directory })).rejects.toThrow(code('STORE_LOCKED'))
    const script = `const { VolumeStore } = await import(${JSON.stringify(
      new URL('../../../../emulator/storage/index.ts', import.meta.url).href,
    )})
      try { await VolumeStore.open({ directory: ${JSON.stringify(directory)} }); console.log('opened') }
      catch (error) { console.log(error.code, error.details.pid) }`
    const output = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect(output.trim()).toBe(`STORE_LOCKED ${String(process.pid)}`)
    await first.close()
    await (await VolumeStore.open({ directory })).close()
  })

  test('[X-08] another format is refused and left alone', async () => {
    const directory = await emptyDirectory()
    await (await VolumeStore.open({ directory })).close()
    await setFormat(directory, 2)
    await expect(VolumeStore.open({ directory })).rejects.toThrow(code('UNSUPPORTED_FORMAT'))
    await setFormat(directory, 1)
    await (await VolumeStore.open({ directory })).close()
  })

  test('[X-08] a closed store says so', async () => {
    const directory = await emptyDirectory()
    const store = await VolumeStore.open({ directory })
    await store.create({ id: 'disk', sizeBytes: MIB })
    await store.close()
    await store.close()
    expect(() => store.list()).toThrow(code('STORE_CLOSED'))
    await expect(store.writeOwn('disk', 0n, blocks(1, 1))).rejects.toThrow(code('STORE_CLOSED'))
    await expect(store.readBlocks('disk', 0n, 1, blocks(1, 1))).rejects.toThrow(code('STORE_CLOSED'))
  })
})

test('[C-36] a volume of 1 TiB takes writes anywhere and reads back', async () => {
  await withStore(async (store) => {
    const info = await store.create({ id: 'big', sizeBytes: 1n << 40n })
    const last = info.blocks - 1n
    await store.writeOwn('big', last * BigInt(BLOCK_SIZE), blocks(1, 5))
    await store.clone('big', { id: 'clone' })
    expect(store.resolve('clone', last).state).toBe('foreign')
    expect(store.resolve('clone', last - 1n).state).toBe('hole')
    const runs = []
    for await (const run of store.foreignRuns('clone')) runs.push([run.first, run.count])
    expect(runs).toEqual([[last, 1]])
  })
})
