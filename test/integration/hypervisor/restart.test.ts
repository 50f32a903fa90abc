/** Disk clones outlive the host: processes end, come back on the same folder, and copying goes on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { startTestbed, type Testbed, type TestVm } from '../../../emulator/testbed/index.ts'
import { Secret } from '../../../sdk/crypto/index.ts'
import { at, blockBytes, isSame, pattern, patterns, until } from './support.ts'

const blocks = 64
const directory = mkdtempSync(join(tmpdir(), 'pal-restart-'))
const volumeKeys = { source: Secret.random(64), destination: Secret.random(64) }
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

async function start(): Promise<{ bed: Testbed; source: TestVm; destination: TestVm }> {
  const bed = await startTestbed({ directory, stallTimeoutMs: 20_000 })
  const source = await bed.vm('source', { memoryBytes: 0, volumeKey: volumeKeys.source })
  const destination = await bed.vm('destination', { memoryBytes: 0, volumeKey: volumeKeys.destination })
  return { bed, source, destination }
}

async function serve(source: TestVm, destination: TestVm): Promise<void> {
  await source.serveSource({ peers: [destination.identity] })
  await destination.serveDestination({ peers: [source.identity] })
}

it('[C-36] a clone that was not finished goes on after everything was started again', async () => {
  const first = await start()
  await serve(first.source, first.destination)
  const original = await first.source.createVolume('original', blocks * blockBytes)
  await original.write(0n, patterns(0, blocks))
  await first.bed.cloneVolume('clone', first.source, first.destination, {
    source: 'original',
    destination: 'copy',
  })
  await first.destination.disk('copy').write(at(3, 512), new Uint8Array(512).fill(7))
  await first.bed.close()

  const { bed, source, destination } = await start()
  try {
    const [stalled] = (await bed.hypervisor.listClones({})).clones
    expect(stalled).toMatchObject({ clone: 'clone', copied: 1n, blocks: BigInt(blocks) })
    await serve(source, destination)
    await until('live', async () => (await bed.hypervisor.listClones({})).clones[0]?.state === 'live')
    const copy = destination.disk('copy')
    const written = pattern(3)
    written.fill(7, 512, 1024)
    expect(await copy.read(at(3), blockBytes)).toEqual(written)
    await copy.write(at(4, 512), new Uint8Array(512).fill(8))
    expect(await bed.finish('clone')).toBe(BigInt(blocks))
    const expected = patterns(0, blocks)
    expected.set(written, 3 * blockBytes)
    expected.fill(8, 4 * blockBytes + 512, 4 * blockBytes + 1024)
    expect(isSame(await copy.read(0n, blocks * blockBytes), expected)).toBe(true)
    expect(isSame(await source.disk('original').read(0n, blocks * blockBytes), patterns(0, blocks))).toBe(
      true,
    )
  } finally {
    await bed.close()
  }
})
