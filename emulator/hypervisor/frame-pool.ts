/**
 * Reserved frames of one side of a memory registration: second blocks that its plugin has granted keys for. Refilled
 * before it runs dry; a refill is a further grant under the same terms, without a new quote.
 * Source: design.md section 6; host_port.proto (ReserveFrames, ReleaseFrames); relay.proto (RefillRequested).
 */
import { PalimpsestError } from '../../sdk/rpc/index.ts'
import { eachOf, type FrameAllocator } from './frames.ts'
import type { PlatformPort } from './ports.ts'

/** What a pool needs of the rest of the host. */
export interface FramePoolHost {
  readonly frames: FrameAllocator
  readonly platform: Pick<PlatformPort, 'reserveFrames' | 'releaseFrames'>
  /** Gets further grants for frames from the side's plugin and hands them to the worker. */
  grant(frames: readonly bigint[]): Promise<void>
  /** Pages of this side that may still need a frame. */
  wanted(): bigint
}

/** Terms of a pool. */
export interface FramePoolTerms {
  readonly registration: string
  /** The VM that will own the frames. */
  readonly vm: string
  /** Frames to hold when full. */
  readonly size: bigint
}

/** The pool of one side of one registration. */
export class FramePool {
  readonly terms: FramePoolTerms
  readonly #host: FramePoolHost
  #available: bigint[] = []
  /** Reserved and not granted yet. */
  #pending: readonly bigint[] = []
  readonly #taken = new Set<bigint>()
  #refill: Promise<void> | undefined
  #reserving: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(terms: FramePoolTerms, host: FramePoolHost) {
    this.terms = terms
    this.#host = host
  }

  /** Number of frames that can be taken now. */
  get available(): number {
    return this.#available.length
  }

  /** Reserves the frames that the terms of the registration name; fewer when fewer pages want one. */
  async open(): Promise<readonly bigint[]> {
    await this.#reserve(this.#missing())
    this.#admit()
    return [...this.#available]
  }

  /** Takes one to `most` frames; waits for a refill when there is none. Rejects when the refill is refused. */
  async take(most: number): Promise<bigint[]> {
    while (this.#available.length === 0) await this.#refilled()
    const frames = this.#available.splice(0, most)
    for (const frame of frames) this.#taken.add(frame)
    const left = BigInt(this.#available.length)
    const enough = this.#host.wanted() - BigInt(this.#taken.size)
    // Ahead of need: whoever finds the pool empty awaits the same refill and learns what went wrong.
    if (left * 2n < this.terms.size && left < enough) this.#refilled().catch(() => undefined)
    return frames
  }

  /** Frames that a copy has landed in. */
  used(frames: Iterable<bigint>): void {
    for (const frame of frames) this.#taken.delete(frame)
  }

  /** Frames that were taken and not written. */
  giveBack(frames: Iterable<bigint>): void {
    for (const frame of frames) {
      if (this.#taken.delete(frame) && !this.#closed) this.#available.push(frame)
    }
  }

  /** Ends the pool. Returns the frames that are not known to have become somebody's; the caller settles them. */
  async close(): Promise<bigint[]> {
    this.#closed = true
    await this.#reserving
    const left = [...this.#available, ...this.#pending, ...this.#taken]
    this.#available = []
    this.#pending = []
    this.#taken.clear()
    return left
  }

  #refilled(): Promise<void> {
    this.#refill ??= this.#fill().finally(() => {
      this.#refill = undefined
    })
    return this.#refill
  }

  async #fill(): Promise<void> {
    const missing = this.#missing()
    await this.#reserve(missing > 0n ? missing : 1n)
    try {
      await this.#host.grant(this.#pending)
    } catch (error) {
      await this.#release()
      throw error
    }
    this.#admit()
  }

  /** Pending frames may be taken. After `close` there are none: they are the closer's. */
  #admit(): void {
    this.#available.push(...this.#pending)
    this.#pending = []
  }

  #missing(): bigint {
    const room = this.terms.size - BigInt(this.#available.length)
    const wanted = this.#host.wanted() - BigInt(this.#available.length + this.#taken.size)
    return room < wanted ? room : wanted
  }

  async #reserve(count: bigint): Promise<void> {
    if (this.#closed) throw endedError(this.terms.registration)
    if (count <= 0n) return
    const frames = [...eachOf(this.#host.frames.allocate(count))]
    const { registration, vm } = this.terms
    const reserving = this.#host.platform.reserveFrames({ registration, vm, frames })
    this.#reserving = reserving.catch(() => undefined)
    // Before the answer: whoever closes the pool meanwhile must settle these too.
    this.#pending = frames
    try {
      await reserving
    } catch (error) {
      await this.#release()
      throw error
    }
  }

  async #release(): Promise<void> {
    const frames = this.#pending
    this.#pending = []
    if (frames.length === 0) return
    // An empty list would mean "all of the registration". A refused reservation left nothing to release.
    await this.#host.platform
      .releaseFrames({ registration: this.terms.registration, frames })
      .catch(() => undefined)
    this.#host.frames.releaseAll(frames)
  }
}

function endedError(registration: string): PalimpsestError {
  return new PalimpsestError(
    'REGISTRATION_UNKNOWN',
    `expected a live registration, found that ${registration} has ended`,
  )
}
