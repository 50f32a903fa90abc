// Secret sharing: a seed for one asymmetric key's owner, and a use. Session salts, credentials and duplication all begin
// with such a seed; the label keeps a seed of one use from serving another.
// RSA: the seed is random and goes encrypted with OAEP. ECC: it is what KDFe makes of an ECDH with a one-time key, whose
// public point goes along.
// Source: TPM 2.0 Library, Part 1, annexes B.10 (RSA) and C.6 (ECC), revision 1.59; SP 800-56A; RFC 8017, 7.1.

import { constants, createECDH, publicEncrypt, randomBytes } from 'node:crypto'
import { TPM2B_ENCRYPTED_SECRET } from './buffers.ts'
import { marshal, unmarshal } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, hashName } from './hash.ts'
import { kdfe, labelBytes } from './kdf.ts'
import { curve, eccPublicKey, leftPad, publicKeyOf } from './keys.ts'
import { type EccPublic, type RsaPublic, TPMS_ECC_POINT, type TPMT_PUBLIC } from './public.ts'
import { TPM_RC } from './response-codes.ts'

/** What a shared secret is for: a credential, a duplicated object, or the salt of a session. */
export type SecretUse = 'IDENTITY' | 'DUPLICATE' | 'SECRET'

/** A seed, and how the owner of the key learns it. */
export interface SharedSecret {
  /** as long as a digest of the key's nameAlg */
  readonly seed: Uint8Array
  /** contents of a TPM2B_ENCRYPTED_SECRET */
  readonly secret: Uint8Array
}

/** The private half of a key, as far as secret sharing needs it. */
export interface SecretKey {
  /** ECC: the x coordinate of the private scalar times `point`, which is known to be on the curve */
  readonly agree?: ((point: TPMS_ECC_POINT) => Uint8Array) | undefined
  /** RSA: OAEP decryption with hash and MGF1 of `hashAlg`. It may throw anything when the padding is wrong */
  readonly oaep?: ((ciphertext: Uint8Array, hashAlg: number, label: Uint8Array) => Uint8Array) | undefined
}

/**
 * A new seed for the owner of `publicArea`, an ECC key on P-256, P-384 or P-521 or an RSA key.
 * Throws Tpm2Error UNSUPPORTED for another key, MALFORMED for a point or modulus that is none.
 */
export function shareSecret(publicArea: TPMT_PUBLIC, use: SecretUse): SharedSecret {
  switch (publicArea.type) {
    case TPM_ALG.ECC:
      return shareByEcdh(publicArea, use)
    case TPM_ALG.RSA:
      return shareByOaep(publicArea, use)
    case TPM_ALG.KEYEDHASH:
    case TPM_ALG.SYMCIPHER:
      return noPublicKey()
  }
}

/**
 * The seed in `secret` (contents of a TPM2B_ENCRYPTED_SECRET), with the private key of `publicArea`.
 * Throws Tpm2Error MALFORMED when it is no structure or the point is not on the key's curve, BAD_SECRET when it does
 * not decrypt or is too long, UNSUPPORTED for a key of another kind; each with the response code of a TPM. A wrong
 * secret for an ECC key gives a wrong seed: the integrity value of what it protects shows that.
 */
export function recoverSecret(
  publicArea: TPMT_PUBLIC,
  key: SecretKey,
  use: SecretUse,
  secret: Uint8Array,
): Uint8Array {
  if (publicArea.type === TPM_ALG.ECC && key.agree !== undefined) {
    const ephemeral = unmarshal(TPMS_ECC_POINT, secret)
    eccPublicKey(publicArea.parameters.curveID, ephemeral)
    return seedOf(publicArea, key.agree(ephemeral), ephemeral, use)
  }
  if (publicArea.type === TPM_ALG.RSA && key.oaep !== undefined) {
    return recoverByOaep(publicArea, key.oaep, use, secret)
  }
  return noPublicKey()
}

