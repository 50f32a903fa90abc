// What the host sees and can do, for tests that look at it or play a malicious one: maps, frames, logs, receipts through
// its own API; and direct connections to the platform's host port and to the worker with the hypervisor's identity.

import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import {
  type BlockCopy,
  type ClientOf,
  type CopyRequest,
  type CopyResponse,
  createClient,
  type Fault,
  HostPortService,
  WorkerService,
  type WriteLogEntry,
} from '../../../sdk/rpc/index.ts'
import { PublicKey } from '../../../sdk/crypto/index.ts'
import { type Receipt, verifyReceipt } from '../../../sdk/worker/index.ts'
import { readIdentity, type Testbed, type TestVm } from '../../../emulator/testbed/index.ts'
import { at, until } from './stage.ts'

/** A watch over faults. */
export interface FaultWatch {
  /** Faults that were seen up to now. */
  now(): Fault[]
  /** Resolves with the faults that came since the watch began. */
  stop(): Promise<Fault[]>
}

/** A host's view of a testbed. */
export class HostView {
  readonly #bed: Testbed
  readonly #open: { close(): void }[] = []
  #platform: ClientOf<typeof HostPortService> | undefined

  constructor(bed: Testbed) {
    this.#bed = bed
  }

  close(): void {
    for (const client of this.#open) client.close()
  }

  /** The platform's host port, as the hypervisor's identity reaches it. */
  get platform(): ClientOf<typeof HostPortService> {
    if (this.#platform === undefined) {
      this.#platform = createClient(HostPortService, { address: this.#socket('host'), tls: this.tls })
      this.#open.push(this.#platform)
    }
    return this.#platform
  }

  /** The present worker, as the hypervisor's identity reaches it. */
  async worker(): Promise<ClientOf<typeof WorkerService>> {
    const { name } = await this.workerIdentity()
    const client = createClient(WorkerService, { address: this.#socket(name), tls: this.tls })
    this.#open.push(client)
    return client
  }

  /** Who the present worker is. */
  async workerIdentity(): Promise<{ name: string; pid: number; receiptKey: PublicKey; sessions: bigint }> {
    const { status, pid } = await this.#bed.hypervisor.getWorker({})
    if (status === undefined) throw new Error('the worker has no status')
    const { vm, receiptKey, sessions } = status
    return { name: vm, pid, receiptKey: PublicKey.fromSpki(receiptKey), sessions }
  }

  /** Identity of the hypervisor, from the testbed's folder: the host is malicious, so the tests have it too. */
  get tls() {
    return readIdentity(join(this.#bed.addresses.authority, 'hypervisor')).tls
  }

  /** Runs one copy session with the worker, as a host that asks for what it likes. */
  async copy(
    registration: string,
    blocks: readonly Partial<BlockCopy>[],
    options: Partial<Pick<CopyRequest, 'writer' | 'mode'>> = {},
  ): Promise<NonNullable<CopyResponse['result']>> {
    const worker = await this.worker()
    const request: CopyRequest = {
      session: 1n,
      registration,
      writer: 'destination',
      mode: 'store',
      ...options,
      blocks: blocks.map((block) => ({ first: 0n, second: 0n, generation: 0n, ...block })),
    }
    for await (const { result } of worker.copy(Readable.from([request])))
      if (result !== undefined) return result
    throw new Error('the worker ended the stream without an answer')
  }

  /** "stored", "read", or the code of the worker's refusal. */
  async copyCode(...request: Parameters<HostView['copy']>): Promise<string> {
    const result = await this.copy(...request)
    if (result.case === 'error') return result.value.code
    return result.case === 'receipt' ? 'stored' : 'read'
  }

  /** The frame and write bit of a guest page. */
  async mapping(vm: string, page: number): Promise<{ frame: bigint; writable: boolean }> {
    const [mapping] = await this.mappings(vm, page, 1)
    if (mapping === undefined) throw new Error(`guest page ${String(page)} of ${vm} is not mapped`)
    return mapping
  }

  async mappings(vm: string, page: number, count: number): Promise<{ frame: bigint; writable: boolean }[]> {
    const { mappings } = await this.#bed.hypervisor.getMemoryMap({ vm, index: BigInt(page), count })
    return mappings.map(({ frame = -1n, writable }) => ({ frame, writable }))
  }

  /** Ciphertext of a frame. */
  async ciphertext(frame: bigint): Promise<Uint8Array> {
    return (await this.#bed.hypervisor.inspectFrames({ frames: [frame] })).ciphertext
  }

  /** The ownership row of a frame. */
  async row(frame: bigint) {
    const { rows } = await this.platform.describeFrames({ frames: [frame], includeTotals: false })
    if (rows[0] === undefined) throw new Error('the platform gave no row')
    return rows[0]
  }

  /** Frames that are RESERVED for a registration. */
  async reserved(registration: string): Promise<bigint[]> {
    const { frames } = await this.platform.getEndorsement({})
    const asked = Array.from({ length: Number(frames) }, (_, i) => BigInt(i))
    const { rows } = await this.platform.describeFrames({ frames: asked, includeTotals: false })
    return rows.filter((row) => row.registration === registration).map((row) => row.frame)
  }

  /** Writes of a frame since it was last scrubbed. */
  async writesOf(frame: bigint): Promise<WriteLogEntry[]> {
    const { entries } = await this.#bed.hypervisor.getWriteLog({ since: 0n, frame })
    return entries.slice(entries.findLastIndex(({ cause }) => cause === 'scrub') + 1)
  }

  /**
   * Watches faults. Stores to `probes`, shared pages of `vm` that the test has no use for, tell when the watcher is
   * attached and when it has seen everything; their faults are left out.
   */
  async watchFaults(vm: TestVm, probes: readonly number[]): Promise<FaultWatch> {
    const end = new AbortController()
    const all: Fault[] = []
    const watching = (async () => {
      for await (const { fault } of this.#bed.hypervisor.watchFaults({}, { signal: end.signal }))
        if (fault !== undefined) all.push(fault)
    })().catch((error: unknown) => {
      if (!end.signal.aborted) throw error
    })
    const isProbe = (fault: Fault) => fault.vm === vm.name && probes.includes(Number(fault.index))
    const left = [...probes]
    const probe = async () => {
      const page = left.shift()
      if (page === undefined) throw new RangeError('"probes" expected more pages')
      await vm.guest.store(at(page), new Uint8Array(1))
      return page
    }
    const sees = (page: number, ms: number) =>
      until(
        'the fault of a probe',
        () =>
          Promise.resolve(all.some((fault) => isProbe(fault) && Number(fault.index) === page) || undefined),
        ms,
      )
    while (!(await sees(await probe(), 500).catch(() => false)));
    const now = () => all.filter((fault) => !isProbe(fault))
    return {
      now,
      async stop() {
        await sees(await probe(), 20_000)
        end.abort()
        await watching
        return now()
      },
    }
  }

  /** Receipts of a clone, each verified with the key of the present worker. */
  async receipts(clone: string): Promise<Receipt[]> {
    const { receiptKey } = await this.workerIdentity()
    const { receipts } = await this.#bed.hypervisor.listReceipts({ clone })
    return receipts.map(({ receipt }) => verifyReceipt(receipt, receiptKey))
  }

  /** A clone, as the host's API shows it. */
  async clone(name: string) {
    const { clones } = await this.#bed.hypervisor.listClones({})
    const found = clones.find(({ clone }) => clone === name)
    if (found === undefined) throw new Error(`no clone ${name}`)
    return found
  }

  /** The worker's view of a registration, or undefined when it knows none. */
  async registration(name: string) {
    const { registrations } = await this.#bed.hypervisor.listRegistrations({})
    return registrations.find(({ registration }) => registration === name)
  }

  #socket(name: string): string {
    return join(dirname(this.#bed.addresses.hypervisor), `${name}.sock`)
  }
}
