/**
 * Nested page tables of all VMs: guest page -> frame and write bit, as the host wants them. Kept in leaves of 512
 * entries like the real tables, and pushed to the platform before they count here, so that this view never runs ahead.
 * Source: design.md section 6; x86-64 nested paging, 4 KiB leaves.
 */
import type { Mapping } from '../../sdk/rpc/index.ts'
import type { PlatformPort } from './ports.ts'

/** Where a guest page lies. */
export interface PageEntry {
  readonly frame: bigint
  readonly writable: boolean
}

const leafBits = 9n
const leafMask = 511n
/** Mappings per call: about 20 bytes each, far below the limit of a message. */
const batchSize = 16384

/** A leaf holds frame * 2 + writable + 1; 0 is "not present". Frames stay below 2^52, which a double holds exactly. */
type Leaf = Float64Array

/** The nested page tables that this host keeps. */
export class NestedMaps {
  readonly #platform: Pick<PlatformPort, 'setMappings'>
  readonly #tables = new Map<string, Map<bigint, Leaf>>()
  #bound: (frame: bigint) => void = () => undefined

  constructor(platform: Pick<PlatformPort, 'setMappings'>) {
    this.#platform = platform
  }

  /** Calls `bound` with every frame that a page is mapped to from now on. */
  onBound(bound: (frame: bigint) => void): void {
    this.#bound = bound
  }

  /** The entry of a guest page, if it is mapped. */
  get(vm: string, index: bigint): PageEntry | undefined {
    const value = this.#tables.get(vm)?.get(index >> leafBits)?.[Number(index & leafMask)] ?? 0
    if (value === 0) return undefined
    return { frame: BigInt(Math.floor((value - 1) / 2)), writable: (value - 1) % 2 === 1 }
  }

  /** Present mappings of `count` pages from `index` on, ascending. */
  range(vm: string, index: bigint, count: bigint): Mapping[] {
    const found: Mapping[] = []
    for (let page = index; page < index + count; page++) {
      const entry = this.get(vm, page)
      if (entry) found.push({ index: page, ...entry })
    }
    return found
  }

  /** All frames that a VM's pages are mapped to. */
  *frames(vm: string): Generator<bigint> {
    for (const leaf of this.#tables.get(vm)?.values() ?? []) {
      for (const value of leaf) {
        if (value !== 0) yield BigInt(Math.floor((value - 1) / 2))
      }
    }
  }

  /**
   * Sets mappings on the platform, then here. `retry` names faults that the platform ends in the step that sets the
   * last of the mappings.
   */
  async set(vm: string, mappings: readonly Mapping[], retry: readonly bigint[] = []): Promise<void> {
    for (let at = 0; at < mappings.length; at += batchSize) {
      const batch = mappings.slice(at, at + batchSize)
      const last = at + batchSize >= mappings.length
      await this.#platform.setMappings({ vm, mappings: batch, retry: last ? retry : [] })
      for (const mapping of batch) this.#note(vm, mapping)
    }
  }

  /** Forgets a VM that the platform has terminated. */
  drop(vm: string): void {
    this.#tables.delete(vm)
  }

  #note(vm: string, mapping: Mapping): void {
    if (mapping.frame !== undefined) this.#bound(mapping.frame)
    let table = this.#tables.get(vm)
    if (table === undefined) this.#tables.set(vm, (table = new Map<bigint, Leaf>()))
    const key = mapping.index >> leafBits
    let leaf = table.get(key)
    if (leaf === undefined) table.set(key, (leaf = new Float64Array(Number(leafMask) + 1)))
    leaf[Number(mapping.index & leafMask)] =
      mapping.frame === undefined ? 0 : Number(mapping.frame) * 2 + (mapping.writable ? 1 : 0) + 1
  }
}
