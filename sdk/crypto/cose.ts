// COSE_Sign1 with ES256 (RFC 9052 sections 4.2 to 4.4, RFC 9053 section 2.1): the one form of a signed artefact here.
// The tag of the use, like `palimpsest/v1/launch-report`, goes in as external_aad, so that a signature made for one
// kind of artefact never verifies as another. Written: CBOR tag 18, all headers protected, nothing unprotected. Read:
// the same, and a key identifier among the unprotected headers, where most COSE libraries put it.

import { decode, encode, rfc8949EncodeOptions, Tagged } from 'cborg'
import { assertBytes, utf8 } from './bytes.ts'
import { encodeCanonical } from './cbor.ts'
import { FormatError, SignatureError } from './errors.ts'
import { SIGNATURE_LENGTH, type IdentityKey, type PublicKey } from './identity.ts'

const COSE_SIGN1_TAG = 18
const HEADER_ALG = 1
const HEADER_KID = 4
const ALG_ES256 = -7
const WHAT = 'COSE_Sign1'

/** A COSE_Sign1 taken apart. Nothing in it is verified: use {@link verify1} before believing the payload. */
export interface Parsed1 {
  readonly payload: Uint8Array
  /** Which key the signer says it used; by convention here its identity digest. */
  readonly keyId?: Uint8Array | undefined
}

interface Message extends Parsed1 {
  readonly protectedHeader: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Signs `payload` under `tag`: a tagged COSE_Sign1, ES256, with `keyId` (if given) as protected `kid`.
 * The payload is embedded. Throws TypeError for arguments that are no bytes.
 */
export function sign1(options: {
  readonly key: IdentityKey
  readonly payload: Uint8Array
  readonly tag: string
  readonly keyId?: Uint8Array | undefined
}): Uint8Array {
  const { key, payload, tag, keyId } = options
  assertBytes('payload', payload)
  const header = new Map<number, number | Uint8Array>([[HEADER_ALG, ALG_ES256]])
  if (keyId !== undefined) header.set(HEADER_KID, keyId)
  const protectedHeader = encodeItem(header)
  const signature = key.sign(signedBytes(protectedHeader, tag, payload))
  return encodeItem(new Tagged(COSE_SIGN1_TAG, [protectedHeader, new Map(), payload, signature]))
}

/**
 * The payload of `message`, once its signature by `publicKey` under `tag` is verified. Throws {@link SignatureError}
 * `BAD_SIGNATURE` when it is not, and {@link FormatError} `MALFORMED` for bytes that are no COSE_Sign1 with ES256.
 */
export function verify1(options: {
  readonly message: Uint8Array
  readonly publicKey: PublicKey
  readonly tag: string
}): Uint8Array {
  const { protectedHeader, payload, signature } = parseMessage(options.message)
  if (!options.publicKey.verify(signedBytes(protectedHeader, options.tag, payload), signature)) {
    throw new SignatureError(
      `expected a signature by ${options.publicKey.toString()} under "${options.tag}", found one that does not verify`,
    )
  }
  return payload
}

/** Payload and key identifier of `message`, UNVERIFIED. Throws {@link FormatError} as {@link verify1}. */
export function parse1(message: Uint8Array): Parsed1 {
  const { payload, keyId } = parseMessage(message)
  return keyId === undefined ? { payload } : { payload, keyId }
}

/** Sig_structure of RFC 9052 section 4.4, encoded: what is really signed. */
function signedBytes(protectedHeader: Uint8Array, tag: string, payload: Uint8Array): Uint8Array {
  return encodeCanonical(['Signature1', protectedHeader, utf8(tag), payload])
}

function encodeItem(value: unknown): Uint8Array {
  return new Uint8Array(encode(value, rfc8949EncodeOptions))
}

function decodeItem(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      useMaps: true,
      rejectDuplicateMapKeys: true,
      tags: { [COSE_SIGN1_TAG]: (inner) => new Tagged(COSE_SIGN1_TAG, inner()) },
    }) as unknown
  } catch (cause) {
    throw new FormatError(WHAT, 'expected CBOR (RFC 9052 section 4.2), found bytes that do not decode', {
      cause,
    })
  }
}

function parseMessage(message: Uint8Array): Message {
  assertBytes('message', message)
  const item = decodeItem(message)
  const parts: unknown = item instanceof Tagged ? item.value : undefined
  if (!Array.isArray(parts) || parts.length !== 4) {
    throw new FormatError(WHAT, 'expected CBOR tag 18 with a list of 4, found another item')
  }
  const [protectedHeader, unprotected, payload, signature] = parts as unknown[]
  if (!(protectedHeader instanceof Uint8Array)) {
    throw new FormatError(`${WHAT}.protected`, 'expected a byte string, found another type')
  }
  if (!(payload instanceof Uint8Array)) {
    throw new FormatError(`${WHAT}.payload`, 'expected an embedded byte string, found another type')
  }
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_LENGTH) {
    throw new FormatError(
      `${WHAT}.signature`,
      `expected ${String(SIGNATURE_LENGTH)} bytes, found another size or type`,
    )
  }
  const keyId = readHeaders(decodeItem(protectedHeader), unprotected)
  const rest = { protectedHeader: copy(protectedHeader), payload: copy(payload), signature: copy(signature) }
  return keyId === undefined ? rest : { ...rest, keyId: copy(keyId) }
}

/** Checks both header maps and returns `kid`. Labels other than alg and kid are refused, `crit` among them. */
function readHeaders(protectedMap: unknown, unprotected: unknown): Uint8Array | undefined {
  if (!(protectedMap instanceof Map) || !(unprotected instanceof Map)) {
    throw new FormatError(`${WHAT} headers`, 'expected two maps, found another type')
  }
  if (protectedMap.get(HEADER_ALG) !== ALG_ES256) {
    throw new FormatError(
      `${WHAT}.protected`,
      `expected alg ES256 (${String(ALG_ES256)}), found another or none`,
    )
  }
  const isKnown = [...protectedMap.keys()].every((label) => label === HEADER_ALG || label === HEADER_KID)
  if (!isKnown || [...unprotected.keys()].some((label) => label !== HEADER_KID)) {
    throw new FormatError(`${WHAT} headers`, 'expected alg and kid only, found another label')
  }
  const inBoth = protectedMap.has(HEADER_KID) && unprotected.has(HEADER_KID)
  const keyId: unknown = protectedMap.get(HEADER_KID) ?? unprotected.get(HEADER_KID)
  if (inBoth || (keyId !== undefined && !(keyId instanceof Uint8Array))) {
    throw new FormatError(`${WHAT} headers`, 'expected at most one kid, a byte string')
  }
  return keyId
}

function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}
