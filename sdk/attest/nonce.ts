// Fresh random bytes for challenges and credentials, from the operating system's generator.

import { randomFillSync } from 'node:crypto'
import { NONCE_LENGTH } from './binding.ts'

/** 32 random bytes. */
export function randomNonce(): Uint8Array {
  return randomFillSync(new Uint8Array(NONCE_LENGTH))
}
