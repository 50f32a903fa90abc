/**
 * What survives: kill -9 of the process (a real one), and a loss of power, simulated by giving a store only what was
 * synced: block data as of the last flush, the map as LMDB has it, and a journal of another boot.
 */
import { spawn } from 'node:child_process'
import { cp, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { VolumeStore } from '../../../../emulator/storage/index.ts'
import { CHUNK_BLOCKS } from '../../../../emulator/storage/bitmap.ts'
import { type Acknowledged, SECTORS, type Volumes, sectorBytes } from './crash-plan.ts'
import { blocks, copyAsKilled, emptyDirectory, expectBytes, readVolume } from './directories.ts'

/** Runs the writer until it has acknowledged `count` operations, then kills it; returns what it acknowledged. */
async function killAfter(directory: string, seed: number, count: number): Promise<Acknowledged[]> {
  const script = new URL('crash-writer.ts', import.meta.url).pathname
  const child = spawn(process.execPath, ['--import', 'tsx', script, directory, String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const acknowledged: Acknowledged[] = []
  const exited = new Promise((resolve) => child.once('exit', resolve))
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(JSON.parse(line) as Acknowledged)
    if (acknowledged.length === count) child.kill('SIGKILL')
  }
  await exited
  return acknowledged
}

/** Enters what a run acknowledged into the expected versions: volume -> sector -> least version. */
function enter(expected: Volumes, acknowledged: readonly Acknowledged[]): void {
  for (const entry of acknowledged) {
    const sectors = expected.get(entry.volume) ?? new Map<number, number>()
    expected.set(entry.volume, sectors)
    if (entry.kind === 'write') for (const sector of entry.sectors) sectors.set(sector, entry.version)
  }
}

describe('kill -9', () => {
  test('[C-34] every acknowledged write and clone is there, every other sector old or new', async () => {
    const directory = await emptyDirectory()
    const expected: Volumes = new Map()
    for (const [round, count] of [150, 400, 90, 700].entries()) {
      const seed = 1000 + round
      const acknowledged = await killAfter(directory, seed, count)
      expect(acknowledged.length).toBeGreaterThanOrEqual(count)
      enter(expected, acknowledged)
      const store = await VolumeStore.open({ directory })
      for (const [volume, sectors] of expected) {
        const bytes = Buffer.from(await readVolume(store, volume))
        for (let sector = 0; sector < SECTORS; sector++) {
          const found = bytes.subarray(sector * 512, sector * 512 + 512)
          const version = found.readUInt32LE(0)
          const least = sectors.get(sector) ?? 0
          const context = `seed ${String(seed)} ${volume} sector ${String(sector)}`
          expect(version, context).toBeGreaterThanOrEqual(least)
          // Whole: no sector mixes two writes.
          expect(
            found.equals(version === 0 ? Buffer.alloc(512) : sectorBytes(sector, version)),
            context,
          ).toBe(true)
          sectors.set(sector, version)
        }
      }
      await store.close()
    }
    expect(expected.size).toBeGreaterThan(2)
  })
})

/** What is left when the machine stops: the files of `directory`, with the layers as they were at the last sync. */
async function copyAsPowerLost(directory: string, syncedLayers: string): Promise<string> {
  const copy = await copyAsKilled(directory)
  for (const name of await readdir(join(copy, 'layers'))) {
    await writeFile(join(copy, 'layers', name), '')
  }
  await cp(syncedLayers, join(copy, 'layers'), { recursive: true })
  for (const name of await readdir(join(copy, 'journal'))) {
    const path = join(copy, 'journal', name)
    const bytes = await readFile(path)
    bytes.write('11111111-2222-3333-4444-555555555555', 'palimpsest journal 1\n'.length, 'latin1')
    await writeFile(path, bytes)
  }
  return copy
}

async function copyLayers(directory: string): Promise<string> {
  const copy = join(await emptyDirectory(), 'layers')
  await cp(join(directory, 'layers'), copy, { recursive: true })
  return copy
}

describe('loss of power', () => {
  test('a copy-up that was not flushed does not take the flushed block below it', async () => {
    const directory = await emptyDirectory()
    const store = await VolumeStore.open({ directory })
    await store.create({ id: 'source', sizeBytes: 16n * 4096n })
    await store.writeOwn('source', 0n, blocks(4, 1))
    await store.clone('source', { id: 'clone' })
    await store.flush('source')
    const synced = await copyLayers(directory)
    await store.writeOwn('source', 512n, new Uint8Array(512).fill(2))
    await store.writeOwn('source', 10n * 4096n, blocks(1, 3))
    await store.writeOwn('clone', 0n, blocks(1, 4))

    const afterLoss = await VolumeStore.open({ directory: await copyAsPowerLost(directory, synced) })
    expectBytes(await readVolume(afterLoss, 'source', 0n, 4), blocks(4, 1))
    expect(afterLoss.resolve('source', 10n).state).toBe('hole')
    expect(afterLoss.sharedCount('clone')).toBe(4n)
    await afterLoss.close()

    // Control: the same directory after kill -9 alone has the writes.
    const afterKill = await VolumeStore.open({ directory: await copyAsKilled(directory) })
    expectBytes(await readVolume(afterKill, 'source', 0n, 1), blocks(1, 1).fill(2, 512, 1024))
    expectBytes(await readVolume(afterKill, 'source', 10n, 1), blocks(1, 3))
    expectBytes(await readVolume(afterKill, 'clone', 0n, 1), blocks(1, 4))
    expect(afterKill.sharedCount('clone')).toBe(3n)
    await afterKill.close()
    await store.close()
  })

  test('a flushed write is there', async () => {
    const directory = await emptyDirectory()
    const store = await VolumeStore.open({ directory })
    await store.create({ id: 'source', sizeBytes: 16n * 4096n })
    await store.writeOwn('source', 0n, blocks(4, 1))
    await store.clone('source', { id: 'clone' })
    await store.writeOwn('clone', 0n, blocks(1, 4))
    await store.putIfUnmodified('clone', 0n, blocks(3, 5))
    await store.flush('clone')
    const copy = await copyAsPowerLost(directory, await copyLayers(directory))
    const recovered = await VolumeStore.open({ directory: copy })
    expectBytes(await readVolume(recovered, 'clone', 0n, 1), blocks(1, 4))
    expectBytes(await readVolume(recovered, 'clone', 1n, 2), blocks(2, 5))
    expect(recovered.sharedCount('clone')).toBe(1n)
    await recovered.close()
    await store.close()
  })
})

test('the journal is folded into the map and removed while writes go on', async () => {
  const directory = await emptyDirectory()
  const store = await VolumeStore.open({ directory })
  await store.create({ id: 'disk', sizeBytes: 1n << 40n })
  // Every write changes another chunk of the map, more chunks than may wait.
  const count = 3_000
  const blockOf = (index: number): bigint => BigInt(index) * BigInt(CHUNK_BLOCKS)
  for (let index = 0; index < count; index++) {
    await store.writeOwn('disk', blockOf(index) * 4096n, blocks(1, 1 + (index % 255)))
  }
  const journals = (): Promise<string[]> => readdir(join(directory, 'journal'))
  await expect.poll(journals, { timeout: 30_000 }).toEqual([expect.not.stringMatching(/^1\./)])
  const recovered = await VolumeStore.open({ directory: await copyAsKilled(directory) })
  expect(recovered.describe('disk').allocatedBlocks).toBe(BigInt(count))
  for (let index = 0; index < count; index += 99) {
    expect((await readVolume(recovered, 'disk', blockOf(index), 1))[0]).toBe(1 + (index % 255))
  }
  await recovered.close()
  await store.close()
})
