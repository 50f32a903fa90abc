// Everything that reaches the host is recorded, by the hypervisor itself and by a proxy that shares no code with it, and
// searched, with the host's files and logs, for planted plaintext and for every key. What is planted on the same path to
// be found is found by the same search, so that finding nothing means something.

import { createPrivateKey, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  learnPolicyFrom,
  packageRoot,
  readIdentity,
  startTestbed,
  type Testbed,
} from '../../emulator/testbed/index.ts'
import { type KeyMode, Secret } from '../../sdk/crypto/index.ts'
import {
  defineDestinationPlugin,
  defineSourcePlugin,
  EncryptedDisk,
  Guest,
  keysByKind,
  memoryKeys,
  type PluginOptions,
  serve,
  type ServedPlugin,
  volumeKey,
} from '../../sdk/plugin/index.ts'
import {
  type ClientOf,
  createClient,
  DiskPortService,
  HypervisorService,
  PalimpsestError,
  readTranscript,
  silentLogger,
} from '../../sdk/rpc/index.ts'
import { BLOCK, pageKey } from './support/independent.ts'
import { RecordingProxy } from './support/proxy.ts'
import { Secrets } from './support/search.ts'
import { at, bytesOf, codeOf } from './support/stage.ts'

const PAGES = 24
/** Frames whose keys are looked for; the host's allocator takes frames from the front. */
const FRAMES = 512

