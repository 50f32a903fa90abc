// Objects outside the TPM under the protection of their parent: wrapping and unwrapping with a loaded storage key.
// Source: TPM 2.0 Library, Part 1, clause 22 (protected storage), revision 1.59.

import {
  IV_BYTES,
  objectName,
  protectorOf,
  TPM_RC,
  type TPMT_PUBLIC,
  type TPMT_SENSITIVE,
  unwrapChild,
  wrapChild,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { type TpmObject } from './object.ts'
import { objectAt } from './object-store.ts'

/** The storage key at a handle. Throws TpmError TYPE for another kind of object. */
export function parentAt(tpm: TpmState, handle: number, at: string): TpmObject {
  const parent = objectAt(tpm, handle, at)
  if (parent.isParent) return parent
  throw new TpmError(TPM_RC.TYPE, 'expected a storage key with its private part, found another object', at)
}

/** A child's TPM2B_PRIVATE under `parent`. */
export function wrapUnder(
  tpm: TpmState,
  parent: TpmObject,
  publicArea: TPMT_PUBLIC,
  sensitive: TPMT_SENSITIVE,
): Uint8Array {
  const child = { name: objectName(publicArea), nameAlg: publicArea.nameAlg }
  const { seedValue } = parent.sensitive('parentHandle')
  return wrapChild(protectorOf(parent.publicArea), seedValue, child, sensitive, tpm.random.next(IV_BYTES))
}

/** Opens a child's TPM2B_PRIVATE. Throws TpmError at the parameter `at`: INTEGRITY for what `parent` did not wrap. */
export function unwrapUnder(
  parent: TpmObject,
  publicArea: TPMT_PUBLIC,
  inPrivate: Uint8Array,
  at: string,
): TPMT_SENSITIVE {
  if (inPrivate.length === 0)
    throw new TpmError(TPM_RC.SIZE, 'expected a private area, found an empty one', at)
  const child = { name: objectName(publicArea), nameAlg: publicArea.nameAlg }
  const { seedValue } = parent.sensitive('parentHandle')
  return withKeyErrors(at, () => unwrapChild(protectorOf(parent.publicArea), seedValue, child, inPrivate))
}
