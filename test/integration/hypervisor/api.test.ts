/** The host's own API: who may call it, and what it answers to requests that make no sense. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed, type TestVm } from '../../../emulator/testbed/index.ts'
import {
  createClient,
  DiskPortService,
  HypervisorService,
  RelayService,
  type TlsIdentity,
  WorkerDataService,
} from '../../../sdk/rpc/index.ts'

let bed: Testbed
let vm: TestVm
let stranger: TlsIdentity

beforeAll(async () => {
  bed = await startTestbed()
  vm = await bed.vm('vm', { memoryBytes: 8 * 4096 })
  await vm.createVolume('volume', 16 * 4096)
  stranger = bed.authority.identity('stranger', 'vm').tls
})
afterAll(async () => {
  await bed.close()
})

/** Everything that a request could have changed. */
async function state(): Promise<unknown> {
  const [vms, volumes, clones] = await Promise.all([
    bed.hypervisor.listVms({}),
    bed.hypervisor.listVolumes({}),
    bed.hypervisor.listClones({}),
  ])
  return { vms, volumes, clones }
}

const disk = (
  volume: string,
): { case: 'disk'; value: { sourceVolume: string; destinationVolume: string } } => ({
  case: 'disk',
  value: { sourceVolume: volume, destinationVolume: 'other' },
})
const memory = (
  first: bigint,
  second: bigint,
  count: bigint,
): { case: 'memory'; value: { pairs: { first: bigint; second: bigint; count: bigint }[] } } => ({
  case: 'memory',
  value: { pairs: [{ first, second, count }] },
})

describe('a request that makes no sense', () => {
  const key = new Uint8Array(91)
  const clone = { clone: 'c', source: 'vm', destination: 'vm' }
  const cases: [string, string, () => Promise<unknown>][] = [
    [
      'a VM name with capitals',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.createVm({ vm: 'VM', ownerPublicKey: key, memoryBytes: 4096n }),
    ],
    [
      'memory that is no multiple of pages',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.createVm({ vm: 'a', ownerPublicKey: key, memoryBytes: 5n }),
    ],
    [
      'memory that ends before it begins',
      'INVALID_ARGUMENT',
      () =>
        bed.hypervisor.createVm({ vm: 'a', ownerPublicKey: key, memoryBytes: 4096n, unmappedFrom: 8192n }),
    ],
    [
      'a key that is none',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.createVm({ vm: 'a', ownerPublicKey: key, memoryBytes: 4096n }),
    ],
    [
      'more memory than there is',
      'RESOURCE_EXHAUSTED',
      () => bed.hypervisor.createVm({ vm: 'a', ownerPublicKey: key, memoryBytes: 1n << 40n }),
    ],
    [
      'a VM that runs already',
      'ALREADY_EXISTS',
      () => bed.hypervisor.createVm({ vm: 'vm', ownerPublicKey: key, memoryBytes: 4096n }),
    ],
    ['an unknown VM', 'UNKNOWN_VM', () => bed.hypervisor.deleteVm({ vm: 'nobody' })],
    [
      'a map of too many pages',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.getMemoryMap({ vm: 'vm', index: 0n, count: 65_537 }),
    ],
    [
      'frames that do not exist',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.inspectFrames({ frames: [1n << 50n] }),
    ],
    [
      'a volume of no size',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.createVolume({ volume: 'v', vm: 'vm', size: 0n }),
    ],
    [
      'a volume of no VM',
      'UNKNOWN_VM',
      () => bed.hypervisor.createVolume({ volume: 'v', vm: 'nobody', size: 4096n }),
    ],
    [
      'a volume that exists',
      'ALREADY_EXISTS',
      () => bed.hypervisor.createVolume({ volume: 'volume', vm: 'vm', size: 4096n }),
    ],
    [
      'blocks past the end of a volume',
      'OUT_OF_RANGE',
      () => bed.hypervisor.inspectVolume({ volume: 'volume', block: 16n, count: 1 }),
    ],
    ['an unknown volume', 'UNKNOWN_VOLUME', () => bed.hypervisor.deleteVolume({ volume: 'nothing' })],
    [
      'a clone of nothing',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.createClone({ ...clone, storage: undefined }),
    ],
    [
      'a clone of an unknown VM',
      'UNKNOWN_VM',
      () => bed.hypervisor.createClone({ ...clone, source: 'nobody', storage: memory(0n, 0n, 1n) }),
    ],
    [
      'a clone of an unknown volume',
      'UNKNOWN_VOLUME',
      () => bed.hypervisor.createClone({ ...clone, storage: disk('nothing') }),
    ],
    [
      'a clone of pages past the end',
      'OUT_OF_RANGE',
      () => bed.hypervisor.createClone({ ...clone, storage: memory(0n, 7n, 2n) }),
    ],
    [
      'a clone of pages past 2^64',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.createClone({ ...clone, storage: memory((1n << 64n) - 1n, 0n, 2n) }),
    ],
    [
      'a clone into memory in use',
      'DEST_IN_USE',
      () => bed.hypervisor.createClone({ ...clone, storage: memory(0n, 4n, 2n) }),
    ],
    [
      'a clone without plugins',
      'PLUGIN_UNAVAILABLE',
      () => bed.hypervisor.createClone({ ...clone, storage: disk('volume') }),
    ],
    ['an unknown clone', 'UNKNOWN_CLONE', () => bed.hypervisor.renewRegistration({ clone: 'nothing' })],
    [
      'a quote of too much',
      'INVALID_ARGUMENT',
      () =>
        bed.hypervisor.getQuote({ selection: { hash: 11, pcrs: [0] }, qualifyingData: new Uint8Array(35) }),
    ],
    [
      'a worker image that is not there',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.startWorker({ imagePath: '/nothing', faultPoints: false }),
    ],
    [
      'an unknown fault point',
      'INVALID_ARGUMENT',
      () => bed.hypervisor.armFaultPoint({ point: 'nowhere', action: 'kill' }),
    ],
  ]

  it.each(cases)('%s is refused with %s and changes nothing', async (_what, code, call) => {
    const before = await state()
    await expect(call()).rejects.toMatchObject({ code })
    expect(await state()).toEqual(before)
  })
})

