// Block keys: which AES-256-XTS key and tweak belong to a block, from a root key and a key mode.
// HKDF-SHA256 (RFC 5869) over a 32-byte root key, empty salt, 64 bytes of output,
//   info = "palimpsest/v1/" ‖ mode ‖ "/aes-256-xts" ‖ LE64(frame)      (common: without the frame)
// A location key serves one frame only, so it can be released alone; a common key opens the whole group's memory and is
// used with tweak 0, so that equal pages have equal ciphertext. Vectors: test/vectors/block-keys.json.

import { createHmac } from 'node:crypto'
import { assertU64, concatBytes, le64, utf8 } from './bytes.ts'
import { Secret } from './secret.ts'

/** How a block's key depends on its place: `location` and `both` on the frame, `common` not. */
export type KeyMode = 'location' | 'common' | 'both'

/** The key modes, in the order of the documentation. */
export const keyModes: readonly KeyMode[] = ['location', 'common', 'both']

/** Bytes of a root key. */
export const ROOT_KEY_LENGTH = 32
/** Bytes of a block key: two AES-256 keys, data key first. */
export const BLOCK_KEY_LENGTH = 64

const SUITE = 'aes-256-xts'
const HASH_LENGTH = 32
const EMPTY_SALT = new Uint8Array(HASH_LENGTH)

/**
 * Derives the block keys of one root key and mode. HKDF's extract step is done once, which halves the cost per block.
 * Holds a secret of its own: {@link BlockKeyDeriver.wipe} it.
 */
export class BlockKeyDeriver {
  readonly mode: KeyMode
  readonly #pseudorandomKey: Secret
  readonly #label: Uint8Array

  /** `root` is a VM's root key, or for common and both a share group's: 32 bytes. Throws RangeError otherwise. */
  constructor(root: Secret, mode: KeyMode) {
    if (root.length !== ROOT_KEY_LENGTH) {
      throw new RangeError(
        `"root" expected ${String(ROOT_KEY_LENGTH)} bytes, got length=${String(root.length)}`,
      )
    }
    assertMode(mode)
    this.mode = mode
    this.#label = utf8(`palimpsest/v1/${mode}/${SUITE}`)
    this.#pseudorandomKey = root.use((bytes) => Secret.take(hmac(EMPTY_SALT, bytes)))
  }

  /** The 64-byte key of the block in `frame` (host physical address >> 12); `common` ignores the frame. */
  key(frame: bigint): Secret {
    const place = le64(frame)
    const info = this.mode === 'common' ? this.#label : concatBytes(this.#label, place)
    return this.#pseudorandomKey.use((prk) => {
      const first = hmac(prk, info, Uint8Array.of(1))
      const second = hmac(prk, first, info, Uint8Array.of(2))
      const key = Secret.take(concatBytes(first, second))
      first.fill(0)
      second.fill(0)
      return key
    })
  }

  /** Wipes the derived secret; later calls throw. */
  wipe(): void {
    this.#pseudorandomKey.wipe()
  }
}

/** The 64-byte AES-256-XTS key of one block; for many blocks of one root use {@link BlockKeyDeriver}. */
export function deriveBlockKey(root: Secret, mode: KeyMode, frame: bigint): Secret {
  const deriver = new BlockKeyDeriver(root, mode)
  try {
    return deriver.key(frame)
  } finally {
    deriver.wipe()
  }
}

/** The XTS tweak number of a memory page: its frame, and 0 in mode `common`. */
export function tweakFor(mode: KeyMode, frame: bigint): bigint {
  assertMode(mode)
  assertU64('frame', frame)
  return mode === 'common' ? 0n : frame
}

function assertMode(mode: KeyMode): void {
  if (!keyModes.includes(mode))
    throw new RangeError(`"mode" expected one of ${keyModes.join(', ')}, got another`)
}

function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}
