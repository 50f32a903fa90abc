// Taking in an object from outside: whether its two areas belong together.
// Source: TPM 2.0 Library, Part 1, clause 25 and Part 3, clauses 12.2 and 12.3, revision 1.59.

import { equalBytes } from '../../../../sdk/crypto/index.ts'
import {
  digestSize,
  hash,
  leftPad,
  type TPMS_ECC_POINT,
  TPM_ALG,
  TPM_RC,
  TPMA_OBJECT,
  type TPMT_PUBLIC,
  type TPMT_SENSITIVE,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { curveOf, isOnCurve, publicPoint, rsaKeyFromPrime } from '../keys/index.ts'
import { blockBytes } from '../keys/resumable-hash.ts'

/** Names of the parameters that hold the areas. */
export interface LoadFields {
  readonly inPublic: string
  readonly inPrivate: string
}

/** Throws TpmError when the public area is no key's, or the sensitive area is not its own. */
export function checkAreas(
  publicArea: TPMT_PUBLIC,
  sensitive: TPMT_SENSITIVE | undefined,
  fields: LoadFields,
): void {
  checkUnique(publicArea, fields.inPublic)
  if (sensitive === undefined) return
  if (sensitive.sensitiveType !== publicArea.type) {
    throw new TpmError(
      TPM_RC.TYPE,
      'expected a sensitive area of the type of the public area',
      fields.inPrivate,
    )
  }
  const named = publicArea.nameAlg !== TPM_ALG.NULL
  if (named && sensitive.authValue.length > digestSize(publicArea.nameAlg)) {
    throw new TpmError(TPM_RC.SIZE, 'expected an authValue of at most a digest of nameAlg', fields.inPrivate)
  }
  checkBinding(publicArea, sensitive, fields)
  const storage = TPMA_OBJECT.restricted | TPMA_OBJECT.decrypt
  if (named && (publicArea.objectAttributes & storage) === storage) {
    const size = digestSize(publicArea.nameAlg)
    const seed = sensitive.seedValue.length
    if (seed < size / 2 || seed > size) {
      throw new TpmError(
        TPM_RC.SIZE,
        'expected the seed of a storage key, found none of its size',
        fields.inPrivate,
      )
    }
  }
}

function checkUnique(publicArea: TPMT_PUBLIC, at: string): void {
  const wrong = (message: string): TpmError => new TpmError(TPM_RC.KEY, message, at)
  switch (publicArea.type) {
    case TPM_ALG.RSA: {
      const bytes = publicArea.parameters.keyBits / 8
      if (publicArea.unique.length !== bytes || (publicArea.unique[0] ?? 0) < 0x80) {
        throw wrong(`expected a modulus of ${String(bytes)} bytes`)
      }
      return
    }
    case TPM_ALG.ECC:
      checkPoint(publicArea.parameters.curveID, publicArea.unique, at)
      return
    default:
      if (publicArea.nameAlg === TPM_ALG.NULL) return
      if (publicArea.unique.length !== digestSize(publicArea.nameAlg)) {
        throw wrong('expected a unique value of the size of nameAlg')
      }
  }
}

function checkPoint(curveID: number, point: TPMS_ECC_POINT, at: string): void {
  const { size } = curveOf(curveID)
  if (point.x.length !== size || point.y.length !== size) {
    throw new TpmError(TPM_RC.KEY, `expected coordinates of ${String(size)} bytes`, at)
  }
  if (!isOnCurve(curveID, point)) {
    throw new TpmError(TPM_RC.ECC_POINT, 'expected a point on the curve, found another', at)
  }
}

function checkBinding(publicArea: TPMT_PUBLIC, sensitive: TPMT_SENSITIVE, fields: LoadFields): void {
  switch (publicArea.type) {
    case TPM_ALG.RSA: {
      const bytes = publicArea.parameters.keyBits / 16
      if (sensitive.sensitive.length !== bytes) {
        throw new TpmError(TPM_RC.KEY_SIZE, `expected a prime of ${String(bytes)} bytes`, fields.inPrivate)
      }
      withKeyErrors(fields.inPrivate, () => {
        rsaKeyFromPrime(publicArea.unique, publicArea.parameters.exponent, sensitive.sensitive)
      })
      return
    }
    case TPM_ALG.ECC: {
      const { curveID } = publicArea.parameters
      const scalar = withKeyErrors(fields.inPrivate, () =>
        leftPad(sensitive.sensitive, curveOf(curveID).size),
      )
      const point = withKeyErrors(fields.inPrivate, () => publicPoint(curveID, scalar))
      if (!equalBytes(point.x, publicArea.unique.x) || !equalBytes(point.y, publicArea.unique.y))
        throw unbound(fields)
      return
    }
    default:
      checkSymmetricBinding(publicArea, sensitive, fields)
  }
}

function checkSymmetricBinding(
  publicArea: Extract<TPMT_PUBLIC, { readonly unique: Uint8Array }>,
  sensitive: TPMT_SENSITIVE,
  fields: LoadFields,
): void {
  const wrong = (message: string): TpmError => new TpmError(TPM_RC.KEY_SIZE, message, fields.inPrivate)
  if (publicArea.type === TPM_ALG.SYMCIPHER) {
    const bytes = publicArea.parameters.sym.keyBits / 8
    if (sensitive.sensitive.length !== bytes) throw wrong(`expected a key of ${String(bytes)} bytes`)
  }
  if (publicArea.type === TPM_ALG.KEYEDHASH) {
    const { scheme } = publicArea.parameters
    const limit = 'hashAlg' in scheme ? blockBytes(scheme.hashAlg) : 128
    if (sensitive.sensitive.length > limit) throw wrong(`expected a secret of at most ${String(limit)} bytes`)
  }
  if (publicArea.nameAlg === TPM_ALG.NULL) return
  if (sensitive.seedValue.length !== digestSize(publicArea.nameAlg)) {
    throw wrong('expected a seed of the size of nameAlg')
  }
  const unique = hash(publicArea.nameAlg, sensitive.seedValue, sensitive.sensitive)
  if (!equalBytes(unique, publicArea.unique)) throw unbound(fields)
}

function unbound(fields: LoadFields): TpmError {
  return new TpmError(
    TPM_RC.BINDING,
    'expected the sensitive area of this public area, found another',
    fields.inPrivate,
  )
}
