// Many writers at once on shared blocks: destination and source, the same pages and others, counters and plain stores,
// while the rest is copied in the background. Whatever the order, no store is lost and none happens twice.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed, type TestVm } from '../../emulator/testbed/index.ts'
import { Secret } from '../../sdk/crypto/index.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK } from './support/independent.ts'
import { at, pattern, patterns, stage, type StageOptions } from './support/stage.ts'

const WRITERS = 64
/** Bytes of a page that belong to one writer: a counter, and a plain store. */
const COUNTERS = 0
const STORES = 2048

let bed: Testbed
let host: HostView

beforeAll(async () => {
  bed = await startTestbed({ stallTimeoutMs: 60_000 })
  host = new HostView(bed)
})
afterAll(async () => {
  host.close()
  await bed.close()
})

async function cloned(name: string, pages: number, options: StageOptions = {}) {
  const made = await stage(bed, name, { pages, ...options })
  await bed.cloneMemory(name, made.source, made.destination)
  return made
}

/** What a VM's pages must hold: kept beside the stores, compared in the end. */
class Model {
  readonly #pages: Map<number, Uint8Array>

  constructor(pages: number) {
    this.#pages = new Map(Array.from({ length: pages }, (_, page) => [page, pattern(page)]))
  }

  page(page: number): Uint8Array {
    const bytes = this.#pages.get(page)
    if (bytes === undefined) throw new RangeError(`no page ${String(page)}`)
    return bytes
  }

  add(page: number, offset: number, addend: bigint): void {
    const view = new DataView(this.page(page).buffer)
    view.setBigUint64(offset, BigInt.asUintN(64, view.getBigUint64(offset, true) + addend), true)
  }

  store(page: number, offset: number, bytes: Uint8Array): void {
    this.page(page).set(bytes, offset)
  }

  /** Pages that do not hold what they must. */
  async differing(vm: TestVm): Promise<number[]> {
    const differing: number[] = []
    for (const [page, expected] of this.#pages) {
      if (Buffer.compare(await vm.guest.load(at(page), BLOCK), expected) !== 0) differing.push(page)
    }
    return differing
  }
}

/**
 * 64 writers of one VM, each on `pages[writer % pages.length]`: an addition to the page's shared counter, a store to
 * eight bytes of its own, and another addition.
 */
async function write(vm: TestVm, model: Model, pages: readonly number[]): Promise<void> {
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    const page = pages[writer % pages.length] ?? 0
    const own = Uint8Array.from({ length: 8 }, () => writer + 1)
    model.add(page, COUNTERS, 1n)
    model.store(page, STORES + 8 * writer, own)
    model.add(page, COUNTERS, 1000n)
    await vm.guest.fetchAdd(at(page, COUNTERS), 1n)
    await vm.guest.store(at(page, STORES + 8 * writer), own)
    await vm.guest.fetchAdd(at(page, COUNTERS), 1000n)
  })
  await Promise.all(writers)
}

/** Blocks named by a clone's receipts, per side. */
async function copies(clone: string): Promise<Record<'source' | 'destination', bigint[]>> {
  const receipts = await host.receipts(clone)
  const of = (side: string) =>
    receipts
      .filter(({ writer }) => writer === side)
      .flatMap((receipt) => receipt.copies.map(({ first }) => first))
  return { source: of('source'), destination: of('destination') }
}

