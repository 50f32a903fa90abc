/** Disk clones through the real processes; the worker copies, the host sees ciphertext only. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed, type TestVm } from '../../../emulator/testbed/index.ts'
import { at, blockBytes, isSame, pattern, patterns, until } from './support.ts'

const blocks = 600

let bed: Testbed
beforeAll(async () => {
  bed = await startTestbed({ stallTimeoutMs: 20_000 })
})
afterAll(async () => {
  await bed.close()
})

type Disk = ReturnType<TestVm['disk']>

let count = 0
/** A source volume with a pattern in it, and its clone. */
async function clonedVolume(): Promise<{
  clone: string
  original: Disk
  copy: Disk
  volume: string
  origin: string
}> {
  const n = ++count
  const source = await bed.vm(`source-${n}`, { memoryBytes: 0 })
  const destination = await bed.vm(`destination-${n}`, { memoryBytes: 0 })
  const names = { source: `original-${n}`, destination: `copy-${n}` }
  const original = await source.createVolume(names.source, blocks * blockBytes)
  await original.write(0n, patterns(0, blocks))
  await source.serveSource({ peers: [destination.identity] })
  await destination.serveDestination({ peers: [source.identity] })
  const clone = `clone-${n}`
  await bed.cloneVolume(clone, source, destination, names)
  return {
    clone,
    original,
    copy: destination.disk(names.destination),
    volume: names.destination,
    origin: names.source,
  }
}

async function sharedBlocks(volume: string): Promise<bigint> {
  const { volumes } = await bed.hypervisor.listVolumes({})
  return volumes.find((one) => one.volume === volume)?.sharedBlocks ?? -1n
}

describe('a clone of a volume', () => {
  it('[C-36] reads through the worker without storing anything', async () => {
    const { copy, volume } = await clonedVolume()
    expect(isSame(await copy.read(0n, blocks * blockBytes), patterns(0, blocks))).toBe(true)
    expect(await sharedBlocks(volume)).toBe(BigInt(blocks))
  })

  it('[C-36] a write of a part of a block keeps the rest of it, and the source is untouched', async () => {
    const { copy, original, volume, clone } = await clonedVolume()
    await copy.write(at(10, 512), new Uint8Array(1024).fill(9))
    const expected = pattern(10)
    expected.fill(9, 512, 512 + 1024)
    expect(await copy.read(at(10), blockBytes)).toEqual(expected)
    expect(await original.read(at(10), blockBytes)).toEqual(pattern(10))
    expect(await sharedBlocks(volume)).toBe(BigInt(blocks - 1))
    const { receipts } = await bed.hypervisor.listReceipts({ clone })
    expect(receipts).toHaveLength(1)
  })

  it('a write of whole blocks needs no copy', async () => {
    const { copy, volume, clone } = await clonedVolume()
    await copy.write(at(20), patterns(100, 104))
    expect(await sharedBlocks(volume)).toBe(BigInt(blocks - 4))
    expect((await bed.hypervisor.listReceipts({ clone })).receipts).toHaveLength(0)
    expect(isSame(await copy.read(at(20), 4 * blockBytes), patterns(100, 104))).toBe(true)
  })

  it('[C-34] concurrent writers of parts of the same blocks lose nothing', async () => {
    const { copy } = await clonedVolume()
    const writes = Array.from({ length: 64 }, (_, i) =>
      copy.write(at(30 + (i % 8), 512 * Math.floor(i / 8)), new Uint8Array(512).fill(i + 1)),
    )
    await Promise.all(writes)
    for (let i = 0; i < 64; i++) {
      const found = await copy.read(at(30 + (i % 8), 512 * Math.floor(i / 8)), 512)
      expect(isSame(found, new Uint8Array(512).fill(i + 1))).toBe(true)
    }
  })

  it('the source goes on writing, and the clone stays as it was', async () => {
    const { copy, original } = await clonedVolume()
    await original.write(at(40, 512), new Uint8Array(512).fill(1))
    expect(await copy.read(at(40), blockBytes)).toEqual(pattern(40))
    const expected = pattern(40)
    expected.fill(1, 512, 1024)
    expect(await original.read(at(40), blockBytes)).toEqual(expected)
  })

  it('is finished in the background around what was written', async () => {
    const { clone, copy, original, volume, origin } = await clonedVolume()
    await copy.write(at(300), pattern(7))
    expect(await bed.finish(clone)).toBe(BigInt(blocks))
    expect(await sharedBlocks(volume)).toBe(0n)
    await until('finished', async () => {
      const { clones } = await bed.hypervisor.listClones({})
      return clones.find((one) => one.clone === clone)?.state === 'finished'
    })
    const expected = patterns(0, blocks)
    expected.set(pattern(7), 300 * blockBytes)
    expect(isSame(await copy.read(0n, blocks * blockBytes), expected)).toBe(true)
    expect(isSame(await original.read(0n, blocks * blockBytes), patterns(0, blocks))).toBe(true)
    await copy.flush()
    const [mine, theirs] = await Promise.all(
      [volume, origin].map((name) => bed.hypervisor.inspectVolume({ volume: name, block: 0n, count: 1 })),
    )
    expect(mine?.own).toEqual([true])
    expect(isSame(mine?.ciphertext ?? new Uint8Array(), theirs?.ciphertext ?? new Uint8Array())).toBe(false)
  })

  it.each(['copier.afterDecrypt', 'copier.afterStore'])(
    '[C-34] a worker killed at %s loses no write',
    async (point) => {
      const { copy, original } = await clonedVolume()
      const before = await bed.hypervisor.getWorker({})
      await bed.hypervisor.armFaultPoint({ point, action: 'kill' })
      await copy.write(at(50, 512), new Uint8Array(512).fill(3))
      const expected = pattern(50)
      expected.fill(3, 512, 1024)
      expect(await copy.read(at(50), blockBytes)).toEqual(expected)
      expect(await copy.read(at(51), blockBytes)).toEqual(pattern(51))
      expect(await original.read(at(50), blockBytes)).toEqual(pattern(50))
      expect((await bed.hypervisor.getWorker({})).pid).not.toBe(before.pid)
    },
  )

  it('that is deleted before its end has lost what was not copied, and only that', async () => {
    const { clone, copy, volume, origin } = await clonedVolume()
    await copy.write(at(60), pattern(1))
    await expect(bed.hypervisor.deleteVolume({ volume: origin })).rejects.toMatchObject({ code: 'STATE' })
    await bed.hypervisor.deleteClone({ clone })
    expect(await copy.read(at(60), blockBytes)).toEqual(pattern(1))
    await expect(copy.read(at(61), blockBytes)).rejects.toMatchObject({ code: 'STATE' })
    await bed.hypervisor.deleteVolume({ volume })
    await bed.hypervisor.deleteVolume({ volume: origin })
  })
})
