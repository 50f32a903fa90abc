// The matrix of claim 6, end to end: a block under a location key, a common key or both is copied to a block under any of
// the three, over the real processes; and what each choice shows, opens and gives away.
// Source: systems.md 2.5; features C-10, C-13 to C-17, C-32.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { readTranscript } from '../../sdk/rpc/index.ts'
import { parseAuditEntry } from '../../sdk/worker/index.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK, digest, openPage, sealPage } from './support/independent.ts'
import { Cell, cells, opens, PAGES } from './support/matrix.ts'
import { Secrets } from './support/search.ts'
import { at, bytesOf, changed } from './support/stage.ts'

const PATCH = Uint8Array.of(0xde, 0xad, 0xbe, 0xef)

let folder: string
let bed: Testbed
let host: HostView
/** Keys and plaintext of all cells, and what was planted to be found. */
const secrets = new Secrets()
const planted = new Secrets()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'palimpsest-'))
  bed = await startTestbed({ directory: join(folder, 'bed'), transcript: join(folder, 'transcript.jsonl') })
  host = new HostView(bed)
})
afterAll(async () => {
  host.close()
  await bed.close()
  rmSync(folder, { recursive: true, force: true })
})

const sessions = async (): Promise<bigint> => (await host.workerIdentity()).sessions

