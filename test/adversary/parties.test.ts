// Parties that were not asked: the host's own plugins and VMs, another tenant's VM, callers with no or the wrong
// credentials, and a host that pretends to be the platform.
// Source: threats A-11, A-30, A-31.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Authority, type Identity, type TestVm } from '../../emulator/testbed/index.ts'
import { EncryptedDisk, Guest } from '../../sdk/plugin/index.ts'
import {
  type AttachRequest,
  connect,
  createServer,
  DiskPortService,
  GuestPortService,
  HostPortService,
  HypervisorService,
  implement,
  PalimpsestError,
  RelayService,
  type TlsIdentity,
  WorkerDataService,
  WorkerPortService,
  WorkerService,
} from '../../sdk/rpc/index.ts'
import { RawClient } from '../integration/support/raw.ts'
import { only, Scene } from './scene.ts'

const BLOCK = 4096

let scene: Scene
/** A VM of the host's own; its plugins accept everybody whom the host wants. */
let hosts: TestVm

beforeAll(async () => {
  scene = await Scene.set()
  const { bed, source, destination } = scene
  hosts = await bed.vm('of-the-host', { memoryBytes: 64 * BLOCK, unmapped: true })
  await hosts.serveDestination({ peers: [source.identity] })
  await hosts.serveSource({ peers: [destination.identity] })
  const disk = await source.createVolume('source-disk', 4 * BLOCK)
  await disk.write(0n, new Uint8Array(4 * BLOCK).fill(7))
})
afterAll(() => scene.close())

const volume = (destinationVolume: string) =>
  ({ case: 'disk', value: { sourceVolume: 'source-disk', destinationVolume } }) as const

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    if (error instanceof PalimpsestError) return error.code
    throw error
  }
}

describe('a host with plugins of its own', () => {
  async function refused(code: string, attempt: () => Promise<string>): Promise<void> {
    const vms = [scene.source, scene.destination, hosts]
    const before = await scene.state(vms)
    expect(await attempt()).toBe(code)
    expect(await scene.state(vms)).toEqual(before)
    expect([scene.keysSent('source'), scene.keysSent('destination')]).toEqual([0, 0])
  }

  it('[A-31] its own destination plugin gets no page of the source: REFUSED_PEER', () =>
    refused('REFUSED_PEER', () => scene.clone(scene.source, hosts)))

  it('[A-31] nor a block of its volume: REFUSED_PEER', () =>
    refused('REFUSED_PEER', () => scene.clone(scene.source, hosts, volume('of-the-host'))))

  it('[A-31] its own source plugin gets nothing of the destination: REFUSED_PEER', async () => {
    await hosts.createVolume('bait', BLOCK)
    const storage = { case: 'disk', value: { sourceVolume: 'bait', destinationVolume: 'taken' } } as const
    await refused('REFUSED_PEER', () => scene.clone(hosts, scene.destination, storage))
  })

  it("[A-31] the source is told of the true destination while the terms name the host's: REFUSED_BINDING", async () => {
    const { vms } = await scene.bed.hypervisor.listVms({})
    const peerReport = vms.find(({ vm }) => vm === 'destination')?.launchReport ?? new Uint8Array()
    const lie = only('source', {
      copyRequested: (_side, value, pass) => pass({ ...value, destination: 'destination', peerReport }),
    })
    await refused('REFUSED_BINDING', () => scene.lying(lie, scene.source, hosts, volume('of-the-host')))
  })

  it("[A-31] the destination's plugin is not the host's to attach: PERMISSION_DENIED", async () => {
    expect(await attach(hosts.identity.tls, 'destination')).toBe('PERMISSION_DENIED')
  })

  it("[A-31 control] the source's own choice of a destination is accepted, for pages and blocks", async () => {
    expect(await scene.attempt()).toBe('ok')
    expect(await scene.attempt({}, volume('destination-disk'))).toBe('ok')
  })
})

