/**
 * Which guest pages share a frame, over all memory clones: who else has a name on it decides whether a writer needs a
 * copy, and when the frame is free. The platform's ownership table has the last word on both.
 * Source: systems.md 2.7 and 2.8 (last sharer).
 */

/** The shared pages of one clone. */
export interface SharedPages {
  readonly source: string
  readonly destination: string
  /** Whether the clone was deleted before all of it was copied: then no worker copies its pages. */
  readonly abandoned: boolean
  /** The frame that a page of the source was cloned from. */
  frameOf(first: bigint): bigint | undefined
  /** The destination's page for a page of the source. */
  secondOf(first: bigint): bigint | undefined
  /** The source's page for a page of the destination. */
  firstOf(second: bigint): bigint | undefined
  /** Whether the destination's page still is the shared frame. */
  destinationShares(second: bigint): boolean
  /** Whether the source's page still is the shared frame. */
  sourceShares(first: bigint): boolean
  /** Whether neither side shares a page any more. */
  readonly sharesNothing: boolean
  /** The source's page has a frame of its own now. */
  sourceLeft(first: bigint): void
  /** A VM has ended: its names are gone. Returns the pages of the source that it shared, under either name. */
  leave(vm: string): SharedFrame[]
}

/** A shared frame, named by the page of the source that it was made for. */
export interface SharedFrame {
  readonly source: string
  readonly first: bigint
  readonly frame: bigint
}

/** All memory clones that share frames. */
export class MemoryShares<C extends SharedPages = SharedPages> {
  readonly #clones = new Set<C>()

  add(clone: C): void {
    this.#clones.add(clone)
  }

  /** Forgets clones that share nothing any more. */
  prune(): void {
    for (const clone of this.#clones) {
      if (clone.sharesNothing) this.#clones.delete(clone)
    }
  }

  /** The clone that a page of a destination still shares a frame through. */
  ofDestination(vm: string, second: bigint): C | undefined {
    for (const clone of this.#clones) {
      if (clone.destination === vm && clone.destinationShares(second)) return clone
    }
    return undefined
  }

  /** Clones that a page of a source still shares a frame through, whoever else does. */
  ofSource(vm: string, first: bigint): C[] {
    return [...this.#clones].filter((clone) => clone.source === vm && clone.sourceShares(first))
  }

  /** Number of names on the frame that page `first` of VM `source` was cloned from. */
  names(source: string, first: bigint, frame: bigint): number {
    let destinations = 0
    let sourceShares = false
    for (const clone of this.#clones) {
      if (clone.source !== source || clone.frameOf(first) !== frame) continue
      sourceShares ||= clone.sourceShares(first)
      const second = clone.secondOf(first)
      if (second !== undefined && clone.destinationShares(second)) destinations += 1
    }
    return destinations + (sourceShares ? 1 : 0)
  }

  /** A page of a source has a frame of its own now. */
  sourceLeft(vm: string, first: bigint): void {
    for (const clone of this.#clones) {
      if (clone.source === vm) clone.sourceLeft(first)
    }
  }

  /**
   * A VM has ended: takes all its names off.
   * @returns `shared`, the frames that it had names on; and `free`, those of them that nobody has any more.
   */
  vmEnded(vm: string): { readonly shared: ReadonlySet<bigint>; readonly free: ReadonlySet<bigint> } {
    const concerned = [...this.#clones].filter((clone) => clone.source === vm || clone.destination === vm)
    const pages = concerned.flatMap((clone) => clone.leave(vm))
    const shared = new Set(pages.map((page) => page.frame))
    const unnamed = pages.filter((page) => this.names(page.source, page.first, page.frame) === 0)
    this.prune()
    return { shared, free: new Set(unnamed.map((page) => page.frame)) }
  }
}
