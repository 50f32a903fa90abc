// One VM of the demo, as a process of its own: its plugin, its memory accesses and its encrypted disk. It is told what
// to do on standard input and reports on standard output.

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { policyFile } from '../../../sdk/attest/index.ts'
import { fromHex, Secret } from '../../../sdk/crypto/index.ts'
import {
  defineDestinationPlugin,
  defineSourcePlugin,
  EncryptedDisk,
  Guest,
  keysByKind,
  loadCredentials,
  memoryKeys,
  serve,
  volumeKey,
} from '../../../sdk/plugin/index.ts'
import { createClient, createLogger, HypervisorService } from '../../../sdk/rpc/index.ts'
import type { NumberedCommand, VmCommand, VmLine, VmSetup } from './protocol.ts'

/** Bytes read from a file and stored at a time. */
const CHUNK = 1 << 20

function say(line: VmLine): void {
  const text = JSON.stringify(line, (_key, value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
    return typeof value === 'bigint' ? value.toString() : value
  })
  process.stdout.write(`${text}\n`)
}

class VmProcess {
  readonly #setup: VmSetup
  readonly #credentials
  readonly #policy
  readonly #keys
  readonly #log = createLogger({ name: 'demo-vm', level: 'warn' })
  #guest: Guest | undefined
  readonly #disks = new Map<string, EncryptedDisk>()

  constructor(setup: VmSetup) {
    this.#setup = setup
    this.#credentials = loadCredentials(setup.identity)
    this.#policy = policyFile(setup.policy)
    this.#keys = { root: Secret.take(fromHex(setup.rootKey)), volume: Secret.take(fromHex(setup.volumeKey)) }
  }

  async start(): Promise<void> {
    const { vm, hypervisor, role } = this.#setup
    const define = role === 'source' ? defineSourcePlugin : defineDestinationPlugin
    const plugin = define({
      name: `demo-${role}`,
      version: '1.0.0',
      policy: this.#policy,
      keys: keysByKind({
        memory: memoryKeys({ root: this.#keys.root, mode: 'location' }),
        disk: volumeKey(this.#keys.volume),
      }),
    })
    const client = createClient(HypervisorService, { address: hypervisor, tls: this.#credentials.tls })
    const { guestPortAddress } = await client.getPlatform({})
    client.close()
    this.#guest = new Guest({
      address: guestPortAddress,
      credentials: this.#credentials,
      trustAnchors: this.#policy.trustAnchors,
    })
    await serve(plugin, {
      vm,
      hypervisor,
      credentials: this.#credentials,
      log: this.#log,
      onEvent: (event) => {
        say({ kind: 'event', at: Date.now(), event })
      },
    })
    say({ kind: 'ready' })
  }

  async run(command: VmCommand): Promise<void> {
    switch (command.do) {
      case 'install-keys':
        await this.#memory.installKeys({ root: this.#keys.root, mode: 'location' })
        return
      case 'fill-memory':
        return this.#fill(command.path, (offset, data) => this.#memory.store(offset, data))
      case 'fill-disk': {
        const disk = this.#disk(command.volume)
        await this.#fill(command.path, (offset, data) => disk.write(offset, padded(data)))
        await disk.flush()
        return
      }
      case 'store':
        await this.#memory.store(BigInt(command.gpa), fromHex(command.data))
        return
      case 'write-disk':
        await this.#disk(command.volume).write(BigInt(command.offset), fromHex(command.data))
        return
      case 'stop':
        process.exit(0)
    }
  }

  get #memory(): Guest {
    if (this.#guest === undefined) throw new TypeError('the VM has not started')
    return this.#guest
  }

  #disk(volume: string): EncryptedDisk {
    const known = this.#disks.get(volume)
    if (known !== undefined) return known
    const { hypervisor } = this.#setup
    const disk = new EncryptedDisk({
      hypervisor,
      credentials: this.#credentials,
      volume,
      key: this.#keys.volume,
    })
    this.#disks.set(volume, disk)
    return disk
  }

  async #fill(path: string, write: (offset: bigint, data: Uint8Array) => Promise<void>): Promise<void> {
    let offset = 0n
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK })) {
      const data = chunk as Uint8Array
      await write(offset, data)
      offset += BigInt(data.length)
    }
  }
}

/** `data` with zeros up to whole blocks: a disk has no half sectors. */
function padded(data: Uint8Array): Uint8Array {
  const size = Math.ceil(data.length / 4096) * 4096
  if (size === data.length) return data
  const whole = new Uint8Array(size)
  whole.set(data)
  return whole
}

async function answer(vm: VmProcess, command: NumberedCommand): Promise<void> {
  try {
    await vm.run(command)
    say({ kind: 'answer', id: command.id, ok: true })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'INTERNAL'
    const message = error instanceof Error ? error.message : 'unknown'
    say({ kind: 'answer', id: command.id, ok: false, code, message })
  }
}

/** Runs a VM of the demo until its standard input ends. */
export async function runVmProcess(): Promise<void> {
  let vm: VmProcess | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    if (vm === undefined) {
      vm = new VmProcess(JSON.parse(line) as VmSetup)
      await vm.start()
    } else void answer(vm, JSON.parse(line) as NumberedCommand)
  }
  process.exit(0)
}

await runVmProcess()