function noPublicKey(): never {
  throw new Tpm2Error(
    'UNSUPPORTED',
    'expected an ECC key with "agree" or an RSA key with "oaep", found neither',
    { rc: TPM_RC.KEY },
  )
}

/**
 * KDFe(nameAlg, z, use, ephemeral x, static x). Both x go in as they were sent, with leading zeros or without: so does the
 * reference code, and tpm2-tools send and use them without. Source: annex C.6.
 */
function seedOf(key: EccPublic, z: Uint8Array, { x }: TPMS_ECC_POINT, use: SecretUse): Uint8Array {
  const { size } = curve(key.parameters.curveID)
  return kdfe(key.nameAlg, leftPad(z, size), use, x, key.unique.x, digestSize(key.nameAlg) * 8)
}

function shareByEcdh(key: EccPublic, use: SecretUse): SharedSecret {
  const { openssl, size } = curve(key.parameters.curveID)
  eccPublicKey(key.parameters.curveID, key.unique)
  const ecdh = createECDH(openssl)
  const point = new Uint8Array(ecdh.generateKeys())
  const ephemeral = { x: point.slice(1, 1 + size), y: point.slice(1 + size) }
  const z = new Uint8Array(ecdh.computeSecret(uncompressed(key.unique, size)))
  const seed = seedOf(key, z, ephemeral, use)
  z.fill(0)
  return { seed, secret: marshal(TPMS_ECC_POINT, ephemeral) }
}

/** A point as SEC 1 writes it uncompressed: 4 ‖ x ‖ y. */
function uncompressed(point: TPMS_ECC_POINT, size: number): Uint8Array {
  return Uint8Array.from([4, ...leftPad(point.x, size), ...leftPad(point.y, size)])
}

/** The key's own OAEP hash when it fixes one, else its nameAlg. Source: annex B.10. */
function oaepHash({ nameAlg, parameters: { scheme } }: RsaPublic): number {
  if (scheme.scheme === TPM_ALG.NULL) return nameAlg
  if (scheme.scheme === TPM_ALG.OAEP) return scheme.hashAlg
  throw new Tpm2Error('UNSUPPORTED', 'expected an RSA key for OAEP, found a key with another scheme', {
    rc: TPM_RC.SCHEME,
  })
}

function shareByOaep(key: RsaPublic, use: SecretUse): SharedSecret {
  const seed = new Uint8Array(randomBytes(digestSize(key.nameAlg)))
  const options = {
    key: publicKeyOf(key),
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash: hashName(oaepHash(key)),
    oaepLabel: labelBytes(use),
  }
  try {
    return { seed, secret: new Uint8Array(publicEncrypt(options, seed)) }
  } catch (cause) {
    const message = 'expected an RSA key with room for a seed, found one that cannot encrypt it'
    throw new Tpm2Error('UNSUPPORTED', message, { cause, rc: TPM_RC.KEY })
  }
}

function recoverByOaep(
  key: RsaPublic,
  oaep: NonNullable<SecretKey['oaep']>,
  use: SecretUse,
  secret: Uint8Array,
): Uint8Array {
  const hashAlg = oaepHash(key)
  if (secret.length !== key.unique.length) {
    const found = `expected ${String(key.unique.length)} bytes, found ${String(secret.length)}`
    throw new Tpm2Error('MALFORMED', `${TPM2B_ENCRYPTED_SECRET.name}: ${found}`, { rc: TPM_RC.SIZE })
  }
  const seed = decrypt(() => oaep(secret, hashAlg, labelBytes(use)))
  if (seed.length > digestSize(hashAlg)) {
    throw new Tpm2Error('BAD_SECRET', 'expected a seed of at most a digest, found a longer one', {
      rc: TPM_RC.VALUE,
    })
  }
  return seed
}

function decrypt(run: () => Uint8Array): Uint8Array {
  try {
    return run()
  } catch (cause) {
    throw new Tpm2Error('BAD_SECRET', 'expected a secret for this key and use, found another', {
      cause,
      rc: TPM_RC.VALUE,
    })
  }
}
