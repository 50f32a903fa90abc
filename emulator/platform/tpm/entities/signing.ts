// Signatures of this TPM: which scheme a key signs with, signing a digest or a message, and verifying a digest's
// signature. Commands of clauses 18, 20 and 23 have these steps in common.
// Source: TPM 2.0 Library, Part 1, annexes B and C; Part 3, clauses 18.1, 20 and 23.3, revision 1.59.

import {
  digestSize,
  hash,
  hmac,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  type TPMT_SIG_SCHEME_PLUS,
  type TPMT_SIGNATURE,
} from '../../../../sdk/tpm2/index.ts'
import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { TpmError } from '../errors.ts'
import {
  ecdaaSign,
  ecdsaSign,
  ecdsaSignMessage,
  ecdsaVerify,
  ecSchnorrSign,
  ecSchnorrVerify,
  KeyError,
  rsapssSign,
  rsapssVerify,
  rsassaSign,
  rsassaVerify,
} from '../keys/index.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { endCommit, openCommit } from './commits.ts'
import { type TpmObject } from './object.ts'
import { keyAt } from './object-store.ts'

/** A signing scheme that names its hash: what is left when none of the choices is NULL. */
export type SigningScheme = Exclude<TPMT_SIG_SCHEME_PLUS, { readonly scheme: typeof TPM_ALG.NULL }>

/** The key that signs and how it does; undefined: TPM_RH_NULL, nothing is signed. */
export type Signer = { readonly key: TpmObject; readonly scheme: SigningScheme } | undefined

/** Schemes by which a signature tells nothing of its key; each signature of them ends a TPM2_Commit. */
export function isAnonymous(scheme: number): boolean {
  return scheme === TPM_ALG.ECDAA
}

/**
 * The signing key at `handle` with the scheme that it and `inScheme` make. Throws TpmError KEY at the handle's `field`
 * when it does not sign, SCHEME at inScheme when the two do not go together.
 */
export function chooseSigner(
  tpm: TpmState,
  handle: number,
  field: string,
  inScheme: TPMT_SIG_SCHEME_PLUS,
): Signer {
  if (handle === TPM_RH.NULL) return undefined
  const key = signingKeyAt(tpm, handle, field)
  return { key, scheme: chooseScheme(key, inScheme) }
}

/** The key at `handle`. Throws TpmError KEY at `field` for whatever does not sign. */
export function signingKeyAt(tpm: TpmState, handle: number, field: string): TpmObject {
  const key = keyAt(tpm, handle, field, TPM_RC.KEY)
  if (!key.has('sign') || key.publicArea.type === TPM_ALG.SYMCIPHER) {
    throw new TpmError(TPM_RC.KEY, 'expected a signing key, found an object that does not sign', field)
  }
  return key
}

/** Schemes that each type of key can have. */
const SCHEMES: ReadonlyMap<number, readonly number[]> = new Map([
  [TPM_ALG.RSA, [TPM_ALG.RSASSA, TPM_ALG.RSAPSS]],
  [TPM_ALG.ECC, [TPM_ALG.ECDSA, TPM_ALG.ECDAA, TPM_ALG.ECSCHNORR]],
  [TPM_ALG.KEYEDHASH, [TPM_ALG.HMAC]],
])

/** The key's own scheme, or the caller's where the key leaves it open. Throws TpmError SCHEME at inScheme. */
export function chooseScheme(key: TpmObject, inScheme: TPMT_SIG_SCHEME_PLUS): SigningScheme {
  const { type } = key.publicArea
  const own = schemeOf(key)
  const open = own.scheme === TPM_ALG.NULL
  const chosen = inScheme.scheme === TPM_ALG.NULL && !isAnonymous(own.scheme) ? own : inScheme
  const agrees = open || chosen === own || (sameHash(chosen, own) && chosen.scheme === own.scheme)
  if (agrees && isSigning(chosen) && SCHEMES.get(type)?.includes(chosen.scheme) === true) return chosen
  throw new TpmError(TPM_RC.SCHEME, 'expected a signing scheme of the key, found none or another', 'inScheme')
}

interface AnyScheme {
  readonly scheme: number
  readonly hashAlg?: number
}

function schemeOf(key: TpmObject): AnyScheme {
  const { parameters } = key.publicArea
  return 'scheme' in parameters ? parameters.scheme : { scheme: TPM_ALG.NULL }
}

function sameHash(one: AnyScheme, other: AnyScheme): boolean {
  return one.hashAlg === other.hashAlg
}

const SIGNING: ReadonlySet<number> = new Set([...SCHEMES.values()].flat())

function isSigning(scheme: AnyScheme): scheme is SigningScheme {
  return SIGNING.has(scheme.scheme) && scheme.hashAlg !== undefined
}

/** The secret of a key that has no other form: an HMAC key or a scalar. */
function secretOf(key: TpmObject): Uint8Array {
  return key.sensitive('handle').sensitive
}

function curveOfKey(key: TpmObject): number {
  const { publicArea } = key
  if (publicArea.type === TPM_ALG.ECC) return publicArea.parameters.curveID
  throw new TpmError(TPM_RC.SCHEME, 'expected an elliptic curve key, found another')
}

/**
 * Signs a digest. Throws TpmError VALUE when the key is too short for it or a commit is not open, NO_RESULT when the
 * commit gives no signature.
 */
export function signDigest(
  tpm: TpmState,
  key: TpmObject,
  scheme: SigningScheme,
  digest: Uint8Array,
): TPMT_SIGNATURE {
  try {
    return sign(tpm, key, scheme, digest)
  } catch (error) {
    if (!(error instanceof KeyError)) throw error
    const rc = error.code === 'NO_RESULT' ? TPM_RC.NO_RESULT : TPM_RC.VALUE
    throw new TpmError(rc, error.message, undefined, { cause: error })
  }
}

