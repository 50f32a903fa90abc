// What every attack starts from: a source and a destination VM whose policies were learnt from an honest boot, and a
// way to say how a clone attempt ended.

import type { Policy } from '../../../sdk/attest/index.ts'
import { PalimpsestError } from '../../../sdk/rpc/index.ts'
import { startTestbed, type Testbed, type TestbedOptions, type TestVm } from '../../testbed/index.ts'

const MEMORY = 64 << 10
const PAGES = 2n

/** Policies of both sides. */
export interface Policies {
  readonly source: Policy
  readonly destination: Policy
}

/** A testbed with two VMs whose plugins are attached. */
export class Stage {
  readonly bed: Testbed
  readonly source: TestVm
  readonly destination: TestVm
  readonly policies: Policies
  #clones = 0

  private constructor(bed: Testbed, source: TestVm, destination: TestVm, policies: Policies) {
    this.bed = bed
    this.source = source
    this.destination = destination
    this.policies = policies
  }

  /** Starts a stage; `policies` from an earlier one are kept, as a VM keeps its policy when its host is changed. */
  static async set(options: TestbedOptions, policies?: Policies): Promise<Stage> {
    const bed = await startTestbed(options)
    const source = await bed.vm('source', { memoryBytes: MEMORY })
    const destination = await bed.vm('destination', { memoryBytes: MEMORY, unmapped: true })
    const known = policies ?? {
      source: await bed.policy([destination.identity]),
      destination: await bed.policy([source.identity]),
    }
    await source.serveSource({ policy: known.source })
    await destination.serveDestination({ policy: known.destination })
    return new Stage(bed, source, destination, known)
  }

  /** Tries to clone two pages that were not cloned before; says "ok" or the code of the refusal. */
  async clone(destination: TestVm = this.destination): Promise<string> {
    const first = BigInt(this.#clones) * PAGES
    this.#clones += 1
    try {
      await this.bed.hypervisor.createClone(
        {
          clone: `attempt-${String(this.#clones)}`,
          source: this.source.name,
          destination: destination.name,
          storage: { case: 'memory', value: { pairs: [{ first, second: first, count: PAGES }] } },
        },
        { deadlineMs: 60_000 },
      )
      return 'ok'
    } catch (error) {
      if (error instanceof PalimpsestError) return error.code
      throw error
    }
  }
}
