/**
 * Bad input at every port: broken protobuf, numbers out of range, unknown names, too large messages, wrong certificates,
 * and altered bytes in every opaque field. Each is answered with a status that says what to do, nothing changes, and the
 * processes stay up.
 */
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import fc from 'fast-check'
import { Writer } from 'protobufjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Authority, startTestbed, type Testbed, type TestVm } from '../../emulator/testbed/index.ts'
import { decodeOpen, encodeOpen, makeChallenge, transcriptOf } from '../../sdk/attest/index.ts'
import { FormatError, Secret } from '../../sdk/crypto/index.ts'
import { makeShareStatement } from '../../sdk/evidence/index.ts'
import { makeGrants } from '../../sdk/grant/index.ts'
import {
  type Connection,
  connect,
  DiskPortService,
  GuestPortService,
  HostPortService,
  HypervisorService,
  type OpenRegistrationRequest,
  PalimpsestError,
  RelayService,
  type TlsIdentity,
  WorkerDataService,
  WorkerService,
} from '../../sdk/rpc/index.ts'
import { makeCredential, TPM_ALG, TPMT_PUBLIC, objectName, unmarshal } from '../../sdk/tpm2/index.ts'
import { badRequests, PAGES, U64_MAX } from './support/bad-requests.ts'
import { RawClient } from './support/raw.ts'

const BLOCK = 4096

/** Time for the fuzzing of one field. */
const FUZZ_MS = 1500

let bed: Testbed
let source: TestVm
let destination: TestVm

/** A service, and who may call it. */
interface Port {
  readonly service: { readonly typeName: string; readonly schema: (typeof HypervisorService)['schema'] }
  readonly address: string
  readonly tls: TlsIdentity
  readonly serverName?: string
}
let ports: Record<'hypervisor' | 'relay' | 'disk' | 'data' | 'worker' | 'host' | 'guest', Port>
/** Typed connections with the same credentials. */
let open: Record<keyof typeof ports, Connection>

beforeAll(async () => {
  bed = await startTestbed()
  source = await bed.vm('source', { memoryBytes: PAGES * BLOCK })
  destination = await bed.vm('destination', { memoryBytes: PAGES * BLOCK, unmapped: true })
  const disk = await source.createVolume('disk', 4 * BLOCK)
  await disk.write(0n, new Uint8Array(BLOCK).fill(7))
  await source.guest.store(0n, new Uint8Array(PAGES * BLOCK).fill(7))
  await source.serveSource({ peers: [destination.identity] })
  await destination.serveDestination({ peers: [source.identity] })
  await bed.cloneMemory('clone', source, destination, 4n)
  const tls = (name: 'operator' | 'hypervisor' | 'worker') => bed.authority.identity(name, name).tls
  const socket = (name: string) => `unix:${path.join(bed.directory, 'run', `${name}.sock`)}`
  const { hypervisor } = bed.addresses
  const guestTls = { ...source.identity.tls, caPem: bed.trustAnchor }
  ports = {
    hypervisor: { service: HypervisorService, address: hypervisor, tls: tls('operator') },
    relay: { service: RelayService, address: hypervisor, tls: source.identity.tls },
    disk: { service: DiskPortService, address: hypervisor, tls: source.identity.tls },
    data: { service: WorkerDataService, address: socket('data'), tls: tls('worker') },
    worker: { service: WorkerService, address: socket('worker-1'), tls: tls('hypervisor') },
    host: { service: HostPortService, address: socket('host'), tls: tls('hypervisor') },
    guest: {
      service: GuestPortService,
      address: socket('guest'),
      tls: guestTls,
      serverName: 'palimpsest-platform',
    },
  }
  const connected = Object.entries(ports).map(([name, { address, tls: own, serverName }]) => {
    return [
      name,
      connect({ address, tls: { ...own, ...(serverName === undefined ? {} : { serverName }) } }),
    ] as const
  })
  open = Object.fromEntries(connected) as typeof open
})
afterAll(async () => {
  for (const connection of Object.values(open)) connection.close()
  await bed.close()
})

