// The memory controller (systems, 2.3 and 2.5; design, section 7): key slots, and AES-256-XTS between a vCPU and DRAM.
// A frame is one data unit of 4096 bytes whose tweak is its frame number, 0 in mode common; its key is derived from the
// slot's root or group key. Only the controller sees slot keys, and it gives plaintext only to its caller, the access
// path of the owning VM.

import { createCipheriv, createDecipheriv, createHash } from 'node:crypto'
import { BlockKeyDeriver, hex, tweakFor, type KeyMode, type Secret } from '../../../sdk/crypto/index.ts'
import { PalimpsestError } from '../../../sdk/rpc/index.ts'

const CIPHER = 'aes-256-xts'
const FRAMES_PER_KEY = 2 ** 32
/** Expanded keys kept for frames that are accessed again and again; each takes about 1.5 KiB. */
const CACHED_FRAMES = 512

/**
 * What opens a frame, as the ownership table remembers it: a key of a slot, by identity. `none` stands for a frame that
 * nobody wrote yet: it reads as zeros, whatever lies in DRAM.
 */
export class PageKey {
  readonly mode: KeyMode | 'none'
  /** Tells keys apart in the cache; no secret. */
  readonly number: number
  readonly #deriver: BlockKeyDeriver | undefined

  constructor(mode: KeyMode | 'none', number: number, deriver: BlockKeyDeriver | undefined) {
    this.mode = mode
    this.number = number
    this.#deriver = deriver
  }

  /** The 64-byte key of a frame. Throws TypeError for `none` and after {@link PageKey.wipe}. */
  derive(frame: number): Secret {
    if (this.#deriver === undefined) throw new TypeError('a frame that nobody wrote has no key')
    return this.#deriver.key(BigInt(frame))
  }

  /** Forgets the key. */
  wipe(): void {
    this.#deriver?.wipe()
  }
}

/** The "key" of frames that nobody wrote yet. */
export const NO_KEY = new PageKey('none', 0, undefined)

/** Keys of a share group, while a slot uses them. */
interface GroupKeys {
  readonly id: string
  readonly common: PageKey
  readonly both: PageKey
  slots: number
}

/** The keys of one VM. */
export interface KeySlot {
  /** How the VM's stores are keyed. */
  readonly mode: KeyMode
  /** What the VM's stores are encrypted with. */
  readonly writeKey: PageKey
  /** The VM's own key, and its group's if it has one. */
  readonly location: PageKey
  readonly group: GroupKeys | undefined
}

/** Whether a slot's keys open what `key` made. */
export function opens(slot: KeySlot, key: PageKey): boolean {
  return key === slot.location || key === NO_KEY || key === slot.group?.both || key === slot.group?.common
}

interface FrameCiphers {
  encryptor: ReturnType<typeof createCipheriv> | undefined
  decryptor: ReturnType<typeof createDecipheriv> | undefined
}

/** Key slots and the cipher. All methods are synchronous, so that an access is one step. */
export class MemoryController {
  readonly #groups = new Map<string, GroupKeys>()
  // Oldest first; a hit moves to the end. One cipher object per frame and direction: its key and tweak never change,
  // and each update() is a data unit of its own.
  readonly #ciphers = new Map<number, FrameCiphers>()
  #nextKey = 1

  /**
   * Fills a slot. `mode` says how the VM's stores are keyed; `group` is needed for common and both, and to read frames
   * of the group in mode location. The caller wipes both secrets. @throws INVALID_ARGUMENT when the group key is missing
   */
  install(root: Secret, mode: KeyMode, group: Secret | undefined): KeySlot {
    if (group === undefined && mode !== 'location') {
      throw new PalimpsestError(
        'INVALID_ARGUMENT',
        `groupKey: expected 32 bytes in mode ${mode}, found none`,
        {
          violations: [{ field: 'groupKey', description: `expected 32 bytes in mode ${mode}, found none` }],
        },
      )
    }
    const location = this.#newKey(root, 'location')
    const keys = group === undefined ? undefined : this.#joinGroup(group)
    const writeKey = mode === 'location' || keys === undefined ? location : keys[mode]
    return { mode, writeKey, location, group: keys }
  }