describe('64 concurrent writers', () => {
  it('[C-34] [C-12] of one shared page cause one copy, and every store lands once', async () => {
    const { source, destination } = await cloned('one-page', 4)
    const model = new Model(4)
    await write(destination, model, [2])
    expect(await model.differing(destination)).toEqual([])
    expect(await new Model(4).differing(source)).toEqual([])
    // Reading the other pages copied them too: location keys open nobody else's frames.
    expect((await copies('one-page')).destination.filter((first) => first === 2n)).toHaveLength(1)
  })

  it.each(['location', 'both'] as const)(
    '[C-34] of both VMs on the same and on different pages lose and double nothing (%s keys)',
    async (mode) => {
      const pages = 24
      const keys = mode === 'location' ? { mode } : { mode, group: Secret.random(32) }
      const clone = `both-sides-${mode}`
      const { source, destination } = await cloned(clone, pages, { sourceKeys: keys, destinationKeys: keys })
      const models = { source: new Model(pages), destination: new Model(pages) }
      await Promise.all([
        write(source, models.source, [0, 1, 2, 3, 8, 9, 10, 11]),
        write(destination, models.destination, [0, 1, 2, 3, 16, 17, 18, 19]),
        write(destination, models.destination, [0]),
      ])
      expect(await models.destination.differing(destination)).toEqual([])
      expect(await models.source.differing(source)).toEqual([])
      const made = await copies(clone)
      // No block was copied twice for a side, and the two sides together never need more than one copy a block and side.
      for (const side of [made.source, made.destination]) expect(new Set(side).size).toBe(side.length)
      expect(made.source.length).toBeLessThanOrEqual(8)
      expect(made.destination.length).toBeLessThanOrEqual(pages)
    },
  )

  it('[C-34] while the rest is copied in the background lose and double nothing', async () => {
    const pages = 600
    const { source, destination } = await cloned('background', pages)
    const models = { source: new Model(pages), destination: new Model(pages) }
    const spread = Array.from({ length: 32 }, (_, i) => (i * 37) % pages)
    const [finished] = await Promise.all([
      bed.finish('background'),
      write(destination, models.destination, spread),
      write(source, models.source, spread),
    ])
    expect(finished).toBe(BigInt(pages))
    expect(await models.destination.differing(destination)).toEqual([])
    expect(await models.source.differing(source)).toEqual([])
    const made = await copies('background')
    expect([...made.destination].sort((a, b) => Number(a - b))).toEqual(
      Array.from({ length: pages }, (_, i) => BigInt(i)),
    )
    expect(new Set(made.source).size).toBe(made.source.length)
  })

  it('[C-34 control] a store that is lost, and one that happens twice, are both found', async () => {
    const { destination } = await cloned('found', 4)
    const model = new Model(4)
    await write(destination, model, [1, 2])
    expect(await model.differing(destination)).toEqual([])
    await destination.guest.fetchAdd(at(1, COUNTERS), 1n)
    model.store(2, STORES, Uint8Array.of(77))
    expect(await model.differing(destination)).toEqual([1, 2])
  })
})

describe('concurrent writers of a cloned volume', () => {
  it('[C-34] [C-36] lose and double nothing on either side', async () => {
    const blocks = 16
    const { source, destination } = await stage(bed, 'volume', { pages: 1 })
    const original = await source.createVolume('crowded', blocks * BLOCK)
    await original.write(0n, patterns(0, blocks))
    await bed.cloneVolume('crowded', source, destination, { source: 'crowded', destination: 'crowded-copy' })
    const copy = destination.disk('crowded-copy')
    const models = [new Model(blocks), new Model(blocks)]
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, writer) => {
        // Eight sectors a block: every sector of 8 blocks is written by exactly one writer of each side.
        const [block, sector] = [writer >> 3, writer & 7]
        for (const [side, disk] of [original, copy].entries()) {
          const bytes = new Uint8Array(512).fill(side * 100 + writer)
          models[side]?.store(block, sector * 512, bytes)
          await disk.write(at(block, sector * 512), bytes)
        }
      }),
    )
    for (const [side, disk] of [original, copy].entries()) {
      const found = await disk.read(0n, blocks * BLOCK)
      for (let block = 0; block < blocks; block++) {
        const expected = models[side]?.page(block)
        expect(found.subarray(block * BLOCK, (block + 1) * BLOCK), `side ${side}, block ${block}`).toEqual(
          expected,
        )
      }
    }
    const made = await copies('crowded')
    expect(made.source).toEqual([])
    expect(new Set(made.destination).size).toBe(made.destination.length)
    expect(made.destination.length).toBeLessThanOrEqual(8)
  })
})
