// The range coder of LZMA: bits out of compressed octets, each with a probability that learns.
// Source: "LZMA specification" (Igor Pavlov, draft of 2015-06-14, public domain), whose names are used here.

import { type Area } from './area.ts'

const PROBABILITY_BITS = 11
const PROBABILITY_INIT = (1 << PROBABILITY_BITS) >> 1
const MOVE_BITS = 5
const TOP_VALUE = 2 ** 24

/** `count` probabilities that know nothing yet. */
export const probabilities = (count: number) => new Uint16Array(count).fill(PROBABILITY_INIT)

/** Takes bits out of the compressed octets. */
export class RangeDecoder {
  readonly #area: Area
  #at: number
  #range = 0xffffffff
  #code: number

  constructor(area: Area, at: number) {
    if (area.uint8(at, 'range coder') !== 0)
      area.malformed(at, 'expected 0 as first octet of the range coder')
    this.#area = area
    this.#code = new DataView(area.part(at + 1, 4, 'range coder').bytes.slice().buffer).getUint32(0)
    this.#at = at + 5
  }

  /** Where the next octet is read. */
  get at(): number {
    return this.#at
  }

  /** Whether nothing is left in the coder: true at the end of a sound stream. */
  get empty(): boolean {
    return this.#code === 0
  }

  #normalize(): void {
    if (this.#range >= TOP_VALUE) return
    const octet = this.#area.bytes[this.#at]
    if (octet === undefined)
      return this.#area.malformed(this.#at, 'expected more compressed octets, found the end')
    this.#at += 1
    this.#range = (this.#range << 8) >>> 0
    this.#code = ((this.#code << 8) | octet) >>> 0
  }

  /** Bits of equal probability, the highest first. */
  direct(count: number): number {
    let value = 0
    for (let left = count; left > 0; left -= 1) {
      this.#range >>>= 1
      const one = this.#code >= this.#range
      if (one) this.#code -= this.#range
      value = value * 2 + Number(one)
      this.#normalize()
    }
    return value
  }

  /** One bit, by the probability at `index`, which learns from it. */
  bit(model: Uint16Array, index: number): 0 | 1 {
    const probability = model[index] ?? PROBABILITY_INIT
    const bound = (this.#range >>> PROBABILITY_BITS) * probability
    const zero = this.#code < bound
    if (zero) {
      model[index] = probability + (((1 << PROBABILITY_BITS) - probability) >> MOVE_BITS)
      this.#range = bound
    } else {
      model[index] = probability - (probability >> MOVE_BITS)
      this.#range -= bound
      this.#code -= bound
    }
    this.#normalize()
    return zero ? 0 : 1
  }

  /**
   * A number of `bits` bits, the highest first, each by the probability that those before it select. The tree's root is
   * at `start` + 1.
   */
  tree(model: Uint16Array, bits: number, start = 0): number {
    let node = 1
    for (let left = bits; left > 0; left -= 1) node = (node << 1) | this.bit(model, start + node)
    return node - (1 << bits)
  }

  /** As tree(), the lowest bit first. */
  reverseTree(model: Uint16Array, bits: number, start = 0): number {
    let node = 1
    let value = 0
    for (let place = 0; place < bits; place += 1) {
      const bit = this.bit(model, start + node)
      node = (node << 1) | bit
      value |= bit << place
    }
    return value
  }
}
