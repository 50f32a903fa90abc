// The engine over node:crypto. node's own aes-256-xts costs a cipher object a sector, some 8 µs whatever its size; so
// a batch of sectors goes through long-lived AES-256-ECB ciphers instead, with the XTS masks applied around them:
//   C' = E_B( D_A(C xor TA) xor (TA xor TB) ) xor TB       TA, TB: tweak masks, by linearity one chain for their xor
// One sector alone, and a few sectors under a new key, are still faster through aes-256-xts.

import { createCipheriv, createDecipheriv, type Cipher, type Decipher } from 'node:crypto'
import { xorChain } from './xor-chain.ts'
import { closedCipher, type EngineCore, type RawCipher, type RawSide } from './xts-core.ts'
import { tweakNumbers, type SectorLayout } from './xts.ts'

const BLOCK = 16
const HALF_KEY = 32
/** Bytes a batch: larger ones leave the cache and gain nothing. A multiple of every sector size. */
const BATCH = 65_536
/** Up to this many sectors a new key goes through aes-256-xts, because opening its ECB ciphers costs more. */
const DIRECT_SECTORS = 3
/** The batch works on words in memory order, which is the order of XTS on little-endian machines only. */
const canBatch = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

type Direction = 'encrypt' | 'decrypt'

// One scratch for the process: every call runs to its end without yielding, and clears what it used.
const scratch = new Uint8Array(BATCH)

/** The memory as words; a copy of it when it is not aligned. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes)
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
}

/** output = src xor chain, for any alignment of `output`. */
function maskInto(output: Uint8Array, src: Int32Array, starts: Int32Array, blocksPerSector: number): void {
  const words = wordsOf(output)
  xorChain(words, src, starts, blocksPerSector)
  if (words.byteOffset !== output.byteOffset || words.buffer !== output.buffer) {
    output.set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength))
  }
}

/** Visits bytes `from..to` of a call in pieces that fit the scratch, and clears the scratch at the end. */
function inBatches(length: number, visit: (from: number, to: number, work: Uint8Array) => void): void {
  for (let from = 0; from < length; from += BATCH) {
    const to = Math.min(from + BATCH, length)
    visit(from, to, scratch.subarray(0, to - from))
  }
  scratch.fill(0, 0, Math.min(length, BATCH))
}

class NodeCipher implements RawCipher {
  #key: Uint8Array | undefined
  #opened = false
  #encryptor: Cipher | undefined
  #decryptor: Decipher | undefined
  #tweaker: Cipher | undefined

  constructor(key: Uint8Array) {
    this.#key = new Uint8Array(key)
  }

  encrypt(layout: SectorLayout, input: Uint8Array, output: Uint8Array): void {
    this.#process('encrypt', layout, input, output)
  }

  decrypt(layout: SectorLayout, input: Uint8Array, output: Uint8Array): void {
    this.#process('decrypt', layout, input, output)
  }

  close(): void {
    this.#key?.fill(0)
    this.#key = this.#encryptor = this.#decryptor = this.#tweaker = undefined
  }

  /** Whether a call is better made through aes-256-xts: one sector, or few while the ECB ciphers are not open. */
  prefersDirect(sectors: number): boolean {
    if (!canBatch || sectors <= 1) return true
    const direct = !this.#opened && sectors <= DIRECT_SECTORS
    // A key that comes back is worth opening its ciphers.
    this.#opened = true
    return direct
  }

  /** Through node's aes-256-xts, one cipher object a sector: each update() is a data unit of its own. */
  direct(direction: Direction, layout: SectorLayout, input: Uint8Array, output: Uint8Array): void {
    const key = this.#part(0, 2 * HALF_KEY)
    const create = direction === 'encrypt' ? createCipheriv : createDecipheriv
    const tweaks = tweakNumbers(layout, 0, input.length / layout.sectorSize)
    for (let from = 0, at = 0; from < input.length; from += layout.sectorSize, at += BLOCK) {
      const cipher = create('aes-256-xts', key, tweaks.subarray(at, at + BLOCK))
      output.set(cipher.update(input.subarray(from, from + layout.sectorSize)), from)
    }
  }

