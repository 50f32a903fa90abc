// A platform on real sockets for tests: an operator's authority, a hypervisor image that waits, guests and workers.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Certificate,
  hex,
  IdentityKey,
  issueCertificate,
  selfSignedRoot,
} from '../../../sdk/crypto/index.ts'
import { makeShareStatement } from '../../../sdk/evidence/index.ts'
import {
  type ClientOf,
  createClient,
  GuestPortService,
  HostPortService,
  type KeyMode,
  type TlsIdentity,
  type WatchEventsResponse,
  WorkerPortService,
} from '../../../sdk/rpc/index.ts'
import { type Platform, type PlatformOptions, runPlatform } from '../../../emulator/platform/index.ts'

export const PAGE = 4096
export const MIB = 1 << 20

/** An image that shows its bundle in the file `host.report` and waits until its platform is gone. */
export const waitingImage = `
const fs = require('node:fs')
const bundle = JSON.parse(fs.readFileSync(3, 'utf8'))
const shown = { bundle, env: process.env, cwd: process.cwd(), argv: process.argv.slice(1), says: 'first' }
const report = bundle.report ?? bundle.host.report
fs.writeFileSync(report + '.new', JSON.stringify(shown))
fs.renameSync(report + '.new', report)
process.stderr.write('waiting as ' + (bundle.vm ?? 'hypervisor') + '\\n')
const lifeline = new (require('node:net').Socket)({ fd: 4, readable: true, writable: false })
lifeline.on('error', () => process.exit(7)).on('close', () => process.exit(7)).resume()
`

/** What the waiting image shows. */
export interface Shown {
  readonly bundle: {
    readonly vm: string
    readonly platform: TlsIdentity & { readonly address: string }
    readonly host: unknown
  }
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly argv: readonly string[]
  readonly says: string
}

/** The operator's authority. */
class Operator {
  readonly #key = IdentityKey.generate()
  readonly #root: Certificate = selfSignedRoot({ key: this.#key, subject: 'CN=test operator', days: 1 })

  get caPem(): string {
    return this.#root.pem
  }

  identity(name: string, unit: string, key: IdentityKey = IdentityKey.generate()): TlsIdentity {
    const certificate = issueCertificate({
      issuer: { certificate: this.#root, key: this.#key },
      publicKey: key.publicKey,
      subject: `CN=${name},OU=${unit}`,
      days: 1,
      usages: ['client', 'server'],
      serverNames: ['localhost', '127.0.0.1'],
    })
    return { certificatePem: certificate.pem, keyPem: key.toPem(), caPem: this.caPem }
  }
}

/** A guest as its owner sees it. */
export interface TestGuest {
  readonly name: string
  readonly identity: IdentityKey
  readonly port: ClientOf<typeof GuestPortService>
}

/** A running platform with its host's client. */
export class TestPlatform {
  readonly folder: string
  readonly operator: Operator
  readonly platform: Platform
  readonly host: ClientOf<typeof HostPortService>
  readonly #clients: { close(): void }[] = []

  private constructor(folder: string, operator: Operator, platform: Platform) {
    this.folder = folder
    this.operator = operator
    this.platform = platform
    this.host = this.hostClient('hypervisor')
  }

  static async start(options: Partial<PlatformOptions> = {}, folder = newFolder()): Promise<TestPlatform> {
    const operator = new Operator()
    const hypervisorImagePath = join(folder, 'hypervisor.cjs')
    writeFileSync(hypervisorImagePath, waitingImage)
    const platform = await runPlatform({
      stateDirectory: join(folder, 'state'),
      runDirectory: join(folder, 'run'),
      memoryBytes: 64 * MIB,
      hypervisorImagePath,
      operatorCaPem: operator.caPem,
      hostIdentity: operator.identity('platform', 'platform'),
      ...options,
    })
    return new TestPlatform(folder, operator, platform)
  }

  get trustAnchor(): string {
    return readFileSync(this.platform.trustAnchorFile, 'utf8')
  }

  hostClient(unit: string): ClientOf<typeof HostPortService> {
    const tls = this.operator.identity('some caller', unit)
    return this.#keep(createClient(HostPortService, { address: this.platform.hostPortAddress, tls }))
  }

  guestClient(key: IdentityKey): ClientOf<typeof GuestPortService> {
    const tls = { ...this.operator.identity('some vm', 'vm', key), caPem: this.trustAnchor }
    return this.#keep(createClient(GuestPortService, { address: this.platform.guestPortAddress, tls }))
  }

  workerClient(tls: TlsIdentity): ClientOf<typeof WorkerPortService> {
    return this.#keep(createClient(WorkerPortService, { address: this.platform.workerPortAddress, tls }))
  }

