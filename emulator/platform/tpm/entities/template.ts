// Whether a public area is one that this TPM can make or load: its algorithms are implemented, and its attributes,
// scheme and symmetric algorithm go together and with those of its parent.
// Source: TPM 2.0 Library, Part 1, clauses 25 to 27 and Part 2, clause 8.3.3 (attributes), revision 1.59.

import {
  digestSize,
  symmetricOf,
  TPM_ALG,
  TPM_RC,
  TPMA_OBJECT,
  type TPMT_PUBLIC,
  type TPMT_PUBLIC_PARMS,
  type TPMT_SYM_DEF_OBJECT_PLUS,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { AES_KEY_BITS, CURVES, RSA_KEY_BITS, SYMMETRIC_MODES } from '../profile.ts'
import { type TpmObject } from './object.ts'

type Attribute = keyof typeof TPMA_OBJECT

function has(publicArea: TPMT_PUBLIC, attribute: Attribute): boolean {
  return (publicArea.objectAttributes & TPMA_OBJECT[attribute]) !== 0
}

/** Throws TpmError when the type's parameters name an algorithm or size that this TPM does not have. */
export function checkImplemented(parms: TPMT_PUBLIC_PARMS, at: string): void {
  switch (parms.type) {
    case TPM_ALG.RSA:
      checkRsa(parms.parameters.keyBits, parms.parameters.exponent, at)
      checkSymmetric(parms.parameters.symmetric, at)
      break
    case TPM_ALG.ECC:
      if (!CURVES.includes(parms.parameters.curveID)) {
        throw new TpmError(TPM_RC.CURVE, 'expected NIST P-256, P-384 or P-521, found another curve', at)
      }
      checkSymmetric(parms.parameters.symmetric, at)
      checkEccScheme(parms.parameters.scheme.scheme, at)
      break
    case TPM_ALG.SYMCIPHER:
      checkSymmetric(parms.parameters.sym, at)
      break
    case TPM_ALG.KEYEDHASH:
      break
  }
}

function checkRsa(keyBits: number, exponent: number, at: string): void {
  if (!RSA_KEY_BITS.includes(keyBits)) {
    throw new TpmError(TPM_RC.VALUE, `expected RSA with ${RSA_KEY_BITS.join(', ')} bits`, at)
  }
  // An even exponent has no inverse, a small one gives short signatures away (FIPS 186-5, A.1.1).
  if (exponent !== 0 && (exponent < 65537 || exponent % 2 === 0)) {
    throw new TpmError(TPM_RC.RANGE, 'expected an odd public exponent from 65537, or 0 for 65537', at)
  }
}

const UNIMPLEMENTED_ECC_SCHEMES: ReadonlySet<number> = new Set([TPM_ALG.SM2])

function checkEccScheme(scheme: number, at: string): void {
  if (UNIMPLEMENTED_ECC_SCHEMES.has(scheme)) {
    throw new TpmError(TPM_RC.SCHEME, 'expected a scheme that is implemented, found SM2', at)
  }
}

/** Throws TpmError SYMMETRIC, VALUE or MODE for what is not AES as this TPM has it; TPM_ALG_NULL passes. */
export function checkSymmetric(symmetric: TPMT_SYM_DEF_OBJECT_PLUS, at: string): void {
  if (symmetric.algorithm === TPM_ALG.NULL) return
  if (symmetric.algorithm !== TPM_ALG.AES) {
    throw new TpmError(TPM_RC.SYMMETRIC, 'expected AES, found another block cipher', at)
  }
  if (!AES_KEY_BITS.includes(symmetric.keyBits)) {
    throw new TpmError(TPM_RC.VALUE, 'expected AES with 128, 192 or 256 bits', at)
  }
  if (symmetric.mode !== TPM_ALG.NULL && !SYMMETRIC_MODES.includes(symmetric.mode)) {
    throw new TpmError(TPM_RC.MODE, 'expected CTR, OFB, CBC, CFB or ECB, found another mode', at)
  }
}

/** Throws TpmError when the public area cannot be that of an object under `parent`, or under a hierarchy. */
export function checkPublic(publicArea: TPMT_PUBLIC, parent: TpmObject | undefined, at: string): void {
  const wrong = (rc: number, message: string): TpmError => new TpmError(rc, message, at)
  checkImplemented(publicArea, at)
  if (publicArea.nameAlg === TPM_ALG.NULL) throw wrong(TPM_RC.HASH, 'expected a nameAlg, found none')
  const { authPolicy } = publicArea
  if (authPolicy.length > 0 && authPolicy.length !== digestSize(publicArea.nameAlg)) {
    throw wrong(TPM_RC.SIZE, 'expected an authPolicy of the size of nameAlg, or none')
  }
  checkFixed(publicArea, parent, at)
  checkUse(publicArea, at)
  checkScheme(publicArea, at)
  checkStorage(publicArea, parent, at)
}

/** What says whether the object can leave its parent and its TPM (Part 1, 25.2; Part 2, 8.3.3.2 and 8.3.3.4). */
function checkFixed(publicArea: TPMT_PUBLIC, parent: TpmObject | undefined, at: string): void {
  const wrong = (message: string): TpmError => new TpmError(TPM_RC.ATTRIBUTES, message, at)
  const fixedTPM = has(publicArea, 'fixedTPM')
  const parentFixed = parent === undefined || parent.has('fixedTPM')
  if (parentFixed ? fixedTPM !== has(publicArea, 'fixedParent') : fixedTPM) {
    throw wrong('expected fixedTPM to be set exactly when fixedParent is, and the parent has it')
  }
  const encrypted = has(publicArea, 'encryptedDuplication')
  if (fixedTPM && encrypted) throw wrong('expected no encryptedDuplication of what is fixed to its TPM')
  if (!parentFixed && encrypted !== parent.has('encryptedDuplication')) {
    throw wrong('expected encryptedDuplication as the parent has it')
  }
  if (parent?.isDerivationParent === true && (fixedTPM !== parentFixed || !has(publicArea, 'fixedParent'))) {
    throw wrong('expected a derived object that is fixed as its parent is')
  }
}

function checkUse(publicArea: TPMT_PUBLIC, at: string): void {
  const [sign, decrypt] = [has(publicArea, 'sign'), has(publicArea, 'decrypt')]
  if (sign !== decrypt) return
  if (has(publicArea, 'restricted')) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a restricted key either to sign or to decrypt', at)
  }
  if (!sign && publicArea.type !== TPM_ALG.KEYEDHASH) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a key that signs or decrypts, found neither', at)
  }
}

