// Disk blocks through the same path as pages: a clone of a volume at once, blocks copied by the worker when a part of
// them is written, the rest in the background; read back with node:crypto alone.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import type { EncryptedDisk } from '../../sdk/plugin/index.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK, digest, openDisk, sealDisk } from './support/independent.ts'
import { at, bytesOf, changed, codeOf, pattern, patterns, type Stage, stage } from './support/stage.ts'

const BLOCKS = 32
const SECTOR = new Uint8Array(512).fill(0xab)

let bed: Testbed
let host: HostView

beforeAll(async () => {
  bed = await startTestbed()
  host = new HostView(bed)
})
afterAll(async () => {
  host.close()
  await bed.close()
})

interface Cloned extends Stage {
  readonly name: string
  readonly original: EncryptedDisk
  readonly copy: EncryptedDisk
}

/** A volume of `blocks` patterned blocks and its clone: `<name>` and `<name>-copy`. */
async function cloned(name: string, blocks = BLOCKS): Promise<Cloned> {
  const made = await stage(bed, name, { pages: 1 })
  const original = await made.source.createVolume(name, blocks * BLOCK)
  await original.write(0n, patterns(0, blocks))
  await bed.cloneVolume(name, made.source, made.destination, { source: name, destination: `${name}-copy` })
  return { ...made, name, original, copy: made.destination.disk(`${name}-copy`) }
}

/** What lies on the host: ciphertext, and which blocks lie under the volume's own key. */
function inspect(volume: string, block = 0, count = BLOCKS) {
  return bed.hypervisor.inspectVolume({ volume, block: BigInt(block), count })
}

async function sharedBlocks(volume: string): Promise<bigint | undefined> {
  const { volumes } = await bed.hypervisor.listVolumes({})
  return volumes.find((one) => one.volume === volume)?.sharedBlocks
}

const sessions = async () => (await host.workerIdentity()).sessions

