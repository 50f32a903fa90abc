// What every attack starts from: a host that can be told to lie, a source and a destination VM that know only each
// other, and a way to say how a clone ended and that a refused one left nothing behind.

import { join } from 'node:path'
import type { RelayTampering } from '../../emulator/hypervisor/index.ts'
import { startTestbed, type Testbed, type TestbedOptions, type TestVm } from '../../emulator/testbed/index.ts'
import type { Policy } from '../../sdk/attest/index.ts'
import type { PluginEvent, ServedPlugin } from '../../sdk/plugin/index.ts'
import {
  type ChallengeReply,
  connect,
  type Connection,
  type CreateCloneRequest,
  type EvidenceDelivery,
  type GrantReply,
  type OpenOffer,
  PalimpsestError,
  type Role,
} from '../../sdk/rpc/index.ts'

/** Pages of each VM; an attempt clones the first that no clone has yet. */
const PAGES = 64
const PAGE = 4096

/** Which plugin an exchange is with. */
export type Side = Parameters<NonNullable<RelayTampering['evidence']>>[0]

/** One exchange as the host saw it. */
export interface Seen<T> {
  readonly side: Side
  readonly value: T
}

/** Policies of both sides; a VM keeps them when its host is changed. */
export interface Policies {
  readonly source: Policy
  readonly destination: Policy
}

/** How a scene is set. */
export interface SceneOptions {
  readonly honest?: boolean
  readonly policies?: Policies | ((learnt: Policies) => Policies)
}

/** Everything that a host hears while it relays honestly. */
class Heard {
  readonly offers: Seen<OpenOffer>[] = []
  readonly challenges: Seen<ChallengeReply & { readonly registration: string }>[] = []
  readonly evidence: Seen<EvidenceDelivery>[] = []
  readonly grants: Seen<GrantReply & { readonly registration: string }>[] = []
}

/** A host, two VMs and their plugins. */
export class Scene {
  readonly bed: Testbed
  readonly source: TestVm
  readonly destination: TestVm
  readonly policies: Policies
  /** What the host heard since the scene was set. */
  readonly heard: Heard
  readonly events: Seen<PluginEvent>[] = []
  readonly #lies: { now: RelayTampering }
  readonly #plugins: ServedPlugin[] = []
  #attempts = 0
  #cloned = 0n

  private constructor(parts: Pick<Scene, 'bed' | 'source' | 'destination' | 'policies' | 'heard'> & Liar) {
    this.bed = parts.bed
    this.source = parts.source
    this.destination = parts.destination
    this.policies = parts.policies
    this.heard = parts.heard
    this.#lies = parts.lies
  }

  /**
   * Sets a scene. The host lies when told to, unless `honest`. `policies` of an earlier scene are kept, as a VM keeps its
   * policy when its host is changed; a function may tighten those that are learnt.
   */
  static async set(options: TestbedOptions & SceneOptions = {}): Promise<Scene> {
    const { honest = false, policies, ...host } = options
    const heard = new Heard()
    const lies: { now: RelayTampering } = { now: {} }
    const bed = await startTestbed(honest ? host : { ...host, tampering: recording(heard, lies) })
    try {
      const source = await bed.vm('source', { memoryBytes: PAGES * PAGE })
      const destination = await bed.vm('destination', { memoryBytes: PAGES * PAGE, unmapped: true })
      // Touched, so that its memory has frames: what a refused clone leaves behind can be told then.
      await source.guest.store(0n, new Uint8Array(PAGES * PAGE))
      const learn = async () => ({
        source: await bed.policy([destination.identity]),
        destination: await bed.policy([source.identity]),
      })
      const known = typeof policies === 'object' ? policies : (policies?.(await learn()) ?? (await learn()))
      const scene = new Scene({ bed, source, destination, policies: known, heard, lies })
      await scene.serve()
      return scene
    } catch (error) {
      await bed.close()
      throw error
    }
  }

  /** Tries to clone a page that was not cloned before, while the host tells `lie`. Says "ok" or the code of the refusal. */
  attempt(lie: RelayTampering = {}, storage?: CreateCloneRequest['storage']): Promise<string> {
    return this.lying(lie, this.source, this.destination, storage)
  }

  /** Tries to clone between any two VMs, while the host tells `lie`. */
  async lying(
    lie: RelayTampering,
    source: TestVm,
    destination: TestVm,
    storage?: CreateCloneRequest['storage'],
  ): Promise<string> {
    this.#lies.now = lie
    try {
      return await this.clone(source, destination, storage)
    } finally {
      this.#lies.now = {}
    }
  }