let folder: string
let bed: Testbed
let proxy: RecordingProxy
let address: string
let hypervisor: ClientOf<typeof HypervisorService>
let log = ''
const closers: (() => Promise<void> | void)[] = []
/** What must be nowhere, and what was planted to be found. */
const secrets = new Secrets()
const planted = new Secrets()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'palimpsest-'))
  bed = await startTestbed({
    directory: join(folder, 'bed'),
    transcript: join(folder, 'transcript.jsonl'),
    logLevel: 'debug',
    onLog: (text) => (log += text),
  })
  const identity = (name: string) => readIdentity(join(bed.addresses.authority, name)).tls
  proxy = new RecordingProxy(bed.addresses.hypervisor, identity)
  address = `unix:${join(folder, 'proxy.sock')}`
  await proxy.listen(address, identity('hypervisor'), join(packageRoot, 'protos/palimpsest/hypervisor/v1'))
  hypervisor = createClient(HypervisorService, { address, tls: identity('operator') })
  closers.push(() => {
    hypervisor.close()
  })
  for (const mode of ['location', 'both', 'common'] as const) await workWith(mode)
  await plantLeaks()
})
afterAll(async () => {
  for (const close of closers) await close()
  proxy.close()
  await bed.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A VM whose every call to the host goes through the proxy. */
class ProxiedVm {
  readonly name: string
  readonly root = Secret.random(32)
  readonly volumeKey = Secret.random(64)
  readonly identity
  readonly guest: Guest
  readonly #keys: { mode: KeyMode; group?: Secret }

  constructor(name: string, keys: { mode: KeyMode; group?: Secret }) {
    this.name = name
    this.identity = bed.authority.identity(name, 'vm')
    this.#keys = keys
    this.guest = new Guest({
      address: bed.addresses.guestPort,
      credentials: { identity: this.identity.key, tls: this.identity.tls },
      trustAnchors: [bed.trustAnchor],
    })
    closers.push(() => {
      this.guest.close()
    })
  }

  async create(unmapped: boolean): Promise<void> {
    await hypervisor.createVm({
      vm: this.name,
      ownerPublicKey: this.identity.key.publicKey.spki,
      memoryBytes: BigInt(PAGES * BLOCK),
      ...(unmapped ? { unmappedFrom: 0n } : {}),
    })
    await this.guest.installKeys({ root: this.root, ...this.#keys })
  }

  disk(volume: string): EncryptedDisk {
    const credentials = { identity: this.identity.key, tls: this.identity.tls }
    const disk = new EncryptedDisk({ hypervisor: address, credentials, volume, key: this.volumeKey })
    closers.unshift(() => {
      disk.close()
    })
    return disk
  }

  async serve(
    role: 'source' | 'destination',
    peer: ProxiedVm,
    options: Partial<PluginOptions> = {},
  ): Promise<ServedPlugin> {
    const define = role === 'source' ? defineSourcePlugin : defineDestinationPlugin
    const plugin = define({
      name: `${this.name}-plugin`,
      version: '1.0.0',
      policy: await learnPolicyFrom(hypervisor, [bed.trustAnchor], [peer.identity]),
      keys: keysByKind({
        memory: memoryKeys({ root: this.root, ...this.#keys }),
        disk: volumeKey(this.volumeKey),
      }),
      ...options,
    })
    const credentials = { identity: this.identity.key, tls: this.identity.tls }
    const served = await serve(plugin, { vm: this.name, hypervisor: address, credentials, log: silentLogger })
    closers.unshift(() => served.close())
    return served
  }

  /** Every key that this VM has or gives, under its name. */
  keys(): { name: string; bytes: Uint8Array }[] {
    const { d = '' } = createPrivateKey(this.identity.tls.keyPem).export({ format: 'jwk' })
    const { mode, group } = this.#keys
    const base = bytesOf(mode === 'location' ? this.root : (group ?? this.root))
    const frames = Array.from({ length: FRAMES }, (_, i) => BigInt(i))
    return [
      { name: `identity key of ${this.name}`, bytes: Buffer.from(d, 'base64url') },
      { name: `root key of ${this.name}`, bytes: bytesOf(this.root) },
      { name: `group key of ${this.name}`, bytes: base },
      { name: `volume key of ${this.name}`, bytes: bytesOf(this.volumeKey) },
      ...frames.map((frame) => ({
        name: `key of frame ${String(frame)} of ${this.name}`,
        bytes: pageKey(base, frame, mode),
      })),
    ]
  }
}

/** Plaintext to recognise: 32 random bytes again and again. */
function marked(into: Secrets, name: string, length: number): Uint8Array {
  const marker = randomBytes(32)
  into.add(name, marker)
  return new Uint8Array(length).map((_byte, i) => marker[i % marker.length] ?? 0)
}

/** The whole of what the system does, in both kinds of storage, with keys of one mode. */
async function workWith(mode: KeyMode): Promise<void> {
  const keys = mode === 'location' ? { mode } : { mode, group: Secret.random(32) }
  const source = new ProxiedVm(`${mode}-source`, keys)
  const destination = new ProxiedVm(`${mode}-destination`, keys)
  await source.create(false)
  await destination.create(true)
  for (const vm of [source, destination]) for (const { name, bytes } of vm.keys()) secrets.add(name, bytes)
  await source.guest.store(0n, marked(secrets, `memory of ${source.name}`, PAGES * BLOCK))
  await source.serve('source', destination)
  await destination.serve('destination', source)
  await cloneMemory(mode, source, destination)
  await destination.guest.store(at(3, 64), marked(secrets, `store of ${destination.name}`, 64))
  await source.guest.store(at(5, 64), marked(secrets, `store of ${source.name}`, 64))
  await destination.guest.load(at(7), BLOCK)
  await hypervisor.renewRegistration({ clone: mode })
  await finish(mode)

  const volume = `${mode}-volume`
  await hypervisor.createVolume({ volume, vm: source.name, size: BigInt(PAGES * BLOCK) })
  const original = source.disk(volume)
  await original.write(0n, marked(secrets, `disk of ${source.name}`, PAGES * BLOCK))
  await cloneVolume(`${mode}-disk`, source, destination, volume)
  const copy = destination.disk(`${volume}-copy`)
  await copy.read(at(2), 3 * BLOCK)
  await copy.write(at(4, 512), marked(secrets, `write of ${destination.name}`, 512))
  await original.write(at(6, 512), marked(secrets, `write of ${source.name}`, 512))
  await finish(`${mode}-disk`)
  await copy.flush()
  await lookAtEverything([source.name, destination.name], [volume, `${volume}-copy`])
}

async function cloneMemory(clone: string, source: ProxiedVm, destination: ProxiedVm): Promise<void> {
  const value = { pairs: [{ first: 0n, second: 0n, count: BigInt(PAGES) }] }
  const names = { clone, source: source.name, destination: destination.name }
  await hypervisor.createClone({ ...names, storage: { case: 'memory', value } })
}

async function cloneVolume(clone: string, source: ProxiedVm, destination: ProxiedVm, volume: string) {
  const value = { sourceVolume: volume, destinationVolume: `${volume}-copy` }
  const names = { clone, source: source.name, destination: destination.name }
  await hypervisor.createClone({ ...names, storage: { case: 'disk', value } })
}

async function finish(clone: string): Promise<void> {
  let copied = 0n
  for await (const progress of hypervisor.finishClone({ clone }, { deadlineMs: 60_000 }))
    copied = progress.copied
  expect(copied).toBe(BigInt(PAGES))
}

/** Has the host show whatever it can of these VMs and volumes. */
async function lookAtEverything(vms: readonly string[], volumes: readonly string[]): Promise<void> {
  for (const vm of vms) {
    const { mappings } = await hypervisor.getMemoryMap({ vm, index: 0n, count: PAGES })
    const frames = mappings.map(({ frame = -1n }) => frame)
    expect(frames.every((frame) => frame >= 0n && frame < FRAMES)).toBe(true)
    await hypervisor.inspectFrames({ frames })
  }
  for (const volume of volumes) await hypervisor.inspectVolume({ volume, block: 0n, count: PAGES })
  await hypervisor.listReceipts({ clone: '' })
  await hypervisor.getAuditLog({ worker: '', since: 0n })
  await hypervisor.getWriteLog({ since: 0n })
  await hypervisor.listHypercalls({ since: 0n })
  await hypervisor.listRegistrations({})
}

/** Leaks of a careless owner, on the same paths and in all three forms: raw, hexadecimal, base64. */
async function plantLeaks(): Promise<void> {
  const source = new ProxiedVm('leaky-source', { mode: 'location' })
  const destination = new ProxiedVm('leaky-destination', { mode: 'location' })
  await source.create(false)
  await destination.create(true)
  // A plugin that says its VM's root key as its name, in base64.
  planted.add('root key', bytesOf(source.root))
  const name = Buffer.from(bytesOf(source.root)).toString('base64')
  await source.serve('source', destination, { name })
  await destination.serve('destination', source, {
    // One that quotes memory, with a byte before it, when it refuses.
    onCopyRequested: ({ clone }) => {
      if (!clone.endsWith('-refused')) return
      const quoted = Buffer.concat([Buffer.of(1), marked(planted, 'refused memory', 32)])
      throw new PalimpsestError('PERMISSION_DENIED', `not this: ${quoted.toString('base64')}`)
    },
  })
  expect(await codeOf(cloneMemory('leaky-refused', source, destination))).toBe('PERMISSION_DENIED')
  // A clone that is named after its content, in hexadecimal.
  const content = marked(planted, 'cloned memory', 32)
  await cloneMemory(Buffer.from(content.subarray(0, 20)).toString('hex'), source, destination)
  // A disk that is written without encryption.
  await hypervisor.createVolume({ volume: 'leaky', vm: source.name, size: BigInt(PAGES * BLOCK) })
  const port = createClient(DiskPortService, { address, tls: source.identity.tls })
  await port.writeDisk({ volume: 'leaky', offset: 0n, ciphertext: marked(planted, 'disk', BLOCK) })
  port.close()
}

/** All places that the host can look at, by name. */
function places(): Record<string, Buffer> {
  const transcript = join(folder, 'transcript.jsonl')
  const separator = Buffer.alloc(1)
  const join_ = (parts: readonly Uint8Array[]) => Buffer.concat(parts.flatMap((part) => [part, separator]))
  return {
    'transcript as text': readFileSync(transcript),
    'transcript as bytes': join_(readTranscript(transcript).map(({ bytes }) => bytes)),
    'messages at the proxy': join_(proxy.messages.map(({ bytes }) => bytes)),
    'volume files': join_(filesIn(join(folder, 'bed', 'volumes'))),
    'run directory': join_(filesIn(join(folder, 'bed', 'run'))),
    logs: Buffer.from(log),
  }
}

function filesIn(directory: string): Buffer[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)))
}

describe('everything that reaches the host', () => {
  it('[X-07] [C-21] [C-31] holds neither planted plaintext nor any key, in any form', () => {
    expect(secrets.count).toBeGreaterThan(6 * FRAMES * 4 * 6)
    for (const [place, bytes] of Object.entries(places())) {
      expect(bytes.length, place).toBeGreaterThan(1000)
      expect(secrets.in(bytes), place).toEqual([])
    }
  })

  it('[X-07 control] [C-21 control] [C-31 control] holds what was planted, and the same search finds it', () => {
    const found = Object.fromEntries(
      Object.entries(places()).map(([place, bytes]) => [place, planted.namesIn(bytes).sort()]),
    )
    const all = ['cloned memory', 'disk', 'refused memory', 'root key']
    expect(found['transcript as text']).toEqual(all)
    expect(found['transcript as bytes']).toEqual(all)
    expect(found['messages at the proxy']).toEqual(all)
    expect(found['volume files']).toEqual(['disk'])
    expect(found['run directory']).toEqual(['cloned memory'])
    expect(found.logs).toContain('root key')
  })

  it('[X-07] is in the transcript: it has each message that the proxy forwarded, byte for byte', () => {
    const transcript = new Map<string, number>()
    const keyOf = (method: string, bytes: Uint8Array) => `${method} ${Buffer.from(bytes).toString('base64')}`
    for (const { method, bytes } of readTranscript(join(folder, 'transcript.jsonl'))) {
      const key = keyOf(method, bytes)
      transcript.set(key, (transcript.get(key) ?? 0) + 1)
    }
    const forwarded = proxy.messages.filter(({ direction }) => direction === 'to-host')
    expect(forwarded.length).toBeGreaterThan(100)
    for (const { method, bytes } of forwarded) {
      const key = keyOf(method, bytes)
      const left = transcript.get(key) ?? 0
      expect(left, method).toBeGreaterThan(0)
      transcript.set(key, left - 1)
    }
    const seen = new Set(
      readTranscript(join(folder, 'transcript.jsonl')).map(({ method }) => method.split('/')[1]),
    )
    for (const service of [
      'hypervisor.v1.RelayService',
      'hypervisor.v1.DiskPortService',
      'platform.v1.HostPortService',
    ])
      expect(seen).toContain(`palimpsest.${service}`)
    expect(seen).toContain('palimpsest.worker.v1.WorkerService')
    expect(seen).toContain('palimpsest.hypervisor.v1.WorkerDataService')
  })
})

describe('the search', () => {
  const secret = randomBytes(32)
  const search = new Secrets().add('secret', secret)
  const text = (before: number, encoding: 'base64' | 'base64url') =>
    Buffer.from(Buffer.concat([randomBytes(before), secret, randomBytes(5)]).toString(encoding))

  it.each([
    ['raw', secret],
    ['hexadecimal', Buffer.from(secret.toString('hex'))],
    ['hexadecimal in capitals', Buffer.from(secret.toString('hex').toUpperCase())],
    ...[0, 1, 2, 3].map(
      (before) => [`base64 after ${String(before)} bytes`, text(before, 'base64')] as const,
    ),
    ...[0, 1, 2].map(
      (before) => [`base64url after ${String(before)} bytes`, text(before, 'base64url')] as const,
    ),
    ['half of it', secret.subarray(16)],
  ] as const)('[X-07 control] finds a secret: %s', (_form, bytes) => {
    expect(search.namesIn(Buffer.concat([randomBytes(999), bytes, randomBytes(999)]))).toEqual(['secret'])
  })

  it('finds nothing where the secret is not', () => {
    expect(search.in(randomBytes(100_000))).toEqual([])
  })
})
