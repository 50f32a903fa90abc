// A VM's challenge: fresh nonce, side, PCR selection and policy digest, signed by the VM's identity key, so that the
// worker answers the two VMs of a registration and nobody else. The answer is good once and for a short time; that
// part, which is state, is challenge-book.ts.

import {
  assertBytes,
  type CanonicalMap,
  decodeMap,
  encodeCanonical,
  equalBytes,
  expect,
  field,
  FormatError,
  hex,
  type IdentityKey,
  parse1,
  PublicKey,
  sign1,
  verify1,
} from '../crypto/index.ts'
import { PCR_COUNT, TPM_ALG } from '../tpm2/index.ts'
import { randomNonce } from './nonce.ts'
import { bindingDigest, NONCE_LENGTH, type Role, roles } from './binding.ts'
import { encodeOpen, transcriptOf } from './open.ts'
import type { Open } from './open-types.ts'
import { Refusal, refuseAs } from './refusal.ts'

const TAG = 'palimpsest/v1/challenge'
const FIELDS = ['v', 'transcript', 'role', 'nonce', 'hash', 'pcrs', 'policy', 'ttl', 'key']

/** Longest encoding of a challenge that is looked at. */
const CHALLENGE_LIMIT = 1024
/** How long a challenge is good unless its maker says otherwise: 60 s. */
export const CHALLENGE_TTL_MS = 60_000
const MAX_TTL_MS = 3_600_000

/** One bank (TPM_ALG_ID) and PCR numbers, ascending: what a quote must select. */
export interface Selection {
  readonly hash: number
  readonly pcrs: readonly number[]
}

/** A challenge as its maker keeps it. */
export interface MadeChallenge {
  /** COSE_Sign1, to be relayed as it is */
  readonly bytes: Uint8Array
  /** 32 random bytes */
  readonly nonce: Uint8Array
  /** d_role, 32 bytes: what the quote's qualifying data and the worker report's report data must be */
  readonly bindingDigest: Uint8Array
  readonly selection: Selection
  /** how long an answer is accepted, for the ChallengeBook */
  readonly ttlMs: number
}

/** A challenge as its receiver reads it, once verified. */
export interface VerifiedChallenge {
  readonly transcript: Uint8Array
  readonly role: Role
  readonly nonce: Uint8Array
  readonly selection: Selection
  /** SHA-256 of the policy by which the evidence will be judged */
  readonly policyDigest: Uint8Array
  readonly ttlMs: number
  /** the VM's identity key, whose digest the terms name */
  readonly signer: PublicKey
  readonly bindingDigest: Uint8Array
}

/**
 * Makes a challenge with a fresh nonce. `transcript` is T of the terms, `policyDigest` 32 bytes, `ttlMs` 1 ms to 1 h.
 * Throws TypeError or RangeError for other arguments.
 */
export function makeChallenge(options: {
  readonly identity: IdentityKey
  readonly transcript: Uint8Array
  readonly role: Role
  readonly selection: Selection
  readonly policyDigest: Uint8Array
  readonly ttlMs?: number
}): MadeChallenge {
  const { identity, transcript, role, selection, policyDigest, ttlMs = CHALLENGE_TTL_MS } = options
  assertBytes('policyDigest', policyDigest, 32)
  if (!Number.isInteger(ttlMs) || ttlMs < 1 || ttlMs > MAX_TTL_MS) {
    throw new RangeError(`"ttlMs" expected 1..${String(MAX_TTL_MS)}, got ${String(ttlMs)}`)
  }
  const nonce = randomNonce()
  const payload = encodeCanonical({
    v: 1n,
    transcript,
    role,
    nonce,
    hash: BigInt(selection.hash),
    pcrs: selection.pcrs.map((pcr) => BigInt(pcr)),
    policy: policyDigest,
    ttl: BigInt(ttlMs),
    key: identity.publicKey.spki,
  })
  const bytes = sign1({ key: identity, payload, tag: TAG, keyId: identity.publicKey.digest })
  return { bytes, nonce, bindingDigest: bindingDigest(transcript, role, nonce), selection, ttlMs }
}