function checkScheme(publicArea: TPMT_PUBLIC, at: string): void {
  switch (publicArea.type) {
    case TPM_ALG.SYMCIPHER:
      return
    case TPM_ALG.KEYEDHASH:
      checkKeyedHash(publicArea, publicArea.parameters.scheme, at)
      return
    default:
      checkAsymmetric(publicArea, publicArea.parameters.scheme.scheme, at)
  }
}

function checkKeyedHash(
  publicArea: TPMT_PUBLIC,
  scheme: { readonly scheme: number; readonly kdf?: number },
  at: string,
): void {
  const [sign, decrypt] = [has(publicArea, 'sign'), has(publicArea, 'decrypt')]
  const expected = sign === decrypt ? TPM_ALG.NULL : sign ? TPM_ALG.HMAC : TPM_ALG.XOR
  const derives = decrypt && has(publicArea, 'restricted')
  if (scheme.scheme !== expected || (derives && scheme.kdf !== TPM_ALG.KDF1_SP800_108)) {
    throw new TpmError(TPM_RC.SCHEME, 'expected HMAC to sign, XOR to decrypt, no scheme for both or data', at)
  }
}

const SIGNING: ReadonlySet<number> = new Set([
  TPM_ALG.RSASSA,
  TPM_ALG.RSAPSS,
  TPM_ALG.ECDSA,
  TPM_ALG.ECDAA,
  TPM_ALG.ECSCHNORR,
])

function checkAsymmetric(publicArea: TPMT_PUBLIC, scheme: number, at: string): void {
  const restricted = has(publicArea, 'restricted')
  const [sign, decrypt] = [has(publicArea, 'sign'), has(publicArea, 'decrypt')]
  const none = scheme === TPM_ALG.NULL
  const good =
    sign === decrypt
      ? none
      : sign
        ? SIGNING.has(scheme) || (none && !restricted)
        : none || (!restricted && !SIGNING.has(scheme))
  if (!good) throw new TpmError(TPM_RC.SCHEME, "expected a scheme of the key's use, found another", at)
  if (publicArea.type === TPM_ALG.ECC && publicArea.parameters.kdf.scheme !== TPM_ALG.NULL) {
    throw new TpmError(TPM_RC.KDF, 'expected no KDF scheme, found one', at)
  }
}

/** Only a storage key has a symmetric algorithm: the one that it protects its children with. */
function checkStorage(publicArea: TPMT_PUBLIC, parent: TpmObject | undefined, at: string): void {
  const symmetric = symmetricOf(publicArea)
  if (symmetric === undefined) return
  const storage = has(publicArea, 'restricted') && has(publicArea, 'decrypt')
  if (!storage) {
    if (publicArea.type !== TPM_ALG.SYMCIPHER && symmetric.algorithm !== TPM_ALG.NULL) {
      throw new TpmError(TPM_RC.SYMMETRIC, 'expected no symmetric algorithm but with a storage key', at)
    }
    return
  }
  if (symmetric.algorithm === TPM_ALG.NULL) {
    throw new TpmError(TPM_RC.SYMMETRIC, 'expected a symmetric algorithm of the storage key, found none', at)
  }
  // A symmetric storage key may leave its mode open: it protects with CFB all the same.
  const open = publicArea.type === TPM_ALG.SYMCIPHER && symmetric.mode === TPM_ALG.NULL
  if (symmetric.mode !== TPM_ALG.CFB && !open) {
    throw new TpmError(TPM_RC.MODE, 'expected a storage key with CFB, found another mode', at)
  }
  if (parent !== undefined && has(publicArea, 'fixedParent'))
    checkLikeParent(publicArea, symmetric, parent, at)
}

/** A storage key that stays under its parent protects its children as its parent does (Part 1, 23.4). */
function checkLikeParent(
  publicArea: TPMT_PUBLIC,
  symmetric: TPMT_SYM_DEF_OBJECT_PLUS,
  parent: TpmObject,
  at: string,
): void {
  if (publicArea.nameAlg !== parent.publicArea.nameAlg) {
    throw new TpmError(TPM_RC.HASH, "expected the parent's nameAlg, found another", at)
  }
  const above = symmetricOf(parent.publicArea)
  if (above !== undefined && JSON.stringify(above) !== JSON.stringify(symmetric)) {
    throw new TpmError(TPM_RC.SYMMETRIC, "expected the parent's symmetric algorithm, found another", at)
  }
}
