// Duplication: objects from one parent to another, of this TPM or another one.
// Source: TPM 2.0 Library, Part 3, clause 13, and Part 1, clause 23.3, revision 1.59.

import {
  objectName,
  protectorOf,
  type Protector,
  shareSecret,
  TPM2_Duplicate,
  TPM2_Import,
  TPM2_Rewrap,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPMA_OBJECT,
  type TPMT_SYM_DEF_OBJECT_PLUS,
  unwrapDuplicate,
  unwrapOuter,
  wrapDuplicate,
  wrapOuter,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { checkAreas } from '../entities/loading.ts'
import { type TpmObject } from '../entities/object.ts'
import { objectAt } from '../entities/object-store.ts'
import { recover } from '../entities/secrets.ts'
import { wrapUnder } from '../entities/storage.ts'
import { checkPublic, checkSymmetric } from '../entities/template.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'

const NONE = new Uint8Array(0)

interface Outer {
  readonly parent: Protector
  readonly seed: Uint8Array
}

/** A storage key of which the public half is enough: undefined stands for TPM_RH_NULL. Throws TpmError TYPE. */
function targetAt(tpm: TpmState, handle: number, at: string): TpmObject | undefined {
  if (handle === TPM_RH.NULL) return undefined
  const key = objectAt(tpm, handle, at)
  const asymmetric = key.publicArea.type === TPM_ALG.RSA || key.publicArea.type === TPM_ALG.ECC
  if (asymmetric && key.has('restricted') && key.has('decrypt')) return key
  throw new TpmError(TPM_RC.TYPE, 'expected an asymmetric storage key, found another object', at)
}

/** A new outer wrap's seed for a parent, and the seed as it goes along; neither without a parent. */
function outerFor(
  target: TpmObject | undefined,
  at: string,
): { readonly outer?: Outer; readonly outSymSeed: Uint8Array } {
  if (target === undefined) return { outSymSeed: NONE }
  return withKeyErrors(at, () => {
    const { seed, secret } = shareSecret(target.publicArea, 'DUPLICATE')
    return { outer: { parent: protectorOf(target.publicArea), seed }, outSymSeed: secret }
  })
}

/** Checks a caller's inner key against its algorithm; undefined: there is no inner wrap. */
function innerKey(symmetric: TPMT_SYM_DEF_OBJECT_PLUS, key: Uint8Array, at: string): Uint8Array | undefined {
  checkSymmetric(symmetric, 'symmetricAlg')
  const bytes = symmetric.algorithm === TPM_ALG.NULL ? 0 : symmetric.keyBits / 8
  if (symmetric.algorithm !== TPM_ALG.NULL && symmetric.mode !== TPM_ALG.CFB) {
    throw new TpmError(TPM_RC.MODE, 'expected AES in CFB mode, found another mode', 'symmetricAlg')
  }
  if (key.length !== bytes) {
    throw new TpmError(
      TPM_RC.SIZE,
      `expected a key of ${String(bytes)} bytes, found ${String(key.length)}`,
      at,
    )
  }
  return bytes === 0 ? undefined : key
}

const duplicate = implement(TPM2_Duplicate, (tpm, request) => {
  const { objectHandle, newParentHandle, encryptionKeyIn, symmetricAlg } = request
  const object = objectAt(tpm, objectHandle, 'objectHandle')
  const wrong = (rc: number, message: string, at: string): TpmError => new TpmError(rc, message, at)
  if (object.has('fixedParent')) {
    throw wrong(
      TPM_RC.ATTRIBUTES,
      'expected an object without fixedParent, found one with it',
      'objectHandle',
    )
  }
  if (object.publicArea.nameAlg === TPM_ALG.NULL) {
    throw wrong(TPM_RC.TYPE, 'expected an object with a nameAlg, found none', 'objectHandle')
  }
  const target = targetAt(tpm, newParentHandle, 'newParentHandle')
  if (object.has('encryptedDuplication')) {
    if (symmetricAlg.algorithm === TPM_ALG.NULL) {
      throw wrong(
        TPM_RC.SYMMETRIC,
        'expected an inner wrap: the object has encryptedDuplication',
        'symmetricAlg',
      )
    }
    if (target === undefined) {
      throw wrong(
        TPM_RC.HIERARCHY,
        'expected a new parent: the object has encryptedDuplication',
        'newParentHandle',
      )
    }
  }
  const made = symmetricAlg.algorithm !== TPM_ALG.NULL && encryptionKeyIn.length === 0
  const offered = made ? tpm.random.next(symmetricAlg.keyBits / 8) : encryptionKeyIn
  const key = innerKey(symmetricAlg, offered, 'encryptionKeyIn')
  const { outer, outSymSeed } = outerFor(target, 'newParentHandle')
  const wrapped = wrapDuplicate(
    { outer, inner: key && { key } },
    { name: object.name, nameAlg: object.publicArea.nameAlg },
    object.sensitive('objectHandle'),
  )
  return { encryptionKeyOut: made ? offered : NONE, duplicate: wrapped, outSymSeed }
})

/** Opens the outer wrap of a duplicate for `parent`; without a seed there is none. */
function outerOf(parent: TpmObject, inSymSeed: Uint8Array): Outer | undefined {
  if (inSymSeed.length === 0) return undefined
  return {
    parent: protectorOf(parent.publicArea),
    seed: recover(parent, inSymSeed, 'DUPLICATE', 'inSymSeed'),
  }
}

const rewrap = implement(TPM2_Rewrap, (tpm, { oldParent, newParent, inDuplicate, name, inSymSeed }) => {
  if ((inSymSeed.length === 0) !== (oldParent === TPM_RH.NULL)) {
    const at = oldParent === TPM_RH.NULL ? 'inSymSeed' : 'oldParent'
    throw new TpmError(TPM_RC.HANDLE, 'expected a seed exactly when there is an old parent', at)
  }
  const from = targetAt(tpm, oldParent, 'oldParent')
  const target = targetAt(tpm, newParent, 'newParent')
  const outer = from && outerOf(from, inSymSeed)
  const data = outer
    ? withKeyErrors('inDuplicate', () => unwrapOuter(outer.parent, outer.seed, name, inDuplicate))
    : inDuplicate
  const next = outerFor(target, 'newParent')
  const outDuplicate = next.outer ? wrapOuter(next.outer.parent, next.outer.seed, name, data) : data
  return { outDuplicate, outSymSeed: next.outSymSeed }
})

const importCommand = implement(TPM2_Import, (tpm, request) => {
  const { encryptionKey, objectPublic, inSymSeed, symmetricAlg } = request
  const parent = objectAt(tpm, request.parentHandle, 'parentHandle')
  if (!parent.isParent) {
    throw new TpmError(TPM_RC.TYPE, 'expected a storage key, found another object', 'parentHandle')
  }
  const fixed = TPMA_OBJECT.fixedTPM | TPMA_OBJECT.fixedParent
  if ((objectPublic.objectAttributes & fixed) !== 0) {
    throw new TpmError(
      TPM_RC.ATTRIBUTES,
      'expected an object without fixedTPM and fixedParent',
      'objectPublic',
    )
  }
  if ((objectPublic.objectAttributes & TPMA_OBJECT.encryptedDuplication) !== 0) {
    if (symmetricAlg.algorithm === TPM_ALG.NULL) {
      throw new TpmError(
        TPM_RC.ATTRIBUTES,
        'expected an inner wrap: the object has encryptedDuplication',
        'encryptionKey',
      )
    }
    if (inSymSeed.length === 0) {
      throw new TpmError(
        TPM_RC.ATTRIBUTES,
        'expected an outer wrap: the object has encryptedDuplication',
        'inSymSeed',
      )
    }
  }
  const key = innerKey(symmetricAlg, encryptionKey, 'encryptionKey')
  checkPublic(objectPublic, parent, 'objectPublic')
  const object = { name: objectName(objectPublic), nameAlg: objectPublic.nameAlg }
  const wraps = { outer: outerOf(parent, inSymSeed), inner: key && { key } }
  const sensitive = withKeyErrors('duplicate', () => unwrapDuplicate(wraps, object, request.duplicate))
  checkAreas(objectPublic, sensitive, { inPublic: 'objectPublic', inPrivate: 'duplicate' })
  return { outPrivate: wrapUnder(tpm, parent, objectPublic, sensitive) }
})

/** Clause 13. */
export const duplicationCommands: readonly Implementation[] = [duplicate, rewrap, importCommand]
