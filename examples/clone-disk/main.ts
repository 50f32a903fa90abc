// Clone an encrypted volume under the clone's own key, at once, whatever its size; write to it; let the rest be copied
// in the background until the clone stands alone.
//
//   npm run example examples/clone-disk/main.ts

import { strict as assert } from 'node:assert'
import { startTestbed } from 'palimpsest/testing'

const SIZE = 4 << 20
const sector = (fill: number) => new Uint8Array(512).fill(fill)

const bed = await startTestbed()
try {
  const source = await bed.vm('source')
  const destination = await bed.vm('destination')
  const original = await source.createVolume('original', SIZE)
  for (let offset = 0n; offset < SIZE; offset += 1n << 20n)
    await original.write(offset, new Uint8Array(1 << 20).fill(7))
  await original.flush()

  await source.serveSource({ peers: [destination.identity] })
  await destination.serveDestination({ peers: [source.identity] })
  await bed.cloneVolume('copy', source, destination, { source: 'original', destination: 'copy' })

  // A read is re-encrypted on the fly; a write of a part of a block has the block copied first.
  const copy = destination.disk('copy')
  assert.deepEqual(await copy.read(0n, 512), sector(7))
  await copy.write(8192n, sector(42))
  assert.deepEqual(await copy.read(8192n, 512), sector(42))
  assert.deepEqual(await copy.read(8704n, 512), sector(7), 'the rest of the block is what the source wrote')
  assert.deepEqual(await original.read(8192n, 512), sector(7), 'the source did not change')

  const blocks = await bed.finish('copy')
  const { volumes } = await bed.hypervisor.listVolumes({})
  console.log(`${blocks.toString()} blocks are the clone's own`, volumes)
  assert.equal(volumes.find(({ volume }) => volume === 'copy')?.sharedBlocks, 0n)
} finally {
  await bed.close()
}