describe('an identity', () => {
  it('[A-30] of a VM may read but change nothing', async () => {
    const address = bed.addresses.hypervisor
    const client = createClient(HypervisorService, { address, tls: vm.identity.tls })
    expect((await client.listVms({})).vms).toHaveLength(1)
    await expect(client.deleteVm({ vm: 'vm' })).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    await expect(client.startWorker({ imagePath: '/x', faultPoints: false })).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
    })
    client.close()
  })

  it('[A-30] of another VM reaches neither the disks nor the relay of a VM', async () => {
    const address = bed.addresses.hypervisor
    const disks = createClient(DiskPortService, { address, tls: stranger })
    const read = { volume: 'volume', offset: 0n, length: 512 }
    await expect(disks.readDisk(read)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    disks.close()
    const relay = createClient(RelayService, { address, tls: stranger })
    const attach = async (): Promise<void> => {
      for await (const _message of relay.attach(hello())) throw new Error('attached')
    }
    await expect(attach()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    relay.close()
  })

  it("[A-30 control] the VM's own reaches its disk", async () => {
    const disks = createClient(DiskPortService, { address: bed.addresses.hypervisor, tls: vm.identity.tls })
    const { ciphertext } = await disks.readDisk({ volume: 'volume', offset: 0n, length: 512 })
    expect(ciphertext).toEqual(new Uint8Array(512))
    const call = disks.readDisk({ volume: 'volume', offset: 1n, length: 512 })
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const past = disks.readDisk({ volume: 'volume', offset: 16n * 4096n, length: 512 })
    await expect(past).rejects.toMatchObject({ code: 'OUT_OF_RANGE' })
    disks.close()
  })

  it("[A-30] that is no worker's reaches no worker data", async () => {
    const address = bed.addresses.hypervisor.replace(/[^/]*$/, 'data.sock')
    const operator = bed.authority.identity('operator', 'operator')
    const data = createClient(WorkerDataService, { address, tls: operator.tls })
    const call = data.appendAudit({ worker: 'worker-1', entries: [] })
    await expect(call).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    data.close()
  })
})

async function* hello(): AsyncGenerator<{
  request: bigint
  message: { case: 'hello'; value: { vm: string; role: 'source'; plugin: string; pluginVersion: string } }
}> {
  await Promise.resolve()
  yield {
    request: 0n,
    message: { case: 'hello', value: { vm: 'vm', role: 'source', plugin: 'p', pluginVersion: '1' } },
  }
}