/** Everything that bad input must leave as it is, and the processes that must stay. */
async function state(): Promise<object> {
  const { hypervisor } = bed
  const map = async (vm: string) => (await hypervisor.getMemoryMap({ vm, index: 0n, count: PAGES })).mappings
  const [{ vms }, { clones }, { volumes }, { registrations }, { pid, status }, { totals }, { next }, pcrs] =
    await Promise.all([
      hypervisor.listVms({}),
      hypervisor.listClones({}),
      hypervisor.listVolumes({}),
      hypervisor.listRegistrations({}),
      hypervisor.getWorker({}),
      open.host.client(HostPortService).describeFrames({ frames: [], includeTotals: true }),
      hypervisor.getWriteLog({ since: U64_MAX }),
      hypervisor.getPcrs({ selection: { hash: TPM_ALG.SHA256, pcrs: [0, 4, 7] } }),
    ])
  const maps = [await map('source'), await map('destination')]
  const pids = [bed.addresses.pids.platform, bed.addresses.pids.hypervisor, pid]
  for (const one of pids) process.kill(one, 0)
  return { vms, clones, volumes, registrations, totals, next, pcrs, maps, pids, sessions: status?.sessions }
}

async function unchanged(work: () => Promise<void>): Promise<void> {
  const before = await state()
  await work()
  expect(await state()).toEqual(before)
}

/** What went wrong, as a caller sees it. A bare status without a code of the family, or one without words, is no answer. */
async function refusal(call: Promise<unknown>): Promise<PalimpsestError> {
  try {
    await call
  } catch (error) {
    if (!(error instanceof PalimpsestError)) throw error
    expect(error.message).not.toBe('')
    return error
  }
  throw new Error('expected the call to be refused, it was answered')
}

async function raw<T>(port: Port, work: (client: RawClient) => Promise<T>): Promise<T> {
  const client = new RawClient(port.address, port.tls, port.serverName)
  try {
    return await work(client)
  } finally {
    client.close()
  }
}

describe('bytes that are no message', () => {
  const names = ['hypervisor', 'relay', 'disk', 'data', 'worker', 'host', 'guest'] as const
  it.each(names)('at every rpc of the %s service are INVALID_ARGUMENT', async (name) => {
    const port = ports[name]
    await unchanged(async () => {
      await raw(port, async (client) => {
        for (const method of port.service.schema.methods.values()) {
          // Field 1 of 127 bytes, of which none follows; a varint of eleven bytes; the end of a group.
          for (const bytes of [[0x0a, 0x7f], [0x08, ...new Array<number>(10).fill(0xff), 0x01], [0x0c]]) {
            const { status, error } = await client.send(method, Uint8Array.from(bytes))
            expect([method.name, status, error?.code]).toEqual([
              method.name,
              'INVALID_ARGUMENT',
              'INVALID_ARGUMENT',
            ])
            expect(error?.message).toMatch(/expected/)
          }
        }
      })
    })
  })

  it('name the field when they break a rule of the contract', async () => {
    const method = (name: string) => {
      const found = ports.hypervisor.service.schema.methods.get(name)
      if (found === undefined) throw new Error(name)
      return found
    }
    const memory = new Writer().uint32(34).bytes(new Uint8Array()).finish()
    const disk = new Writer().uint32(42).bytes(new Uint8Array()).finish()
    const both = Buffer.concat([memory, disk])
    const text = new Writer().uint32(10).bytes(Uint8Array.of(0xff, 0xfe)).finish()
    const count = new Writer().uint32(24).uint64('4294967296').finish()
    await unchanged(() =>
      raw(ports.hypervisor, async (client) => {
        const ask = async (name: string, bytes: Uint8Array) => (await client.send(method(name), bytes)).error
        expect(await ask('createClone', both)).toMatchObject({
          code: 'INVALID_ARGUMENT',
          violations: [{ field: 'disk' }],
        })
        expect(await ask('deleteVm', text)).toMatchObject({
          code: 'INVALID_ARGUMENT',
          violations: [{ field: 'vm' }],
        })
        expect(await ask('getMemoryMap', count)).toMatchObject({
          code: 'INVALID_ARGUMENT',
          violations: [{ field: 'count' }],
        })
      }),
    )
  })

  it('of 65 MiB are RESOURCE_EXHAUSTED at every port', async () => {
    const large = new Uint8Array(65 << 20)
    await unchanged(async () => {
      for (const name of ['hypervisor', 'data', 'worker', 'host', 'guest'] as const) {
        const [method] = ports[name].service.schema.methods.values()
        if (method === undefined) throw new Error(name)
        const { status, error } = await raw(ports[name], (client) => client.send(method, large))
        expect([name, status]).toEqual([name, 'RESOURCE_EXHAUSTED'])
        expect(error?.message).toMatch(/larger than max/)
      }
    })
  })
})

