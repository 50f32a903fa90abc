// A sparse array of 32-bit numbers: guest page -> frame, frame -> head of a list. Guest-physical and host-physical
// space are large and mostly untouched, so only leaves that are used cost memory: 2 KiB for 512 neighbours.

const LEAF_BITS = 9
const LEAF_ENTRIES = 1 << LEAF_BITS
/** Positions run from 0 to 2^32 - 1. */
const MAX_POSITION = 0xffff_ffff

interface Leaf {
  readonly values: Uint32Array
  used: number
}

/** Positions 0..2^32-1 to values 0..2^32-1, where 0 means "nothing here". */
export class SparseIndex {
  readonly #leaves = new Map<number, Leaf>()
  // Accesses come in runs, so the last leaf is the next one almost always.
  #lastKey = -1
  #lastLeaf: Leaf | undefined

  /** The value at `position`, 0 when there is none. */
  get(position: number): number {
    return this.#leaf(position >>> LEAF_BITS)?.values[position & (LEAF_ENTRIES - 1)] ?? 0
  }

  /** Sets the value at `position`; 0 removes it, and the last removal of a leaf gives its memory back. */
  set(position: number, value: number): void {
    if (!(position >= 0 && position <= MAX_POSITION)) {
      throw new RangeError(`"position" expected 0..2^32-1, got ${position}`)
    }
    const key = position >>> LEAF_BITS
    const leaf = this.#leaf(key) ?? (value === 0 ? undefined : this.#addLeaf(key))
    if (leaf === undefined) return
    const at = position & (LEAF_ENTRIES - 1)
    const before = leaf.values[at] ?? 0
    leaf.values[at] = value
    if (before === 0 && value !== 0) leaf.used++
    if (before !== 0 && value === 0 && --leaf.used === 0) this.#dropLeaf(key)
  }

  /** Every position with a value, in ascending order within a leaf; entries may be removed while iterating. */
  *entries(): Generator<readonly [position: number, value: number]> {
    for (const [key, leaf] of [...this.#leaves]) {
      for (let at = 0; at < LEAF_ENTRIES; at++) {
        const value = leaf.values[at] ?? 0
        if (value !== 0) yield [key * LEAF_ENTRIES + at, value]
      }
    }
  }

  /** Removes everything. */
  clear(): void {
    this.#leaves.clear()
    this.#lastKey = -1
    this.#lastLeaf = undefined
  }

  #leaf(key: number): Leaf | undefined {
    if (key === this.#lastKey) return this.#lastLeaf
    const leaf = this.#leaves.get(key)
    if (leaf !== undefined) {
      this.#lastKey = key
      this.#lastLeaf = leaf
    }
    return leaf
  }

  #addLeaf(key: number): Leaf {
    const leaf: Leaf = { values: new Uint32Array(LEAF_ENTRIES), used: 0 }
    this.#leaves.set(key, leaf)
    this.#lastKey = key
    this.#lastLeaf = leaf
    return leaf
  }

  #dropLeaf(key: number): void {
    this.#leaves.delete(key)
    this.#lastKey = -1
    this.#lastLeaf = undefined
  }
}
