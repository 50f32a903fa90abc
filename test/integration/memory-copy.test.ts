// One store of the destination, end to end: platform, hypervisor, worker and plugins as real processes and sockets, and
// what each of their records says about the copy.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultWorkerImage, startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { Secret } from '../../sdk/crypto/index.ts'
import { createClient, GuestPortService } from '../../sdk/rpc/index.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK, digest, openPage, sealPage } from './support/independent.ts'
import { at, bytesOf, changed, codeOf, pattern, type Stage, stage } from './support/stage.ts'

const PAGES = 16
const PATCH = Uint8Array.of(0xde, 0xad, 0xbe, 0xef)

let folder: string
let firmware: string
let bed: Testbed
let host: HostView

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'palimpsest-'))
  firmware = join(folder, 'firmware.bin')
  // Any file is a firmware image: what counts is that exactly its bytes are measured.
  writeFileSync(firmware, randomBytes(200_000))
  bed = await startTestbed({ directory: join(folder, 'bed'), firmware })
  host = new HostView(bed)
})
afterAll(async () => {
  host.close()
  await bed.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A stage with all its pages cloned. */
async function cloned(name: string, options?: Parameters<typeof stage>[2]): Promise<Stage> {
  const made = await stage(bed, name, { pages: PAGES, ...options })
  await bed.cloneMemory(name, made.source, made.destination)
  return made
}

const groupKeys = (mode: 'common' | 'both') => {
  const group = Secret.random(32)
  return { group, options: { sourceKeys: { mode, group }, destinationKeys: { mode, group } } }
}

describe('one store of the destination', () => {
  const page = 3
  let made: Stage
  let first: { frame: bigint; ciphertext: Uint8Array; generation: bigint }
  let sessionsBefore: bigint
  let second: bigint

  beforeAll(async () => {
    made = await cloned('one')
    const { frame } = await host.mapping(made.source.name, page)
    first = {
      frame,
      ciphertext: await host.ciphertext(frame),
      generation: (await host.row(frame)).generation,
    }
    sessionsBefore = (await host.workerIdentity()).sessions
    await made.destination.guest.store(at(page, 100), PATCH)
    second = (await host.mapping(made.destination.name, page)).frame
  })

  it('makes exactly one copy session and one receipt that names both blocks and ciphertexts', async () => {
    expect((await host.workerIdentity()).sessions - sessionsBefore).toBe(1n)
    const [receipt, ...others] = await host.receipts('one')
    expect(others).toEqual([])
    expect(receipt).toMatchObject({ writer: 'destination', registration: 'one-1' })
    expect(receipt?.copies).toEqual([
      { first: 3n, second: 3n, generation: first.generation, secondGeneration: expect.any(BigInt) as bigint },
    ])
    expect(Buffer.from(receipt?.firstDigest ?? [])).toEqual(digest(first.ciphertext))
  })

  it('[C-06] stores what an independent encryption of the plaintext at the second frame gives', async () => {
    const root = bytesOf(made.destination.root)
    const [receipt] = await host.receipts('one')
    const copied = sealPage(root, second, pattern(page))
    expect(Buffer.from(receipt?.secondDigest ?? [])).toEqual(digest(copied))
    const stored = sealPage(root, second, changed(pattern(page), 100, PATCH))
    expect(Buffer.from(await host.ciphertext(second))).toEqual(stored)
  })

  it("[C-07] [C-08] shows only the worker's identity as writer of the second frame, before the guest", async () => {
    const { name } = await host.workerIdentity()
    expect((await host.writesOf(second)).map(({ writer, cause }) => ({ writer, cause }))).toEqual([
      { writer: name, cause: 'copy' },
      { writer: made.destination.name, cause: 'store' },
    ])
  })

  it('[C-07 control] [C-08 control] names whoever else writes a frame', async () => {
    const writers = new Set((await host.writesOf(first.frame)).map(({ writer }) => writer))
    expect([...writers]).toEqual([made.source.name])
  })

  it('[C-11] copies before it applies, and leaves the first block as it was, byte for byte', async () => {
    const [copied, applied] = await host.writesOf(second)
    expect(copied?.sequence).toBeLessThan(applied?.sequence ?? 0n)
    const { frame } = await host.mapping(made.source.name, page)
    expect(frame).toBe(first.frame)
    expect(await host.ciphertext(frame)).toEqual(first.ciphertext)
    expect(await made.source.guest.load(at(page), BLOCK)).toEqual(pattern(page))
    expect(await made.destination.guest.load(at(page), BLOCK)).toEqual(changed(pattern(page), 100, PATCH))
  })

  it('[C-08] [C-20] is done in a process and VM of its own', async () => {
    const worker = await host.workerIdentity()
    const { platform, hypervisor } = bed.addresses.pids
    expect(new Set([worker.pid, platform, hypervisor, process.pid]).size).toBe(4)
    const { vms } = await bed.hypervisor.listVms({})
    expect(vms.map(({ vm }) => vm)).not.toContain(worker.name)
    expect([made.source.name, made.destination.name]).not.toContain(worker.name)
  })

  it("[C-09] names the firmware image's own SHA-256 to both VMs", () => {
    const expected = execFileSync('sha256sum', [firmware], { encoding: 'utf8' }).slice(0, 64)
    expect(bed.addresses.measurement).toBe(expected)
    for (const role of ['source', 'destination'] as const) {
      const [received] = made.events.all(role, 'MEASUREMENT_RECEIVED')
      expect(Buffer.from(received?.measurement ?? []).toString('hex')).toBe(expected)
    }
  })

  it('[C-23] is named to the host by guest physical addresses alone', async () => {
    const { calls } = await bed.hypervisor.listHypercalls({ since: 0n })
    const worker = (await host.workerIdentity()).name
    const seen = calls.filter(({ vm }) => vm === made.source.name || vm === made.destination.name)
    const whole = { gpa: 0n, pages: BigInt(PAGES) }
    const { source, destination } = made
    const expected = [
      { caller: source.name, call: 'share', vm: source.name, ...whole },
      { caller: source.name, call: 'grant', vm: source.name, ...whole },
      { caller: destination.name, call: 'grant', vm: destination.name, ...whole },
      { caller: worker, call: 'copied', vm: destination.name, gpa: at(page), pages: 1n },
    ]
    expect(seen).toHaveLength(expected.length)
    for (const call of expected) expect(seen).toContainEqual(expect.objectContaining(call))
  })
})

describe('first block and second block', () => {
  it('[C-16] [C-17] are pages at different addresses: one frame before the write, two after it', async () => {
    const { source, destination } = await stage(bed, 'moved', { pages: PAGES })
    await bed.hypervisor.createClone({
      clone: 'moved',
      source: source.name,
      destination: destination.name,
      storage: { case: 'memory', value: { pairs: [{ first: 2n, second: 9n, count: 4n }] } },
    })
    const shared = await host.mapping(source.name, 4)
    expect(await host.mapping(destination.name, 11)).toEqual(shared)
    expect((await host.row(shared.frame)).sharers).toHaveLength(2)
    await destination.guest.store(at(11, 8), PATCH)
    const own = await host.mapping(destination.name, 11)
    expect(own.frame).not.toBe(shared.frame)
    expect((await host.row(shared.frame)).sharers).toEqual([{ vm: source.name, index: 4n }])
    expect((await host.row(own.frame)).sharers).toEqual([{ vm: destination.name, index: 11n }])
    expect(await destination.guest.load(at(11), BLOCK)).toEqual(changed(pattern(4), 8, PATCH))
    expect(await source.guest.load(at(4), BLOCK)).toEqual(pattern(4))
  })

  it.each(['common', 'both'] as const)(
    '[C-10] in mode %s reads cause no copy, and the first store exactly one',
    async (mode) => {
      const { group, options } = groupKeys(mode)
      const { source, destination } = await cloned(`reads-${mode}`, options)
      const before = (await host.workerIdentity()).sessions
      for (let page = 0; page < PAGES; page++) {
        expect(await destination.guest.load(at(page), BLOCK)).toEqual(pattern(page))
        expect(await source.guest.load(at(page), BLOCK)).toEqual(pattern(page))
      }
      expect((await host.workerIdentity()).sessions).toBe(before)
      expect((await host.clone(`reads-${mode}`)).copied).toBe(0n)
      await destination.guest.store(at(5), PATCH)
      await destination.guest.store(at(5, 8), PATCH)
      expect((await host.workerIdentity()).sessions - before).toBe(1n)
      const { frame } = await host.mapping(destination.name, 5)
      const expected = changed(changed(pattern(5), 0, PATCH), 8, PATCH)
      expect(openPage(bytesOf(group), frame, await host.ciphertext(frame), mode)).toEqual(
        Buffer.from(expected),
      )
    },
  )

  it('[C-10 control] a store is what starts a copy: each page that is stored to is copied, and no other', async () => {
    const { destination } = await cloned('stored', groupKeys('common').options)
    for (const page of [1, 6, 7]) await destination.guest.store(at(page), PATCH)
    const receipts = await host.receipts('stored')
    expect(receipts.flatMap(({ copies }) => copies.map(({ second }) => second)).sort()).toEqual([1n, 6n, 7n])
  })
})

describe('while a block is shared', () => {
  it('[C-19] its write bit is 0 for both VMs, and a store faults', async () => {
    const { source, destination } = await cloned('protected', groupKeys('common').options)
    const mappings = [
      ...(await host.mappings(source.name, 0, PAGES)),
      ...(await host.mappings(destination.name, 0, PAGES)),
    ]
    expect(mappings).toHaveLength(2 * PAGES)
    expect(mappings.every(({ writable }) => !writable)).toBe(true)
    const faults = await host.watchFaults(destination, [8, 9, 10, 11, 12, 13, 14, 15])
    await source.guest.store(at(2), PATCH)
    expect(await faults.stop()).toEqual([
      expect.objectContaining({ vm: source.name, index: 2n, access: 'write', reason: 'write-protected' }),
    ])
  })

  it('[C-19] a host that sets the write bit makes no store land in the shared block', async () => {
    const { source, destination } = await cloned('bit-set', groupKeys('common').options)
    const { frame } = await host.mapping(source.name, 2)
    const ciphertext = await host.ciphertext(frame)
    await host.platform.setMappings({
      vm: destination.name,
      mappings: [{ index: 2n, frame, writable: true }],
      retry: [],
    })
    await destination.guest.store(at(2), PATCH)
    expect(await host.ciphertext(frame)).toEqual(ciphertext)
    expect(await source.guest.load(at(2), BLOCK)).toEqual(pattern(2))
  })

  it('[C-19 control] after the copy its write bit is 1, and a store causes no fault', async () => {
    const { destination } = await cloned('unprotected', groupKeys('common').options)
    await destination.guest.store(at(2), PATCH)
    expect((await host.mapping(destination.name, 2)).writable).toBe(true)
    const faults = await host.watchFaults(destination, [8, 9, 10, 11, 12, 13, 14, 15])
    await destination.guest.store(at(2, 8), PATCH)
    await destination.guest.store(at(3), PATCH)
    expect(await faults.stop()).toEqual([expect.objectContaining({ vm: destination.name, index: 3n })])
  })

  it('[C-21] the host reads ciphertext of it, and no plaintext by any port', async () => {
    const { source } = await cloned('ciphertext')
    const { frame } = await host.mapping(source.name, 1)
    const seen = Buffer.from(await host.ciphertext(frame))
    expect(seen.equals(pattern(1))).toBe(false)
    for (let i = 0; i < BLOCK; i += 16)
      expect(seen.includes(Buffer.from(pattern(1).subarray(i, i + 16)))).toBe(false)
    expect(await codeOf(hostsLoad(host.tls))).toBe('PERMISSION_DENIED')
  })

  it('[C-21 control] the same bytes open with the key, and the same call works for the VM', async () => {
    const { source } = await cloned('plaintext')
    const { frame } = await host.mapping(source.name, 1)
    const opened = openPage(bytesOf(source.root), frame, await host.ciphertext(frame))
    expect(opened).toEqual(Buffer.from(pattern(1)))
    expect(await codeOf(hostsLoad(source.identity.tls))).toBe('ok')
  })
})

describe('the other sharer', () => {
  it('the source as writer gets a frame of its own from the worker; the destination keeps the old data', async () => {
    const { source, destination } = await cloned('source-writes')
    const { frame } = await host.mapping(source.name, 7)
    const ciphertext = await host.ciphertext(frame)
    await source.guest.store(at(7, 40), PATCH)
    const [receipt] = await host.receipts('source-writes')
    expect(receipt).toMatchObject({ writer: 'source', copies: [{ first: 7n, second: 7n }] })
    const own = await host.mapping(source.name, 7)
    expect(own.frame).not.toBe(frame)
    const { name } = await host.workerIdentity()
    expect((await host.writesOf(own.frame)).map(({ writer }) => writer)).toEqual([name, source.name])
    expect(await host.ciphertext(frame)).toEqual(ciphertext)
    const expected = sealPage(bytesOf(source.root), own.frame, changed(pattern(7), 40, PATCH))
    expect(Buffer.from(await host.ciphertext(own.frame))).toEqual(expected)
    expect(await destination.guest.load(at(7), BLOCK)).toEqual(pattern(7))
  })

  it('the last sharer whose key opens the frame keeps it without a copy', async () => {
    const { source, destination } = await cloned('last-own')
    await destination.guest.store(at(1), PATCH)
    const { frame } = await host.mapping(source.name, 1)
    await source.guest.store(at(1), PATCH)
    expect(await host.mapping(source.name, 1)).toEqual({ frame, writable: true })
    expect(await host.receipts('last-own')).toHaveLength(1)
    const shared = await cloned('last-group', groupKeys('both').options)
    await shared.source.guest.store(at(1), PATCH)
    const before = await host.mapping(shared.destination.name, 1)
    await shared.destination.guest.store(at(1, 8), PATCH)
    expect(await host.mapping(shared.destination.name, 1)).toEqual({ frame: before.frame, writable: true })
    expect(await host.receipts('last-group')).toHaveLength(1)
    expect(await shared.destination.guest.load(at(1), BLOCK)).toEqual(changed(pattern(1), 8, PATCH))
  })

  it('the last sharer whose key does not open the frame has it copied, and the frame is free after it', async () => {
    const { source, destination } = await cloned('last-foreign')
    const { frame } = await host.mapping(destination.name, 1)
    await source.guest.store(at(1), PATCH)
    await destination.guest.store(at(1, 8), PATCH)
    expect((await host.mapping(destination.name, 1)).frame).not.toBe(frame)
    expect((await host.receipts('last-foreign')).map(({ writer }) => writer)).toEqual([
      'source',
      'destination',
    ])
    expect(await destination.guest.load(at(1), BLOCK)).toEqual(changed(pattern(1), 8, PATCH))
    // Scrubbed; the host may have put it into a pool since.
    expect(['free', 'reserved']).toContain((await host.row(frame)).state)
  })
})

describe('another worker', () => {
  it('[C-20 control] is another process and writes under a name of its own', async () => {
    const { destination } = await cloned('second-worker')
    await destination.guest.store(at(1), PATCH)
    const before = await host.workerIdentity()
    await bed.hypervisor.startWorker(
      { imagePath: defaultWorkerImage(), faultPoints: false },
      { deadlineMs: 30_000 },
    )
    const after = await host.workerIdentity()
    expect(after.pid).not.toBe(before.pid)
    await destination.guest.store(at(2), PATCH)
    const writers = await Promise.all(
      [1, 2].map(async (page) => {
        const { frame } = await host.mapping(destination.name, page)
        return (await host.writesOf(frame)).map(({ writer }) => writer)
      }),
    )
    expect(writers).toEqual([before, after].map(({ name }) => [name, destination.name]))
  })
})

/** A load at the guest port under an identity. */
async function hostsLoad(tls: { certificatePem: string; keyPem: string }): Promise<unknown> {
  const { certificatePem, keyPem } = tls
  const client = createClient(GuestPortService, {
    address: bed.addresses.guestPort,
    tls: { certificatePem, keyPem, caPem: bed.trustAnchor, serverName: 'palimpsest-platform' },
  })
  try {
    return await client.load({ gpa: at(1), length: 16 })
  } finally {
    client.close()
  }
}
