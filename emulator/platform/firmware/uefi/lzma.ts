// A decoder of LZMA, in the file format `.lzma` that UEFI's LZMA sections hold: 13 octets of header, one stream. The
// uncompressed size must be stated, as UEFI needs it before it decompresses.
// Source: "LZMA specification" (Igor Pavlov, draft of 2015-06-14, public domain), whose names are used here.

import { type Area } from './area.ts'
import { probabilities, RangeDecoder } from './range-decoder.ts'

const HEADER_LENGTH = 13
const POSITION_STATES = 1 << 4
const STATES = 12
const LENGTH_STATES = 4
const MATCH_MIN_LENGTH = 2
const ALIGN_BITS = 4
/** Distances from here on have low bits of their own. */
const END_POSITION_MODEL = 14
const FULL_DISTANCES = 1 << (END_POSITION_MODEL >> 1)
const END_MARKER = 0xffffffff

/** Lengths of matches, less MATCH_MIN_LENGTH. */
class LengthDecoder {
  readonly #choice = probabilities(2)
  readonly #low = probabilities(POSITION_STATES << 3)
  readonly #middle = probabilities(POSITION_STATES << 3)
  readonly #high = probabilities(1 << 8)

  decode(coder: RangeDecoder, positionState: number): number {
    if (coder.bit(this.#choice, 0) === 0) return coder.tree(this.#low, 3, positionState << 3)
    if (coder.bit(this.#choice, 1) === 0) return 8 + coder.tree(this.#middle, 3, positionState << 3)
    return 16 + coder.tree(this.#high, 8)
  }
}

/** How far back a match lies, less one. */
class DistanceDecoder {
  readonly #slots = probabilities(LENGTH_STATES << 6)
  readonly #special = probabilities(1 + FULL_DISTANCES - END_POSITION_MODEL)
  readonly #align = probabilities(1 << ALIGN_BITS)

  decode(coder: RangeDecoder, length: number): number {
    const slot = coder.tree(this.#slots, 6, Math.min(length, LENGTH_STATES - 1) << 6)
    if (slot < 4) return slot
    const bits = (slot >> 1) - 1
    const distance = (2 | (slot & 1)) * 2 ** bits
    if (slot < END_POSITION_MODEL) return distance + coder.reverseTree(this.#special, bits, distance - slot)
    return (
      distance +
      coder.direct(bits - ALIGN_BITS) * 2 ** ALIGN_BITS +
      coder.reverseTree(this.#align, ALIGN_BITS)
    )
  }
}

interface Properties {
  /** literal context bits, literal position bits, position bits */
  readonly lc: number
  readonly lp: number
  readonly pb: number
  readonly dictionarySize: number
  readonly size: number
}

function readProperties(area: Area, limit: number): Properties {
  const packed = area.uint8(0, 'LZMA properties')
  if (packed >= 9 * 5 * 5) area.malformed(0, `expected LZMA properties below 225, found ${String(packed)}`)
  const size = area.uint64(5, 'uncompressed size')
  if (size > limit) {
    area.malformed(
      5,
      `expected an uncompressed size of at most ${String(limit)} bytes, found ${String(size)}`,
    )
  }
  return {
    lc: packed % 9,
    lp: Math.floor(packed / 9) % 5,
    pb: Math.floor(packed / 45),
    dictionarySize: Math.max(area.uint32(1, 'dictionary size'), 1 << 12),
    size,
  }
}

/** One stream; its output is its dictionary. */
class Decoder {
  readonly #area: Area
  readonly #properties: Properties
  readonly #coder: RangeDecoder
  readonly #output: Uint8Array
  #written = 0
  #state = 0
  /** distances of the last four matches, less one, the latest first */
  #recent: [number, number, number, number] = [0, 0, 0, 0]
  readonly #literals: Uint16Array
  readonly #isMatch = probabilities(STATES * POSITION_STATES)
  readonly #isRepeat = probabilities(STATES)
  readonly #isRepeat0 = probabilities(STATES)
  readonly #isRepeat0Long = probabilities(STATES * POSITION_STATES)
  readonly #isRepeat1 = probabilities(STATES)
  readonly #isRepeat2 = probabilities(STATES)
  readonly #lengths = new LengthDecoder()
  readonly #repeatLengths = new LengthDecoder()
  readonly #distances = new DistanceDecoder()

  constructor(area: Area, limit: number) {
    this.#area = area
    this.#properties = readProperties(area, limit)
    this.#literals = probabilities(0x300 << (this.#properties.lc + this.#properties.lp))
    this.#coder = new RangeDecoder(area, HEADER_LENGTH)
    this.#output = new Uint8Array(this.#properties.size)
  }

  decode(): Uint8Array {
    // An end marker may follow the last octet: then the coder is not empty yet.
    while (this.#written < this.#output.length || !this.#coder.empty) {
      if (!this.#step()) break
    }
    if (this.#written < this.#output.length || !this.#coder.empty) {
      const [all, found] = [String(this.#output.length), String(this.#written)]
      this.#malformed(`expected the end of the stream after ${all} bytes, found it after ${found}`)
    }
    return this.#output
  }

  #malformed(message: string): never {
    return this.#area.malformed(this.#coder.at, message)
  }

  /** One literal or match; false for the end marker. */
  #step(): boolean {
    const positionState = this.#written & ((1 << this.#properties.pb) - 1)
    const coder = this.#coder
    const at = this.#state * POSITION_STATES + positionState
    if (coder.bit(this.#isMatch, at) === 0) {
      this.#literal()
      return true
    }
    if (coder.bit(this.#isRepeat, this.#state) === 0) return this.#match(positionState)
    this.#repeat(at, positionState)
    return true
  }

  #match(positionState: number): boolean {
    const length = this.#lengths.decode(this.#coder, positionState)
    const distance = this.#distances.decode(this.#coder, length)
    if (distance === END_MARKER) return false
    this.#recent = [distance, this.#recent[0], this.#recent[1], this.#recent[2]]
    this.#state = this.#state < 7 ? 7 : 10
    this.#copy(length + MATCH_MIN_LENGTH)
    return true
  }

  /** A match at one of the last four distances. */
  #repeat(at: number, positionState: number): void {
    const coder = this.#coder
    const [first, second, third, fourth] = this.#recent
    if (coder.bit(this.#isRepeat0, this.#state) === 0) {
      if (coder.bit(this.#isRepeat0Long, at) === 0) {
        this.#state = this.#state < 7 ? 9 : 11
        this.#copy(1)
        return
      }
    } else if (coder.bit(this.#isRepeat1, this.#state) === 0) {
      this.#recent = [second, first, third, fourth]
    } else if (coder.bit(this.#isRepeat2, this.#state) === 0) {
      this.#recent = [third, first, second, fourth]
    } else {
      this.#recent = [fourth, first, second, third]
    }
    this.#state = this.#state < 7 ? 8 : 11
    this.#copy(this.#repeatLengths.decode(coder, positionState) + MATCH_MIN_LENGTH)
  }

  #copy(length: number): void {
    const distance = this.#recent[0] + 1
    if (distance > this.#written || distance > this.#properties.dictionarySize) {
      this.#malformed(
        `expected a match at most ${String(this.#written)} bytes back, found ${String(distance)}`,
      )
    }
    this.#room(length)
    // One by one: a match may overlap what it writes.
    const output = this.#output
    for (let left = length, at = this.#written; left > 0; left -= 1, at += 1)
      output[at] = output[at - distance] ?? 0
    this.#written += length
  }

  #literal(): void {
    this.#room(1)
    const { lc, lp } = this.#properties
    const previous = this.#output[this.#written - 1] ?? 0
    const context = ((this.#written & ((1 << lp) - 1)) << lc) + (previous >> (8 - lc))
    const model = this.#literals.subarray(0x300 * context, 0x300 * (context + 1))
    this.#output[this.#written] = this.#state < 7 ? this.#coder.tree(model, 8) : this.#afterMatch(model)
    this.#written += 1
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6
  }

  /** A literal after a match: it differs from the octet that the match would have gone on with. */
  #afterMatch(model: Uint16Array): number {
    let match = this.#output[this.#written - this.#recent[0] - 1] ?? 0
    let symbol = 1
    while (symbol < 0x100) {
      const matchBit = (match >> 7) & 1
      match <<= 1
      const bit = this.#coder.bit(model, ((1 + matchBit) << 8) + symbol)
      symbol = (symbol << 1) | bit
      if (matchBit !== bit) break
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#coder.bit(model, symbol)
    return symbol - 0x100
  }

  #room(length: number): void {
    if (length > this.#output.length - this.#written) {
      this.#malformed(`expected at most ${String(this.#output.length)} uncompressed bytes, found more`)
    }
  }
}

/**
 * Decompresses a `.lzma` stream of at most `limit` bytes of output.
 * Throws FirmwareError IMAGE_MALFORMED for a damaged or truncated stream, or one of unstated or larger size.
 */
export function decodeLzma(area: Area, limit: number): Uint8Array {
  return new Decoder(area, limit).decode()
}