describe('a clone of a volume', () => {
  it('[C-36] shares all blocks at once; the host holds them once, under the source key', async () => {
    const { name, source } = await cloned('instant')
    expect(await sharedBlocks('instant-copy')).toBe(BigInt(BLOCKS))
    const [first, second] = await Promise.all([inspect(name), inspect(`${name}-copy`)])
    expect(second.own).not.toContain(true)
    expect(second.ciphertext).toEqual(first.ciphertext)
    expect(openDisk(bytesOf(source.volumeKey), 0n, first.ciphertext)).toEqual(
      Buffer.from(patterns(0, BLOCKS)),
    )
  })

  it('[C-36] [C-06] copies the block of a partial write through the worker, then the write lands', async () => {
    const { name, source, destination, copy, original } = await cloned('partial')
    const before = await inspect(name)
    const count = await sessions()
    await copy.write(at(5, 1024), SECTOR)
    expect((await sessions()) - count).toBe(1n)
    const [receipt, ...others] = await host.receipts(name)
    expect(others).toEqual([])
    expect(receipt?.copies).toMatchObject([{ first: 5n, second: 5n }])
    const kind = { mode: 'common', scope: 'volume' }
    expect(receipt?.keys).toEqual([
      { use: 'read', ...kind },
      { use: 'write', ...kind },
    ])
    const ciphertextA = before.ciphertext.subarray(5 * BLOCK, 6 * BLOCK)
    expect(Buffer.from(receipt?.firstDigest ?? [])).toEqual(digest(ciphertextA))
    const key = bytesOf(destination.volumeKey)
    expect(Buffer.from(receipt?.secondDigest ?? [])).toEqual(digest(sealDisk(key, 5n, pattern(5))))
    const { ciphertext, own } = await inspect(`${name}-copy`)
    expect(own.map((isOwn, block) => (isOwn ? block : -1)).filter((block) => block >= 0)).toEqual([5])
    const stored = sealDisk(key, 5n, changed(pattern(5), 1024, SECTOR))
    expect(Buffer.from(ciphertext.subarray(5 * BLOCK, 6 * BLOCK))).toEqual(stored)
    expect((await inspect(name)).ciphertext).toEqual(before.ciphertext)
    expect(await original.read(at(5), BLOCK)).toEqual(pattern(5))
    expect(bytesOf(source.volumeKey)).not.toEqual(key)
  })

  it('[C-36] needs no copy for a write of whole blocks', async () => {
    const { name, copy } = await cloned('whole')
    const count = await sessions()
    await copy.write(at(2), patterns(100, 103))
    expect(await sessions()).toBe(count)
    expect(await host.receipts(name)).toEqual([])
    expect(await sharedBlocks(`${name}-copy`)).toBe(BigInt(BLOCKS - 3))
    expect(await copy.read(at(2), 3 * BLOCK)).toEqual(patterns(100, 103))
  })

  it('[C-36] copies only the edges of a write that begins and ends inside of blocks', async () => {
    const { name, copy } = await cloned('edges')
    const bytes = new Uint8Array(3 * BLOCK).fill(3)
    await copy.write(at(6, 512), bytes)
    const copied = (await host.receipts(name)).flatMap(({ copies }) => copies.map(({ second }) => second))
    expect(copied.sort()).toEqual([6n, 9n])
    expect(await copy.read(at(6), 4 * BLOCK)).toEqual(changed(patterns(6, 10), 512, bytes))
  })

  it('[C-36] re-encrypts reads of shared blocks on the fly and stores nothing', async () => {
    const { name, copy, original } = await cloned('transient')
    const before = await inspect(`${name}-copy`)
    expect(await copy.read(0n, BLOCKS * BLOCK)).toEqual(patterns(0, BLOCKS))
    expect(await copy.read(at(3, 512), 1024)).toEqual(pattern(3).subarray(512, 1536))
    expect(await sharedBlocks(`${name}-copy`)).toBe(BigInt(BLOCKS))
    expect(await host.receipts(name)).toEqual([])
    expect(await inspect(`${name}-copy`)).toEqual(before)
    expect(await original.read(at(3), BLOCK)).toEqual(pattern(3))
  })

  it('[C-36] redirects writes of the source without a worker; the clone keeps the old data', async () => {
    const { name, source, copy, original } = await cloned('redirected')
    const count = await sessions()
    await original.write(at(4, 512), SECTOR)
    await original.write(at(8), pattern(200))
    expect(await sessions()).toBe(count)
    expect(await original.read(at(4), BLOCK)).toEqual(changed(pattern(4), 512, SECTOR))
    const stored = sealDisk(bytesOf(source.volumeKey), 4n, changed(pattern(4), 512, SECTOR))
    expect(Buffer.from((await inspect(name, 4, 1)).ciphertext)).toEqual(stored)
    expect(await copy.read(at(4), BLOCK)).toEqual(pattern(4))
    await copy.write(at(8, 1536), SECTOR)
    expect(await copy.read(at(8), BLOCK)).toEqual(changed(pattern(8), 1536, SECTOR))
    expect(await original.read(at(8), BLOCK)).toEqual(pattern(200))
  })
})

