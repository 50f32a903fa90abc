/**
 * Has the worker copy guest pages into frames of the registration's pool. A session that fails as a whole is taken apart,
 * so that one bad page or frame does not keep the others from being copied.
 * Source: design.md section 6; worker.proto (Copy).
 */
import { type BlockCopy, PalimpsestError, type Role } from '../../sdk/rpc/index.ts'
import { type CloneLink, type LiveRegistration, asError, isLoss } from './clone-storage.ts'
import type { BatchOutcome } from './copy-queue.ts'
import type { MemoryHost } from './memory-host.ts'

/** How often one block is tried again when its frame or generation does not suit. */
const blockAttempts = 3

/** A page that has a frame of its own. */
export interface OwnPage {
  readonly vm: string
  readonly index: bigint
  readonly frame: bigint
}

/** The pages of a clone, as the copier sees them. */
export interface CopiedPages {
  /** Whether the page of that side still shares its frame. */
  shares(role: Role, index: bigint): boolean
  /** What the worker is asked for. */
  block(role: Role, index: bigint, secondFrame: bigint | undefined): BlockCopy
  /** Switches the maps of pages that were copied. */
  switchTo(role: Role, pages: readonly OwnPage[]): Promise<void>
}

interface Step {
  /** Pages that are done with, copied or not. */
  readonly settled: ReadonlySet<bigint>
  readonly failed: readonly { readonly block: bigint; readonly error: unknown }[]
}

/** Copies pages of one clone. */
export class MemoryCopier {
  readonly #link: CloneLink
  readonly #host: Pick<MemoryHost, 'gates' | 'workers' | 'receipts' | 'log'>
  readonly #pages: CopiedPages

  constructor(
    link: CloneLink,
    host: Pick<MemoryHost, 'gates' | 'workers' | 'receipts' | 'log'>,
    pages: CopiedPages,
  ) {
    this.#link = link
    this.#host = host
    this.#pages = pages
  }

  /** Copies pages of one side; what could not be copied yet or at all is in the outcome. */
  copy(role: Role, indexes: readonly bigint[]): Promise<BatchOutcome> {
    return this.#host.gates.shared(this.#link.source, async () => {
      const again: bigint[] = []
      const failed: { block: bigint; error: unknown }[] = []
      let rest = indexes.filter((index) => this.#pages.shares(role, index))
      while (rest.length > 0) {
        const live = this.#link.live()
        const step = live === undefined ? undefined : await this.#session(role, live, rest)
        if (step === undefined) {
          again.push(...rest)
          break
        }
        failed.push(...step.failed)
        rest = rest.filter((index) => !step.settled.has(index))
      }
      return { again, failed }
    })
  }

  /** One copy session of some of the pages. Undefined when the registration is gone. */
  async #session(role: Role, live: LiveRegistration, pages: readonly bigint[]): Promise<Step | undefined> {
    const { registration, pools } = live.terms
    const pool = pools?.[role]
    if (pool === undefined) throw new TypeError('expected pools in the terms of a memory registration')
    let frames: bigint[]
    try {
      frames = await pool.take(pages.length)
    } catch (error) {
      this.#link.lost(registration, asError(error))
      return undefined
    }
    const part = pages.slice(0, frames.length)
    try {
      await this.#store(role, live, part, frames)
      return { settled: new Set(part), failed: [] }
    } catch (error) {
      if (isLoss(error)) {
        this.#link.lost(registration, error)
        return undefined
      }
      pool.giveBack(frames)
      const isPlain = part.length === 1 && !isWorthAnotherTry(error)
      return isPlain ? this.#failed(part, error) : this.#oneByOne(role, live, part)
    }
  }

  /** Finds out which page of a refused session can not be copied, so that the others are. */
  async #oneByOne(role: Role, live: LiveRegistration, pages: readonly bigint[]): Promise<Step | undefined> {
    const settled = new Set<bigint>()
    const failed: { block: bigint; error: unknown }[] = []
    for (const page of pages) {
      const outcome = await this.#alone(role, live, page)
      if (outcome === 'lost') return undefined
      settled.add(page)
      if (outcome !== 'copied') failed.push({ block: page, error: outcome })
    }
    return { settled, failed }
  }

  async #alone(
    role: Role,
    live: LiveRegistration,
    page: bigint,
  ): Promise<'copied' | 'lost' | PalimpsestError> {
    const pool = live.terms.pools?.[role]
    for (let attempt = 1; pool !== undefined; attempt++) {
      try {
        const frames = await pool.take(1)
        try {
          await this.#store(role, live, [page], frames)
          return 'copied'
        } catch (error) {
          // A frame that is in use is not tried again; settling the registration finds out what it is.
          if (!(error instanceof PalimpsestError && error.code === 'DEST_IN_USE')) pool.giveBack(frames)
          throw error
        }
      } catch (error) {
        if (isLoss(error)) {
          this.#link.lost(live.terms.registration, error)
          return 'lost'
        }
        if (!isWorthAnotherTry(error) || attempt === blockAttempts) return asError(error)
      }
    }
    return 'lost'
  }

  #failed(pages: readonly bigint[], error: unknown): Step {
    this.#host.log.warn({ clone: this.#link.name, err: error }, 'a page can not be copied')
    return { settled: new Set(pages), failed: pages.map((block) => ({ block, error: asError(error) })) }
  }

  /** Has the worker copy pages into frames, and switches the maps after its receipt. */
  async #store(
    role: Role,
    live: LiveRegistration,
    pages: readonly bigint[],
    frames: readonly bigint[],
  ): Promise<void> {
    const blocks = pages.map((page, i) => this.#pages.block(role, page, frames[i]))
    const { registration } = live.terms
    const { receipt } = await this.#host.workers.stream.store({ registration, writer: role, blocks })
    live.terms.pools?.[role].used(frames)
    this.#host.receipts.note(this.#link.name, receipt)
    const vm = this.#link[role]
    await this.#pages.switchTo(
      role,
      pages.map((index, i) => ({ vm, index, frame: frames[i] ?? 0n })),
    )
  }
}

/** Whether a page may be copied after all, into another frame or from a newer generation. */
function isWorthAnotherTry(error: unknown): boolean {
  return error instanceof PalimpsestError && ['DEST_IN_USE', 'GENERATION_CHANGED'].includes(error.code)
}
