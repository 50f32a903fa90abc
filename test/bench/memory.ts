// Guest memory: what touched pages cost beside the limits that the project sets itself, and what integrity mode costs
// beside the same accesses without it.

import { bytesText } from '../../emulator/cli/output.ts'
import { MemorySystem } from '../../emulator/platform/memory-system.ts'
import { IdentityKey, Secret } from '../../sdk/crypto/index.ts'
import { type Latency, latency, type Row } from './measure.ts'
import { memoryCost, residentLimit, TABLE_BYTES_LIMIT } from './memory-cost.ts'

const MEBIBYTES = 256
const PAGE = 4096
const ACCESSES = 20_000
const WARM_UP = 2000

/** Rows of the memory bench. */
export async function memoryRows(): Promise<Row[]> {
  return [...(await costs()), ...(await accesses())]
}

async function costs(): Promise<Row[]> {
  const rows: Row[] = []
  for (const scattered of [false, true]) {
    const cost = await memoryCost({ mebibytes: MEBIBYTES, scattered, integrity: false })
    const where = `${String(MEBIBYTES)} MiB of a 64 GiB guest touched, ${scattered ? 'scattered' : 'in order'}`
    const share = cost.residentBytes / residentLimit(cost.touchedBytes)
    const perFrame = cost.tableBytes / (cost.touchedBytes / PAGE)
    rows.push({
      what: `${where}: resident memory`,
      measured: bytesText(cost.residentBytes),
      peer: `${share.toFixed(2)}x 1.05 times as much + 32 MiB`,
    })
    rows.push({
      what: `${where}: ownership table`,
      measured: `${perFrame.toFixed(1)} bytes a frame`,
      peer: scattered ? '' : `${(perFrame / TABLE_BYTES_LIMIT).toFixed(2)}x 16 bytes`,
    })
  }
  return rows
}

async function accesses(): Promise<Row[]> {
  const [plain, tagged] = [await pageAccesses(false), await pageAccesses(true)]
  return (['load', 'store'] as const).flatMap((access) => [
    { what: `${access} of a page in process`, measured: microseconds(plain[access]), peer: '1.0x' },
    {
      what: `${access} of a page in process, integrity mode`,
      measured: microseconds(tagged[access]),
      peer: `${(tagged[access].p50 / plain[access].p50).toFixed(1)}x without`,
    },
  ])
}

async function pageAccesses(integrity: boolean): Promise<Record<'load' | 'store', Latency>> {
  const options = { memoryBytes: 1 << 20, stallTimeoutMs: 0, onFault: () => undefined, integrity }
  const memory = new MemorySystem(options)
  const guest = memory.addGuest('guest', 1, IdentityKey.generate().publicKey)
  memory.installKeys(guest, Secret.random(32), 'location', undefined)
  memory.assign('guest', [{ index: 0, frame: 0, count: 1 }])
  memory.setMappings('guest', [{ index: 0, frame: 0, writable: true }], [])
  const content = new Uint8Array(PAGE)
  return {
    store: await latency(ACCESSES, WARM_UP, () => memory.access.store(guest, 0n, content)),
    load: await latency(ACCESSES, WARM_UP, () => memory.access.load(guest, 0n, PAGE)),
  }
}

const microseconds = ({ p50, p99 }: Latency) =>
  `p50 ${(p50 * 1000).toFixed(1)} µs, p99 ${(p99 * 1000).toFixed(1)} µs`