describe('names and numbers that do not exist', () => {
  for (const { what, code, call } of badRequests(() => ({
    bed,
    open,
    spki: source.identity.key.publicKey.spki,
  }))) {
    it(`${what}: ${code}`, async () => {
      await unchanged(async () => {
        const error = await refusal(call())
        expect([what, error.code, error.message]).toEqual([what, code, error.message])
        if (code === 'INVALID_ARGUMENT') expect([what, error.violations?.length ?? 0]).not.toEqual([what, 0])
      })
    })
  }
})

describe('wrong certificates', () => {
  it('none, and one of another authority, are UNAUTHENTICATED with words', async () => {
    const forged = Authority.open(path.join(bed.directory, 'forged')).identity('operator', 'operator')
    await unchanged(async () => {
      for (const port of Object.values(ports)) {
        const [method] = port.service.schema.methods.values()
        if (method === undefined) throw new Error('no method')
        for (const tls of [{ caPem: port.tls.caPem }, { ...forged.tls, caPem: port.tls.caPem }]) {
          const client = new RawClient(port.address, tls, port.serverName)
          const { status, error } = await client.send(method, new Uint8Array())
          client.close()
          expect([port.service.typeName, status, error?.code]).toEqual([
            port.service.typeName,
            'UNAUTHENTICATED',
            'UNAUTHENTICATED',
          ])
        }
      }
    })
  })
})

/** Bytes that were altered on the way: one to three of them flipped, cut off, or with more behind them. */
function altered(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 3,
  })
  const flipped = flips.map((list) => {
    const copy = Uint8Array.from(bytes)
    for (const [at, mask] of list) copy[at] = (copy[at] ?? 0) ^ mask
    return copy
  })
  const cut = fc.nat(bytes.length - 1).map((length) => bytes.slice(0, length))
  const longer = fc
    .uint8Array({ minLength: 1, maxLength: 9 })
    .map((more) => Uint8Array.from([...bytes, ...more]))
  return fc
    .oneof({ weight: 6, arbitrary: flipped }, { weight: 2, arbitrary: cut }, { weight: 1, arbitrary: longer })
    .filter((copy) => !Buffer.from(copy).equals(bytes))
}

/** Answers that would mean that the other side did not expect such input. */
const SURPRISED = new Set(['INTERNAL', 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'DATA_LOSS'])

/** Sends altered copies of `bytes` for a while: each has to be refused with a code that says why. */
async function fuzz(bytes: Uint8Array, send: (copy: Uint8Array) => Promise<unknown>): Promise<number> {
  const until = Date.now() + FUZZ_MS
  let sent = 0
  await fc.assert(
    fc.asyncProperty(altered(bytes), async (copy) => {
      if (Date.now() > until) return
      sent += 1
      const error = await refusal(send(copy))
      expect([error.code, error.message]).not.toEqual([
        SURPRISED.has(error.code) ? error.code : '',
        error.message,
      ])
    }),
    { numRuns: 1000 },
  )
  return sent
}

