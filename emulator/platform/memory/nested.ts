// Nested mappings: guest page -> frame and write bit, set by the host (systems, 2.8; feature C-16). They are the host's
// word and no more: the ownership table decides at each access.

import { SparseIndex } from './sparse.ts'

/** A mapping as set by the host. */
export interface NestedMapping {
  readonly frame: number
  readonly writable: boolean
}

/** The nested mappings of one VM. */
export class NestedMap {
  // frame + 1 in the upper 31 bits, so that 0 stays "not present"; the write bit below.
  readonly #entries = new SparseIndex()

  /** The mapping of guest page `index`, or undefined when it is not present. */
  get(index: number): NestedMapping | undefined {
    const entry = this.#entries.get(index)
    return entry === 0 ? undefined : { frame: (entry >>> 1) - 1, writable: (entry & 1) === 1 }
  }

  /** The frame that guest page `index` maps to, or -1: for the path that every load and store takes. */
  frame(index: number): number {
    return (this.#entries.get(index) >>> 1) - 1
  }

  /** Whether the mapping of guest page `index` allows stores; false when not present. */
  writable(index: number): boolean {
    return (this.#entries.get(index) & 1) === 1
  }

  /** Maps guest page `index`. */
  set(index: number, frame: number, writable: boolean): void {
    this.#entries.set(index, (((frame + 1) << 1) | (writable ? 1 : 0)) >>> 0)
  }

  /** Removes the mapping of guest page `index`. */
  remove(index: number): void {
    this.#entries.set(index, 0)
  }

  /** Removes all mappings. */
  clear(): void {
    this.#entries.clear()
  }
}
