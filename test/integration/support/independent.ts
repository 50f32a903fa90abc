// What the product must agree with, written from its documents with node:crypto alone: keys of guest pages, and the two
// ciphers. It shares no code with the product, so that both being wrong alike would have to be a coincidence.
// Source: systems.md 2.5, design.md section 7 (info strings, tweaks); dm-crypt's aes-xts-plain64 for disks.

import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'

export const BLOCK = 4096
const SECTOR = 512

export type Mode = 'location' | 'common' | 'both'

export function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** The 64-byte key of the page in `frame`, from a VM's root key or a group's key. */
export function pageKey(root: Uint8Array, frame: bigint, mode: Mode = 'location'): Buffer {
  const place = Buffer.alloc(mode === 'common' ? 0 : 8)
  if (mode !== 'common') place.writeBigUInt64LE(frame)
  const info = Buffer.concat([Buffer.from(`palimpsest/v1/${mode}/aes-256-xts`), place])
  return Buffer.from(hkdfSync('sha256', root, new Uint8Array(), info, 64))
}

/** Ciphertext of one page under a key that is given. */
function sealPageWith(key: Uint8Array, tweakNumber: bigint, plaintext: Uint8Array): Buffer {
  return createCipheriv('aes-256-xts', key, tweak(tweakNumber)).update(plaintext)
}

/** Plaintext of one page under a key that is given. */
export function openPageWith(key: Uint8Array, tweakNumber: bigint, ciphertext: Uint8Array): Buffer {
  return createDecipheriv('aes-256-xts', key, tweak(tweakNumber)).update(ciphertext)
}

/** Ciphertext of a page that lies in `frame`. */
export function sealPage(root: Uint8Array, frame: bigint, plaintext: Uint8Array, mode?: Mode): Buffer {
  return sealPageWith(pageKey(root, frame, mode), mode === 'common' ? 0n : frame, plaintext)
}

/** Plaintext of a page that lies in `frame`. */
export function openPage(root: Uint8Array, frame: bigint, ciphertext: Uint8Array, mode?: Mode): Buffer {
  return openPageWith(pageKey(root, frame, mode), mode === 'common' ? 0n : frame, ciphertext)
}

/** Ciphertext of whole disk blocks from `block` on. */
export function sealDisk(key: Uint8Array, block: bigint, plaintext: Uint8Array): Buffer {
  return eachSector(block, plaintext, (number, sector) => sealPageWith(key, number, sector))
}

/** Plaintext of whole disk blocks from `block` on. */
export function openDisk(key: Uint8Array, block: bigint, ciphertext: Uint8Array): Buffer {
  return eachSector(block, ciphertext, (number, sector) => openPageWith(key, number, sector))
}

/** One XTS data unit per 512-byte sector; the tweak is the sector's number. */
function eachSector(
  block: bigint,
  bytes: Uint8Array,
  run: (number: bigint, sector: Uint8Array) => Buffer,
): Buffer {
  const first = block * BigInt(BLOCK / SECTOR)
  const sectors = Array.from({ length: bytes.length / SECTOR }, (_, i) =>
    run(first + BigInt(i), bytes.subarray(i * SECTOR, (i + 1) * SECTOR)),
  )
  return Buffer.concat(sectors)
}

function tweak(value: bigint): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64LE(value)
  return bytes
}
