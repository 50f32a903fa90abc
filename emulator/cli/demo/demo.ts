// The main job, end to end: real data in a source VM's encrypted memory and volume, attested clones of both, single
// stores that fault and land in the second block, the rest copied, every block checked by an independent reader.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadFirmware } from '../../platform/index.ts'
import { type Identity, startTestbed, type Testbed } from '../../testbed/index.ts'
import { onShutdown } from '../../../sdk/rpc/index.ts'
import type { Output } from '../output.ts'
import { bytesText, table, timeText } from '../output.ts'
import { peakMemory, processorTime } from './processes.ts'
import { Timeline } from './timeline.ts'
import { compareBlocks, type Comparison, openDiskBlock, openPage } from './verify.ts'
import { VmHandle } from './vm-handle.ts'

const BLOCK = 4096

/** What to show it on. */
export interface DemoOptions {
  /** File whose bytes are cloned. */
  readonly data: string
  /** Firmware image; default: the built-in one. */
  readonly firmware?: string
  /** Folder to keep; default: a temporary one. */
  readonly directory?: string
}

/** Keys of one VM; the demo plays the owner of both. */
interface OwnerKeys {
  readonly root: Buffer
  readonly volume: Buffer
}

/** One line of the result table. */
interface CopiedRow {
  readonly kind: string
  readonly blocks: bigint
  readonly ms: number
  readonly compared: Comparison
  readonly sourceCompared: Comparison
}

/** Two VMs and the testbed that they run on. */
export class Demo {
  readonly #out: Output
  readonly #options: DemoOptions
  readonly #data: Uint8Array
  readonly #blocks: number
  readonly #timeline: Timeline
  readonly #keys = { source: ownerKeys(), destination: ownerKeys() }
  #ok = true

  constructor(options: DemoOptions, out: Output) {
    this.#options = options
    this.#out = out
    this.#data = readFileSync(options.data)
    this.#blocks = Math.ceil(this.#data.length / BLOCK)
    this.#timeline = new Timeline(out)
  }