  /** Launches a guest, and installs keys when given. */
  async guest(
    name: string,
    keys?: { mode: KeyMode; root?: Uint8Array; group?: Uint8Array },
    pages = 1024,
  ): Promise<TestGuest> {
    const identity = IdentityKey.generate()
    const ownerPublicKey = identity.publicKey.spki
    await this.host.launchGuest({ vm: name, ownerPublicKey, memoryBytes: BigInt(pages * PAGE) })
    const port = this.guestClient(identity)
    if (keys !== undefined) {
      const rootKey = Uint8Array.from(keys.root ?? new Uint8Array(32).fill(name.charCodeAt(0)))
      await port.installKeys({ rootKey, mode: keys.mode, groupKey: keys.group ?? new Uint8Array(0) })
    }
    return { name, identity, port }
  }

  /** Gives a guest frames, mapped and writable. */
  async give(vm: string, index: number, frame: number, count = 1): Promise<void> {
    await this.host.assignFrames({
      vm,
      runs: [{ index: BigInt(index), frame: BigInt(frame), count: BigInt(count) }],
    })
    const mappings = Array.from({ length: count }, (_, i) => ({
      index: BigInt(index + i),
      frame: BigInt(frame + i),
      writable: true,
    }))
    await this.host.setMappings({ vm, mappings, retry: [] })
  }

  /** Shares one page with the owner's consent; both map it read-only. */
  async share(owner: TestGuest, first: number, peer: TestGuest, second: number): Promise<bigint> {
    const pairs = [{ first: BigInt(first), second: BigInt(second), count: 1n }]
    const { identity } = owner
    const statement = makeShareStatement({
      identity,
      peer: peer.identity.publicKey.digest,
      pairs,
      notAfter: 1n << 40n,
    })
    const { runs } = await this.host.shareFrames({ owner: owner.name, peer: peer.name, pairs, statement })
    const frame = runs[0]?.frame ?? 0n
    for (const [vm, index] of [
      [owner.name, first],
      [peer.name, second],
    ] as const) {
      await this.host.setMappings({
        vm,
        mappings: [{ index: BigInt(index), frame, writable: false }],
        retry: [],
      })
    }
    return frame
  }

  /** Launches the waiting image as a worker and returns what it shows. */
  async worker(
    vm: string,
    image = waitingImage,
  ): Promise<{ shown: Shown; measurement: string; pid: number; imagePath: string }> {
    const imagePath = join(this.folder, `${vm}.cjs`)
    const report = join(this.folder, `${vm}.json`)
    writeFileSync(imagePath, image)
    const hostConfiguration = new TextEncoder().encode(JSON.stringify({ report, note: 'from the host' }))
    const { measurement, pid } = await this.host.launchWorker({ vm, imagePath, hostConfiguration })
    return { shown: await readShown(report), measurement: hex(measurement), pid, imagePath }
  }

  #keep<C extends { close(): void }>(client: C): C {
    this.#clients.push(client)
    return client
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close()
    await this.platform.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A new temporary folder with a path short enough for sockets. */
export function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'pal-'))
}

/** Waits until a file with JSON is there. */
export async function readShown(path: string): Promise<Shown> {
  return until(() => {
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as Shown
    } catch {
      return undefined
    }
  })
}

/** Waits until `probe` returns something. */
export async function until<T>(probe: () => T | undefined, limitMs = 20_000): Promise<T> {
  const end = Date.now() + limitMs
  while (Date.now() < end) {
    const found = probe()
    if (found !== undefined) return found
    await new Promise((resume) => setTimeout(resume, 10))
  }
  throw new Error('expected it to happen in time')
}

/** Whether a process lives. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Events as they come, and a way to stop. */
export class EventReader {
  readonly events: NonNullable<WatchEventsResponse['event']>[] = []
  readonly done: Promise<string>
  readonly #cancel = new AbortController()
  /** Runs at each event. */
  onEvent: (event: NonNullable<WatchEventsResponse['event']>) => void = () => undefined

  constructor(host: ClientOf<typeof HostPortService>) {
    this.done = this.#read(host)
  }

  /** Resolves once the stream is attached. */
  async ready(): Promise<this> {
    await until(() => (this.events[0]?.case === 'ready' ? true : undefined))
    return this
  }

  stop(): void {
    this.#cancel.abort()
  }

  async #read(host: ClientOf<typeof HostPortService>): Promise<string> {
    try {
      for await (const { event } of host.watchEvents({}, { signal: this.#cancel.signal })) {
        if (event === undefined) continue
        this.events.push(event)
        this.onEvent(event)
      }
      return 'end'
    } catch (error) {
      return String((error as { code?: unknown }).code)
    }
  }
}

/** The error that a promise rejects with, as its code and metadata; 'none' when it resolves. */
export async function refusal(
  promise: Promise<unknown>,
): Promise<{ code: string; metadata: Readonly<Record<string, string>> }> {
  try {
    await promise
  } catch (error) {
    return error as { code: string; metadata: Readonly<Record<string, string>> }
  }
  return { code: 'none', metadata: {} }
}