  /** Tries to clone between any two VMs. */
  async clone(source: TestVm, destination: TestVm, storage?: CreateCloneRequest['storage']): Promise<string> {
    const page = this.#cloned
    this.#attempts += 1
    try {
      await this.bed.hypervisor.createClone(
        {
          clone: `attempt-${String(this.#attempts)}`,
          source: source.name,
          destination: destination.name,
          storage: storage ?? {
            case: 'memory',
            value: { pairs: [{ first: page, second: page, count: 1n }] },
          },
        },
        { deadlineMs: 60_000 },
      )
      if (storage === undefined) this.#cloned += 1n
      return 'ok'
    } catch (error) {
      if (error instanceof PalimpsestError) return error.code
      throw error
    }
  }

  /** What a refused clone must not change: clones, mappings, and who owns which frames. */
  async state(vms: readonly TestVm[] = [this.source, this.destination]): Promise<object> {
    const { hypervisor } = this.bed
    const maps = await Promise.all(
      vms.map(({ name }) => hypervisor.getMemoryMap({ vm: name, index: 0n, count: PAGES })),
    )
    const frames = maps.flatMap(({ mappings }) => mappings.map(({ frame }) => frame ?? 0n))
    const { rows } = await hypervisor.inspectFrames({ frames })
    const { clones } = await hypervisor.listClones({})
    return { maps, rows, clones: clones.map(({ clone, copied }) => ({ clone, copied })) }
  }

  /** Registrations at the worker: a refused one is closed and its keys are wiped. */
  async registrations(): Promise<object> {
    const { registrations } = await this.bed.hypervisor.listRegistrations({})
    return registrations.map(({ registration, state, keys }) => ({ registration, state, keys }))
  }

  /** How often a side gave keys for the clone that was tried last. */
  keysSent(role: Role): number {
    const registrations = `attempt-${String(this.#attempts)}-`
    return this.events.filter(({ side, value }) => {
      return side.role === role && value.event === 'KEYS_SENT' && value.registration.startsWith(registrations)
    }).length
  }

  /** The last thing of a kind that the host heard from a side. */
  last<K extends keyof Heard>(kind: K, role: Role): Heard[K][number]['value'] {
    const found = this.heard[kind].findLast(({ side }) => side.role === role)
    if (found === undefined) throw new Error(`the host heard no ${kind} of the ${role} yet`)
    return found.value
  }

  /** A connection to a port of the host or the platform as the hypervisor, which is what a malicious host is. */
  asHost(port: 'host' | 'worker-1' | 'data'): Connection {
    const { tls } = this.bed.authority.identity('hypervisor', 'hypervisor')
    return connect({ address: `unix:${join(this.bed.directory, 'run', `${port}.sock`)}`, tls })
  }

  close(): Promise<void> {
    return this.bed.close()
  }

  /** Serves the plugins of both VMs, in place of those before; `policies` may replace those that the VMs have. */
  async serve(policies: Partial<Policies> = {}): Promise<void> {
    for (const plugin of this.#plugins.splice(0)) await plugin.close()
    const { source, destination } = this
    const options = (vm: TestVm, role: Role) => ({
      policy: policies[role] ?? this.policies[role],
      onEvent: (value: PluginEvent) => {
        this.events.push({ side: { vm: vm.name, role }, value })
      },
    })
    this.#plugins.push(
      await source.serveSource(options(source, 'source')),
      await destination.serveDestination(options(destination, 'destination')),
    )
  }
}

interface Liar {
  readonly lies: { now: RelayTampering }
}

/** Relays, keeps what it hears, and lets the lie of the moment come in between. */
function recording(heard: Heard, lies: Liar['lies']): RelayTampering {
  return {
    copyRequested: (side, value, pass) => lies.now.copyRequested?.(side, value, pass) ?? pass(value),
    openOffer: async (side, value, pass) => {
      heard.offers.push({ side, value })
      const reply = await (lies.now.openOffer?.(side, value, pass) ?? pass(value))
      heard.challenges.push({ side, value: { ...reply, registration: value.registration } })
      return reply
    },
    evidence: async (side, value, pass) => {
      heard.evidence.push({ side, value })
      const reply = await (lies.now.evidence?.(side, value, pass) ?? pass(value))
      heard.grants.push({ side, value: { ...reply, registration: value.registration } })
      return reply
    },
    refill: (side, value, pass) => lies.now.refill?.(side, value, pass) ?? pass(value),
  }
}

/** A lie that is told to one side only. */
export function only(role: Role, lie: RelayTampering): RelayTampering {
  return {
    copyRequested: (side, value, pass) =>
      side.role === role && lie.copyRequested ? lie.copyRequested(side, value, pass) : pass(value),
    openOffer: (side, value, pass) =>
      side.role === role && lie.openOffer ? lie.openOffer(side, value, pass) : pass(value),
    evidence: (side, value, pass) =>
      side.role === role && lie.evidence ? lie.evidence(side, value, pass) : pass(value),
  }
}

/** A lie about the evidence alone. */
export function evidence(
  role: Role,
  change: (value: EvidenceDelivery) => EvidenceDelivery | Promise<EvidenceDelivery>,
): RelayTampering {
  return only(role, { evidence: async (_side, value, pass) => pass(await change(value)) })
}
