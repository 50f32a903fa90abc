// Credential protection: a secret that only the TPM with this EK can open, and only for the key with this name.
// It is how a verifier learns that an attestation key lives in the TPM whose EK certificate it has checked.
// makeCredential() is the verifier's half in software; openCredential() is the TPM's.
// Source: TPM 2.0 Library, Part 1, clause 24 and annex C.6.1 (ECC secret sharing), revision 1.59.

import { createCipheriv, createDecipheriv, createECDH, timingSafeEqual } from 'node:crypto'
import { buffer, marshal, Reader, unmarshal, Writer } from './codec.ts'
import { TPM_ALG, TPM_ECC } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, hmac } from './hash.ts'
import { kdfa, kdfe } from './kdf.ts'
import { type EccPublic, TPM2B_DIGEST, TPMS_ECC_POINT, type TPMT_PUBLIC } from './public.ts'
import { eccPublicKey, leftPad } from './signature.ts'

const NONE = new Uint8Array(0)
const IV = new Uint8Array(16)
const FIELD = 32

/** TPM2B_ID_OBJECT (Part 2, 12.4.3): its contents, without the size. */
export const TPM2B_ID_OBJECT = buffer('TPM2B_ID_OBJECT', 512)
/** TPM2B_ENCRYPTED_SECRET (Part 2, 11.4.33): its contents, without the size. */
export const TPM2B_ENCRYPTED_SECRET = buffer('TPM2B_ENCRYPTED_SECRET', 512)

/** A protected credential, as TPM2_MakeCredential returns it and TPM2_ActivateCredential takes it. */
export interface Credential {
  /** contents of a TPM2B_ID_OBJECT */
  readonly credentialBlob: Uint8Array
  /** contents of a TPM2B_ENCRYPTED_SECRET: the ephemeral point */
  readonly secret: Uint8Array
}

/** An EK that this room computes with: P-256, with AES-128-CFB as its symmetric algorithm. */
function checkEk(ekPublic: TPMT_PUBLIC): asserts ekPublic is EccPublic {
  const parameters = ekPublic.type === TPM_ALG.ECC ? ekPublic.parameters : undefined
  const symmetric = parameters?.symmetric
  if (
    parameters?.curveID !== TPM_ECC.NIST_P256 ||
    symmetric?.algorithm !== TPM_ALG.AES ||
    symmetric.keyBits !== 128 ||
    symmetric.mode !== TPM_ALG.CFB
  ) {
    throw new Tpm2Error(
      'UNSUPPORTED',
      'expected an EK on NIST P-256 with AES-128-CFB, found another kind of key',
    )
  }
}

interface Wrapping {
  readonly symKey: Uint8Array
  readonly hmacKey: Uint8Array
}

/** The two keys of a credential, from the shared point's x coordinate. Source: Part 1, 24.4, 24.5 and C.6.1. */
function wrappingKeys(
  ek: EccPublic,
  z: Uint8Array,
  ephemeral: TPMS_ECC_POINT,
  objectName: Uint8Array,
): Wrapping {
  const bits = digestSize(ek.nameAlg) * 8
  const partyU = leftPad(ephemeral.x, FIELD)
  const partyV = leftPad(ek.unique.x, FIELD)
  const seed = kdfe(ek.nameAlg, leftPad(z, FIELD), 'IDENTITY', partyU, partyV, bits)
  return {
    symKey: kdfa(ek.nameAlg, seed, 'STORAGE', objectName, NONE, 128),
    hmacKey: kdfa(ek.nameAlg, seed, 'INTEGRITY', NONE, NONE, bits),
  }
}

/** A point as SEC 1 writes it uncompressed: 4 ‖ x ‖ y. */
function uncompressed(point: TPMS_ECC_POINT): Uint8Array {
  const out = new Uint8Array(1 + 2 * FIELD)
  out[0] = 4
  out.set(leftPad(point.x, FIELD), 1)
  out.set(leftPad(point.y, FIELD), 1 + FIELD)
  return out
}

/**
 * MakeCredential in software: wraps `secret` so that only the TPM that holds `ekPublic`'s private key opens it, and
 * only for the object named `objectName`. The EK must be P-256 with AES-128-CFB.
 * Throws RangeError when the secret is longer than a digest of the EK's name algorithm, Tpm2Error UNSUPPORTED for
 * another kind of EK and MALFORMED for a public point that is none. Source: Part 1, clause 24.
 */
export function makeCredential(options: {
  readonly ekPublic: TPMT_PUBLIC
  readonly objectName: Uint8Array
  readonly secret: Uint8Array
}): Credential {
  const { ekPublic, objectName, secret } = options
  checkEk(ekPublic)
  const limit = digestSize(ekPublic.nameAlg)
  if (secret.length < 1 || secret.length > limit) {
    throw new RangeError(`"secret" expected 1 to ${String(limit)} bytes, got length=${String(secret.length)}`)
  }
  eccPublicKey(ekPublic.parameters.curveID, ekPublic.unique)
  const ecdh = createECDH('prime256v1')
  const point = new Uint8Array(ecdh.generateKeys())
  const ephemeral = { x: point.slice(1, 1 + FIELD), y: point.slice(1 + FIELD) }
  const z = new Uint8Array(ecdh.computeSecret(uncompressed(ekPublic.unique)))
  const { symKey, hmacKey } = wrappingKeys(ekPublic, z, ephemeral, objectName)
  const cipher = createCipheriv('aes-128-cfb', symKey, IV)
  const encIdentity = new Uint8Array(cipher.update(marshal(TPM2B_DIGEST, secret)))
  const writer = new Writer()
  TPM2B_DIGEST.write(writer, hmac(ekPublic.nameAlg, hmacKey, encIdentity, objectName))
  writer.bytes(encIdentity)
  return { credentialBlob: writer.finish(), secret: marshal(TPMS_ECC_POINT, ephemeral) }
}

/**
 * Opens a credential, as TPM2_ActivateCredential does: `agree` multiplies the EK's private scalar with a point (which
 * this function has checked to be on the curve) and returns the product's x coordinate.
 * Throws Tpm2Error MALFORMED when the parts are not structures, BAD_CREDENTIAL when the credential was made for
 * another EK or another object. Source: Part 1, clause 24; Part 3, clause 12.5.
 */
export function openCredential(
  options: {
    readonly ekPublic: TPMT_PUBLIC
    readonly agree: (point: TPMS_ECC_POINT) => Uint8Array
    readonly objectName: Uint8Array
  } & Credential,
): Uint8Array {
  const { ekPublic, agree, objectName, credentialBlob, secret } = options
  checkEk(ekPublic)
  const ephemeral = unmarshal(TPMS_ECC_POINT, secret)
  eccPublicKey(ekPublic.parameters.curveID, ephemeral)
  const reader = new Reader(credentialBlob, TPM2B_ID_OBJECT.name)
  const integrity = TPM2B_DIGEST.read(reader)
  const encIdentity = reader.bytes(reader.remaining)
  const { symKey, hmacKey } = wrappingKeys(ekPublic, agree(ephemeral), ephemeral, objectName)
  const expected = hmac(ekPublic.nameAlg, hmacKey, encIdentity, objectName)
  if (integrity.length !== expected.length || !timingSafeEqual(integrity, expected)) {
    throw new Tpm2Error(
      'BAD_CREDENTIAL',
      'expected a credential made for this EK and this object, found another',
    )
  }
  const cipher = createDecipheriv('aes-128-cfb', symKey, IV)
  return unmarshal(TPM2B_DIGEST, new Uint8Array(cipher.update(encIdentity)))
}
