// A writer of LZMA streams of literals only: it compresses nothing but what the probabilities learn, and is enough to put
// any bytes into a section that has to be unpacked.
// Source: "LZMA specification" (Igor Pavlov, draft of 2015-06-14, public domain); lc = 3, lp = 0, pb = 2.

import { concatBytes } from '../../../../../../sdk/crypto/index.ts'
import { le } from '../../../../sdk/evidence/logs.ts'

const TOP = 2 ** 24
const PROPERTIES = 3 + 9 * (0 + 5 * 2)

class RangeEncoder {
  readonly #out: number[] = []
  #low = 0
  #range = 0xffffffff
  #cache = 0
  #pending = 1

  bit(model: Uint16Array, index: number, bit: number): void {
    const probability = model[index] ?? 0
    const bound = (this.#range >>> 11) * probability
    if (bit === 0) {
      this.#range = bound
      model[index] = probability + ((2048 - probability) >> 5)
    } else {
      this.#low += bound
      this.#range -= bound
      model[index] = probability - (probability >> 5)
    }
    this.#normalize()
  }

  /** `count` bits of equal probability. */
  direct(value: number, count: number): void {
    for (let place = count - 1; place >= 0; place -= 1) {
      this.#range >>>= 1
      if (((value >>> place) & 1) === 1) this.#low += this.#range
      this.#normalize()
    }
  }

  finish(): Uint8Array {
    for (let left = 5; left > 0; left -= 1) this.#shift()
    return Uint8Array.from(this.#out)
  }

  #normalize(): void {
    while (this.#range < TOP) {
      this.#range = (this.#range << 8) >>> 0
      this.#shift()
    }
  }

  #shift(): void {
    const carry = Number(this.#low >= 2 ** 32)
    if (this.#low < 0xff000000 || carry === 1) {
      for (let octet = this.#cache; this.#pending > 0; this.#pending -= 1, octet = 0xff) {
        this.#out.push((octet + carry) & 0xff)
      }
      this.#cache = Math.floor(this.#low / TOP) & 0xff
    }
    this.#pending += 1
    this.#low = (this.#low % TOP) * 256
  }
}

const fresh = (count: number) => new Uint16Array(count).fill(1024)

/** A `.lzma` stream of `content`; its header states `size`. */
export function lzma(
  content: Uint8Array,
  { endMarker = false, size = content.length }: { endMarker?: boolean; size?: number | bigint } = {},
): Uint8Array {
  const coder = new RangeEncoder()
  const isMatch = fresh(12 * 16)
  const literals = fresh(0x300 << 3)
  content.forEach((octet, at) => {
    coder.bit(isMatch, at & 3, 0)
    const model = literals.subarray(0x300 * ((content[at - 1] ?? 0) >> 5))
    let node = 1
    for (let place = 7; place >= 0; place -= 1) {
      const bit = (octet >> place) & 1
      coder.bit(model, node, bit)
      node = (node << 1) | bit
    }
  })
  if (endMarker) writeEndMarker(coder, isMatch, content.length & 3)
  return concatBytes(Uint8Array.of(PROPERTIES), le(4, 1 << 16), le(8, size), coder.finish())
}

/** A match of length 2 at the largest distance there is. */
function writeEndMarker(coder: RangeEncoder, isMatch: Uint16Array, positionState: number): void {
  coder.bit(isMatch, positionState, 1)
  coder.bit(fresh(12), 0, 0)
  const tree = (bits: number, value: number, reverse = false) => {
    const model = fresh(1 << bits)
    let node = 1
    for (let step = 0; step < bits; step += 1) {
      const bit = (value >> (reverse ? step : bits - 1 - step)) & 1
      coder.bit(model, node, bit)
      node = (node << 1) | bit
    }
  }
  coder.bit(fresh(2), 0, 0)
  tree(3, 0)
  tree(6, 63)
  coder.direct(2 ** 26 - 1, 26)
  tree(4, 15, true)
}