  /** Runs everything but the refusals; true when every check held. */
  async run(): Promise<boolean> {
    const { data } = this.#options
    this.#out.line(
      this.#out.strong(
        `Palimpsest: ${data}, ${bytesText(this.#data.length)}, ${String(this.#blocks)} blocks`,
      ),
    )
    const bed = await startTestbed({
      memoryBytes: this.#blocks * BLOCK * 2 + (64 << 20),
      ...(this.#options.firmware === undefined ? {} : { firmware: this.#options.firmware }),
      ...(this.#options.directory === undefined ? {} : { directory: this.#options.directory }),
    })
    // Ended from outside, the demo takes its processes and its folder with it.
    const shutdown = onShutdown([{ name: 'testbed', close: () => bed.close() }])
    try {
      await this.#measure(bed)
      return await this.#withVms(bed)
    } finally {
      shutdown.cancel()
      await bed.close()
    }
  }

  async #measure(bed: Testbed): Promise<void> {
    const image =
      this.#options.firmware === undefined
        ? (await loadFirmware()).image
        : readFileSync(this.#options.firmware)
    const expected = createHash('sha256').update(image).digest('hex')
    const { measurement } = bed.addresses
    this.#timeline.step('platform booted; its firmware measures', measurement)
    this.#check(measurement === expected, 'the measurement is the SHA-256 of the image file')
  }

  async #withVms(bed: Testbed): Promise<boolean> {
    const identities = {
      source: bed.authority.identity('source', 'vm'),
      destination: bed.authority.identity('destination', 'vm'),
    }
    const memoryBytes = BigInt(this.#blocks * BLOCK)
    const createVm = (identity: Identity, unmapped: boolean) =>
      bed.hypervisor.createVm({
        vm: identity.name,
        ownerPublicKey: identity.key.publicKey.spki,
        memoryBytes,
        ...(unmapped ? { unmappedFrom: 0n } : {}),
      })
    await createVm(identities.source, false)
    await createVm(identities.destination, true)
    await bed.hypervisor.createVolume({ volume: 'source-disk', vm: 'source', size: memoryBytes })
    const vms = await Promise.all([
      this.#startVm(bed, 'source', identities.source, identities.destination),
      this.#startVm(bed, 'destination', identities.destination, identities.source),
    ])
    try {
      return await this.#flow(bed, ...vms)
    } finally {
      await Promise.all(vms.map((vm) => vm.close()))
    }
  }

  async #startVm(
    bed: Testbed,
    role: 'source' | 'destination',
    own: Identity,
    peer: Identity,
  ): Promise<VmHandle> {
    const policy = join(bed.directory, `policy-${role}.json`)
    writeFileSync(policy, JSON.stringify(await bed.policy([peer])))
    const keys = this.#keys[role]
    const vm = await VmHandle.start({
      role,
      vm: role,
      hypervisor: bed.addresses.hypervisor,
      identity: own.directory,
      policy,
      rootKey: keys.root.toString('hex'),
      volumeKey: keys.volume.toString('hex'),
    })
    await vm.run({ do: 'install-keys' })
    return vm
  }

  async #flow(bed: Testbed, source: VmHandle, destination: VmHandle): Promise<boolean> {
    this.#timeline.step(
      'five processes run',
      'platform, hypervisor, worker, source plugin, destination plugin',
    )
    const path = this.#options.data
    await source.run({ do: 'fill-memory', path })
    await source.run({ do: 'fill-disk', path, volume: 'source-disk' })
    this.#timeline.step(
      'source VM holds the data',
      `${bytesText(this.#data.length)} in memory, the same on its volume, both encrypted`,
    )
    const memory = await this.#memory(bed, source, destination)
    const disk = await this.#disk(bed, destination)
    this.#report(bed, [memory, disk])
    await this.#processes(bed, source, destination)
    return this.#ok
  }

  async #memory(bed: Testbed, source: VmHandle, destination: VmHandle): Promise<CopiedRow> {
    await bed.hypervisor.createClone(
      {
        clone: 'memory',
        source: 'source',
        destination: 'destination',
        storage: {
          case: 'memory',
          value: { pairs: [{ first: 0n, second: 0n, count: BigInt(this.#blocks) }] },
        },
      },
      { deadlineMs: 120_000 },
    )
    this.#timeline.claims(source, destination)
    const page = BigInt(Math.min(3, this.#blocks - 1))
    const firstFrame = await frameOf(bed, 'source', page)
    const before = await ciphertextOf(bed, firstFrame)
    const patch = randomBytes(24)
    await destination.run({ do: 'store', gpa: (page * 4096n + 100n).toString(), data: patch.toString('hex') })
    const secondFrame = await frameOf(bed, 'destination', page)
    const { receipts } = await bed.hypervisor.listReceipts({ clone: 'memory' })
    const writers = await writersOf(bed, secondFrame)
    const worker = (await bed.hypervisor.getWorker({})).status?.vm ?? 'unknown'
    this.#timeline.step(
      'one store of the destination faulted, was copied and landed',
      `frame ${firstFrame.toString()} -> frame ${secondFrame.toString()}`,
    )
    this.#check(receipts.length === 1, 'one store made one copy session and one receipt')
    this.#check(
      writers.join(', ') === `${worker} copy, destination store`,
      'the write log shows the worker, then the store, on the second block',
    )
    this.#check(
      before.equals(await ciphertextOf(bed, firstFrame)),
      'the first block is byte for byte what it was',
    )
    const started = performance.now()
    const blocks = await this.#finish(bed, 'memory')
    const ms = performance.now() - started
    const expected = this.#patched(Number(page) * BLOCK + 100, patch)
    return {
      kind: 'memory pages',
      blocks,
      ms,
      sourceCompared: await this.#readMemory(bed, 'source', this.#data),
      compared: await this.#readMemory(bed, 'destination', expected),
    }
  }

  async #disk(bed: Testbed, destination: VmHandle): Promise<CopiedRow> {
    await bed.hypervisor.createClone(
      {
        clone: 'disk',
        source: 'source',
        destination: 'destination',
        storage: {
          case: 'disk',
          value: { sourceVolume: 'source-disk', destinationVolume: 'destination-disk' },
        },
      },
      { deadlineMs: 120_000 },
    )
    const patch = randomBytes(512)
    const offset = Math.min(5, this.#blocks - 1) * BLOCK + 512
    await destination.run({
      do: 'write-disk',
      volume: 'destination-disk',
      offset: String(offset),
      data: patch.toString('hex'),
    })
    const { receipts } = await bed.hypervisor.listReceipts({ clone: 'disk' })
    this.#timeline.step(
      'one sector written to the cloned volume',
      'its block was copied first, then the write landed',
    )
    this.#check(receipts.length === 1, 'one partial write made one copy session and one receipt')
    const started = performance.now()
    const blocks = await this.#finish(bed, 'disk')
    const ms = performance.now() - started
    return {
      kind: 'disk blocks',
      blocks,
      ms,
      sourceCompared: await this.#readDisk(bed, 'source', this.#data),
      compared: await this.#readDisk(bed, 'destination', this.#patched(offset, patch)),
    }
  }

  async #finish(bed: Testbed, clone: string): Promise<bigint> {
    let copied = 0n
    for await (const progress of bed.hypervisor.finishClone({ clone }, { deadlineMs: Infinity })) {
      copied = progress.copied
      this.#out.progress(`${clone}: ${copied.toString()} of ${progress.blocks.toString()} blocks`)
    }
    this.#timeline.step(`the rest of the ${clone} clone was copied`, `${copied.toString()} blocks done`)
    return copied
  }

  #patched(offset: number, patch: Uint8Array): Uint8Array {
    const expected = new Uint8Array(this.#blocks * BLOCK)
    expected.set(this.#data)
    expected.set(patch, offset)
    return expected
  }

  #readMemory(bed: Testbed, vm: 'source' | 'destination', expected: Uint8Array): Promise<Comparison> {
    return compareBlocks(this.#blocks, expected, async (first, count) => {
      const { mappings } = await bed.hypervisor.getMemoryMap({ vm, index: BigInt(first), count })
      const frames = mappings.map((mapping) => mapping.frame ?? 0n)
      const { ciphertext } = await bed.hypervisor.inspectFrames({ frames })
      return frames.map((frame, index) =>
        openPage(this.#keys[vm].root, frame, ciphertext.subarray(index * BLOCK, (index + 1) * BLOCK)),
      )
    })
  }

  #readDisk(bed: Testbed, vm: 'source' | 'destination', expected: Uint8Array): Promise<Comparison> {
    return compareBlocks(this.#blocks, expected, async (first, count) => {
      const { ciphertext } = await bed.hypervisor.inspectVolume({
        volume: `${vm}-disk`,
        block: BigInt(first),
        count,
      })
      return Array.from({ length: count }, (_unused, index) =>
        openDiskBlock(
          this.#keys[vm].volume,
          BigInt(first + index),
          ciphertext.subarray(index * BLOCK, (index + 1) * BLOCK),
        ),
      )
    })
  }

  #report(bed: Testbed, rows: readonly CopiedRow[]): void {
    const clean = (compared: Comparison) =>
      compared.different.length === 0
        ? `${String(compared.blocks)} equal`
        : `${String(compared.different.length)} DIFFER`
    this.#out.line()
    for (const line of table(
      ['what', 'copied', 'time', 'blocks/s', 'source, read independently', 'destination, read independently'],
      rows.map((row) => [
        row.kind,
        row.blocks.toString(),
        timeText(row.ms),
        String(Math.round((Number(row.blocks) / row.ms) * 1000)),
        clean(row.sourceCompared),
        clean(row.compared),
      ]),
    )) {
      this.#out.line(line)
    }
    for (const row of rows) {
      const equal = row.compared.different.length === 0 && row.sourceCompared.different.length === 0
      this.#check(equal, `every block of the ${row.kind} reads as expected`)
    }
    this.#timeline.result(
      'copied',
      rows.map((row) => ({
        ...row,
        compared: row.compared.different,
        sourceCompared: row.sourceCompared.different,
      })),
    )
    this.#timeline.result('measurement', bed.addresses.measurement)
  }

  async #processes(bed: Testbed, source: VmHandle, destination: VmHandle): Promise<void> {
    const { pid } = await bed.hypervisor.getWorker({})
    const processes = [
      { name: 'platform', pid: bed.addresses.pids.platform },
      { name: 'hypervisor', pid: bed.addresses.pids.hypervisor },
      { name: 'worker', pid },
      { name: 'source plugin', pid: source.pid },
      { name: 'destination plugin', pid: destination.pid },
      { name: 'demo, with the independent reader', pid: process.pid },
    ].map((one) => ({ ...one, peakBytes: peakMemory(one.pid), cpuMs: processorTime(one.pid) }))
    this.#out.line()
    for (const line of table(
      ['process', 'pid', 'peak memory', 'processor time'],
      processes.map((one) => [one.name, String(one.pid), bytesText(one.peakBytes), timeText(one.cpuMs)]),
    )) {
      this.#out.line(line)
    }
    this.#timeline.result('processes', processes)
  }

  #check(holds: boolean, what: string): void {
    this.#ok &&= holds
    this.#timeline.check(holds, what)
  }

  /** What was found, for --json. */
  get findings(): Readonly<Record<string, unknown>> {
    return this.#timeline.findings
  }
}

function ownerKeys(): OwnerKeys {
  return { root: randomBytes(32), volume: randomBytes(64) }
}

async function frameOf(bed: Testbed, vm: string, page: bigint): Promise<bigint> {
  const { mappings } = await bed.hypervisor.getMemoryMap({ vm, index: page, count: 1 })
  return mappings[0]?.frame ?? 0n
}

async function ciphertextOf(bed: Testbed, frame: bigint): Promise<Buffer> {
  return Buffer.from((await bed.hypervisor.inspectFrames({ frames: [frame] })).ciphertext)
}

async function writersOf(bed: Testbed, frame: bigint): Promise<string[]> {
  const { entries } = await bed.hypervisor.getWriteLog({ since: 1n, frame })
  return entries.filter((entry) => entry.cause !== 'scrub').map((entry) => `${entry.writer} ${entry.cause}`)
}
