/**
 * The process that durability.test.ts kills: writes sectors at random, copies up, clones and flushes, and reports
 * each operation on its standard output when the store has acknowledged it. Arguments: directory, seed.
 */
import { writeSync } from 'node:fs'
import { VolumeStore } from '../../../../emulator/storage/index.ts'
import { type Acknowledged, SECTORS, sectorBytes } from './crash-plan.ts'

const [directory = '', seedText = '1'] = process.argv.slice(2)
let state = Number(seedText)

/** A whole number below `limit` (a linear congruential generator: the same run for the same seed). */
function random(limit: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * limit)
}

function report(acknowledged: Acknowledged): void {
  writeSync(1, `${JSON.stringify(acknowledged)}\n`)
}

/** Copies foreign blocks as if both keys were one, so that every sector can be checked by its own content. */
async function copyUp(store: VolumeStore, volume: string, first: bigint, layer: number): Promise<void> {
  const block = new Uint8Array(4096)
  await store.readLayer(layer, first, 1, block)
  await store.putIfUnmodified(volume, first, block)
}

async function write(
  store: VolumeStore,
  volume: string,
  first: number,
  count: number,
  version: number,
): Promise<void> {
  const sectors = Array.from({ length: count }, (_, index) => first + index)
  const bytes = Buffer.concat(sectors.map((sector) => sectorBytes(sector, version)))
  for (;;) {
    const result = await store.writeOwn(volume, BigInt(first) * 512n, bytes)
    if (result.status === 'WRITTEN') break
    for (const run of result.foreign) await copyUp(store, volume, run.first, run.layer)
  }
  report({ kind: 'write', volume, sectors, version })
}

async function clone(store: VolumeStore, source: string): Promise<void> {
  const { id } = await store.clone(source)
  for await (const run of store.foreignRuns(id, { maxBlocks: 1 }))
    await copyUp(store, id, run.first, run.layer)
  report({ kind: 'clone', volume: id })
}

const store = await VolumeStore.open({ directory })
if (store.list().length === 0) await store.create({ id: 'first', sizeBytes: BigInt(SECTORS) * 512n })
let version = Number(seedText) * 100_000
for (;;) {
  const volumes = store.list().map(({ id }) => id)
  const volume = volumes[random(volumes.length)] ?? 'first'
  const action = random(100)
  version += 1
  if (action === 0 && volumes.length < 8) await clone(store, volume)
  else if (action < 5) await store.flush(volume)
  else {
    const first = random(SECTORS)
    await write(store, volume, first, 1 + random(Math.min(20, SECTORS - first)), version)
  }
}
