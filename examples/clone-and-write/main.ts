// Clone a VM's encrypted memory and write to the clone. The destination's store finds a shared, write-protected page;
// the worker, attested to both VMs, re-encrypts it into the destination's own frame; the store lands there. The source
// never changes, and no key or plaintext byte reaches the hypervisor.
//
//   npm run example examples/clone-and-write/main.ts

import { strict as assert } from 'node:assert'
import { startTestbed } from 'palimpsest/testing'

const PAGES = 16n
const text = (words: string) => new TextEncoder().encode(words)
const log =
  (side: string) =>
  ({ event }: { event: string }) => {
    console.log(side.padEnd(12), event)
  }
const read = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const bed = await startTestbed()
try {
  const source = await bed.vm('source', { memoryBytes: Number(PAGES) * 4096 })
  const destination = await bed.vm('destination', { memoryBytes: Number(PAGES) * 4096, unmapped: true })
  await source.guest.store(0x3000n, text('written by the source'))

  // Each side's plugin names the other as the only peer that it accepts.
  await source.serveSource({
    peers: [destination.identity],
    onEvent: log('source'),
  })
  await destination.serveDestination({
    peers: [source.identity],
    onEvent: log('destination'),
  })

  await bed.cloneMemory('example', source, destination)
  await destination.guest.store(0x3000n, text('WRITTEN'))

  const seen = {
    source: read(await source.guest.load(0x3000n, 21)),
    destination: read(await destination.guest.load(0x3000n, 21)),
  }
  console.log(seen)
  assert.equal(seen.source, 'written by the source')
  assert.equal(seen.destination, 'WRITTEN by the source')

  const { receipts } = await bed.hypervisor.listReceipts({ clone: 'example' })
  assert.equal(receipts.length, 1, 'one store, one copy')
} finally {
  await bed.close()
}
