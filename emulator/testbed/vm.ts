// One VM of a testbed: its identity and keys, its memory and disks as software inside the VM uses them, its plugin.

import type { Policy } from '../../sdk/attest/index.ts'
import { type KeyMode, Secret } from '../../sdk/crypto/index.ts'
import {
  defineDestinationPlugin,
  defineSourcePlugin,
  EncryptedDisk,
  Guest,
  keysByKind,
  memoryKeys,
  type PluginObserver,
  type PluginOptions,
  serve,
  type ServedPlugin,
  volumeKey,
} from '../../sdk/plugin/index.ts'
import { createLogger } from '../../sdk/rpc/index.ts'
import type { Identity } from './authority.ts'
import type { Peers, VmHost } from './vm-host.ts'

/** How a VM is made. */
export interface TestVmOptions {
  /** Guest physical memory; default 1 MiB. */
  readonly memoryBytes?: number
  /** Leave all guest pages without frames, as a place for cloned pages. */
  readonly unmapped?: boolean
  /** How its frames are keyed; default `location`. */
  readonly mode?: KeyMode
  /** Key of the share group, for `common` and `both` and to read the group's frames. */
  readonly group?: Secret
  /** Key for its frames; default: a random one. */
  readonly root?: Secret
  /** Key of its volumes; default: a random one. */
  readonly volumeKey?: Secret
  /** Identity to use; default: one of the VM's name. */
  readonly identity?: Identity
}

/** How a VM's plugin behaves; the defaults give its keys to whom the policy allows. */
export interface TestPluginOptions extends Partial<
  Pick<PluginOptions, 'keys' | 'onCopyRequested' | 'grantMs'>
> {
  /** Who may stand on the other side; used to learn a policy when none is given. */
  readonly peers?: Peers
  readonly policy?: Policy
  readonly onEvent?: PluginObserver
}

/** A VM of a testbed. */
export class TestVm {
  readonly name: string
  readonly identity: Identity
  readonly memoryBytes: number
  readonly guest: Guest
  readonly root: Secret
  readonly volumeKey: Secret
  readonly #bed: VmHost
  readonly #mode: KeyMode
  readonly #group: Secret | undefined
  readonly #plugins: ServedPlugin[] = []
  readonly #disks = new Map<string, EncryptedDisk>()

  private constructor(bed: VmHost, name: string, identity: Identity, options: TestVmOptions) {
    this.#bed = bed
    this.name = name
    this.identity = identity
    this.memoryBytes = options.memoryBytes ?? 1 << 20
    this.root = options.root ?? Secret.random(32)
    this.volumeKey = options.volumeKey ?? Secret.random(64)
    this.#mode = options.mode ?? 'location'
    this.#group = options.group
    this.guest = new Guest({
      address: bed.addresses.guestPort,
      credentials: { identity: identity.key, tls: identity.tls },
      trustAnchors: [bed.trustAnchor],
    })
  }

  /** Creates the VM at the hypervisor and installs its keys at the platform. */
  static async create(bed: VmHost, name: string, options: TestVmOptions): Promise<TestVm> {
    const identity = options.identity ?? bed.authority.identity(name, 'vm')
    const vm = new TestVm(bed, name, identity, options)
    await bed.hypervisor.createVm({
      vm: name,
      ownerPublicKey: identity.key.publicKey.spki,
      memoryBytes: BigInt(vm.memoryBytes),
      ...(options.unmapped === true ? { unmappedFrom: 0n } : {}),
    })
    const { root } = vm
    await vm.guest.installKeys({
      root,
      mode: vm.#mode,
      ...(options.group === undefined ? {} : { group: options.group }),
    })
    return vm
  }

  /** Creates an empty volume attached to this VM. */
  async createVolume(volume: string, size: number): Promise<EncryptedDisk> {
    await this.#bed.hypervisor.createVolume({ volume, vm: this.name, size: BigInt(size) })
    return this.disk(volume)
  }

  /** A volume of this VM, opened with its volume key. */
  disk(volume: string): EncryptedDisk {
    const known = this.#disks.get(volume)
    if (known !== undefined) return known
    const disk = new EncryptedDisk({
      hypervisor: this.#bed.addresses.hypervisor,
      credentials: { identity: this.identity.key, tls: this.identity.tls },
      volume,
      key: this.volumeKey,
    })
    this.#disks.set(volume, disk)
    return disk
  }

  /** Serves a source plugin for this VM. */
  serveSource(options: TestPluginOptions): Promise<ServedPlugin> {
    return this.#serve('source', options)
  }

  /** Serves a destination plugin for this VM. */
  serveDestination(options: TestPluginOptions): Promise<ServedPlugin> {
    return this.#serve('destination', options)
  }

  async close(): Promise<void> {
    await Promise.all(this.#plugins.map((plugin) => plugin.close()))
    this.guest.close()
    for (const disk of this.#disks.values()) disk.close()
  }

  async #serve(role: 'source' | 'destination', options: TestPluginOptions): Promise<ServedPlugin> {
    const { onCopyRequested, grantMs, onEvent } = options
    const define = role === 'source' ? defineSourcePlugin : defineDestinationPlugin
    const plugin = define({
      name: `${this.name}-${role}`,
      version: '1.0.0',
      policy: options.policy ?? (await this.#bed.policy(options.peers ?? [])),
      keys: options.keys ?? this.#keys(),
      ...(onCopyRequested === undefined ? {} : { onCopyRequested }),
      ...(grantMs === undefined ? {} : { grantMs }),
    })
    const served = await serve(plugin, {
      vm: this.name,
      hypervisor: this.#bed.addresses.hypervisor,
      credentials: { identity: this.identity.key, tls: this.identity.tls },
      log: createLogger({ name: plugin.name, level: 'error' }),
      ...(onEvent === undefined ? {} : { onEvent }),
    })
    this.#plugins.push(served)
    return served
  }

  #keys(): PluginOptions['keys'] {
    const group = this.#group === undefined ? {} : { group: this.#group }
    return keysByKind({
      memory: memoryKeys({ root: this.root, mode: this.#mode, ...group }),
      disk: volumeKey(this.volumeKey),
    })
  }
}
