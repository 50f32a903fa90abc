/**
 * Generations of blocks: which content of a block a copier saw (design.md sections 2 and 6).
 *
 * A generation is a store-wide logical time: `session << 40 | counter`. The session is a number kept durably and
 * raised at every open, the counter lives in memory and rises with every write. So no two contents of a block ever
 * share a generation, across crashes too, without a stored counter per block:
 *
 * - a hole has generation 0;
 * - a block of a frozen layer has the time at which the layer was frozen: the same for ever, also after a restart;
 * - a block of a top layer has the time of its last write in this session, or the session's start.
 *
 * Last writes are kept in a table of fixed size that blocks 256 MiB apart share. Sharing can only make a block look
 * changed that was not (a copier tries again), never hide a change.
 */

const SLOTS = 65_536
const COUNTER_BITS = 40n

/** Generation of a block that nobody has written. */
export const HOLE_GENERATION = 0n

/** The logical clock of one open store. */
export class WriteClock {
  readonly #start: bigint
  readonly #lastWrite = new Float64Array(SLOTS)
  #counter = 0

  /** `session` is the durable number of this opening, at least 1. */
  constructor(session: number) {
    this.#start = BigInt(session) << COUNTER_BITS
  }

  /** A time later than every earlier one: what a layer's blocks become when the layer is frozen. */
  stamp(): bigint {
    this.#counter += 1
    return this.#start + BigInt(this.#counter)
  }

  /** Notes a write of `count` blocks of a layer. */
  touch(layer: number, first: number, count: number): void {
    this.#counter += 1
    for (let index = 0; index < Math.min(count, SLOTS); index++) {
      this.#lastWrite[slot(layer, first + index)] = this.#counter
    }
  }

  /** Generation of a block that lies in a top layer. */
  generation(layer: number, block: number): bigint {
    return this.#start + BigInt(this.#lastWrite[slot(layer, block)] ?? 0)
  }
}

function slot(layer: number, block: number): number {
  return (block + layer * 40_503) % SLOTS
}
