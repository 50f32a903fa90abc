/**
 * Random interleavings of clones, writes, copies, reads, flushes, reopenings and crashes against a model that keeps
 * every block of every volume, and under whose key it is.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { VolumeStore } from '../../../../emulator/storage/index.ts'
import { copyAsKilled, emptyDirectory } from './directories.ts'

/** Blocks on both sides of the border between two chunks of the map. */
const FIRST = 4084
const BLOCKS = 24
const SECTORS_PER_BLOCK = 8

interface ModelBlock {
  /** The volume under whose key it is. */
  readonly lineage: string
  /** The byte value that fills each sector. */
  readonly sectors: readonly number[]
}

interface ModelVolume {
  readonly blocks: Map<number, ModelBlock>
}

interface World {
  directory: string
  store: VolumeStore
  readonly volumes: Map<string, ModelVolume>
}

type Step =
  | { readonly kind: 'clone' | 'flush' | 'check' | 'delete'; readonly volume: number }
  | {
      readonly kind: 'write'
      readonly volume: number
      readonly sector: number
      readonly count: number
      readonly fill: number
    }
  | {
      readonly kind: 'put'
      readonly volume: number
      readonly block: number
      readonly count: number
      readonly fill: number
    }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'crash' }

const volume = fc.nat({ max: 7 })
const fill = fc.integer({ min: 1, max: 255 })
const count = fc.integer({ min: 1, max: 20 })

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      volume,
      sector: fc.nat({ max: 24 * 8 - 1 }),
      count,
      fill,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      volume,
      block: fc.nat({ max: 23 }),
      count,
      fill,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('clone' as const), volume }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('flush' as const, 'delete' as const), volume }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('check' as const), volume }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'reopen' }, { kind: 'crash' }) },
)

/** A block of a volume: eight sectors, each filled with one byte value. */
function bytesOf(block: ModelBlock | undefined): Uint8Array {
  const bytes = new Uint8Array(4096)
  for (const [index, value] of (block?.sectors ?? []).entries())
    bytes.fill(value, index * 512, index * 512 + 512)
  return bytes
}

function isForeign(id: string, block: ModelBlock | undefined): boolean {
  return block !== undefined && block.lineage !== id
}

async function write(world: World, id: string, step: Extract<Step, { kind: 'write' }>): Promise<void> {
  const model = world.volumes.get(id)
  if (model === undefined) return
  const sectors = Math.min(step.count, BLOCKS * SECTORS_PER_BLOCK - step.sector)
  const offset = BigInt(FIRST * SECTORS_PER_BLOCK + step.sector) * 512n
  const touched = new Map<number, number[]>()
  for (let sector = step.sector; sector < step.sector + sectors; sector++) {
    const block = Math.floor(sector / SECTORS_PER_BLOCK)
    touched.set(block, [...(touched.get(block) ?? []), sector % SECTORS_PER_BLOCK])
  }
  const needed = [...touched]
    .filter(([block, parts]) => parts.length < SECTORS_PER_BLOCK && isForeign(id, model.blocks.get(block)))
    .map(([block]) => BigInt(FIRST + block))
  const result = await world.store.writeOwn(id, offset, new Uint8Array(sectors * 512).fill(step.fill))
  if (needed.length > 0) {
    expect(result.status === 'NEEDS_COPY' && result.foreign.map((run) => run.first)).toEqual(needed)
    return
  }
  expect(result).toEqual({ status: 'WRITTEN' })
  for (const [block, parts] of touched) {
    const old = model.blocks.get(block)?.sectors ?? new Array<number>(SECTORS_PER_BLOCK).fill(0)
    const sectorsNow = old.map((value, index) => (parts.includes(index) ? step.fill : value))
    model.blocks.set(block, { lineage: id, sectors: sectorsNow })
  }
}

