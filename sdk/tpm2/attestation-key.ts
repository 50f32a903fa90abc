// What makes a key an attestation key: it signs only what its TPM made, it never left that TPM, and it signs with an
// algorithm that still means something.
// Source: TPM 2.0 Library, Part 1, annexes B (RSA) and C (ECC), and Part 2, clauses 8.3 (TPMA_OBJECT) and 12.2.3 (parameters of
// keys), revision 1.59; SP 800-131A revision 2 (no SHA-1, no RSA below 2048 bits).

import { TPM_ALG, TPMA_OBJECT } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, isHash } from './hash.ts'
import { curve } from './keys.ts'
import { type EccPublic, type RsaPublic, type TPMT_PUBLIC } from './public.ts'

/** SHA-256's, the weakest that is accepted. */
const SHORTEST_DIGEST = 32
const SHORTEST_MODULUS = 2048
const USUAL_EXPONENT = 65537

/** How an attestation key signs. Algorithms are TPM_ALG values. */
export interface SigningAlgorithm {
  readonly type: typeof TPM_ALG.ECC | typeof TPM_ALG.RSA
  /** of the curve or the modulus */
  readonly bits: number
  readonly scheme: typeof TPM_ALG.ECDSA | typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS
  readonly hash: number
}

/**
 * Checks that a key can only sign what its TPM made: restricted, signing, and bound to that TPM since it was made
 * there (fixedTPM, fixedParent, sensitiveDataOrigin), and not a decryption key.
 * Throws Tpm2Error BAD_AK naming what is wrong.
 */
export function checkAttestationKey(publicArea: TPMT_PUBLIC): void {
  const needed = ['restricted', 'sign', 'fixedTPM', 'fixedParent', 'sensitiveDataOrigin'] as const
  const missing = needed.filter((bit) => (publicArea.objectAttributes & TPMA_OBJECT[bit]) === 0)
  if (missing.length > 0) {
    throw bad(`expected an attestation key with ${needed.join(', ')}; missing: ${missing.join(', ')}`)
  }
  if ((publicArea.objectAttributes & TPMA_OBJECT.decrypt) !== 0) {
    throw bad('expected an attestation key that only signs, found the attribute decrypt')
  }
}

/**
 * The algorithm that an attestation key is fixed to: ECDSA on P-256, P-384 or P-521, or RSASSA or RSAPSS with 2048 bits
 * or more, with SHA-256 or stronger, which must also be the hash of the key's name.
 * Throws Tpm2Error BAD_AK for every other, one without a scheme of its own included: TPMs make no such restricted key.
 */
export function signingAlgorithm(publicArea: TPMT_PUBLIC): SigningAlgorithm {
  requireHash('the hash of its name', publicArea.nameAlg)
  switch (publicArea.type) {
    case TPM_ALG.ECC:
      return eccAlgorithm(publicArea)
    case TPM_ALG.RSA:
      return rsaAlgorithm(publicArea)
    case TPM_ALG.KEYEDHASH:
    case TPM_ALG.SYMCIPHER:
      throw bad('expected an ECC or RSA attestation key, found a keyed-hash object or a symmetric key')
  }
}

function eccAlgorithm({ type, parameters: { scheme, curveID } }: EccPublic): SigningAlgorithm {
  if (scheme.scheme !== TPM_ALG.ECDSA) throw otherScheme('ECDSA', scheme.scheme)
  requireHash('the hash of its scheme', scheme.hashAlg)
  return { type, bits: curve(curveID).bits, scheme: scheme.scheme, hash: scheme.hashAlg }
}

function rsaAlgorithm({ type, parameters, unique }: RsaPublic): SigningAlgorithm {
  const { scheme, keyBits, exponent } = parameters
  if (scheme.scheme !== TPM_ALG.RSASSA && scheme.scheme !== TPM_ALG.RSAPSS) {
    throw otherScheme('RSASSA or RSAPSS', scheme.scheme)
  }
  requireHash('the hash of its scheme', scheme.hashAlg)
  if (keyBits < SHORTEST_MODULUS) {
    throw bad(
      `expected an attestation key of ${String(SHORTEST_MODULUS)} bits or more, found ${String(keyBits)}`,
    )
  }
  const whole = unique.length === keyBits / 8 && (unique[0] ?? 0) >= 0x80
  if (!whole || (exponent !== 0 && exponent !== USUAL_EXPONENT)) {
    throw bad(`expected a modulus of ${String(keyBits)} bits and the exponent 65537, found others`)
  }
  return { type, bits: keyBits, scheme: scheme.scheme, hash: scheme.hashAlg }
}

function requireHash(what: string, hashAlg: number): void {
  if (isHash(hashAlg) && digestSize(hashAlg) >= SHORTEST_DIGEST) return
  const found = `TPM_ALG_ID 0x${hashAlg.toString(16)}`
  throw bad(`expected an attestation key with SHA256, SHA384 or SHA512 as ${what}, found ${found}`)
}

function otherScheme(expected: string, found: number): Tpm2Error {
  return bad(
    `expected an attestation key with the scheme ${expected}, found TPM_ALG_ID 0x${found.toString(16)}`,
  )
}

function bad(message: string): Tpm2Error {
  return new Tpm2Error('BAD_AK', message)
}