function sign(tpm: TpmState, key: TpmObject, scheme: SigningScheme, digest: Uint8Array): TPMT_SIGNATURE {
  const { hashAlg } = scheme
  const { next } = tpm.random
  switch (scheme.scheme) {
    case TPM_ALG.RSASSA:
      return {
        sigAlg: scheme.scheme,
        hash: hashAlg,
        sig: rsassaSign(key.privateKey('handle'), hashAlg, digest),
      }
    case TPM_ALG.RSAPSS: {
      const sig = rsapssSign(key.privateKey('handle'), hashAlg, digest, next)
      return { sigAlg: scheme.scheme, hash: hashAlg, sig }
    }
    case TPM_ALG.ECDSA:
      return {
        sigAlg: scheme.scheme,
        hash: hashAlg,
        ...ecdsaSign(curveOfKey(key), secretOf(key), digest, next),
      }
    case TPM_ALG.ECSCHNORR: {
      const numbers = ecSchnorrSign(curveOfKey(key), secretOf(key), hashAlg, digest, next)
      return { sigAlg: scheme.scheme, hash: hashAlg, ...numbers }
    }
    case TPM_ALG.ECDAA: {
      const commit = openCommit(tpm, curveOfKey(key), key.name, scheme.count)
      const numbers = ecdaaSign(curveOfKey(key), secretOf(key), commit, hashAlg, digest, next)
      endCommit(tpm, scheme.count)
      return { sigAlg: scheme.scheme, hash: hashAlg, ...numbers }
    }
    case TPM_ALG.HMAC:
      return { sigAlg: scheme.scheme, hashAlg, digest: hmac(hashAlg, secretOf(key), digest) }
    case TPM_ALG.SM2:
      throw new TpmError(TPM_RC.SCHEME, 'expected a scheme that is implemented, found SM2')
  }
}

/**
 * Signs what the TPM itself made. ECDSA is left to OpenSSL as a whole, in half the time of signDigest(), unless a
 * reproducible source of random numbers asks for the same signature each time. Throws as signDigest().
 */
export function signMessage(
  tpm: TpmState,
  key: TpmObject,
  scheme: SigningScheme,
  message: Uint8Array,
): TPMT_SIGNATURE {
  const { hashAlg } = scheme
  if (scheme.scheme === TPM_ALG.ECDSA && tpm.random.reproducible !== true) {
    const numbers = ecdsaSignMessage(key.privateKey('handle'), hashAlg, message)
    return { sigAlg: scheme.scheme, hash: hashAlg, ...numbers }
  }
  return signDigest(tpm, key, scheme, hash(hashAlg, message))
}

/**
 * Throws TpmError at the parameter `at` unless `signature` is the key's signature of `digest`: SCHEME for a scheme that
 * the type of key does not have or that nobody can verify (ECDAA), HANDLE for an HMAC key without its secret, else
 * SIGNATURE. As in the reference implementation, an asymmetric key verifies any scheme of its type, its own or not.
 */
export function verifyDigest(
  key: TpmObject,
  digest: Uint8Array,
  signature: TPMT_SIGNATURE,
  at: string,
): void {
  try {
    if (verifies(key, digest, signature, at)) return
  } catch (error) {
    if (!(error instanceof KeyError)) throw error
  }
  throw new TpmError(TPM_RC.SIGNATURE, "expected the key's signature of the digest, found another", at)
}

function verifies(key: TpmObject, digest: Uint8Array, signature: TPMT_SIGNATURE, at: string): boolean {
  const { publicArea } = key
  switch (publicArea.type) {
    case TPM_ALG.RSA:
      if (signature.sigAlg === TPM_ALG.RSASSA) {
        return rsassaVerify(key.publicKey(at), signature.hash, digest, signature.sig)
      }
      if (signature.sigAlg === TPM_ALG.RSAPSS) {
        return rsapssVerify(key.publicKey(at), signature.hash, digest, signature.sig)
      }
      break
    case TPM_ALG.ECC: {
      const { curveID } = publicArea.parameters
      if (signature.sigAlg === TPM_ALG.ECDSA)
        return ecdsaVerify(curveID, publicArea.unique, digest, signature)
      if (signature.sigAlg === TPM_ALG.ECSCHNORR) {
        return ecSchnorrVerify(curveID, publicArea.unique, signature.hash, digest, signature)
      }
      break
    }
    case TPM_ALG.KEYEDHASH: {
      const { sensitive } = key.sensitive(at, TPM_RC.HANDLE)
      if (signature.sigAlg !== TPM_ALG.HMAC) break
      const own = schemeOf(key)
      const { hashAlg } = signature
      if (own.scheme !== TPM_ALG.NULL && (own.scheme !== TPM_ALG.HMAC || own.hashAlg !== hashAlg))
        return false
      return equalBytes(hmac(hashAlg, sensitive, digest), signature.digest)
    }
    case TPM_ALG.SYMCIPHER:
      break
  }
  throw new TpmError(TPM_RC.SCHEME, 'expected a signature of the type of the key, found another', at)
}

/** Throws TpmError SIZE at the parameter `at` unless `digest` is as long as those of `hashAlg`. */
export function checkDigestSize(digest: Uint8Array, hashAlg: number, at: string): void {
  if (digest.length === digestSize(hashAlg)) return
  const expected = String(digestSize(hashAlg))
  throw new TpmError(
    TPM_RC.SIZE,
    `expected a digest of ${expected} bytes, found ${String(digest.length)}`,
    at,
  )
}