async function put(world: World, id: string, step: Extract<Step, { kind: 'put' }>): Promise<void> {
  const model = world.volumes.get(id)
  if (model === undefined) return
  const blocks = Math.min(step.count, BLOCKS - step.block)
  const indexes = Array.from({ length: blocks }, (_, index) => step.block + index)
  const generations = indexes.map((block) => world.store.resolve(id, BigInt(FIRST + block)).generation)
  const bytes = new Uint8Array(blocks * 4096).fill(step.fill)
  const result = await world.store.putIfUnmodified(id, BigInt(FIRST + step.block), bytes, generations)
  const stored = result.stored.flatMap((run) => expand(run))
  const present = result.present.flatMap((run) => expand(run))
  const takes = (block: number): boolean => model.blocks.get(block)?.lineage !== id
  expect(stored).toEqual(indexes.filter(takes))
  expect(present).toEqual(indexes.filter((block) => !takes(block)))
  expect(result.stale).toEqual([])
  for (const block of stored) {
    model.blocks.set(block, { lineage: id, sectors: new Array<number>(SECTORS_PER_BLOCK).fill(step.fill) })
  }
}

function expand(run: { first: bigint; count: number }): number[] {
  return Array.from({ length: run.count }, (_, index) => Number(run.first) - FIRST + index)
}

/** The store's word on every block of a volume against the model's: state, key and content. */
async function check(world: World, id: string): Promise<void> {
  const model = world.volumes.get(id)
  if (model === undefined) return
  const { store } = world
  for (let block = 0; block < BLOCKS; block++) {
    const wanted = model.blocks.get(block)
    const index = BigInt(FIRST + block)
    const found = store.resolve(id, index)
    const out = new Uint8Array(4096)
    if (found.state === 'foreign') {
      expect(found.originVolume).toBe(wanted?.lineage)
      expect(isForeign(id, wanted)).toBe(true)
      await store.readLayer(found.layer, index, 1, out)
    } else {
      expect(found.state === 'hole').toBe(wanted === undefined)
      expect(isForeign(id, wanted)).toBe(false)
      expect(await store.readBlocks(id, index, 1, out)).toEqual({ status: 'READ' })
    }
    expect(Buffer.compare(out, bytesOf(wanted))).toBe(0)
  }
  const foreign = [...model.blocks.values()].filter((block) => isForeign(id, block)).length
  expect(store.describe(id)).toMatchObject({
    allocatedBlocks: BigInt(model.blocks.size),
    foreignBlocks: BigInt(foreign),
  })
  let iterated = 0
  for await (const run of store.foreignRuns(id)) iterated += run.count
  expect(iterated).toBe(foreign)
}

async function run(world: World, step: Step): Promise<void> {
  if (step.kind === 'reopen') {
    await world.store.close()
    world.store = await VolumeStore.open({ directory: world.directory })
    return
  }
  if (step.kind === 'crash') {
    const copy = await copyAsKilled(world.directory)
    await world.store.close()
    world.directory = copy
    world.store = await VolumeStore.open({ directory: copy })
    return
  }
  const ids = [...world.volumes.keys()]
  const id = ids[step.volume % ids.length] ?? ''
  const model = world.volumes.get(id)
  if (model === undefined) return
  if (step.kind === 'write') await write(world, id, step)
  if (step.kind === 'put') await put(world, id, step)
  if (step.kind === 'check') await check(world, id)
  if (step.kind === 'flush') await world.store.flush(id)
  if (step.kind === 'clone') {
    const clone = await world.store.clone(id)
    world.volumes.set(clone.id, { blocks: new Map(model.blocks) })
  }
  if (step.kind === 'delete' && ids.length > 1) {
    const dependents = world.store.dependents(id)
    const outcome = await world.store.delete(id).catch((error: unknown) => error)
    expect(outcome === undefined).toBe(dependents.length === 0)
    if (outcome === undefined) world.volumes.delete(id)
  }
}

test('[C-34] every interleaving gives every volume exactly its own writes, under the right key', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const directory = await emptyDirectory()
      const world: World = { directory, store: await VolumeStore.open({ directory }), volumes: new Map() }
      try {
        await world.store.create({ id: 'first', sizeBytes: BigInt(FIRST + BLOCKS) * 4096n })
        world.volumes.set('first', { blocks: new Map() })
        for (const one of steps) await run(world, one)
        for (const id of world.volumes.keys()) await check(world, id)
      } finally {
        await world.store.close()
      }
    }),
    { numRuns: 40, endOnFailure: false },
  )
}, 120_000)
