// Opening grants, in the worker: who signed, for which terms, and only then the keys.

import { bindingDigest, type Open, otherRole, Refusal, refuseAs, type Role } from '../attest/index.ts'
import { type BlockRange, expandRanges, RangeMap, RunSet } from '../block/index.ts'
import {
  BLOCK_KEY_LENGTH,
  equalBytes,
  hex,
  type HpkeKeyPair,
  open as unseal,
  parse1,
  PublicKey,
  Secret,
  type SectorSize,
  verify1,
} from '../crypto/index.ts'
import {
  decodeEnvelope,
  decodeKeys,
  decodeTerms,
  type EntryTerms,
  GRANT_TAG,
  type GrantEnvelope,
  type GrantTerms,
  type KeyKind,
  type KeyScope,
} from './format.ts'
import { KeyTable } from './key-table.ts'

/** Longest grant that is looked at: 4096 keys and some thousand runs take far less. */
export const GRANT_LIMIT = 4 * 1024 * 1024

/** Keys of one entry, ready for use. */
export interface OpenedEntry extends EntryTerms {
  /** Scope `block`: a key for each frame. */
  readonly frameKeys?: KeyTable
  /** Wider scopes: the one key. */
  readonly wideKey?: Secret
}

/** A grant that was opened. */
export interface OpenedGrant {
  readonly role: Role
  /** Digest of the identity key that signed it. */
  readonly signer: Uint8Array
  /** Digest of the identity that the signer agreed to work with. */
  readonly peer: Uint8Array
  readonly transcript: Uint8Array
  readonly id: Uint8Array
  readonly entries: readonly OpenedEntry[]
  /** Scopes that keys of the other side may have. */
  readonly accepts: readonly KeyScope[]
  readonly sectorSize?: SectorSize
  /** Milliseconds of platform time; 0 leaves it to the worker's lease. */
  readonly notAfter: bigint
}

/**
 * Opens a grant that was made for `open` with the key pair of its registration. `role`, when given, is the side that
 * must have granted; `clock`, when given, is the platform's time now, in milliseconds.
 * Throws Refusal: REFUSED_SIZE; GRANT_INVALID when it is malformed, was changed, is for other terms, another key or
 * other blocks; REFUSED_PEER when its signer, or the peer that it names, is not the identity in the terms;
 * GRANT_EXPIRED. Nothing is unsealed before all of this was checked.
 */
export async function openGrant(options: {
  readonly bytes: Uint8Array
  readonly open: Open
  readonly transcript: Uint8Array
  readonly keyPair: HpkeKeyPair
  readonly role?: Role
  readonly clock?: bigint
}): Promise<OpenedGrant> {
  const { bytes, open, transcript, keyPair, clock } = options
  checkSize(bytes)
  const { envelope, signer } = refuseAs('GRANT_INVALID', 'grant', 'one that its VM signed', () =>
    verified(bytes),
  )
  const terms = refuseAs('GRANT_INVALID', 'grant terms', 'canonical terms of version 1', () =>
    decodeTerms(envelope.aad),
  )
  checkTerms(terms, envelope, open, transcript)
  checkIdentities(terms, signer, open, options.role)
  checkEntries(terms, open)
  checkExpiry(terms, clock)
  const keys = await unsealed(envelope, keyPair)
  const { role, id, peer, accepts, notAfter, sectorSize } = terms
  return {
    role,
    signer: signer.digest,
    peer,
    transcript,
    id,
    entries: openEntries(terms, keys),
    accepts,
    notAfter,
    ...(sectorSize === null ? {} : { sectorSize }),
  }
}

/** What two grants must agree on. */
type Cited = Pick<OpenedGrant, 'role' | 'signer' | 'peer' | 'transcript' | 'accepts'> & {
  readonly entries: readonly KeyKind[]
}

/**
 * The two sides agree: they cite the same terms, each grant's signer is the identity that the other side's grants name,
 * the roles differ, and no key reaches further than the other side accepts. A side without grants agrees.
 * Throws Refusal REFUSED_PEER, REFUSED_SCOPE.
 */
