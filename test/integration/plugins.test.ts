/** Plugins that come, go and replace each other, on the real wire. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed, type TestVm } from '../../emulator/testbed/index.ts'
import type { PluginEvent } from '../../sdk/plugin/index.ts'

const PAGES = 4
let bed: Testbed
let source: TestVm
let destination: TestVm

beforeAll(async () => {
  bed = await startTestbed()
  source = await bed.vm('source', { memoryBytes: PAGES * 4096 })
  destination = await bed.vm('destination', { memoryBytes: PAGES * 4096, unmapped: true })
  await destination.serveDestination({ peers: [source.identity] })
})
afterAll(() => bed.close())

describe('a second plugin for the same VM and side', () => {
  it('takes the place of the first, which ends and does not come back', async () => {
    const policy = await bed.policy([destination.identity])
    const events: PluginEvent[] = []
    const first = await source.serveSource({ policy, onEvent: (event) => events.push(event) })
    const asked: string[] = []
    const second = await source.serveSource({
      policy,
      onCopyRequested: ({ clone }) => void asked.push(clone),
    })
    await first.closed
    expect(events.at(-1)).toMatchObject({
      event: 'DETACHED',
      reason: expect.stringMatching(/took the place/) as string,
    })
    await bed.cloneMemory('clone', source, destination, BigInt(PAGES))
    expect(asked).toEqual(['clone'])
    await second.close()
    const { vms } = await bed.hypervisor.listVms({})
    expect(vms.find(({ vm }) => vm === 'source')?.plugins).toEqual([])
  })

  it('an ended one may be served again', async () => {
    const served = await source.serveSource({ peers: [destination.identity] })
    const { vms } = await bed.hypervisor.listVms({})
    expect(vms.find(({ vm }) => vm === 'source')?.plugins).toEqual(['source'])
    await served.close()
  })
})
