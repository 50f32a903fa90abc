// The share statement: an owner's signed word that a peer may become a sharer of some of its frames. The platform asks
// for it before it makes a frame SHARED_RO, so that a host cannot add a sharer by itself.
// Form: COSE_Sign1 (RFC 9052) with ES256 by the owner's identity key, over canonical CBOR, under the tag below.

import { type RangePair, validatePair } from '../block/index.ts'
import {
  type Canonical,
  decodeMap,
  encodeCanonical,
  expect,
  field,
  FormatError,
  type IdentityKey,
  parse1,
  type PublicKey,
  sign1,
  verify1,
} from '../crypto/index.ts'
import { expectVersion, refusing } from './refusing.ts'

const TAG = 'palimpsest/v1/share-statement'
const WHAT = 'share statement'
const VERSION = 1n
const DIGEST = 32
const MAX_PAIRS = 65_536

/** What an owner allows. */
export interface ShareStatement {
  /** digest of the peer's identity key (SHA-256 of its SubjectPublicKeyInfo) */
  readonly peer: Uint8Array
  /** the owner's guest pages (first) and the peer's guest pages (second) */
  readonly pairs: readonly RangePair[]
  /** milliseconds of the platform's clock after which it allows nothing */
  readonly notAfter: bigint
}

/** Signs a statement with the owner's identity key. Throws TypeError or RangeError for arguments that do not fit. */
export function makeShareStatement(
  statement: ShareStatement & { readonly identity: IdentityKey },
): Uint8Array {
  const { identity, peer, pairs, notAfter } = statement
  if (peer.length !== DIGEST)
    throw new RangeError(`"peer" expected 32 bytes, got length=${String(peer.length)}`)
  if (pairs.length > MAX_PAIRS) {
    throw new RangeError(`"pairs" expected at most ${String(MAX_PAIRS)}, got ${String(pairs.length)}`)
  }
  for (const pair of pairs) validatePair(pair)
  const payload = encodeCanonical({
    version: VERSION,
    peer,
    pairs: pairs.map(({ first, second, count }) => [first, second, count]),
    notAfter,
  })
  return sign1({ key: identity, payload, tag: TAG, keyId: identity.publicKey.digest })
}

/**
 * What a statement allows, once its signature by `owner` is verified. Expiry, peer and ranges are the caller's to check.
 * Throws EvidenceError STATEMENT_MALFORMED or STATEMENT_SIGNATURE.
 */
export function verifyShareStatement(message: Uint8Array, owner: PublicKey): ShareStatement {
  const statement = refusing('STATEMENT_MALFORMED', () => decode(parse1(message).payload))
  refusing('STATEMENT_SIGNATURE', () => verify1({ message, publicKey: owner, tag: TAG }))
  return statement
}

function decode(payload: Uint8Array): ShareStatement {
  const map = decodeMap(payload, WHAT)
  field.only(map, ['version', 'peer', 'pairs', 'notAfter'])
  expectVersion(map, WHAT, VERSION)
  return {
    peer: field.bytes(map, 'peer', DIGEST),
    pairs: field
      .list(map, 'pairs', MAX_PAIRS)
      .map((item, index) => decodePair(item, `${WHAT}.pairs[${String(index)}]`)),
    notAfter: field.uint(map, 'notAfter'),
  }
}

function decodePair(value: Canonical, path: string): RangePair {
  const [first, second, count] = expect.list(value, path, 3)
  const pair = {
    first: expect.uint(first, `${path}.first`),
    second: expect.uint(second, `${path}.second`),
    count: expect.uint(count, `${path}.count`),
  }
  try {
    validatePair(pair)
  } catch (cause) {
    if (cause instanceof RangeError) throw new FormatError(path, cause.message, { cause })
    throw cause
  }
  return pair
}