/**
 * What `bytes` say, once it is certain that the VM of that side of `open` signed them for these terms. `transcript`
 * saves computing T again; `role`, when given, must be the challenge's.
 * Throws {@link Refusal}: REFUSED_SIZE for bytes that are no challenge, REFUSED_BINDING for other terms, another side,
 * another key than the terms name, or a signature that does not verify.
 */
export function verifyChallenge(
  bytes: Uint8Array,
  terms: { readonly open: Open; readonly transcript?: Uint8Array; readonly role?: Role },
): VerifiedChallenge {
  const { open, transcript = transcriptOf(encodeOpen(open)) } = terms
  const { signer, payload } = refuseAs('REFUSED_SIZE', 'challenge', 'a signed challenge', () =>
    readSigner(bytes),
  )
  refuseAs('REFUSED_BINDING', 'challenge', "the signature of the VM's identity key", () =>
    verify1({ message: bytes, publicKey: signer, tag: TAG }),
  )
  const challenge = refuseAs('REFUSED_SIZE', 'challenge', 'a challenge of version 1', () =>
    read(payload, signer),
  )
  if (!equalBytes(challenge.transcript, transcript)) {
    throw new Refusal('REFUSED_BINDING', 'challenge', {
      expected: `terms ${hex(transcript)}`,
      found: `terms ${hex(challenge.transcript)}`,
      action: 'relay the challenge to the registration that it was made for',
    })
  }
  if (terms.role !== undefined && challenge.role !== terms.role) {
    throw new Refusal('REFUSED_BINDING', 'challenge', {
      expected: `the ${terms.role}'s`,
      found: `the ${challenge.role}'s`,
    })
  }
  const named = open[challenge.role].identity
  if (!equalBytes(signer.digest, named)) {
    throw new Refusal('REFUSED_BINDING', `challenge of the ${challenge.role}`, {
      expected: `the identity ${hex(named)} that the terms name`,
      found: `one signed by ${hex(signer.digest)}`,
      action: 'relay the challenge of that VM unchanged',
    })
  }
  return challenge
}

function readSigner(bytes: Uint8Array): { signer: PublicKey; payload: CanonicalMap } {
  if (bytes.length > CHALLENGE_LIMIT) {
    throw new FormatError(
      'challenge',
      `expected at most ${String(CHALLENGE_LIMIT)} bytes, found ${String(bytes.length)}`,
    )
  }
  const parsed = parse1(bytes)
  const payload = decodeMap(parsed.payload, 'challenge')
  const signer = PublicKey.fromSpki(field.bytes(payload, 'key'))
  if (parsed.keyId === undefined || !equalBytes(parsed.keyId, signer.digest)) {
    throw new FormatError(
      'challenge',
      'expected the digest of its key as key identifier, found another or none',
    )
  }
  return { signer, payload }
}

function read(map: CanonicalMap, signer: PublicKey): VerifiedChallenge {
  field.only(map, FIELDS)
  if (field.uint(map, 'v') !== 1n) throw new FormatError('challenge.v', 'expected version 1, found another')
  const transcript = field.bytes(map, 'transcript', 32)
  const role = field.choice(map, 'role', roles)
  const nonce = field.bytes(map, 'nonce', NONCE_LENGTH)
  return {
    transcript,
    role,
    nonce,
    selection: readSelection(map),
    policyDigest: field.bytes(map, 'policy', 32),
    ttlMs: Number(field.uint(map, 'ttl', BigInt(MAX_TTL_MS))),
    signer,
    bindingDigest: bindingDigest(transcript, role, nonce),
  }
}

function readSelection(map: CanonicalMap): Selection {
  const hash = Number(field.uint(map, 'hash', 0xffffn))
  if (hash !== TPM_ALG.SHA256 && hash !== TPM_ALG.SHA384) {
    throw new FormatError(
      'challenge.hash',
      `expected the SHA-256 or SHA-384 bank, found 0x${hash.toString(16)}`,
    )
  }
  const pcrs = field.list(map, 'pcrs', PCR_COUNT).map((item, index) => {
    return Number(expect.uint(item, `challenge.pcrs[${String(index)}]`, BigInt(PCR_COUNT - 1)))
  })
  if (pcrs.some((pcr, index) => index > 0 && pcr <= (pcrs[index - 1] ?? 0))) {
    throw new FormatError('challenge.pcrs', 'expected ascending PCR numbers, found another order')
  }
  return { hash, pcrs }
}