describe.each(cells)('$first to $second', ({ first, second }) => {
  let cell: Cell

  beforeAll(async () => {
    cell = new Cell(`${first}-${second}`, first, second, host)
    await cell.begin(bed)
  })
  afterAll(() => {
    for (const { name, bytes } of cell.secrets()) secrets.add(name, bytes)
  })

  if (first !== 'location')
    it('[C-10] [C-14] reads of both VMs are of one frame, and start no copy', async () => {
      const before = await sessions()
      for (let page = 0; page < PAGES; page++) {
        expect(await cell.load(page)).toEqual(cell.plaintext(page))
        expect(await cell.stage.source.guest.load(at(page), BLOCK)).toEqual(cell.plaintext(page))
        expect((await cell.second(page)).frame).toBe((await cell.first(page)).frame)
      }
      expect(await sessions()).toBe(before)
      expect((await host.clone(cell.name)).copied).toBe(0n)
    })
  else
    it('[C-10] [C-13] the first read of the destination, whose key does not open the frame, is what starts the copy', async () => {
      const before = await sessions()
      expect((await cell.second(0)).frame).toBe((await cell.first(0)).frame)
      expect(await cell.load(0)).toEqual(cell.plaintext(0))
      expect(await cell.load(0)).toEqual(cell.plaintext(0))
      expect(await sessions()).toBe(before + 1n)
      expect((await cell.second(0)).frame).not.toBe((await cell.first(0)).frame)
    })

  it('[C-10 control] the first store starts exactly one copy, and the next none', async () => {
    const before = await sessions()
    await cell.store(1, 100, PATCH)
    await cell.store(1, 200, PATCH)
    expect(await sessions()).toBe(before + 1n)
  })

  it('[C-15] [C-16] [C-17] two guest pages of one frame are two pages of two frames, with the data of each', async () => {
    const { source, destination } = cell.stage
    const shared = await cell.first(2)
    const names = [
      { vm: source.name, index: 2n },
      { vm: destination.name, index: BigInt(PAGES + 2) },
    ]
    expect((await cell.second(2)).frame).toBe(shared.frame)
    expect((await host.row(shared.frame)).sharers).toEqual(names)
    await cell.store(2, 64, PATCH)
    const own = await cell.second(2)
    expect(own.frame).not.toBe(shared.frame)
    expect((await host.row(shared.frame)).sharers).toEqual(names.slice(0, 1))
    expect((await host.row(own.frame)).sharers).toEqual(names.slice(1))
    expect(await cell.load(2)).toEqual(changed(cell.plaintext(2), 64, PATCH))
    expect(await cell.first(2)).toEqual(shared)
    expect(await source.guest.load(at(2), BLOCK)).toEqual(cell.plaintext(2))
  })

  it('[C-15] [C-06] an independent reader opens both blocks with the keys of the modes', async () => {
    for (const [role, lying, plaintext] of [
      ['source', await cell.first(2), cell.plaintext(2)],
      ['destination', await cell.second(2), changed(cell.plaintext(2), 64, PATCH)],
    ] as const) {
      const { mode, root, group } = cell.keys[role]
      const opened = openPage(
        bytesOf(mode === 'location' ? root : group),
        lying.frame,
        lying.ciphertext,
        mode,
      )
      expect(opened.equals(plaintext)).toBe(true)
    }
  })

  it('[C-15] [C-14] the ciphertexts are equal under one common key, and under no other pair', async () => {
    await cell.store(3, 0, PATCH)
    const copied = (await host.receipts(cell.name)).find(({ copies }) => copies[0]?.first === 3n)
    const { frame, ciphertext } = await cell.first(3)
    expect(Buffer.from(copied?.firstDigest ?? [])).toEqual(digest(ciphertext))
    expect(Buffer.from(copied?.secondDigest ?? []).equals(digest(ciphertext))).toBe(cell.isOneKey)
    expect(frame).not.toBe((await cell.second(3)).frame)
  })

  it('[C-15] [C-32] key 1 alone opens the first block, and the second one only when both are the same common key', async () => {
    const [one, two] = [await cell.first(2), await cell.second(2)]
    const frames = [one.frame, two.frame]
    const key = cell.key('source', one.frame)
    expect(opens(key, one.ciphertext, cell.plaintext(2), frames)).toBe(true)
    expect(opens(key, two.ciphertext, cell.plaintext(2), frames)).toBe(cell.isOneKey)
  })

  if (first !== 'common')
    it('[C-32] a granted key opens no neighbour frame; its own it does [C-32 control]', async () => {
      const [own, neighbour] = [await cell.first(4), await cell.first(5)]
      const frames = [own.frame, neighbour.frame]
      const key = cell.key('source', own.frame)
      expect(opens(key, neighbour.ciphertext, cell.plaintext(5), frames)).toBe(false)
      expect(opens(key, own.ciphertext, cell.plaintext(4), frames)).toBe(true)
    })

  if (first !== 'common')
    it('[C-13] the same plaintext at two frames has two ciphertexts, and the key for one frame fails on the other', async () => {
      const [one, other] = [await cell.first(PAGES - 2), await cell.first(PAGES - 1)]
      expect(one.frame).not.toBe(other.frame)
      expect(one.ciphertext).not.toEqual(other.ciphertext)
      const key = cell.key('source', one.frame)
      expect(opens(key, other.ciphertext, cell.plaintext(PAGES - 1), [one.frame, other.frame])).toBe(false)
    })

  if (first === 'common')
    it('[C-14] [C-13 control] the same plaintext at two frames has one ciphertext, and one key opens both', async () => {
      const [one, other] = [await cell.first(PAGES - 2), await cell.first(PAGES - 1)]
      expect(one.frame).not.toBe(other.frame)
      expect(one.ciphertext).toEqual(other.ciphertext)
      expect(opens(cell.key('source', one.frame), other.ciphertext, cell.plaintext(PAGES - 1), [])).toBe(true)
    })

  it('[C-32] registration, receipts and audit log say of which mode and scope the keys are', async () => {
    const scopeOf = (mode: string): string => (mode === 'common' ? 'group' : 'block')
    const registration = await host.registration(`${cell.name}-1`)
    const kinds = [
      { role: 'source', use: 'read', mode: first, scope: scopeOf(first) },
      { role: 'source', use: 'write', mode: first, scope: scopeOf(first) },
      { role: 'destination', use: 'write', mode: second, scope: scopeOf(second) },
    ]
    expect(registration?.granted.map(({ keys: _, ...kind }) => kind)).toEqual(kinds)
    const isWide = first === 'common' || second === 'common'
    expect(registration?.wideScope).toBe(isWide)
    const used = [kinds[0], kinds[2]].map((kind) => ({
      use: kind?.use,
      mode: kind?.mode,
      scope: kind?.scope,
    }))
    for (const { keys } of await host.receipts(cell.name)) expect(keys).toEqual(used)
    const { entries } = await bed.hypervisor.getAuditLog({ worker: '', since: 0n })
    const logged = entries
      .map(parseAuditEntry)
      .filter(({ fields }) => fields['registration'] === `${cell.name}-1`)
    const scope = isWide ? 'group' : 'block'
    expect(logged.findLast(({ event }) => event === 'granted')?.fields).toMatchObject({ scope })
    expect(logged.findLast(({ event }) => event === 'copied')?.fields).toMatchObject({
      keys: used
        .map(({ use, mode, scope: reach }) => `${String(use)} ${String(mode)} ${String(reach)}`)
        .join(', '),
      scope,
    })
  })

  it('[C-15] the source as writer gets a block under its own mode, and the destination keeps the old data', async () => {
    const { source } = cell.stage
    const { mode, root, group } = cell.keys.source
    const old = await cell.first(4)
    await source.guest.store(at(4, 32), PATCH)
    const { frame, ciphertext } = await cell.first(4)
    expect(frame).not.toBe(old.frame)
    const plaintext = changed(cell.plaintext(4), 32, PATCH)
    const sealed = sealPage(bytesOf(mode === 'location' ? root : group), frame, plaintext, mode)
    expect(sealed.equals(ciphertext)).toBe(true)
    expect(await cell.load(4)).toEqual(cell.plaintext(4))
  })

  it('[C-15 control] [C-16] what is left is copied in the background, and every page reads as it should', async () => {
    expect(await bed.finish(cell.name)).toBe(BigInt(PAGES))
    const { root, group } = cell.keys.destination
    for (const page of [5, 6, 7]) {
      const { frame, ciphertext } = await cell.second(page)
      const sealed = sealPage(
        bytesOf(second === 'location' ? root : group),
        frame,
        cell.plaintext(page),
        second,
      )
      expect(sealed.equals(ciphertext)).toBe(true)
      expect(Buffer.from((await cell.first(page)).ciphertext).equals(sealed)).toBe(cell.isOneKey)
      expect(await cell.load(page)).toEqual(cell.plaintext(page))
    }
    const mapped = (
      await bed.hypervisor.getMemoryMap({ vm: cell.stage.source.name, index: 0n, count: PAGES })
    ).mappings
    expect(mapped.every(({ writable }) => writable)).toBe(true)
  })
})

