// Which VM made a frame and which key opens it, as one 14-bit number: a row of the ownership table stays small, and
// there are few such pairs, whatever the number of frames. A pair is forgotten when its last frame is.

/** Pairs that a 14-bit number can tell apart, with 0 for "none". */
export const MAX_BINDINGS = 0x3fff

/** A pair; compared by identity of both. */
export interface Binding<V, K> {
  readonly vm: V
  readonly key: K
}

interface Entry<V, K> extends Binding<V, K> {
  readonly number: number
  frames: number
}

/** Interned pairs of VM and key. Number 0 means "none". */
export class Bindings<V, K> {
  readonly #entries: (Entry<V, K> | undefined)[] = [undefined]
  readonly #byVm = new Map<V, Map<K, Entry<V, K>>>()
  readonly #unused: number[] = []

  /** The pair of a number that a frame holds. */
  get(number: number): Binding<V, K> | undefined {
    return this.#entries[number]
  }

  /** Pairs in use. */
  get size(): number {
    return this.#entries.length - 1 - this.#unused.length
  }

  /** Counts one more frame of a pair and returns its number. The table admits no VM for which this could fail. */
  take(vm: V, key: K): number {
    const entry = this.#byVm.get(vm)?.get(key) ?? this.#add(vm, key)
    entry.frames++
    return entry.number
  }

  /** Counts one frame less of a pair. */
  release(number: number): void {
    const entry = this.#entries[number]
    if (entry === undefined || --entry.frames > 0) return
    const ofVm = this.#byVm.get(entry.vm)
    ofVm?.delete(entry.key)
    if (ofVm?.size === 0) this.#byVm.delete(entry.vm)
    this.#entries[number] = undefined
    this.#unused.push(number)
  }

  #add(vm: V, key: K): Entry<V, K> {
    const number = this.#unused.pop() ?? this.#entries.length
    if (number > MAX_BINDINGS) throw new RangeError(`expected at most ${MAX_BINDINGS} pairs of VM and key`)
    const entry: Entry<V, K> = { vm, key, number, frames: 0 }
    this.#entries[number] = entry
    const ofVm = this.#byVm.get(vm) ?? new Map<K, Entry<V, K>>()
    this.#byVm.set(vm, ofVm.set(key, entry))
    return entry
  }
}
