// The worker's way to the platform: its own report, the platform's state, and frames. A thin domain face over
// WorkerPortService, so that the rest of the room sees no optional fields.

import {
  type ClientOf,
  type FrameCopy,
  type GetPlatformStateResponse,
  type KeyMode,
  PalimpsestError,
  type WorkerPortService,
} from '../rpc/index.ts'
import type { PlatformState } from './lease.ts'

/** Ciphertext of first frames, with what a lease depends on. */
export interface BegunCopies {
  readonly generations: readonly bigint[]
  readonly ciphertext: Uint8Array
  readonly state: PlatformState
  /** How the platform has both frames of each copy keyed. */
  readonly firstModes: readonly KeyMode[]
  readonly secondModes: readonly KeyMode[]
}

/** The platform, to one worker. */
export class PlatformPort {
  readonly #client: ClientOf<typeof WorkerPortService>
  #clock = 0n

  constructor(client: ClientOf<typeof WorkerPortService>) {
    this.#client = client
  }

  /** This worker's launch report with 32 bytes of report data. */
  async report(reportData: Uint8Array): Promise<Uint8Array> {
    return (await this.#client.getWorkerReport({ reportData })).report
  }

  async state(): Promise<PlatformState> {
    return this.#seen(await this.#client.getPlatformState({}))
  }

  /** The platform's clock as it last told it, in milliseconds; every copy asks it. */
  get clock(): bigint {
    return this.#clock
  }

  /** How a guest keys what it writes; undefined while its slot is empty. */
  async keyMode(vm: string): Promise<KeyMode | undefined> {
    const { slots } = await this.#client.describeKeySlots({ vms: [vm] })
    return slots[0]?.mode
  }

  /** Checks copies and returns the first frames' ciphertext. */
  async begin(registration: string, copies: readonly FrameCopy[]): Promise<BegunCopies> {
    const { state, ...begun } = await this.#client.beginCopies({ registration, copies })
    return { ...begun, state: this.#seen(present(state)) }
  }

  /** Stores re-encrypted frames, all or none, and returns the second frames' generations. */
  async commit(
    registration: string,
    copies: readonly FrameCopy[],
    generations: readonly bigint[],
    ciphertext: Uint8Array,
  ): Promise<readonly bigint[]> {
    const response = await this.#client.commitCopies({ registration, copies, generations, ciphertext })
    return response.generations
  }

  #seen(state: PlatformState): PlatformState {
    this.#clock = state.clock
    return state
  }
}

function present(state: GetPlatformStateResponse | undefined): PlatformState {
  if (state !== undefined) return state
  throw new PalimpsestError('INTERNAL', 'the platform answered without its state')
}
