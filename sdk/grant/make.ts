// Making grants: keys sealed to the worker that the terms name, signed by the VM that gives them.

import { randomBytes } from 'node:crypto'
import { bindingDigest, type Open, otherRole, type Role } from '../attest/index.ts'
import { coalesceIndexes, RangeMap } from '../block/index.ts'
import {
  BLOCK_KEY_LENGTH,
  equalBytes,
  type IdentityKey,
  type KeyMode,
  seal,
  type Secret,
  type SectorSize,
  sign1,
} from '../crypto/index.ts'
import {
  encodeEnvelope,
  encodeKeys,
  encodeTerms,
  type EntryTerms,
  GRANT_TAG,
  type GrantTerms,
  type KeyScope,
  type KeyUse,
  scopeFits,
} from './format.ts'

/** Most keys of one grant, so that no message grows with the size of a VM. */
const CHUNK_KEYS = 4096

/** What a VM accepts of the other side unless it says otherwise: nothing that opens others' memory too. */
const DEFAULT_SCOPES: readonly KeyScope[] = ['block', 'volume']

/** What to grant. */
export type GrantEntry =
  /** A key for each frame; `keyFor` may be called for each frame once, and its secret is wiped. */
  | {
      readonly use: KeyUse
      readonly scope: 'block'
      readonly mode: KeyMode
      readonly frames: readonly bigint[]
      readonly keyFor: (frame: bigint) => Secret
    }
  /** One key for all; it is wiped after it was sealed. */
  | { readonly use: KeyUse; readonly scope: 'group' | 'volume'; readonly mode: KeyMode; readonly key: Secret }

/** Whose grants, for which terms. */
export interface GrantOptions {
  readonly identity: IdentityKey
  readonly open: Open
  readonly transcript: Uint8Array
  readonly role: Role
  /** Nonce of the challenge that the evidence answered. */
  readonly nonce: Uint8Array
  readonly entries: readonly GrantEntry[]
  /** Scopes that keys of the other side may have; default: all but `group`. */
  readonly accepts?: readonly KeyScope[]
  /** XTS data unit size; volumes only. */
  readonly sectorSize?: SectorSize
  /** Milliseconds of platform time; 0 leaves it to the worker's lease. */
  readonly notAfter: bigint
}

/**
 * Seals and signs grants for the worker of the terms: as many as the number of keys needs, at least one. Every secret
 * that it is given, and every copy that it makes, is wiped. Throws RangeError for a key that is not 64 bytes, an identity
 * that the terms do not name for this role, a scope that its mode does not have, or a volume key without its sector size.
 *
 * @example
 * const grants = await makeGrants({
 *   identity, open, transcript, role: 'source', nonce: challenge.nonce, notAfter: 0n,
 *   entries: [{ use: 'read', scope: 'block', mode: 'location', frames, keyFor: (frame) => deriver.key(frame) }],
 * })
 */
export async function makeGrants(options: GrantOptions): Promise<Uint8Array[]> {
  checkOptions(options)
  const grants: Uint8Array[] = []
  for (const batch of batches(options.entries)) grants.push(await makeGrant(options, batch))
  return grants
}

async function makeGrant(options: GrantOptions, entries: readonly GrantEntry[]): Promise<Uint8Array> {
  const { identity, open, transcript, role, nonce, accepts, sectorSize, notAfter } = options
  const sorted = entries.map((entry) =>
    'frames' in entry ? { ...entry, frames: ascending(entry.frames) } : entry,
  )
  const terms: GrantTerms = {
    transcript,
    role,
    identity: identity.publicKey.digest,
    peer: open[otherRole(role)].identity,
    kind: open.kind,
    pairs: RangeMap.from(open.pairs),
    entries: sorted.map(entryTerms),
    accepts: accepts ?? DEFAULT_SCOPES,
    sectorSize: sectorSize ?? null,
    notAfter,
    nonce,
    id: Uint8Array.from(randomBytes(16)),
  }
  const aad = encodeTerms(terms)
  const info = bindingDigest(transcript, role, nonce)
  const plaintext = plaintextOf(sorted)
  try {
    const { enc, ciphertext } = await seal({ recipient: open.workerKey, info, aad, plaintext })
    const payload = encodeEnvelope({ enc, ciphertext, aad, info, key: identity.publicKey.spki })
    return sign1({ key: identity, payload, tag: GRANT_TAG, keyId: identity.publicKey.digest })
  } finally {
    plaintext.fill(0)
  }
}

function checkOptions({ identity, open, role, entries, sectorSize }: GrantOptions): void {
  if (!equalBytes(identity.publicKey.digest, open[role].identity)) {
    throw new RangeError(`"identity" expected the ${role}'s of the terms, got ${identity.toString()}`)
  }
  const unfit = entries.find((entry) => !scopeFits(entry))
  if (unfit !== undefined) {
    throw new RangeError(
      `"entries" expected a common key with scope group or volume and any other with scope block, got ${unfit.mode} with ${unfit.scope}`,
    )
  }
  const volume = entries.some(({ scope }) => scope === 'volume')
  if (volume !== (sectorSize !== undefined)) {
    throw new RangeError('"sectorSize" expected exactly with volume keys, got it otherwise')
  }
}

function plaintextOf(entries: readonly GrantEntry[]): Uint8Array {
  const keys: Uint8Array[] = []
  try {
    for (const entry of entries) keys.push(keysOf(entry))
    return encodeKeys(keys)
  } finally {
    for (const part of keys) part.fill(0)
  }
}

/** Each frame once: two equal pages may lie in one. */
function ascending(frames: readonly bigint[]): bigint[] {
  return [...new Set(frames)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

function entryTerms(entry: GrantEntry): EntryTerms {
  const { use, mode, scope } = entry
  return { use, mode, scope, frames: 'frames' in entry ? coalesceIndexes(entry.frames) : null }
}

function keysOf(entry: GrantEntry): Uint8Array {
  if (!('frames' in entry)) {
    const bytes = entry.key.use((key) => checked(Uint8Array.from(key)))
    entry.key.wipe()
    return bytes
  }
  const keys = new Uint8Array(entry.frames.length * BLOCK_KEY_LENGTH)
  try {
    for (const [index, frame] of entry.frames.entries()) {
      const secret = entry.keyFor(frame)
      secret.use((key) => {
        keys.set(checked(key), index * BLOCK_KEY_LENGTH)
      })
      secret.wipe()
    }
    return keys
  } catch (error) {
    keys.fill(0)
    throw error
  }
}

function checked(key: Uint8Array): Uint8Array {
  if (key.length === BLOCK_KEY_LENGTH) return key
  throw new RangeError(
    `a block key expected ${String(BLOCK_KEY_LENGTH)} bytes, got length=${String(key.length)}`,
  )
}

/** Entries in batches of at most {@link CHUNK_KEYS} keys. */
function batches(entries: readonly GrantEntry[]): GrantEntry[][] {
  const all: GrantEntry[][] = [[]]
  let room = CHUNK_KEYS
  for (const entry of entries.flatMap(pieces)) {
    const keys = 'frames' in entry ? entry.frames.length : 1
    if (keys > room) {
      all.push([])
      room = CHUNK_KEYS
    }
    all.at(-1)?.push(entry)
    room -= keys
  }
  return all
}

function pieces(entry: GrantEntry): GrantEntry[] {
  if (!('frames' in entry)) return [entry]
  const cut: GrantEntry[] = []
  for (let from = 0; from < entry.frames.length; from += CHUNK_KEYS) {
    cut.push({ ...entry, frames: entry.frames.slice(from, from + CHUNK_KEYS) })
  }
  return cut
}