/** Attaches as the source plugin of a VM; says how it was answered. */
async function attach(tls: TlsIdentity, vm: string): Promise<string> {
  const connection = connect({ address: scene.bed.addresses.hypervisor, tls })
  async function* hello(): AsyncGenerator<AttachRequest> {
    const value = { vm, role: 'source', plugin: 'rogue', pluginVersion: '1.0.0' } as const
    yield await Promise.resolve({ request: 0n, message: { case: 'hello', value } })
  }
  try {
    for await (const { message } of connection.client(RelayService).attach(hello(), { deadlineMs: 10_000 })) {
      return message?.case ?? 'nothing'
    }
    return 'ended'
  } catch (error) {
    if (error instanceof PalimpsestError) return error.code
    throw error
  } finally {
    connection.close()
  }
}

describe("another tenant's VM", () => {
  it('[A-11] is no destination, however willing: REFUSED_PEER, and no frame is shared with it', async () => {
    const { bed, source } = scene
    const tenant = await bed.vm('tenant', { memoryBytes: 64 * BLOCK, unmapped: true })
    await tenant.serveDestination({ peers: [source.identity] })
    const before = await scene.state([source, tenant])
    expect(await scene.clone(source, tenant)).toBe('REFUSED_PEER')
    expect(await scene.state([source, tenant])).toEqual(before)
  })

  it('[A-11 control] is one as soon as the source itself names it', async () => {
    const { bed, source, destination } = scene
    const tenant = await bed.vm('invited', { memoryBytes: 64 * BLOCK, unmapped: true })
    await tenant.serveDestination({ peers: [source.identity] })
    await scene.serve({ source: await bed.policy([destination.identity, tenant.identity]) })
    expect(await scene.clone(source, tenant)).toBe('ok')
  })
})

