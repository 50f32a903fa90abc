// The rows of the frame ownership table in 11 bytes a frame: state, generation, binding, guest page. Rows exist only
// where a frame was ever used, and are kept when a frame is freed, because its generation must never repeat (a copy made
// from an older generation is void, systems 2.7).

import type { FrameState } from '../../../sdk/rpc/index.ts'
import { CHUNK_VALUES, chunkOf, SparsePlaces, withinChunk } from './sparse.ts'

const TWO_32 = 2 ** 32
/** Bytes of one row; with the VM's own index of its pages less than 16 a touched frame. */
const ROW_BYTES = 11

/** States by their code, the two low bits of a row's third column. */
const states: readonly FrameState[] = ['free', 'reserved', 'private', 'shared-ro']
const STATE_BITS = 2
const STATE_MASK = (1 << STATE_BITS) - 1

/** Columns of rows, over one buffer. */
interface Chunk {
  readonly generationLow: Uint32Array
  readonly index: Uint32Array
  /** Number of a binding, at most MAX_BINDINGS, above the state. */
  readonly binding: Uint16Array
  readonly generationHigh: Uint8Array
}

function newChunk(): Chunk {
  const buffer = new ArrayBuffer(CHUNK_VALUES * ROW_BYTES)
  return {
    generationLow: new Uint32Array(buffer, 0, CHUNK_VALUES),
    index: new Uint32Array(buffer, 4 * CHUNK_VALUES, CHUNK_VALUES),
    binding: new Uint16Array(buffer, 8 * CHUNK_VALUES, CHUNK_VALUES),
    generationHigh: new Uint8Array(buffer, 10 * CHUNK_VALUES, CHUNK_VALUES),
  }
}

/** One row per frame. Knows nothing of what a move means; {@link ../ownership.ts} does. */
export class FrameRecords {
  readonly #places = new SparsePlaces()
  readonly #chunks: Chunk[] = []
  readonly #totals: Record<FrameState, number>

  constructor(frames: number) {
    this.#totals = { free: frames, reserved: 0, private: 0, 'shared-ro': 0 }
  }

  /** Number of frames in each state. */
  get totals(): Readonly<Record<FrameState, number>> {
    return this.#totals
  }

  /** Bytes of rows and directory. */
  get bytes(): number {
    return this.#chunks.length * CHUNK_VALUES * ROW_BYTES + this.#places.bytes
  }

  /** The state of a frame. */
  state(frame: number): FrameState {
    const place = this.#places.find(frame)
    const cell = place < 0 ? 0 : (this.#chunks[chunkOf(place)]?.binding[withinChunk(place)] ?? 0)
    return states[cell & STATE_MASK] ?? 'free'
  }

  /** Counts writes and state changes of a frame. */
  generation(frame: number): number {
    const place = this.#places.find(frame)
    const chunk = place < 0 ? undefined : this.#chunks[chunkOf(place)]
    if (chunk === undefined) return 0
    const at = withinChunk(place)
    return (chunk.generationHigh[at] ?? 0) * TWO_32 + (chunk.generationLow[at] ?? 0)
  }

  /** Number of the binding (VM and key) of a frame. */
  binding(frame: number): number {
    const place = this.#places.find(frame)
    return place < 0 ? 0 : (this.#chunks[chunkOf(place)]?.binding[withinChunk(place)] ?? 0) >>> STATE_BITS
  }

  /** Guest page of a frame's maker; for a RESERVED frame, the number of its registration. */
  index(frame: number): number {
    const place = this.#places.find(frame)
    return place < 0 ? 0 : (this.#chunks[chunkOf(place)]?.index[withinChunk(place)] ?? 0)
  }

  /** Moves a frame to a state, which counts as a new generation. */
  move(frame: number, state: FrameState, binding: number, index: number): void {
    this.#totals[this.state(frame)]--
    this.#totals[state]++
    const { chunk, at } = this.#row(frame)
    chunk.binding[at] = (binding << STATE_BITS) | states.indexOf(state)
    chunk.index[at] = index
    this.bump(frame)
  }

  /** Binds a frame to another key without moving it. */
  rebind(frame: number, binding: number): void {
    const { chunk, at } = this.#row(frame)
    chunk.binding[at] = (binding << STATE_BITS) | ((chunk.binding[at] ?? 0) & STATE_MASK)
  }

  /** Counts a write: the new generation. */
  bump(frame: number): number {
    const { chunk, at } = this.#row(frame)
    const low = (chunk.generationLow[at] ?? 0) + 1
    chunk.generationLow[at] = low
    if (low === TWO_32) chunk.generationHigh[at] = (chunk.generationHigh[at] ?? 0) + 1
    return this.generation(frame)
  }

  /** Every frame in `state`; frames may be moved while iterating. */
  *framesIn(state: FrameState): Generator<number> {
    const code = states.indexOf(state)
    for (const [frame, place] of this.#places.entries()) {
      const cell = this.#chunks[chunkOf(place)]?.binding[withinChunk(place)] ?? 0
      if ((cell & STATE_MASK) === code) yield frame
    }
  }

  #row(frame: number): { readonly chunk: Chunk; readonly at: number } {
    const place = this.#places.take(frame)
    return { chunk: (this.#chunks[chunkOf(place)] ??= newChunk()), at: withinChunk(place) }
  }
}
