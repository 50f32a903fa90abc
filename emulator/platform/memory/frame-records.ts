// The rows of the frame ownership table in 12 bytes a frame: state, generation, binding, guest page. Slabs exist only
// where a frame was ever used; rows are kept when a frame is freed, because its generation must never repeat (a copy
// made from an older generation is void, systems 2.7).

import type { FrameState } from '../../../sdk/rpc/index.ts'

const SLAB_BITS = 12
const SLAB_FRAMES = 1 << SLAB_BITS
const TWO_32 = 2 ** 32
/** Bytes of one row; with 4 for the VM's own index, 16 a touched frame. */
const ROW_BYTES = 12

/** States by their code in a row. */
const states: readonly FrameState[] = ['free', 'reserved', 'private', 'shared-ro']

/** Columns of 4096 rows, over one buffer. */
interface Slab {
  readonly generationLow: Uint32Array
  readonly index: Uint32Array
  readonly binding: Uint16Array
  readonly generationHigh: Uint8Array
  readonly state: Uint8Array
}

function newSlab(): Slab {
  const buffer = new ArrayBuffer(SLAB_FRAMES * ROW_BYTES)
  return {
    generationLow: new Uint32Array(buffer, 0, SLAB_FRAMES),
    index: new Uint32Array(buffer, 4 * SLAB_FRAMES, SLAB_FRAMES),
    binding: new Uint16Array(buffer, 8 * SLAB_FRAMES, SLAB_FRAMES),
    generationHigh: new Uint8Array(buffer, 10 * SLAB_FRAMES, SLAB_FRAMES),
    state: new Uint8Array(buffer, 11 * SLAB_FRAMES, SLAB_FRAMES),
  }
}

/** One row per frame. Knows nothing of what a move means; {@link ../ownership.ts} does. */
export class FrameRecords {
  readonly #slabs: (Slab | undefined)[]
  readonly #totals: Record<FrameState, number>

  constructor(frames: number) {
    this.#slabs = Array.from({ length: Math.ceil(frames / SLAB_FRAMES) })
    this.#totals = { free: frames, reserved: 0, private: 0, 'shared-ro': 0 }
  }

  /** Number of frames in each state. */
  get totals(): Readonly<Record<FrameState, number>> {
    return this.#totals
  }

  /** The state of a frame. */
  state(frame: number): FrameState {
    const slab = this.#slabs[frame >>> SLAB_BITS]
    return states[slab?.state[frame & (SLAB_FRAMES - 1)] ?? 0] ?? 'free'
  }

  /** Counts writes and state changes of a frame. */
  generation(frame: number): number {
    const slab = this.#slabs[frame >>> SLAB_BITS]
    if (slab === undefined) return 0
    const at = frame & (SLAB_FRAMES - 1)
    return (slab.generationHigh[at] ?? 0) * TWO_32 + (slab.generationLow[at] ?? 0)
  }

  /** Number of the binding (VM and key) of a frame. */
  binding(frame: number): number {
    return this.#slabs[frame >>> SLAB_BITS]?.binding[frame & (SLAB_FRAMES - 1)] ?? 0
  }

  /** Guest page of a frame's maker; for a RESERVED frame, the number of its registration. */
  index(frame: number): number {
    return this.#slabs[frame >>> SLAB_BITS]?.index[frame & (SLAB_FRAMES - 1)] ?? 0
  }

  /** Moves a frame to a state, which counts as a new generation. */
  move(frame: number, state: FrameState, binding: number, index: number): void {
    const slab = this.#slab(frame)
    const at = frame & (SLAB_FRAMES - 1)
    this.#totals[this.state(frame)]--
    this.#totals[state]++
    slab.state[at] = states.indexOf(state)
    slab.binding[at] = binding
    slab.index[at] = index
    this.bump(frame)
  }

  /** Binds a frame to another key without moving it. */
  rebind(frame: number, binding: number): void {
    this.#slab(frame).binding[frame & (SLAB_FRAMES - 1)] = binding
  }

  /** Counts a write: the new generation. */
  bump(frame: number): number {
    const slab = this.#slab(frame)
    const at = frame & (SLAB_FRAMES - 1)
    const low = (slab.generationLow[at] ?? 0) + 1
    slab.generationLow[at] = low
    if (low === TWO_32) slab.generationHigh[at] = (slab.generationHigh[at] ?? 0) + 1
    return this.generation(frame)
  }

  /** Every frame in `state`, ascending; frames may be moved while iterating. */
  *framesIn(state: FrameState): Generator<number> {
    const code = states.indexOf(state)
    for (const [number, slab] of this.#slabs.entries()) {
      if (slab === undefined) continue
      for (let at = 0; at < SLAB_FRAMES; at++) {
        if (slab.state[at] === code) yield number * SLAB_FRAMES + at
      }
    }
  }

  #slab(frame: number): Slab {
    return (this.#slabs[frame >>> SLAB_BITS] ??= newSlab())
  }
}
