// A program that touches pages of a large guest and prints what its memory grew by: run in a process of its own, so
// that nobody else's garbage is counted. Arguments: MiB to touch, and how the touched pages lie in 64 GiB.
//
//   node --expose-gc --conditions palimpsest-source --import tsx test/bench/memory-cost.ts 256 dense|scattered

import { MemorySystem } from '../../emulator/platform/memory-system.ts'
import { IdentityKey, Secret } from '../../sdk/crypto/index.ts'

const GUEST_BYTES = 64 * 2 ** 30
const PAGE = 4096
/** Pages that an access touches at most; also what is touched before the first look, so that code is compiled. */
const WARM_UP = 2048

const [mebibytes = '64', pattern = 'dense'] = process.argv.slice(2)
const touched = (Number(mebibytes) << 20) / PAGE
const pages = GUEST_BYTES / PAGE

/** Odd, so that multiples of it, modulo the number of pages (a power of two), meet every page once. */
const STEP = 0x9e3779b1
const pageOf = (touch: number) => (pattern === 'dense' ? touch : Number((BigInt(touch) * BigInt(STEP)) % BigInt(pages)))

const memory = new MemorySystem({ memoryBytes: GUEST_BYTES, stallTimeoutMs: 0, onFault: () => undefined, integrity: process.argv[4] === 'integrity' })
const guest = memory.addGuest('guest', pages, IdentityKey.generate().publicKey)
memory.installKeys(guest, Secret.random(32), 'location', undefined)

const content = new Uint8Array(PAGE).fill(1)
async function touch(from: number, to: number): Promise<void> {
  for (let frame = from; frame < to; frame += 1) {
    const index = pageOf(frame)
    const f = process.argv[5] ==='id' ? index : frame
    memory.assign('guest', [{ index, frame:f, count: 1 }])
    memory.setMappings('guest', [{ index, frame:f, writable: true }], [])
    await memory.access.store(guest, BigInt(index) * BigInt(PAGE), content)
  }
}

function resident(): number { globalThis.gc?.(); console.error(JSON.stringify(process.memoryUsage()));
  return process.memoryUsage.rss()
}

await touch(0, WARM_UP)
const before = resident()
const t0=performance.now()
await touch(WARM_UP, WARM_UP + touched)
const t1=performance.now()
console.log(JSON.stringify({ touched: touched * PAGE, grown: resident() - before, us: (t1-t0)/touched*1e3 , over: (resident() - before)/(1.05*touched*PAGE+(32<<20))}))
