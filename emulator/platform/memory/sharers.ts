// Names of SHARED_RO frames: per frame a list of (VM, guest page), in typed arrays, because a clone of a large VM makes
// millions of two-entry lists. The head of a frame's list lies in a sparse index, so unshared frames cost nothing.

import { SparseIndex } from './sparse.ts'

const CHUNK_BITS = 14
const CHUNK_NODES = 1 << CHUNK_BITS

/** List nodes; node numbers start at 1, so that 0 ends a list. */
interface Chunk {
  readonly vm: Uint16Array
  readonly index: Uint32Array
  readonly next: Uint32Array
}

/** One name: number of a VM and guest page. */
export interface FrameName {
  readonly vm: number
  readonly index: number
}

/** The names of each frame. */
export class SharerLists {
  readonly #heads = new SparseIndex()
  readonly #chunks: Chunk[] = []
  #nodes = 0
  #free = 0

  /** Adds a name, which the frame does not have yet. */
  add(frame: number, vm: number, index: number): void {
    const node = this.#take()
    const { chunk, at } = this.#at(node)
    chunk.vm[at] = vm
    chunk.index[at] = index
    chunk.next[at] = this.#heads.get(frame)
    this.#heads.set(frame, node)
  }

  /** Removes a name. Returns whether the frame had it. */
  remove(frame: number, vm: number, index: number): boolean {
    let previous = 0
    for (let node = this.#heads.get(frame); node !== 0;) {
      const { chunk, at } = this.#at(node)
      const next = chunk.next[at] ?? 0
      if (chunk.vm[at] === vm && chunk.index[at] === index) {
        if (previous === 0) this.#heads.set(frame, next)
        else this.#setNext(previous, next)
        this.#setNext(node, this.#free)
        this.#free = node
        return true
      }
      previous = node
      node = next
    }
    return false
  }

  /** The names of a frame, newest first. */
  list(frame: number): FrameName[] {
    const names: FrameName[] = []
    for (let node = this.#heads.get(frame); node !== 0;) {
      const { chunk, at } = this.#at(node)
      names.push({ vm: chunk.vm[at] ?? 0, index: chunk.index[at] ?? 0 })
      node = chunk.next[at] ?? 0
    }
    return names
  }

  /** Whether the frame has no name. */
  isEmpty(frame: number): boolean {
    return this.#heads.get(frame) === 0
  }

  /** Whether the frame has exactly one name. */
  isSingle(frame: number): boolean {
    const node = this.#heads.get(frame)
    if (node === 0) return false
    const { chunk, at } = this.#at(node)
    return chunk.next[at] === 0
  }

  #take(): number {
    if (this.#free !== 0) {
      const node = this.#free
      const { chunk, at } = this.#at(node)
      this.#free = chunk.next[at] ?? 0
      return node
    }
    if (this.#nodes % CHUNK_NODES === 0) {
      this.#chunks.push({
        vm: new Uint16Array(CHUNK_NODES),
        index: new Uint32Array(CHUNK_NODES),
        next: new Uint32Array(CHUNK_NODES),
      })
    }
    return ++this.#nodes
  }

  #setNext(node: number, next: number): void {
    const { chunk, at } = this.#at(node)
    chunk.next[at] = next
  }

  #at(node: number): { chunk: Chunk; at: number } {
    const chunk = this.#chunks[(node - 1) >>> CHUNK_BITS]
    if (chunk === undefined) throw new RangeError(`"node" expected 1..${this.#nodes}, got ${node}`)
    return { chunk, at: (node - 1) & (CHUNK_NODES - 1) }
  }
}