describe('the rest of a volume', () => {
  it('[C-36] is copied by FinishClone: every block opens with the clone key alone, the source is unchanged', async () => {
    const { name, source, destination, copy } = await cloned('finished')
    const before = await inspect(name)
    await copy.write(at(1), pattern(77))
    expect(await bed.finish(name)).toBe(BigInt(BLOCKS))
    expect(await host.clone(name)).toMatchObject({ state: 'finished', copied: BigInt(BLOCKS) })
    const { ciphertext, own } = await inspect(`${name}-copy`)
    expect(own).not.toContain(false)
    const expected = changed(patterns(0, BLOCKS), BLOCK, pattern(77))
    expect(openDisk(bytesOf(destination.volumeKey), 0n, ciphertext)).toEqual(Buffer.from(expected))
    expect(openDisk(bytesOf(source.volumeKey), 0n, ciphertext)).not.toEqual(Buffer.from(expected))
    expect((await inspect(name)).ciphertext).toEqual(before.ciphertext)
    const copies = (await host.receipts(name)).flatMap((receipt) =>
      receipt.copies.map(({ second }) => second),
    )
    expect(copies).toHaveLength(BLOCKS - 1)
    expect(copies).not.toContain(1n)
  })

  it('[C-36] [C-34] never overwrites what is written meanwhile, and reads are right all the time', async () => {
    const blocks = 2048
    const { name, copy, original } = await cloned('meanwhile', blocks)
    const expected = patterns(0, blocks)
    const write = async (offset: number, bytes: Uint8Array) => {
      expected.set(bytes, offset)
      await copy.write(BigInt(offset), bytes)
      expect(await copy.read(BigInt(offset), bytes.length)).toEqual(bytes)
    }
    const writers = Array.from({ length: 48 }, async (_, i) => {
      // From both ends towards the middle, so that some are ahead of the copier and some behind it.
      const block = i % 2 === 0 ? i * 21 : blocks - 1 - i * 21
      await write(block * BLOCK + 512 * (i % 8), new Uint8Array(512).fill(i + 1))
      await write((block ^ 3) * BLOCK, new Uint8Array(BLOCK).fill(i + 101))
      expect((await original.read(at(block), BLOCK)).length).toBe(BLOCK)
    })
    const [finished] = await Promise.all([bed.finish(name), ...writers])
    expect(finished).toBe(BigInt(blocks))
    expect(Buffer.compare(await copy.read(0n, blocks * BLOCK), expected)).toBe(0)
    expect(Buffer.compare(await original.read(0n, blocks * BLOCK), patterns(0, blocks))).toBe(0)
    expect(await sharedBlocks(`${name}-copy`)).toBe(0n)
  })
})

describe('the worker', () => {
  it('[C-33] [C-36] copies a disk block once under the same terms, whatever the host asks', async () => {
    const { name } = await cloned('spent')
    const registration = (await host.clone(name)).registration
    const { own } = await inspect(`${name}-copy`, 3, 1)
    expect(own).toEqual([false])
    expect(await host.copyCode(registration, [{ first: 3n, second: 3n }])).toBe('stored')
    expect(await host.copyCode(registration, [{ first: 3n, second: 3n }])).toBe('GRANT_SPENT')
    const renamed = [{ first: 3n, second: 3n, generation: 99n }]
    expect(await host.copyCode(registration, renamed), 'a generation that the host makes up').toBe(
      'GRANT_SPENT',
    )
    expect((await inspect(`${name}-copy`, 3, 1)).own).toEqual([true])
  })

  it('[C-32] [C-36] copies no block to another place than the terms say', async () => {
    const { name } = await cloned('elsewhere')
    const registration = (await host.clone(name)).registration
    expect(await host.copyCode(registration, [{ first: 3n, second: 4n }])).toBe('REFUSED_BINDING')
    const beyond = BigInt(BLOCKS)
    expect(await host.copyCode(registration, [{ first: beyond, second: beyond }])).toBe('REFUSED_BINDING')
  })
})

describe('the disk port', () => {
  it("refuses another VM's identity, unaligned and far places, and changes nothing", async () => {
    const { name, source, destination, original } = await cloned('refusals')
    const stranger = destination.disk(name)
    expect(await codeOf(stranger.read(0n, 512))).toBe('PERMISSION_DENIED')
    expect(await codeOf(stranger.write(0n, SECTOR))).toBe('PERMISSION_DENIED')
    expect(await codeOf(original.write(at(BLOCKS), SECTOR))).toBe('OUT_OF_RANGE')
    expect(await codeOf(source.disk('no-such-volume').read(0n, 512))).toBe('UNKNOWN_VOLUME')
    expect(await original.read(0n, BLOCKS * BLOCK)).toEqual(patterns(0, BLOCKS))
  })
})
