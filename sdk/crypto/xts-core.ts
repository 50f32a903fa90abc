// What an implementation of AES-256-XTS provides to the public face in engine.ts. Arguments are checked already.

import type { SectorLayout } from './xts.ts'

/** One key, ready for use. */
export interface RawCipher {
  encrypt(layout: SectorLayout, input: Uint8Array, output: Uint8Array): void
  decrypt(layout: SectorLayout, input: Uint8Array, output: Uint8Array): void
  /** Wipes the key; later calls throw TypeError. */
  close(): void
}

/** One side of a re-encryption. */
export interface RawSide<C extends RawCipher = RawCipher> {
  readonly cipher: C
  readonly layout: SectorLayout
}

/** An implementation; `C` is its own kind of cipher, the only kind it is ever given back. */
export interface EngineCore<C extends RawCipher = RawCipher> {
  readonly name: string
  /** Copies the 64-byte key. */
  open(key: Uint8Array): C
  reencrypt(source: RawSide<C>, destination: RawSide<C>, input: Uint8Array, output: Uint8Array): void
}

/** The key of a cipher that was closed is asked for. */
export function closedCipher(): never {
  throw new TypeError('the cipher was closed and cannot be used any more')
}
