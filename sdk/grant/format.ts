// How a grant looks on the wire. Outside: COSE_Sign1 by the VM's identity key over {enc, ciphertext, aad, info}. The aad
// says in clear what is granted, to whom and until when; the ciphertext, HPKE-sealed to the worker's key of the terms,
// holds the keys in the order of aad.entries. All of it is canonical CBOR.
// Source: RFC 9052 (COSE), RFC 9180 (HPKE base mode), RFC 8949 4.2 (deterministic CBOR).

import { type Open, type Role, roles } from '../attest/index.ts'
import { blockKinds, type BlockRange, RangeMap } from '../block/index.ts'
import {
  type Canonical,
  type CanonicalMap,
  decodeMap,
  encodeCanonical,
  expect,
  field,
  FormatError,
  type KeyMode,
  keyModes,
  type SectorSize,
  sectorSizes,
} from '../crypto/index.ts'

/** External authenticated data of the signature. */
export const GRANT_TAG = 'palimpsest/v1/grant'

/** What a key may be used for: opening first blocks, or encrypting second blocks. */
export type KeyUse = 'read' | 'write'

/** How far a key reaches: one block each, everything of a share group, or a whole volume. */
export type KeyScope = 'block' | 'group' | 'volume'

/** Every scope, the narrowest first. */
export const keyScopes: readonly KeyScope[] = ['block', 'volume', 'group']

/** What kind of key one is. */
export interface KeyKind {
  readonly use: KeyUse
  readonly mode: KeyMode
  readonly scope: KeyScope
}

/** What one entry grants; its keys are in the sealed part. */
export interface EntryTerms extends KeyKind {
  /** Frames, in the order of their keys; null for keys of wider scope. */
  readonly frames: readonly BlockRange[] | null
}

/** The part of a grant that is in clear. */
export interface GrantTerms {
  readonly transcript: Uint8Array
  readonly role: Role
  /** Digest of the granting VM's identity key. */
  readonly identity: Uint8Array
  /** Digest of the other side's identity key: whom the granting VM agreed to work with. */
  readonly peer: Uint8Array
  readonly kind: Open['kind']
  readonly pairs: RangeMap
  readonly entries: readonly EntryTerms[]
  /** Scopes that keys of the other side may have, for this VM's keys to be used together with them. */
  readonly accepts: readonly KeyScope[]
  /** Size of XTS data units of a volume, or null for memory. */
  readonly sectorSize: SectorSize | null
  /** Milliseconds of platform time after which the keys may not be used; 0 leaves it to the worker's lease. */
  readonly notAfter: bigint
  /** Nonce of the challenge that the grant answers. */
  readonly nonce: Uint8Array
  /** 16 random bytes: each grant is used once. */
  readonly id: Uint8Array
}

/** What is signed. */
export interface GrantEnvelope {
  readonly enc: Uint8Array
  readonly ciphertext: Uint8Array
  readonly aad: Uint8Array
  readonly info: Uint8Array
  /** SubjectPublicKeyInfo of the signer. */
  readonly key: Uint8Array
}

const MAX_ENTRIES = 64
const MAX_RUNS = 65_536

/** The canonical bytes of the clear part. */
export function encodeTerms(terms: GrantTerms): Uint8Array {
  return encodeCanonical({
    v: 1n,
    transcript: terms.transcript,
    role: terms.role,
    identity: terms.identity,
    peer: terms.peer,
    kind: terms.kind,
    pairs: terms.pairs.canonical(),
    entries: terms.entries.map(({ use, mode, scope, frames }) => ({
      use,
      mode,
      scope,
      frames: frames === null ? null : frames.map(({ first, count }) => [first, count]),
    })),
    accepts: [...terms.accepts],
    sector: terms.sectorSize === null ? null : BigInt(terms.sectorSize),
    notAfter: terms.notAfter,
    nonce: terms.nonce,
    id: terms.id,
  })
}

const TERMS = [
  'v',
  'transcript',
  'role',
  'identity',
  'peer',
  'kind',
  'pairs',
  'entries',
  'accepts',
  'sector',
  'notAfter',
  'nonce',
  'id',
]

