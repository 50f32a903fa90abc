// The one inner loop of batched XTS besides AES itself: xor a buffer with the doubling chain of each sector's tweak.
// Doubling in GF(2^128) is linear, so the chain of TA xor TB is the xor of both chains: this one primitive serves the
// mask before decryption, the merged mask between decryption and encryption, and the mask after encryption.

/**
 * For each sector i: out = src xor (T, 2T, 4T, ...) where T is words 4i..4i+3 of `starts` and 2T is the product by x in
 * GF(2^128) with x^128 + x^7 + x^2 + x + 1 (IEEE 1619 section 5.2). `out` and `src` may be the same. All arrays hold
 * little-endian words; `starts` has 4 words a sector, `src` and `out` have 4 * `blocksPerSector` words a sector.
 */
export type XorChain = (out: Int32Array, src: Int32Array, starts: Int32Array, blocksPerSector: number) => void

/** {@link XorChain} in plain JavaScript: 32-bit words in registers, no bigint. */
export const xorChain: XorChain = (out, src, starts, blocksPerSector) => {
  let at = 0
  for (let sector = 0; sector < starts.length; sector += 4) {
    // The indexes are in range by construction; `| 0` turns the checker's undefined, and nothing else, into a word.
    let t0 = (starts[sector] as number) | 0
    let t1 = (starts[sector + 1] as number) | 0
    let t2 = (starts[sector + 2] as number) | 0
    let t3 = (starts[sector + 3] as number) | 0
    for (let block = 0; block < blocksPerSector; block++) {
      out[at] = (src[at] as number) ^ t0
      out[at + 1] = (src[at + 1] as number) ^ t1
      out[at + 2] = (src[at + 2] as number) ^ t2
      out[at + 3] = (src[at + 3] as number) ^ t3
      at += 4
      const reduction = (t3 >> 31) & 0x87
      t3 = (t3 << 1) | (t2 >>> 31)
      t2 = (t2 << 1) | (t1 >>> 31)
      t1 = (t1 << 1) | (t0 >>> 31)
      t0 = (t0 << 1) ^ reduction
    }
  }
}
