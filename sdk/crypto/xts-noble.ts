// The reference engine: XTS written out over the AES-ECB of @noble/ciphers, one sector at a time, byte by byte.
// It is here to be read and compared with; the node engine is some thirty times faster.

import { ecb } from '@noble/ciphers/aes.js'
import { closedCipher, type EngineCore, type RawCipher } from './xts-core.ts'
import { tweakNumbers, type SectorLayout } from './xts.ts'

const BLOCK = 16

type Direction = 'encrypt' | 'decrypt'

/** Multiplies by x in GF(2^128), x^128 + x^7 + x^2 + x + 1, first byte lowest (IEEE 1619 section 5.2). */
function double(tweak: Uint8Array): void {
  let carry = 0
  for (let i = 0; i < BLOCK; i++) {
    const byte = tweak[i] ?? 0
    tweak[i] = ((byte << 1) | carry) & 0xff
    carry = byte >> 7
  }
  if (carry === 1) tweak[0] = (tweak[0] ?? 0) ^ 0x87
}

/** The mask of a whole sector: the encrypted tweak number, then its successive doublings. */
function sectorMask(encryptedTweak: Uint8Array, sectorSize: number): Uint8Array {
  const tweak = new Uint8Array(encryptedTweak)
  const mask = new Uint8Array(sectorSize)
  for (let offset = 0; offset < sectorSize; offset += BLOCK) {
    mask.set(tweak, offset)
    double(tweak)
  }
  return mask
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0))
}

class NobleCipher implements RawCipher {
  #key: Uint8Array | undefined

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
    this.#key = undefined
  }

  #process(direction: Direction, layout: SectorLayout, input: Uint8Array, output: Uint8Array): void {
    const key = this.#key ?? closedCipher()
    const { sectorSize } = layout
    const sectors = input.length / sectorSize
    if (sectors === 0) return
    const data = ecb(key.subarray(0, 32), { disablePadding: true })
    const tweaks = ecb(key.subarray(32), { disablePadding: true }).encrypt(tweakNumbers(layout, 0, sectors))
    for (let i = 0; i < sectors; i++) {
      const mask = sectorMask(tweaks.subarray(i * BLOCK, (i + 1) * BLOCK), sectorSize)
      const sector = input.subarray(i * sectorSize, (i + 1) * sectorSize)
      output.set(xor(data[direction](xor(sector, mask)), mask), i * sectorSize)
    }
  }
}

/** The engine `noble`. */
export const nobleCore: EngineCore<NobleCipher> = {
  name: 'noble',
  open: (key) => new NobleCipher(key),
  reencrypt(source, destination, input, output) {
    const plain = new Uint8Array(input.length)
    source.cipher.decrypt(source.layout, input, plain)
    destination.cipher.encrypt(destination.layout, plain, output)
    plain.fill(0)
  },
}