describe('altered bytes in an opaque field are refused, and the right ones are still taken', () => {
  const host = () => open.host.client(HostPortService)
  const worker = () => open.worker.client(WorkerService)
  const registration = 'fuzzed'

  /** Terms at the worker that nobody but this test knows. */
  async function openTerms(changes: Partial<OpenRegistrationRequest> = {}): Promise<Uint8Array> {
    const { vms } = await bed.hypervisor.listVms({})
    const party = (name: string) => ({
      vm: name,
      launchReport: vms.find(({ vm }) => vm === name)?.launchReport ?? new Uint8Array(),
    })
    const answer = await worker().openRegistration({
      registration,
      source: party('source'),
      destination: party('destination'),
      pairs: [{ first: 8n, second: 8n, count: 1n }],
      storage: {
        case: 'memory',
        value: {
          sourceFrames: [{ index: 8n, frame: 8n, count: 1n }],
          destinationPool: [60_000n],
          sourcePool: [],
        },
      },
      ...changes,
    })
    return answer.open
  }

  const close = () => worker().closeRegistration({ registration })

  it('terms', () => {
    return openTerms().then(async (bytes) => {
      await close()
      fc.assert(
        fc.property(altered(bytes), (copy) => {
          try {
            // What is accepted is other terms with another T, never the same terms in other bytes.
            expect(Buffer.from(encodeOpen(decodeOpen(copy))).equals(copy)).toBe(true)
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError)
          }
        }),
        { numRuns: 5000, interruptAfterTimeLimit: FUZZ_MS, markInterruptAsFailure: false },
      )
    })
  })

  it('terms that make no sense are not opened', async () => {
    const frames = (index: bigint, frame: bigint) => ({
      case: 'memory' as const,
      value: { sourceFrames: [{ index, frame, count: 1n }], destinationPool: [60_000n], sourcePool: [] },
    })
    const wrong: Partial<OpenRegistrationRequest>[] = [
      { pairs: [] },
      { pairs: [8n, 8n].map((first) => ({ first, second: first, count: 1n })) },
      { pairs: [{ first: U64_MAX, second: 8n, count: 2n }] },
      { pairs: [{ first: 8n, second: 8n, count: 0n }] },
      { storage: frames(9n, 8n) },
      { storage: frames(8n, 60_000n) },
      { storage: frames(8n, U64_MAX) },
      { storage: { case: 'disk', value: { sourceVolume: '', destinationVolume: 'x' } } },
      { storage: undefined },
      { source: undefined },
      { registration: '' },
      { destination: { vm: 'destination', launchReport: new Uint8Array() } },
    ]
    await unchanged(async () => {
      for (const changes of wrong) {
        const { code, message } = await refusal(openTerms(changes))
        expect([changes, code, message]).toEqual([changes, 'INVALID_ARGUMENT', message])
      }
    })
  })

  it('launch reports', async () => {
    const { vms } = await bed.hypervisor.listVms({})
    const report = vms.find(({ vm }) => vm === 'source')?.launchReport ?? new Uint8Array()
    // The worker does not judge signatures, which is the VMs' part: a changed one is another report with another digest.
    const send = async (copy: Uint8Array) => {
      await openTerms({ source: { vm: 'source', launchReport: copy } })
      await close()
      throw new PalimpsestError('REFUSED_BINDING', 'left to the VMs')
    }
    await unchanged(async () => {
      expect(await fuzz(report, send)).toBeGreaterThan(20)
    })
  })

  it('challenges', async () => {
    const bytes = await openTerms()
    const { bytes: challenge } = challengeOf(bytes)
    const send = (copy: Uint8Array) => worker().answerChallenge({ registration, challenge: copy })
    expect(await fuzz(challenge, send)).toBeGreaterThan(20)
    expect((await send(challenge)).report.length).toBeGreaterThan(0)
    await close()
  })

  it('grants', async () => {
    const bytes = await openTerms()
    const [grant = new Uint8Array()] = await makeGrants({
      identity: source.identity.key,
      open: decodeOpen(bytes),
      transcript: transcriptOf(bytes),
      role: 'source',
      nonce: challengeOf(bytes).nonce,
      entries: [
        { use: 'read', scope: 'block', mode: 'location', frames: [8n], keyFor: () => Secret.random(64) },
      ],
      notAfter: 0n,
    })
    const send = (copy: Uint8Array) => worker().submitGrants({ registration, grants: [copy] })
    const before = await worker().listRegistrations({})
    expect(await fuzz(grant, send)).toBeGreaterThan(20)
    expect(await worker().listRegistrations({})).toEqual(before)
    expect(await send(grant)).toMatchObject({ state: 'keyed-source' })
    await close()
  })

  it('share statements', async () => {
    const statement = makeShareStatement({
      identity: source.identity.key,
      peer: destination.identity.key.publicKey.digest,
      pairs: [{ first: 8n, second: 8n, count: 1n }],
      notAfter: U64_MAX,
    })
    const send = (copy: Uint8Array) =>
      host().shareFrames({
        owner: 'source',
        peer: 'destination',
        pairs: [{ first: 8n, second: 8n, count: 1n }],
        statement: copy,
      })
    await unchanged(async () => {
      expect(await fuzz(statement, send)).toBeGreaterThan(20)
    })
    expect((await send(statement)).runs).toEqual([
      { index: 8n, frame: expect.any(BigInt) as bigint, count: 1n },
    ])
  })

  it('credentials', async () => {
    const { endorsement } = await bed.hypervisor.getPlatform({})
    if (endorsement === undefined) throw new Error('no endorsement')
    const name = objectName(unmarshal(TPMT_PUBLIC, endorsement.akPublic))
    const made = makeCredential({
      ekPublic: unmarshal(TPMT_PUBLIC, endorsement.ekPublic),
      objectName: name,
      secret: randomBytes(32),
    })
    await unchanged(async () => {
      const { credentialBlob, secret } = made
      const sent =
        (await fuzz(credentialBlob, (copy) =>
          bed.hypervisor.enrolPlatform({ credentialBlob: copy, secret }),
        )) + (await fuzz(secret, (copy) => bed.hypervisor.enrolPlatform({ credentialBlob, secret: copy })))
      expect(sent).toBeGreaterThan(20)
    })
    expect((await bed.hypervisor.enrolPlatform(made)).certInfo).toHaveLength(32)
  })

  it("owners' keys and a worker's configuration", async () => {
    const key = bed.authority.identity('fuzzed-vm', 'vm').key.publicKey.spki
    await unchanged(async () => {
      await fuzz(key, (ownerPublicKey) =>
        bed.hypervisor.createVm({ vm: 'fuzzed', ownerPublicKey, memoryBytes: 0n }),
      )
      const json = Buffer.from('{"listen":"unix:/nowhere"}')
      for (const text of [json.subarray(1), json.subarray(0, -1), Buffer.from('7'), Buffer.from([0xff])]) {
        const call = host().launchWorker({ vm: 'w', imagePath: '/etc/hostname', hostConfiguration: text })
        expect((await refusal(call)).code).toBe('INVALID_ARGUMENT')
      }
    })
  })

  function challengeOf(bytes: Uint8Array) {
    return makeChallenge({
      identity: source.identity.key,
      transcript: transcriptOf(bytes),
      role: 'source',
      selection: { hash: TPM_ALG.SHA256, pcrs: [0, 4, 7] },
      policyDigest: new Uint8Array(32),
    })
  }
})
