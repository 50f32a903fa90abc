// Credential protection: a secret that only the TPM with this EK can open, and only for the key with this name.
// It is how a verifier learns that an attestation key lives in the TPM whose EK certificate it has checked.
// makeCredential() is the verifier's half in software; openCredential() is the TPM's.
// Source: TPM 2.0 Library, Part 1, clause 24, revision 1.59.

import { TPM2B_DIGEST } from './buffers.ts'
import { marshal, unmarshal } from './codec.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize } from './hash.ts'
import { protectorOf, unwrapOuter, wrapOuter } from './protection.ts'
import { type TPMT_PUBLIC } from './public.ts'
import { recoverSecret, type SecretKey, shareSecret } from './secret-sharing.ts'

/** A protected credential, as TPM2_MakeCredential returns it and TPM2_ActivateCredential takes it. */
export interface Credential {
  /** contents of a TPM2B_ID_OBJECT */
  readonly credentialBlob: Uint8Array
  /** contents of a TPM2B_ENCRYPTED_SECRET */
  readonly secret: Uint8Array
}

/**
 * MakeCredential in software: wraps `secret` so that only the TPM that holds `ekPublic`'s private key opens it, and
 * only for the object named `objectName`. An empty secret is taken, as the command takes it, and proves nothing. The EK
 * is an RSA key or on P-256, P-384 or P-521, with AES-CFB.
 * Throws RangeError when the secret is longer than a digest of the EK's name algorithm, Tpm2Error UNSUPPORTED for
 * another kind of EK and MALFORMED for a public key that is none. Source: Part 1, clause 24.
 */
export function makeCredential(options: {
  readonly ekPublic: TPMT_PUBLIC
  readonly objectName: Uint8Array
  readonly secret: Uint8Array
}): Credential {
  const { ekPublic, objectName, secret } = options
  const protector = protectorOf(ekPublic)
  const limit = digestSize(ekPublic.nameAlg)
  if (secret.length > limit) {
    throw new RangeError(
      `"secret" expected at most ${String(limit)} bytes, got length=${String(secret.length)}`,
    )
  }
  const shared = shareSecret(ekPublic, 'IDENTITY')
  const credentialBlob = wrapOuter(protector, shared.seed, objectName, marshal(TPM2B_DIGEST, secret))
  return { credentialBlob, secret: shared.secret }
}

/**
 * Opens a credential, as TPM2_ActivateCredential does. `agree` or `oaep` is the EK's private half (SecretKey).
 * Throws Tpm2Error MALFORMED when the parts are not structures, BAD_SECRET or BAD_CREDENTIAL when the credential was
 * made for another EK or another object, UNSUPPORTED for another kind of EK. Source: Part 1, clause 24; Part 3, 12.5.
 */
export function openCredential(
  options: {
    readonly ekPublic: TPMT_PUBLIC
    readonly objectName: Uint8Array
  } & SecretKey &
    Credential,
): Uint8Array {
  const { ekPublic, agree, oaep, objectName, credentialBlob, secret } = options
  const protector = protectorOf(ekPublic)
  const seed = recoverSecret(ekPublic, { agree, oaep }, 'IDENTITY', secret)
  return unmarshal(
    TPM2B_DIGEST,
    open(() => unwrapOuter(protector, seed, objectName, credentialBlob)),
  )
}

function open(unwrap: () => Uint8Array): Uint8Array {
  try {
    return unwrap()
  } catch (cause) {
    if (!(cause instanceof Tpm2Error) || cause.code !== 'BAD_INTEGRITY') throw cause
    const message = 'expected a credential made for this EK and this object, found another'
    throw new Tpm2Error('BAD_CREDENTIAL', message, {
      cause,
      ...(cause.rc === undefined ? {} : { rc: cause.rc }),
    })
  }
}
