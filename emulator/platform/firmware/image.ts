// The firmware image: any file, or the built-in one, with the vendor's signed manifest if there is one. What is loaded
// here is exactly what is measured later: the bytes are read once.

import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { hex, type IdentityKey, sha256 } from '../../../sdk/crypto/index.ts'
import {
  EvidenceError,
  type FirmwareManifest,
  signFirmwareManifest,
  verifyFirmwareManifest,
} from '../../../sdk/evidence/index.ts'
import { builtInFirmware } from './built-in.ts'
import { FirmwareError } from './errors.ts'

/** Largest image: four times the largest flash of a PC. */
const MAX_IMAGE_BYTES = 64 * 1024 * 1024
const MAX_MANIFEST_BYTES = 64 * 1024
const MANIFEST_SUFFIX = '.manifest'

/** An image in memory. */
export interface Firmware {
  readonly image: Uint8Array
  /** SHA-256 of the whole image: equals sha256sum of its file */
  readonly digest: Uint8Array
  readonly source: 'file' | 'built-in'
  /** the file's base name, or "built-in" */
  readonly origin: string
  /** signed firmware manifest (COSE_Sign1) that was found beside the image; not yet checked against it */
  readonly manifest: Uint8Array | undefined
}

/**
 * Loads the file at `path`, and FILE.manifest beside it when that exists; without a path, builds the built-in image,
 * which has no manifest until someone signs one (signManifest).
 * Throws FirmwareError IMAGE_UNREADABLE, IMAGE_SIZE or MANIFEST_UNREADABLE.
 */
export async function loadFirmware(path?: string): Promise<Firmware> {
  if (path === undefined) {
    return firmwareOf(builtInFirmware(), { source: 'built-in', origin: 'built-in', manifest: undefined })
  }
  const image = await readImage(path)
  const manifest = await readManifest(`${path}${MANIFEST_SUFFIX}`)
  return firmwareOf(image, { source: 'file', origin: basename(path), manifest })
}

function firmwareOf(image: Uint8Array, rest: Pick<Firmware, 'source' | 'origin' | 'manifest'>): Firmware {
  return { image, digest: sha256(image), ...rest }
}

async function readImage(path: string): Promise<Uint8Array> {
  let image: Uint8Array
  try {
    const { size } = await stat(path)
    if (size > MAX_IMAGE_BYTES) throw tooLarge(path, size)
    image = new Uint8Array(await readFile(path))
  } catch (cause) {
    if (cause instanceof FirmwareError) throw cause
    throw new FirmwareError(
      'IMAGE_UNREADABLE',
      `expected a readable firmware image at ${path}: ${reason(cause)}`,
      { cause },
    )
  }
  if (image.length === 0 || image.length > MAX_IMAGE_BYTES) throw tooLarge(path, image.length)
  return image
}

function tooLarge(path: string, size: number): FirmwareError {
  const limit = String(MAX_IMAGE_BYTES)
  return new FirmwareError(
    'IMAGE_SIZE',
    `expected an image of 1 to ${limit} bytes at ${path}, found ${String(size)}`,
  )
}

async function readManifest(path: string): Promise<Uint8Array | undefined> {
  try {
    const manifest = new Uint8Array(await readFile(path))
    if (manifest.length <= MAX_MANIFEST_BYTES) return manifest
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new FirmwareError(
      'MANIFEST_UNREADABLE',
      `expected a readable manifest at ${path}: ${reason(cause)}`,
      { cause },
    )
  }
  throw new FirmwareError(
    'MANIFEST_UNREADABLE',
    `expected a manifest of at most ${String(MAX_MANIFEST_BYTES)} bytes at ${path}`,
  )
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : 'unknown reason'
}

/** Signs a manifest for an image as its vendor: security version `svn`, and a description for people. */
export function signManifest(
  firmware: Pick<Firmware, 'digest'>,
  vendor: IdentityKey,
  statement: Pick<FirmwareManifest, 'svn' | 'description'>,
): Uint8Array {
  return signFirmwareManifest({ digest: firmware.digest, ...statement }, vendor)
}

/**
 * Checks that a manifest is properly signed and speaks of this very image. Whether its signer is trusted is not the
 * platform's question but that of whoever appraises it.
 * Throws FirmwareError MANIFEST_INVALID or MANIFEST_MISMATCH: the platform does not boot.
 */
export function checkManifest(
  firmware: Pick<Firmware, 'digest' | 'origin'>,
  manifest: Uint8Array,
): FirmwareManifest {
  const statement = verified(manifest)
  if (hex(statement.digest) !== hex(firmware.digest)) {
    throw new FirmwareError(
      'MANIFEST_MISMATCH',
      `expected a manifest of firmware ${firmware.origin} with SHA-256 ${hex(firmware.digest)}, ` +
        `found one of ${hex(statement.digest)}; sign a manifest for this image, or boot the image it was signed for`,
    )
  }
  return statement
}

function verified(manifest: Uint8Array): FirmwareManifest {
  try {
    return verifyFirmwareManifest(manifest)
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause
    throw new FirmwareError('MANIFEST_INVALID', `expected a signed firmware manifest: ${cause.message}`, {
      cause,
    })
  }
}