export function checkAgreement(source: readonly Cited[], destination: readonly Cited[]): void {
  for (const [role, grants] of Object.entries({ source, destination })) {
    const stray = grants.find((grant) => grant.role !== role)
    if (stray !== undefined) {
      throw new Refusal('REFUSED_PEER', `grant of the ${role}`, { expected: role, found: stray.role })
    }
  }
  for (const one of source) {
    for (const other of destination) {
      if (!equalBytes(one.transcript, other.transcript))
        throw mismatch('terms', one.transcript, other.transcript)
      if (!equalBytes(one.peer, other.signer)) throw mismatch("the source's peer", one.peer, other.signer)
      if (!equalBytes(other.peer, one.signer))
        throw mismatch("the destination's peer", other.peer, one.signer)
      checkScopes(one, other)
      checkScopes(other, one)
    }
  }
}

/** What a VM accepts of the other side is its own word, under its own signature. */
function checkScopes({ role, entries }: Cited, { accepts }: Cited): void {
  const wide = entries.find(({ scope }) => !accepts.includes(scope))
  if (wide === undefined) return
  throw new Refusal('REFUSED_SCOPE', `${role}'s key to ${wide.use}`, {
    expected: `one of scope ${accepts.join(' or ')}, as the ${otherRole(role)} accepts`,
    found: `one of scope ${wide.scope}`,
    action: 'grant keys of mode both, or set allowGroupScope in the policy of the other side',
  })
}

function mismatch(subject: string, expected: Uint8Array, found: Uint8Array): Refusal {
  return new Refusal('REFUSED_PEER', subject, { expected: hex(expected), found: hex(found) })
}

function verified(bytes: Uint8Array): { envelope: GrantEnvelope; signer: PublicKey } {
  const envelope = decodeEnvelope(parse1(bytes).payload)
  const signer = PublicKey.fromSpki(envelope.key)
  verify1({ message: bytes, publicKey: signer, tag: GRANT_TAG })
  return { envelope, signer }
}

function checkTerms(terms: GrantTerms, envelope: GrantEnvelope, open: Open, transcript: Uint8Array): void {
  if (!equalBytes(terms.transcript, transcript)) {
    throw new Refusal('GRANT_INVALID', 'grant', {
      expected: `one for the terms ${hex(transcript)}`,
      found: `one for ${hex(terms.transcript)}`,
      action: 'relay it to the registration that it was made for',
    })
  }
  const { role, nonce, pairs, kind } = terms
  const bound = equalBytes(envelope.info, bindingDigest(transcript, role, nonce))
  const same = kind === open.kind && samePairs(pairs, RangeMap.from(open.pairs))
  if (bound && same) return
  throw new Refusal('GRANT_INVALID', 'grant', {
    expected: 'the binding, kind and block ids of its terms',
    found: bound ? 'other block ids' : 'another binding',
  })
}

function samePairs(a: RangeMap, b: RangeMap): boolean {
  const left = a.canonical()
  const right = b.canonical()
  return left.length === right.length && left.every((run, index) => run.join() === right[index]?.join())
}

function checkIdentities(terms: GrantTerms, signer: PublicKey, open: Open, wanted: Role | undefined): void {
  const { role } = terms
  if (wanted !== undefined && role !== wanted) {
    throw new Refusal('GRANT_INVALID', 'grant', { expected: `the ${wanted}'s`, found: `the ${role}'s` })
  }
  const own = open[role].identity
  const peer = open[otherRole(role)].identity
  if (!equalBytes(signer.digest, own) || !equalBytes(terms.identity, own)) {
    throw new Refusal('REFUSED_PEER', `signer of the ${role}'s grant`, {
      expected: hex(own),
      found: hex(signer.digest),
    })
  }
  if (!equalBytes(terms.peer, peer)) {
    throw new Refusal('REFUSED_PEER', `peer in the ${role}'s grant`, {
      expected: hex(peer),
      found: hex(terms.peer),
    })
  }
}

