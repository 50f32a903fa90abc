// The reference engine: XTS written out over the AES-ECB of @noble/ciphers, byte by byte. It is here to be read and to
// be compared with; the node engine is some thirty times faster.

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

/** The masks of all sectors: for each the encrypted tweak number, then its successive doublings. */
function sectorMasks(encryptedTweaks: Uint8Array, sectorSize: number, length: number): Uint8Array {
  const masks = new Uint8Array(length)
  for (let sector = 0; sector * sectorSize < length; sector++) {
    const tweak = encryptedTweaks.slice(sector * BLOCK, (sector + 1) * BLOCK)
    for (let offset = 0; offset < sectorSize; offset += BLOCK) {
      masks.set(tweak, sector * sectorSize + offset)
      double(tweak)
    }
  }
  return masks
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0))
}

/** AES-256-ECB; an object of this library encrypts once only. */
function cipherOf(key: Uint8Array): ReturnType<typeof ecb> {
  return ecb(key, { disablePadding: true })
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
    if (input.length === 0) return
    const numbers = tweakNumbers(layout, 0, input.length / layout.sectorSize)
    const masks = sectorMasks(cipherOf(key.subarray(32)).encrypt(numbers), layout.sectorSize, input.length)
    const data = cipherOf(key.subarray(0, 32))
    output.set(xor(data[direction](xor(input, masks)), masks))
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