describe('a caller with the wrong credentials', () => {
  /** Certificates by another authority, for the names and roles that the true one has. */
  let forged: Record<'operator' | 'hypervisor' | 'vm' | 'worker', Identity>

  beforeAll(() => {
    const authority = Authority.open(join(scene.bed.directory, 'forged'))
    forged = {
      operator: authority.identity('operator', 'operator'),
      hypervisor: authority.identity('hypervisor', 'hypervisor'),
      vm: authority.identity('source', 'vm'),
      worker: authority.identity('worker', 'worker'),
    }
  })

  const socket = (name: string) => `unix:${join(scene.bed.directory, 'run', `${name}.sock`)}`
  const none = new Uint8Array()

  /** One call to each service of the host, the platform and the worker. */
  async function everywhere(tls: (server: 'host' | 'platform') => Partial<TlsIdentity> & { caPem: string }) {
    const answers: Record<string, string> = {}
    const ask = async (service: string, server: 'host' | 'platform', at: string, call: Call) => {
      const serverName = server === 'platform' ? { serverName: 'palimpsest-platform' } : {}
      const connection = connect({ address: at, tls: { ...tls(server), ...serverName } })
      answers[service] = await codeOf(call(connection))
      connection.close()
    }
    await ask('hypervisor', 'host', socket('hypervisor'), (to) => to.client(HypervisorService).listVms({}))
    await ask('disk', 'host', socket('hypervisor'), (to) =>
      to.client(DiskPortService).readDisk({ volume: 'source-disk', offset: 0n, length: 512 }),
    )
    await ask('data', 'host', socket('data'), (to) =>
      to.client(WorkerDataService).appendAudit({ worker: 'worker-1', entries: [none] }),
    )
    await ask('worker', 'host', socket('worker-1'), (to) => to.client(WorkerService).getStatus({}))
    await ask('host port', 'host', socket('host'), (to) => to.client(HostPortService).getEndorsement({}))
    await ask('guest port', 'platform', socket('guest'), (to) =>
      to.client(GuestPortService).load({ gpa: 0n, length: 16 }),
    )
    return answers
  }

  type Call = (connection: ReturnType<typeof connect>) => Promise<unknown>

  const EVERY = ['hypervisor', 'disk', 'data', 'worker', 'host port', 'guest port']
  const all = (code: string) => Object.fromEntries(EVERY.map((service) => [service, code]))
  const anchors = (server: 'host' | 'platform') =>
    server === 'platform' ? scene.bed.trustAnchor : scene.bed.authority.caPem

  it('[A-30] no certificate: UNAUTHENTICATED at every service', async () => {
    expect(await everywhere((server) => ({ caPem: anchors(server) }))).toEqual(all('UNAUTHENTICATED'))
  })

  it('[A-30] certificates of another authority, with the right names and roles: UNAUTHENTICATED at every service', async () => {
    for (const identity of Object.values(forged)) {
      const answers = await everywhere((server) => ({ ...identity.tls, caPem: anchors(server) }))
      expect(answers).toEqual(all('UNAUTHENTICATED'))
    }
  })

  it("[A-30] one VM's identity reaches nothing of another's", async () => {
    const { bed, source } = scene
    const { tls, key } = hosts.identity
    expect(await attach(tls, 'source')).toBe('PERMISSION_DENIED')
    const disk = new EncryptedDisk({
      hypervisor: bed.addresses.hypervisor,
      credentials: { identity: key, tls },
      volume: 'source-disk',
      key: source.volumeKey,
    })
    expect(await codeOf(disk.read(0n, 512))).toBe('PERMISSION_DENIED')
    disk.close()
    const answers = await everywhere((server) => ({ ...tls, caPem: anchors(server) }))
    expect(answers).toMatchObject({
      disk: 'PERMISSION_DENIED',
      data: 'UNAUTHENTICATED',
      worker: 'PERMISSION_DENIED',
      'host port': 'PERMISSION_DENIED',
    })
  })

  it("[A-30] the host's and the operator's identities open neither a guest's memory nor the worker port", async () => {
    const identities = [
      scene.bed.authority.identity('hypervisor', 'hypervisor'),
      scene.bed.authority.identity('operator', 'operator'),
      scene.bed.authority.identity('worker', 'worker'),
    ]
    for (const { tls } of identities) {
      const answers = await everywhere((server) => ({ ...tls, caPem: anchors(server) }))
      expect(answers['guest port']).toBe('PERMISSION_DENIED')
      // The worker port's authority is the platform's own; the host has no certificate that could be of it.
      const { certificatePem, keyPem } = tls
      const client = new RawClient(socket('worker'), { certificatePem, keyPem })
      for (const method of WorkerPortService.schema.methods.values()) {
        expect(await client.send(method, none)).toMatchObject({ status: 'UNAUTHENTICATED' })
      }
      client.close()
    }
  })

  it('[A-30 control] each with its own credentials is answered', async () => {
    const { bed, source } = scene
    const operator = bed.authority.identity('operator', 'operator')
    const worker = bed.authority.identity('worker', 'worker')
    const host = await everywhere((server) => ({ ...operator.tls, caPem: anchors(server) }))
    expect(host).toMatchObject({ hypervisor: 'ok', 'host port': 'ok' })
    const hypervisor = bed.authority.identity('hypervisor', 'hypervisor')
    const below = await everywhere((server) => ({ ...hypervisor.tls, caPem: anchors(server) }))
    expect(below).toMatchObject({ worker: 'ok', 'host port': 'ok' })
    const guest = await everywhere((server) => ({ ...source.identity.tls, caPem: anchors(server) }))
    expect(guest).toMatchObject({ disk: 'ok', 'guest port': 'ok' })
    const data = await everywhere((server) => ({ ...worker.tls, caPem: anchors(server) }))
    expect(data).toMatchObject({ data: 'ok' })
  })
})

describe('a host that pretends to be the platform', () => {
  it('[A-30] [A-31] gets no key: the VM looks at its certificate before it sends anything', async () => {
    const seen: string[] = []
    const { bed, source } = scene
    const { tls } = bed.authority.identity('hypervisor', 'hypervisor')
    const fake = createServer({
      tls,
      services: [
        implement(GuestPortService, {
          installKeys: () => {
            seen.push('keys')
            return {}
          },
        }),
      ],
    })
    const [address = ''] = await fake.listen(`unix:${join(bed.directory, 'run', 'fake.sock')}`)
    const install = async (trustAnchors: readonly string[]) => {
      const credentials = { identity: source.identity.key, tls: source.identity.tls }
      const guest = new Guest({ address, credentials, trustAnchors })
      const code = await codeOf(guest.installKeys({ root: source.root, mode: 'location' }))
      guest.close()
      return code
    }
    expect(await install([bed.trustAnchor])).toBe('UNAVAILABLE')
    expect(seen).toEqual([])
    await fake.close()
  })
})