describe('what the hypervisor received of all nine', () => {
  /** The transcript of every message, as it was recorded and as bytes. */
  const places = (): Record<string, Buffer> => {
    const transcript = join(folder, 'transcript.jsonl')
    const parts = readTranscript(transcript).flatMap(({ bytes }) => [bytes, Buffer.alloc(1)])
    return { text: readFileSync(transcript), bytes: Buffer.concat(parts) }
  }

  beforeAll(async () => {
    // Before the search, which keeps this process from answering the server's pings.
    const leak = randomBytes(32)
    await bed.hypervisor.listReceipts({ clone: leak.toString('hex') })
    planted.add('leak', leak)
  })

  it('[C-15] [C-21] [C-31] holds neither plaintext nor keys', () => {
    // At least roots, group and pages of each cell, in pieces of 16 bytes and six forms.
    expect(secrets.count).toBeGreaterThan(cells.length * (3 * 2 + PAGES * 256) * 6)
    for (const [place, bytes] of Object.entries(places())) expect(secrets.in(bytes), place).toEqual([])
  })

  it('[C-21 control] [C-31 control] is searched well enough to find what was planted', () => {
    for (const [place, bytes] of Object.entries(places()))
      expect(planted.namesIn(bytes), place).toEqual(['leak'])
  })
})