  /** Empties a slot: its own keys are wiped, its group's when no other slot uses them. */
  release(slot: KeySlot): void {
    this.#forget(slot.location)
    if (slot.group === undefined || --slot.group.slots > 0) return
    this.#forget(slot.group.common)
    this.#forget(slot.group.both)
    this.#groups.delete(slot.group.id)
  }

  /** A new array with the ciphertext of 4096 bytes of plaintext in `frame`. */
  encrypt(frame: number, key: PageKey, plaintext: Uint8Array): Uint8Array {
    const ciphers = this.#ciphersOf(frame, key)
    ciphers.encryptor ??= withFrameKey(frame, key, (bytes, iv) => createCipheriv(CIPHER, bytes, iv))
    return ciphers.encryptor.update(plaintext)
  }

  /** A new array with the plaintext of a frame's content; the caller wipes it. */
  decrypt(frame: number, key: PageKey, content: Uint8Array): Uint8Array {
    const ciphers = this.#ciphersOf(frame, key)
    ciphers.decryptor ??= withFrameKey(frame, key, (bytes, iv) => createDecipheriv(CIPHER, bytes, iv))
    return ciphers.decryptor.update(content)
  }

  #newKey(root: Secret, mode: KeyMode): PageKey {
    return new PageKey(mode, this.#nextKey++, new BlockKeyDeriver(root, mode))
  }

  #joinGroup(group: Secret): GroupKeys {
    const id = group.use((bytes) =>
      hex(createHash('sha256').update('palimpsest/v1/group\0').update(bytes).digest()),
    )
    let keys = this.#groups.get(id)
    if (keys === undefined) {
      keys = { id, common: this.#newKey(group, 'common'), both: this.#newKey(group, 'both'), slots: 0 }
      this.#groups.set(id, keys)
    }
    keys.slots++
    return keys
  }

  #forget(key: PageKey): void {
    key.wipe()
    for (const [id, ciphers] of this.#ciphers) {
      if (Math.floor(id / FRAMES_PER_KEY) !== key.number) continue
      this.#ciphers.delete(id)
      close(ciphers)
    }
  }

  #ciphersOf(frame: number, key: PageKey): FrameCiphers {
    const id = key.number * FRAMES_PER_KEY + (key.mode === 'common' ? 0 : frame)
    let ciphers = this.#ciphers.get(id)
    if (ciphers === undefined) {
      ciphers = { encryptor: undefined, decryptor: undefined }
      if (this.#ciphers.size >= CACHED_FRAMES) this.#evict()
    } else {
      this.#ciphers.delete(id)
    }
    this.#ciphers.set(id, ciphers)
    return ciphers
  }

  #evict(): void {
    for (const [id, ciphers] of this.#ciphers) {
      this.#ciphers.delete(id)
      close(ciphers)
      return
    }
  }
}

/** Calls `make` with the 64-byte key and the 16-byte tweak of a frame, and wipes the key. */
function withFrameKey<T>(frame: number, key: PageKey, make: (key: Uint8Array, tweak: Uint8Array) => T): T {
  const tweak = new Uint8Array(16)
  if (key.mode !== 'none') new DataView(tweak.buffer).setBigUint64(0, tweakFor(key.mode, BigInt(frame)), true)
  const secret = key.derive(frame)
  const made = secret.use((bytes) => make(bytes, tweak))
  secret.wipe()
  return made
}

/** Ends the ciphers at once, which clears their key schedules, instead of when the garbage collector comes by. */
function close(ciphers: FrameCiphers): void {
  ciphers.encryptor?.final()
  ciphers.decryptor?.final()
}
