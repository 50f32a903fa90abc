// A testbed for plugin authors: the emulator and a worker as real processes on real sockets, VMs with identities and
// keys, and a policy for exactly this emulator. A few lines make a test that crosses every wire.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Policy } from '../../sdk/attest/index.ts'
import { type ClientOf, createClient, HypervisorService } from '../../sdk/rpc/index.ts'
import { Authority } from './authority.ts'
import type { EmulatorAddresses } from './emulator.ts'
import { type Host, type HostOptions, startHost } from './host.ts'
import { learnPolicyFrom } from './policy.ts'
import { TestVm, type TestVmOptions } from './vm.ts'
import type { Peers, VmHost } from './vm-host.ts'

/** What to start; every field has a default. */
export interface TestbedOptions extends HostOptions {
  /** Folder for identities, state and volumes; default: a temporary one, removed at the end. */
  readonly directory?: string
}

/**
 * Starts a testbed.
 *
 * @example
 * const bed = await startTestbed()
 * const source = await bed.vm('source', { memoryBytes: 1 << 20 })
 * const destination = await bed.vm('destination', { memoryBytes: 1 << 20, unmapped: true })
 * await source.serveSource({ peers: [destination.identity] })
 * await destination.serveDestination({ peers: [source.identity] })
 * await bed.cloneMemory('clone', source, destination)
 * await destination.guest.store(0n, new Uint8Array([1, 2, 3]))
 * await bed.close()
 */
export async function startTestbed(options: TestbedOptions = {}): Promise<Testbed> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'palimpsest-'))
  const keep = options.directory !== undefined
  const host = await startHost(directory, options).catch((error: unknown) => {
    if (!keep) rmSync(directory, { recursive: true, force: true })
    throw error
  })
  const authority = Authority.open(host.addresses.authority)
  const operator = authority.identity('operator', 'operator')
  const hypervisor = createClient(HypervisorService, {
    address: host.addresses.hypervisor,
    tls: operator.tls,
  })
  return new Testbed({ directory, keep, host, authority, hypervisor })
}

/** A running testbed; see {@link startTestbed}. */
export class Testbed implements VmHost {
  readonly directory: string
  readonly authority: Authority
  /** The hypervisor's API, as the operator. */
  readonly hypervisor: ClientOf<typeof HypervisorService>
  readonly #keep: boolean
  readonly #host: Host
  readonly #vms: TestVm[] = []

  constructor(parts: {
    directory: string
    keep: boolean
    host: Host
    authority: Authority
    hypervisor: ClientOf<typeof HypervisorService>
  }) {
    this.directory = parts.directory
    this.#keep = parts.keep
    this.#host = parts.host
    this.authority = parts.authority
    this.hypervisor = parts.hypervisor
  }

  /** Where everything is reached. */
  get addresses(): EmulatorAddresses {
    return this.#host.addresses
  }

  /** The manufacturer's root certificate (PEM). */
  get trustAnchor(): string {
    return readFileSync(this.addresses.trustAnchor, 'utf8')
  }

  /** A policy that accepts exactly this emulator, its worker and these peers. */
  policy(peers: Peers): Promise<Policy> {
    return learnPolicyFrom(this.hypervisor, [this.trustAnchor], peers)
  }

  /** Creates a VM with an identity of its own, installs its keys, and returns its side of things. */
  async vm(name: string, options: TestVmOptions = {}): Promise<TestVm> {
    const vm = await TestVm.create(this, name, options)
    this.#vms.push(vm)
    return vm
  }

  /** Clones memory from page 0, `pages` pages (default: all of the source), to the same pages of the destination. */
  async cloneMemory(clone: string, source: TestVm, destination: TestVm, pages?: bigint): Promise<void> {
    const count = pages ?? BigInt(source.memoryBytes / 4096)
    await this.hypervisor.createClone(
      {
        clone,
        source: source.name,
        destination: destination.name,
        storage: { case: 'memory', value: { pairs: [{ first: 0n, second: 0n, count }] } },
      },
      { deadlineMs: 120_000 },
    )
  }

  /** Clones a volume of the source to a new volume of the destination. */
  async cloneVolume(
    clone: string,
    source: TestVm,
    destination: TestVm,
    volumes: { source: string; destination: string },
  ): Promise<void> {
    await this.hypervisor.createClone(
      {
        clone,
        source: source.name,
        destination: destination.name,
        storage: {
          case: 'disk',
          value: { sourceVolume: volumes.source, destinationVolume: volumes.destination },
        },
      },
      { deadlineMs: 120_000 },
    )
  }

  /** Copies what is still shared and returns the number of blocks that are done. */
  async finish(clone: string): Promise<bigint> {
    let copied = 0n
    for await (const progress of this.hypervisor.finishClone({ clone }, { deadlineMs: Infinity }))
      copied = progress.copied
    return copied
  }

  /** Ends plugins, processes and, unless the folder was given, removes it. */
  async close(): Promise<void> {
    await Promise.all(this.#vms.map((vm) => vm.close()))
    this.hypervisor.close()
    await this.#host.close()
    if (!this.#keep) rmSync(this.directory, { recursive: true, force: true })
  }
}
