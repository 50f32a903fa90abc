// Identities: ECDSA over P-256 with SHA-256 (FIPS 186-5, COSE ES256). A VM, a worker or a platform key is named by the
// SHA-256 of its SubjectPublicKeyInfo (RFC 5480), so the encoding of a public key must be the one canonical form.

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import { inspect } from 'node:util'
import { assertBytes, concatBytes, equalBytes, fromHex, hex, plainView } from './bytes.ts'
import { sha256 } from './digest.ts'
import { FormatError } from './errors.ts'

/** Bytes of a raw ECDSA P-256 signature r ‖ s. */
export const SIGNATURE_LENGTH = 64

// SubjectPublicKeyInfo of an uncompressed P-256 point up to the point's X: AlgorithmIdentifier {id-ecPublicKey,
// prime256v1}, BIT STRING of 66 bytes, 0 unused bits, 0x04 (RFC 5480 section 2).
const SPKI_PREFIX = fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200' + '04')
const COORDINATE = 32

function requireP256(key: KeyObject, what: string): void {
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (key.asymmetricKeyType === 'ec' && curve === 'prime256v1') return
  throw new FormatError(
    what,
    `expected an EC key on P-256, found ${key.asymmetricKeyType ?? 'a secret key'} ${curve ?? ''}`.trimEnd(),
  )
}

function parseKey(what: string, parse: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = parse()
  } catch (cause) {
    throw new FormatError(what, 'expected an encoded P-256 key, found bytes that do not parse', { cause })
  }
  requireP256(key, what)
  return key
}

/** OpenSSL exports a point in the form that it was read in; the canonical form is built from the coordinates. */
function canonicalSpki(key: KeyObject): Uint8Array {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return concatBytes(SPKI_PREFIX, Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url'))
}

/** A P-256 public key: verifies, and names an identity by {@link PublicKey.digest}. */
export class PublicKey {
  /** DER SubjectPublicKeyInfo in its canonical form: named curve, uncompressed point, 91 bytes. */
  readonly spki: Uint8Array
  /** SHA-256 of {@link PublicKey.spki}: the identity digest, 32 bytes. */
  readonly digest: Uint8Array
  readonly #key: KeyObject

  private constructor(key: KeyObject) {
    this.#key = key
    this.spki = canonicalSpki(key)
    this.digest = sha256(this.spki)
  }

  /** From DER. Throws FormatError unless it is the canonical form, else one key would have several digests. */
  static fromSpki(der: Uint8Array): PublicKey {
    assertBytes('der', der)
    const input = Buffer.from(der)
    const key = new PublicKey(
      parseKey('public key', () => createPublicKey({ key: input, format: 'der', type: 'spki' })),
    )
    if (!equalBytes(key.spki, der)) {
      throw new FormatError(
        'public key',
        'expected SubjectPublicKeyInfo with the named curve and an uncompressed point, found another form',
      )
    }
    return key
  }

  /** From a PEM block `PUBLIC KEY`; a private key's PEM is refused. Throws FormatError. */
  static fromPem(pem: string): PublicKey {
    if (!/^-----BEGIN PUBLIC KEY-----/m.test(pem)) {
      throw new FormatError('public key', 'expected a PEM block PUBLIC KEY, found none')
    }
    return new PublicKey(parseKey('public key', () => createPublicKey(pem)))
  }

  /** From a JWK (RFC 7517) with kty EC and crv P-256; a private part is ignored. Throws FormatError. */
  static fromJwk(jwk: JsonWebKey): PublicKey {
    const { kty, crv, x, y } = jwk
    const isPublicPart =
      typeof kty === 'string' && typeof crv === 'string' && typeof x === 'string' && typeof y === 'string'
    if (!isPublicPart)
      throw new FormatError('public key', 'expected a JWK with kty, crv, x and y, found fewer')
    return new PublicKey(
      parseKey('public key', () => createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' })),
    )
  }

  /** From affine coordinates, 32 bytes big-endian each, as TPMS_ECC_POINT has them. Throws FormatError off the curve. */
  static fromPoint(x: Uint8Array, y: Uint8Array): PublicKey {
    assertBytes('x', x, COORDINATE)
    assertBytes('y', y, COORDINATE)
    return PublicKey.fromSpki(concatBytes(SPKI_PREFIX, x, y))
  }

  /** @internal The public half of a key of this room. */
  static fromKeyObject(key: KeyObject): PublicKey {
    requireP256(key, 'public key')
    return new PublicKey(key.type === 'private' ? createPublicKey(key) : key)
  }

  /** Affine coordinates, copies of 32 bytes big-endian each. */
  get point(): { readonly x: Uint8Array; readonly y: Uint8Array } {
    const start = SPKI_PREFIX.length
    return { x: this.spki.slice(start, start + COORDINATE), y: this.spki.slice(start + COORDINATE) }
  }

  /** Whether `signature` (raw r ‖ s) is this key's ECDSA signature of SHA-256(bytes). A wrong length is just false. */
  verify(bytes: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length !== SIGNATURE_LENGTH) return false
    return verify('sha256', bytes, { key: this.#key, dsaEncoding: 'ieee-p1363' }, signature)
  }

  /** Whether both are the same key. */
  equals(other: PublicKey): boolean {
    return equalBytes(this.spki, other.spki)
  }

  /** PEM block `PUBLIC KEY`. */
  toPem(): string {
    return this.#key.export({ format: 'pem', type: 'spki' }).toString()
  }

  toString(): string {
    return `[PublicKey ${hex(this.digest)}]`
  }

  toJSON(): string {
    return this.toString()
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

/** A P-256 private key of this process. Printing, JSON and structured clone show at most the public digest. */
export class IdentityKey {
  /** The public half. */
  readonly publicKey: PublicKey
  readonly #key: KeyObject

  private constructor(key: KeyObject) {
    this.#key = key
    this.publicKey = PublicKey.fromKeyObject(key)
  }

  /** A fresh key. */
  static generate(): IdentityKey {
    return new IdentityKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
  }

  /** From a PEM block `PRIVATE KEY` (PKCS #8) or `EC PRIVATE KEY` (SEC 1). Throws FormatError. */
  static fromPem(pem: string): IdentityKey {
    return new IdentityKey(parseKey('private key', () => createPrivateKey(pem)))
  }

  /** From DER PKCS #8. Throws FormatError. */
  static fromPkcs8(der: Uint8Array): IdentityKey {
    assertBytes('der', der)
    const input = Buffer.from(der)
    const key = parseKey('private key', () => createPrivateKey({ key: input, format: 'der', type: 'pkcs8' }))
    input.fill(0)
    return new IdentityKey(key)
  }

  /** PEM block `PRIVATE KEY` (PKCS #8, unencrypted): write it only to a file of mode 0600. */
  toPem(): string {
    return this.#key.export({ format: 'pem', type: 'pkcs8' }).toString()
  }

  /** DER PKCS #8, unencrypted; the caller wipes it. */
  toPkcs8(): Uint8Array {
    return plainView(this.#key.export({ format: 'der', type: 'pkcs8' }))
  }

  /** ECDSA over SHA-256(bytes): raw r ‖ s, 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array {
    return plainView(sign('sha256', bytes, { key: this.#key, dsaEncoding: 'ieee-p1363' }))
  }

  toString(): string {
    return `[IdentityKey ${hex(this.publicKey.digest)}]`
  }

  toJSON(): string {
    return this.toString()
  }

  [inspect.custom](): string {
    return this.toString()
  }
}
