// A receipt: what a worker says it did in one copy session, signed by a key that the terms name, with the head of its
// audit log. Whoever holds the terms can check it; it names ciphertext digests only.

import {
  decodeMap,
  encodeCanonical,
  expect,
  field,
  type IdentityKey,
  keyModes,
  type PublicKey,
  sha256,
  sign1,
  verify1,
} from '../crypto/index.ts'
import { type KeyKind, keyScopes } from '../grant/index.ts'
import type { Role } from '../rpc/index.ts'
import type { AuditHead } from './audit.ts'
import type { CopyOutcome, StoredCopy } from './copy.ts'
import type { Registration } from './registration.ts'

const TAG = 'palimpsest/v1/receipt'

/** A receipt as read back. */
export interface Receipt {
  readonly registration: string
  /** Digest of the terms. */
  readonly transcript: Uint8Array
  /** Whose second blocks they are. */
  readonly writer: Role
  readonly copies: readonly StoredCopy[]
  /** Kinds of the keys that were used; one of scope `group` opens more than these blocks. */
  readonly keys: readonly KeyKind[]
  /** SHA-256 of the first blocks' ciphertexts, in order. */
  readonly firstDigest: Uint8Array
  /** SHA-256 of the second blocks' ciphertexts, in order. */
  readonly secondDigest: Uint8Array
  /** Audit log after the session's entry. */
  readonly audit: AuditHead
}

/** Signs the receipt of a session that stored. */
export function makeReceipt(options: {
  key: IdentityKey
  registration: Registration
  writer: Role
  outcome: Extract<CopyOutcome, { kind: 'stored' }>
  audit: AuditHead
}): Uint8Array {
  const { key, registration, writer, outcome, audit } = options
  const payload = encodeCanonical({
    v: 1n,
    registration: registration.id,
    transcript: registration.transcript,
    writer,
    copies: outcome.copies.map((copy) => [copy.first, copy.second, copy.generation, copy.secondGeneration]),
    keys: outcome.keys.map(({ use, mode, scope }) => [use, mode, scope]),
    firstDigest: sha256(outcome.firstCiphertext),
    secondDigest: sha256(outcome.secondCiphertext),
    sequence: audit.sequence,
    head: audit.digest,
  })
  return sign1({ key, payload, tag: TAG })
}

/** Checks a receipt's signature with the key that the terms name. Throws SignatureError or FormatError. */
export function verifyReceipt(receipt: Uint8Array, publicKey: PublicKey): Receipt {
  const map = decodeMap(verify1({ message: receipt, publicKey, tag: TAG }), 'receipt')
  const copies = field
    .list(map, 'copies')
    .map((item, position) => parseCopy(item, `receipt.copies[${String(position)}]`))
  return {
    registration: field.text(map, 'registration', 128),
    transcript: field.bytes(map, 'transcript', 32),
    writer: field.choice(map, 'writer', ['source', 'destination']),
    copies,
    keys: field
      .list(map, 'keys')
      .map((item, position) => parseKind(item, `receipt.keys[${String(position)}]`)),
    firstDigest: field.bytes(map, 'firstDigest', 32),
    secondDigest: field.bytes(map, 'secondDigest', 32),
    audit: { sequence: field.uint(map, 'sequence'), digest: field.bytes(map, 'head', 32) },
  }
}

function parseCopy(value: Parameters<typeof expect.list>[0], path: string): StoredCopy {
  const [first, second, generation, secondGeneration] = expect.list(value, path, 4)
  return {
    first: expect.uint(first, `${path}[0]`),
    second: expect.uint(second, `${path}[1]`),
    generation: expect.uint(generation, `${path}[2]`),
    secondGeneration: expect.uint(secondGeneration, `${path}[3]`),
  }
}

function parseKind(value: Parameters<typeof expect.list>[0], path: string): KeyKind {
  const [use, mode, scope] = expect.list(value, path, 3)
  return {
    use: expect.choice(use, `${path}[0]`, ['read', 'write']),
    mode: expect.choice(mode, `${path}[1]`, keyModes),
    scope: expect.choice(scope, `${path}[2]`, keyScopes),
  }
}