  /** AES-256-ECB over whole blocks with the data key; the result is new memory. */
  blocks(direction: Direction, input: Uint8Array): Uint8Array {
    if (direction === 'encrypt') {
      this.#encryptor ??= createCipheriv('aes-256-ecb', this.#part(0, HALF_KEY), null).setAutoPadding(false)
      return this.#encryptor.update(input)
    }
    this.#decryptor ??= createDecipheriv('aes-256-ecb', this.#part(0, HALF_KEY), null).setAutoPadding(false)
    return this.#decryptor.update(input)
  }

  /** The encrypted tweaks of bytes `from..to` of a call, 4 words a sector, in new memory. */
  starts(layout: SectorLayout, from: number, to: number): Int32Array {
    this.#tweaker ??= createCipheriv('aes-256-ecb', this.#part(HALF_KEY, 2 * HALF_KEY), null).setAutoPadding(
      false,
    )
    return wordsOf(
      this.#tweaker.update(tweakNumbers(layout, from / layout.sectorSize, (to - from) / layout.sectorSize)),
    )
  }

  #part(from: number, to: number): Uint8Array {
    return (this.#key ?? closedCipher()).subarray(from, to)
  }

  #process(direction: Direction, layout: SectorLayout, input: Uint8Array, output: Uint8Array): void {
    if (this.#key === undefined) closedCipher()
    if (this.prefersDirect(input.length / layout.sectorSize)) {
      this.direct(direction, layout, input, output)
      return
    }
    const perSector = layout.sectorSize / BLOCK
    inBatches(input.length, (from, to, work) => {
      const starts = this.starts(layout, from, to)
      xorChain(wordsOf(work), wordsOf(input.subarray(from, to)), starts, perSector)
      const result = this.blocks(direction, work)
      maskInto(output.subarray(from, to), wordsOf(result), starts, perSector)
      result.fill(0)
    })
  }
}

type Side = RawSide<NodeCipher>

/** Small calls, and any call where there is no batch: the plaintext is cleared at the end. */
function reencryptDirect(source: Side, destination: Side, input: Uint8Array, output: Uint8Array): void {
  const plain = input.length <= BATCH ? scratch.subarray(0, input.length) : new Uint8Array(input.length)
  source.cipher.direct('decrypt', source.layout, input, plain)
  destination.cipher.direct('encrypt', destination.layout, plain, output)
  plain.fill(0)
}

/** One batch of the formula at the top: both masks in the middle in one pass when the sectors are of one size. */
function reencryptBatch(
  source: Side,
  destination: Side,
  from: number,
  to: number,
  input: Uint8Array,
  output: Uint8Array,
  work: Uint8Array,
): void {
  const words = wordsOf(work)
  const startsA = source.cipher.starts(source.layout, from, to)
  const startsB = destination.cipher.starts(destination.layout, from, to)
  const perSectorA = source.layout.sectorSize / BLOCK
  const perSectorB = destination.layout.sectorSize / BLOCK
  xorChain(words, wordsOf(input.subarray(from, to)), startsA, perSectorA)
  const opened = source.cipher.blocks('decrypt', work)
  if (perSectorA === perSectorB) {
    xorChain(
      words,
      wordsOf(opened),
      startsA.map((word, i) => word ^ (startsB[i] ?? 0)),
      perSectorA,
    )
  } else {
    xorChain(words, wordsOf(opened), startsA, perSectorA)
    xorChain(words, words, startsB, perSectorB)
  }
  opened.fill(0)
  const closed = destination.cipher.blocks('encrypt', work)
  maskInto(output.subarray(from, to), wordsOf(closed), startsB, perSectorB)
}

/** The engine `node`. */
export const nodeCore: EngineCore<NodeCipher> = {
  name: 'node',
  open: (key) => new NodeCipher(key),
  reencrypt(source, destination, input, output) {
    const directSource = source.cipher.prefersDirect(input.length / source.layout.sectorSize)
    const directDestination = destination.cipher.prefersDirect(input.length / destination.layout.sectorSize)
    if (directSource && directDestination) {
      reencryptDirect(source, destination, input, output)
      return
    }
    inBatches(input.length, (from, to, work) => {
      reencryptBatch(source, destination, from, to, input, output, work)
    })
  },
}
