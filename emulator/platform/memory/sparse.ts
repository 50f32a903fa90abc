// Tables over frame numbers and guest pages, which are many and mostly untouched: only what is touched costs memory.
// A table is a directory, which gives each group of 16 neighbours that is in use a place, and values by place in chunks.
// Touched alone, an entry of 4 bytes costs a group of 64 and, once per 64 MiB of memory, 4 KiB of directory; touched
// with its neighbours it costs 4.25 bytes.

const GROUP_BITS = 4
/** Neighbours that come and go together. */
const GROUP = 1 << GROUP_BITS
const PAGE_BITS = 10
const PAGE_GROUPS = 1 << PAGE_BITS
/** Positions run from 0 to 2^32 - 1. */
const MAX_POSITION = 0xffff_ffff
const CHUNK_BITS = 12

/** Values in one chunk of a table. */
export const CHUNK_VALUES = 1 << CHUNK_BITS

/** The chunk of a place. */
export const chunkOf = (place: number): number => place >>> CHUNK_BITS
/** Where in its chunk a place lies. */
export const withinChunk = (place: number): number => place & (CHUNK_VALUES - 1)

/** Positions 0..2^32-1 to places 0, 1, 2, ...: no more places than 16 for each group with a position in use. */
export class SparsePlaces {
  /** One page of the directory for 2^14 positions: numbers of groups, from 1 on. */
  readonly #pages = new Map<number, Uint32Array>()
  /** Numbers of groups that were dropped. */
  readonly #unused: number[] = []
  #groups = 0
  // Accesses come in runs, so the last page is the next one almost always.
  #lastKey = -1
  #lastPage: Uint32Array | undefined

  /** Bytes of the directory. */
  get bytes(): number {
    return this.#pages.size * PAGE_GROUPS * 4
  }

  /** The place of a position, or -1 when its group is not in use. */
  find(position: number): number {
    const group = this.#page(position)?.[pageIndex(position)] ?? 0
    return group === 0 ? -1 : placeIn(group, position)
  }

  /** The place of a position, whose group is in use from now on. Throws RangeError for a position out of range. */
  take(position: number): number {
    if (!(position >= 0 && position <= MAX_POSITION)) {
      throw new RangeError(`"position" expected 0..2^32-1, got ${position}`)
    }
    const page = this.#page(position) ?? this.#addPage(position)
    const group = (page[pageIndex(position)] ||= this.#unused.pop() ?? ++this.#groups)
    return placeIn(group, position)
  }

  /** The group of a position is not in use any more; another one will have its places. */
  drop(position: number): void {
    const page = this.#page(position)
    const group = page?.[pageIndex(position)] ?? 0
    if (page === undefined || group === 0) return
    page[pageIndex(position)] = 0
    this.#unused.push(group)
  }

  /** Every position of each group in use, with its place, ascending within 2^14; groups may be dropped meanwhile. */
  *entries(): Generator<readonly [position: number, place: number]> {
    for (const [key, page] of [...this.#pages]) {
      for (const [at, group] of page.entries()) {
        if (group === 0) continue
        const first = (key * PAGE_GROUPS + at) * GROUP
        for (let i = 0; i < GROUP; i++) yield [first + i, placeIn(group, i)]
      }
    }
  }

  #page(position: number): Uint32Array | undefined {
    const key = pageKey(position)
    if (key !== this.#lastKey) {
      const page = this.#pages.get(key)
      if (page === undefined) return undefined
      this.#lastKey = key
      this.#lastPage = page
    }
    return this.#lastPage
  }

  #addPage(position: number): Uint32Array {
    const page = new Uint32Array(PAGE_GROUPS)
    this.#pages.set(pageKey(position), page)
    return page
  }
}

const pageKey = (position: number): number => position >>> (GROUP_BITS + PAGE_BITS)
const pageIndex = (position: number): number => (position >>> GROUP_BITS) & (PAGE_GROUPS - 1)
const placeIn = (group: number, position: number): number => (group - 1) * GROUP + (position & (GROUP - 1))

/** Positions 0..2^32-1 to values 0..2^32-1, where 0 means "nothing here". */
export class SparseIndex {
  #places = new SparsePlaces()
  #chunks: Uint32Array[] = []

  /** Bytes of values and directory. */
  get bytes(): number {
    return this.#chunks.length * CHUNK_VALUES * 4 + this.#places.bytes
  }

  /** The value at `position`, 0 when there is none. */
  get(position: number): number {
    const place = this.#places.find(position)
    return place < 0 ? 0 : (this.#chunks[chunkOf(place)]?.[withinChunk(place)] ?? 0)
  }

  /** Sets the value at `position`; 0 removes it. */
  set(position: number, value: number): void {
    const place = value === 0 ? this.#places.find(position) : this.#places.take(position)
    if (place < 0) return
    const chunk = (this.#chunks[chunkOf(place)] ??= new Uint32Array(CHUNK_VALUES))
    chunk[withinChunk(place)] = value
    if (value === 0 && isEmptyGroup(chunk, withinChunk(place))) this.#places.drop(position)
  }

  /** Every position with a value; entries may be removed while iterating. */
  *entries(): Generator<readonly [position: number, value: number]> {
    for (const [position, place] of this.#places.entries()) {
      const value = this.#chunks[chunkOf(place)]?.[withinChunk(place)] ?? 0
      if (value !== 0) yield [position, value]
    }
  }

  /** Removes everything, and gives its memory back. */
  clear(): void {
    this.#places = new SparsePlaces()
    this.#chunks = []
  }
}

/** Whether all values around `at` that belong to its group are 0. */
function isEmptyGroup(chunk: Uint32Array, at: number): boolean {
  const first = at & ~(GROUP - 1)
  for (let i = first; i < first + GROUP; i++) if (chunk[i] !== 0) return false
  return true
}
