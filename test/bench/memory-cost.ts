// What guest memory costs the platform: a process of its own touches pages of a guest of 64 GiB and says what it grew by,
// so that nobody else's garbage is counted. The same file is that process and the function that starts it.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { MemorySystem } from '../../emulator/platform/memory-system.ts'
import { IdentityKey, Secret } from '../../sdk/crypto/index.ts'

const GUEST_BYTES = 2 ** 36
const PAGE = 4096
const PAGES = GUEST_BYTES / PAGE
/** Odd: its multiples modulo the number of pages, a power of two, are far apart and meet every page once. */
const STRIDE = 0x9e3779b1n
/** Pages and stores before the first look: heap and code of the process have their size by then. */
const WARM_UP_PAGES = 256
const WARM_UP_STORES = 30_000

/** Most bytes of the ownership table for a touched frame with its neighbours, without sharers' names and tags. */
export const TABLE_BYTES_LIMIT = 16

/** Most bytes that the resident set grows by for so many touched bytes. */
export const residentLimit = (touchedBytes: number): number => 1.05 * touchedBytes + (32 << 20)

/** What to touch. */
export interface MemoryTouch {
  readonly mebibytes: number
  /** Whether the touched pages follow each other or lie far apart; their frames follow each other, as a host gives them. */
  readonly scattered: boolean
  readonly integrity: boolean
}

/** What it cost. */
export interface MemoryCost {
  readonly touchedBytes: number
  /** Growth of the resident set. */
  readonly residentBytes: number
  /** Growth of the ownership table. */
  readonly tableBytes: number
  /** Wall time of a first touch: assigned, mapped and stored to. */
  readonly touchMicroseconds: number
}

/** Touches pages in a process of its own. */
export async function memoryCost(touch: MemoryTouch): Promise<MemoryCost> {
  const flags = ['--expose-gc', '--conditions', 'palimpsest-source', '--import', 'tsx']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, file, JSON.stringify(touch)])
  return JSON.parse(stdout) as MemoryCost
}

async function measure({ mebibytes, scattered, integrity }: MemoryTouch): Promise<MemoryCost> {
  const options = { memoryBytes: GUEST_BYTES, stallTimeoutMs: 0, onFault: () => undefined, integrity }
  const memory = new MemorySystem(options)
  const guest = memory.addGuest('guest', PAGES, IdentityKey.generate().publicKey)
  memory.installKeys(guest, Secret.random(32), 'location', undefined)
  const content = new Uint8Array(PAGE).fill(1)
  const pageOf = (count: number) => (scattered ? Number((BigInt(count) * STRIDE) % BigInt(PAGES)) : count)
  const store = (count: number) => memory.access.store(guest, BigInt(pageOf(count)) * BigInt(PAGE), content)
  const touch = async (from: number, to: number) => {
    for (let frame = from; frame < to; frame += 1) {
      const index = pageOf(frame)
      memory.assign('guest', [{ index, frame, count: 1 }])
      memory.setMappings('guest', [{ index, frame, writable: true }], [])
      await store(frame)
    }
  }
  await touch(0, WARM_UP_PAGES)
  for (let i = 0; i < WARM_UP_STORES; i += 1) await store(i % WARM_UP_PAGES)
  const before = { resident: resident(), table: memory.tableBytes, time: performance.now() }
  const pages = (mebibytes * 2 ** 20) / PAGE
  await touch(WARM_UP_PAGES, WARM_UP_PAGES + pages)
  const time = performance.now() - before.time
  return {
    touchedBytes: pages * PAGE,
    residentBytes: resident() - before.resident,
    tableBytes: memory.tableBytes - before.table,
    touchMicroseconds: (time * 1000) / pages,
  }
}

function resident(): number {
  globalThis.gc?.()
  return process.memoryUsage.rss()
}

const file = fileURLToPath(import.meta.url)
if (process.argv[1] === file) {
  console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? '') as MemoryTouch)))
}