/** Parses the clear part. Throws FormatError or BlockError. */
export function decodeTerms(bytes: Uint8Array): GrantTerms {
  const map = decodeMap(bytes, 'grant terms')
  field.only(map, TERMS)
  version(map)
  return {
    transcript: field.bytes(map, 'transcript', 32),
    role: field.choice(map, 'role', roles),
    identity: field.bytes(map, 'identity', 32),
    peer: field.bytes(map, 'peer', 32),
    kind: field.choice(map, 'kind', blockKinds),
    pairs: RangeMap.fromCanonical(field.list(map, 'pairs')),
    entries: field.list(map, 'entries', MAX_ENTRIES).map((item, index) => decodeEntry(item, index)),
    accepts: field
      .list(map, 'accepts', keyScopes.length)
      .map((item, index) => expect.choice(item, `grant terms.accepts[${String(index)}]`, keyScopes)),
    sectorSize: decodeSector(map),
    notAfter: field.uint(map, 'notAfter'),
    nonce: field.bytes(map, 'nonce', 32),
    id: field.bytes(map, 'id', 16),
  }
}

function decodeEntry(item: Canonical, index: number): EntryTerms {
  const map = expect.map(item, `grant terms.entries[${String(index)}]`)
  field.only(map, ['use', 'mode', 'scope', 'frames'])
  const scope = field.choice(map, 'scope', keyScopes)
  const mode = field.choice(map, 'mode', keyModes)
  const frames = map['frames'] === null ? null : decodeFrames(map)
  if ((frames === null) === (scope === 'block')) {
    throw new FormatError('grant terms.entries', 'expected frames exactly for scope "block", found otherwise')
  }
  if (!scopeFits({ mode, scope })) {
    throw new FormatError('grant terms.entries', `expected no key of mode "${mode}" with scope "${scope}"`)
  }
  return { use: field.choice(map, 'use', ['read', 'write']), mode, scope, frames }
}

/** The scope of the key that reaches furthest. */
export function widestScope(kinds: readonly Pick<KeyKind, 'scope'>[]): KeyScope {
  return keyScopes.findLast((scope) => kinds.some((kind) => kind.scope === scope)) ?? 'block'
}

/** A common key opens more than a block, whoever grants it, and no other key does. */
export function scopeFits({ mode, scope }: Pick<KeyKind, 'mode' | 'scope'>): boolean {
  return (mode === 'common') === (scope !== 'block')
}

function decodeFrames(map: CanonicalMap): BlockRange[] {
  return field.list(map, 'frames', MAX_RUNS).map((run, index) => {
    const path = `frames[${String(index)}]`
    const [first, count] = expect.list(run, path, 2)
    return {
      first: expect.uint(first, `${path}.first`),
      count: expect.uint(count, `${path}.count`, 1n << 32n),
    }
  })
}

function decodeSector(map: CanonicalMap): SectorSize | null {
  if (map['sector'] === null) return null
  const size = Number(field.uint(map, 'sector', 4096n))
  const known = sectorSizes.find((candidate) => candidate === size)
  if (known !== undefined) return known
  throw new FormatError(
    'grant terms.sector',
    `expected ${sectorSizes.join(', ')} or null, found ${String(size)}`,
  )
}

/** The canonical bytes that are signed. */
export function encodeEnvelope(envelope: GrantEnvelope): Uint8Array {
  return encodeCanonical({ v: 1n, ...envelope })
}

/** Parses what was signed. Throws FormatError. */
export function decodeEnvelope(bytes: Uint8Array): GrantEnvelope {
  const map = decodeMap(bytes, 'grant')
  field.only(map, ['v', 'enc', 'ciphertext', 'aad', 'info', 'key'])
  version(map)
  return {
    enc: field.bytes(map, 'enc', 32),
    ciphertext: field.bytes(map, 'ciphertext'),
    aad: field.bytes(map, 'aad'),
    info: field.bytes(map, 'info', 32),
    key: field.bytes(map, 'key'),
  }
}

/** The sealed part: the keys of each entry, one after the other. */
export function encodeKeys(keys: readonly Uint8Array[]): Uint8Array {
  return encodeCanonical({ v: 1n, keys: [...keys] })
}

/** Parses the sealed part. Throws FormatError. */
export function decodeKeys(bytes: Uint8Array): Uint8Array[] {
  const map = decodeMap(bytes, 'granted keys')
  field.only(map, ['v', 'keys'])
  version(map)
  return field
    .list(map, 'keys', MAX_ENTRIES)
    .map((item, index) => expect.bytes(item, `keys[${String(index)}]`))
}

function version(map: CanonicalMap): void {
  const found = field.uint(map, 'v')
  if (found !== 1n) throw new FormatError('v', `expected version 1, found ${found.toString()}`)
}