/** Only what this side may give: the source opens its own first blocks, nobody opens another's. */
function checkEntries({ role, entries, sectorSize }: GrantTerms, { memory, kind }: Open): void {
  const volume = kind === 'disk-block'
  if (volume !== (sectorSize !== null) || entries.some(({ scope }) => (scope === 'volume') !== volume)) {
    throw new Refusal('GRANT_INVALID', 'scope of the grant', {
      expected: volume ? 'a volume key with its sector size' : 'block or group keys without a sector size',
      found: 'another',
    })
  }
  const reads = entries.filter(({ use }) => use === 'read')
  if (role === 'destination' && reads.length > 0) {
    throw new Refusal('GRANT_INVALID', "the destination's grant", {
      expected: 'keys to write',
      found: 'keys to read',
    })
  }
  const named = new RunSet((memory?.frames ?? []).map(({ frame, count }) => ({ first: frame, count })))
  const stray = reads.flatMap(({ frames }) => frames ?? []).find((run) => !holds(named, run))
  if (stray === undefined) return
  throw new Refusal('GRANT_INVALID', 'frames of the grant', {
    expected: 'only frames of first blocks in the terms',
    found: `${stray.count.toString()} from ${stray.first.toString()}`,
  })
}

function holds(named: RunSet, run: BlockRange): boolean {
  return named.missing(run).length === 0
}

function checkExpiry({ notAfter }: GrantTerms, clock: bigint | undefined): void {
  if (clock === undefined || notAfter === 0n || clock < notAfter) return
  throw new Refusal('GRANT_EXPIRED', 'grant', {
    expected: `one that is good at ${clock.toString()} ms of platform time`,
    found: `one that expired at ${notAfter.toString()} ms`,
    action: 'register again',
  })
}

function checkSize(bytes: Uint8Array): void {
  if (bytes.length <= GRANT_LIMIT) return
  throw new Refusal('REFUSED_SIZE', 'grant', {
    expected: `at most ${String(GRANT_LIMIT)} bytes`,
    found: `${String(bytes.length)} bytes`,
  })
}

async function unsealed(envelope: GrantEnvelope, keyPair: HpkeKeyPair): Promise<Secret> {
  const { enc, info, aad, ciphertext } = envelope
  try {
    return await unseal({ keyPair, enc, info, aad, ciphertext })
  } catch (cause) {
    throw new Refusal(
      'GRANT_INVALID',
      'grant',
      { expected: "one sealed to this registration's key", found: 'one that does not open' },
      { cause },
    )
  }
}

function openEntries(terms: GrantTerms, sealed: Secret): OpenedEntry[] {
  try {
    return refuseAs('GRANT_INVALID', 'granted keys', 'a key for each thing granted', () =>
      sealed.use((bytes) => {
        const keys = decodeKeys(bytes)
        if (keys.length !== terms.entries.length) throw lengthRefusal(terms.entries.length, keys.length)
        return terms.entries.map((entry, index) => openEntry(entry, keys[index] ?? new Uint8Array()))
      }),
    )
  } finally {
    sealed.wipe()
  }
}

/** `keys` is this entry's own copy, which is wiped with the entry. */
function openEntry(entry: EntryTerms, keys: Uint8Array): OpenedEntry {
  if (entry.frames === null) {
    if (keys.length !== BLOCK_KEY_LENGTH) throw lengthRefusal(BLOCK_KEY_LENGTH, keys.length)
    return { ...entry, wideKey: Secret.take(keys) }
  }
  // Counted before the frames are listed: a run of a billion frames must cost nothing.
  const count = entry.frames.reduce((sum, run) => sum + run.count, 0n)
  if (BigInt(keys.length) !== count * BigInt(BLOCK_KEY_LENGTH))
    throw lengthRefusal(Number(count), keys.length)
  const frameKeys = new KeyTable()
  frameKeys.adopt([...expandRanges(entry.frames)], keys)
  return { ...entry, frameKeys }
}

function lengthRefusal(expected: number, found: number): Refusal {
  return new Refusal('GRANT_INVALID', 'granted keys', { expected: String(expected), found: String(found) })
}
