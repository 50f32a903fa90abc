// Where random bytes come from. Every key operation takes its source as an argument, so that a TPM's random number
// generator, a seed's derivation and a test's fixed sequence go through the same code.
// Source: TPM 2.0 Library, Part 1, clause 11.4.11 (random number generator); NIST SP 800-108, 4.1 (counter mode);
// NIST SP 800-90A, 10.1.2 (HMAC_DRBG, whose update step the fixed source follows).

import { createHash, createHmac, randomFillSync } from 'node:crypto'
import { concatBytes } from '../../../../sdk/crypto/index.ts'
import { digestSize, hmac, kdfa } from '../../../../sdk/tpm2/index.ts'

/** Gives that many new random bytes, which the caller owns. */
export type Entropy = (bytes: number) => Uint8Array

/** A generator that can be given additional input (TPM2_StirRandom). */
export interface EntropySource {
  readonly next: Entropy
  /** Mixes `bytes` into the state; never makes the output more predictable. */
  stir(bytes: Uint8Array): void
  /** the same seed gives the same bytes: what is made of them shall be the same each time, too */
  readonly reproducible?: true
}

function checkCount(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new RangeError(`"bytes" expected a whole number of bytes, got ${String(bytes)}`)
  }
}

/** The two steps of an HMAC_DRBG with SHA-256: `update` takes input in, `generate` gives output. */
class HmacGenerator {
  #key: Uint8Array = new Uint8Array(32)
  #value: Uint8Array = new Uint8Array(32).fill(1)

  update(input: Uint8Array): void {
    for (const round of input.length === 0 ? [0] : [0, 1]) {
      this.#key = this.#mac(this.#value, Uint8Array.of(round), input)
      this.#value = this.#mac(this.#value)
    }
  }

  generate(bytes: number): Uint8Array {
    checkCount(bytes)
    const output = new Uint8Array(bytes)
    for (let offset = 0; offset < bytes; offset += 32) {
      this.#value = this.#mac(this.#value)
      output.set(this.#value.subarray(0, bytes - offset), offset)
    }
    this.update(new Uint8Array(0))
    return output
  }

  #mac(...parts: readonly Uint8Array[]): Uint8Array {
    const state = createHmac('sha256', this.#key)
    for (const part of parts) state.update(part)
    return new Uint8Array(state.digest())
  }
}

/** Bytes that are asked of the operating system at a time: a call costs as much as hundreds of them. */
const POOL_SIZE = 4096

/** The operating system's generator, by the pool; bytes that were given out are wiped. */
function systemPool(): Entropy {
  const pool = new Uint8Array(POOL_SIZE)
  let used = POOL_SIZE
  return (bytes) => {
    if (bytes > POOL_SIZE / 4) return randomFillSync(new Uint8Array(bytes))
    if (used + bytes > POOL_SIZE) {
      randomFillSync(pool)
      used = 0
    }
    const output = pool.slice(used, used + bytes)
    pool.fill(0, used, used + bytes)
    used += bytes
    return output
  }
}

/**
 * The operating system's generator. Once stirred, its output is XORed with a generator that all the stirred bytes
 * went into: whoever chooses them gains nothing.
 */
export function systemEntropy(): EntropySource {
  const system = systemPool()
  let stirred: HmacGenerator | undefined
  return {
    next: (bytes) => {
      checkCount(bytes)
      const output = system(bytes)
      const other = stirred?.generate(bytes)
      if (other === undefined) return output
      for (const [index, octet] of other.entries()) output[index] = (output[index] ?? 0) ^ octet
      return output
    },
    stir: (bytes) => {
      stirred ??= new HmacGenerator()
      stirred.update(createHash('sha256').update(bytes).digest())
    },
  }
}

/** A reproducible sequence for tests: the same seed, requests and stirs give the same bytes. Not for real keys. */
export function fixedEntropy(seed: Uint8Array | string): EntropySource {
  const generator = new HmacGenerator()
  generator.update(typeof seed === 'string' ? new TextEncoder().encode(seed) : seed)
  return {
    reproducible: true,
    next: (bytes) => generator.generate(bytes),
    stir: (bytes) => {
      generator.update(concatBytes(Uint8Array.of(0x53), bytes))
    },
  }
}

/**
 * An endless byte stream from a seed: KDFa(seed, label, contextU, contextV) gives a key, and block i is the key's HMAC
 * of the 64-bit counter i. How the stream is cut into requests does not change its bytes.
 * Throws Tpm2Error UNSUPPORTED for a hash that is not computed here.
 */
export function deterministicStream(
  hashAlg: number,
  seed: Uint8Array,
  label: string,
  contextU: Uint8Array,
  contextV: Uint8Array,
): Entropy {
  const size = digestSize(hashAlg)
  const key = kdfa(hashAlg, seed, label, contextU, contextV, 8 * size)
  const counter = new Uint8Array(8)
  const view = new DataView(counter.buffer)
  let [block, used, index] = [new Uint8Array(size), size, 0n]
  return (bytes) => {
    checkCount(bytes)
    const output = new Uint8Array(bytes)
    for (let offset = 0; offset < bytes;) {
      if (used === size) {
        index += 1n
        view.setBigUint64(0, index)
        block = new Uint8Array(hmac(hashAlg, key, counter))
        used = 0
      }
      const take = Math.min(size - used, bytes - offset)
      output.set(block.subarray(used, used + take), offset)
      block.fill(0, used, used + take)
      used += take
      offset += take
    }
    return output
  }
}
