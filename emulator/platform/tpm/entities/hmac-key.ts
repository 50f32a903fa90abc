// Keys that make HMACs for callers, in one command or in a sequence.
// Source: TPM 2.0 Library, Part 3, clauses 15.5 and 17.2, revision 1.59.

import { TPM_ALG, TPM_RC } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { keyAt } from './object-store.ts'

/** An HMAC's key and its hash (TPM_ALG). */
export interface HmacKey {
  readonly key: Uint8Array
  readonly hashAlg: number
}

/**
 * The HMAC key at `handle` and the hash that it and the caller's `hashAlg` make. Throws TpmError TYPE, ATTRIBUTES or KEY
 * at the handle, VALUE at hashAlg.
 */
export function hmacKeyAt(tpm: TpmState, handle: number, hashAlg: number): HmacKey {
  const object = keyAt(tpm, handle, 'handle', TPM_RC.TYPE)
  const { publicArea } = object
  if (publicArea.type !== TPM_ALG.KEYEDHASH) {
    throw new TpmError(TPM_RC.TYPE, 'expected a keyed-hash object, found another', 'handle')
  }
  if (object.has('restricted')) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected an unrestricted key, found a restricted one', 'handle')
  }
  if (!object.has('sign'))
    throw new TpmError(TPM_RC.KEY, 'expected a key that signs, found another', 'handle')
  const { scheme } = publicArea.parameters
  const own = 'hashAlg' in scheme ? scheme.hashAlg : TPM_ALG.NULL
  const chosen = own === TPM_ALG.NULL ? hashAlg : own
  if (chosen === TPM_ALG.NULL || (hashAlg !== TPM_ALG.NULL && hashAlg !== chosen)) {
    throw new TpmError(TPM_RC.VALUE, "expected the key's hash or the caller's, found none or two", 'hashAlg')
  }
  return { key: object.sensitive('handle').sensitive, hashAlg: chosen }
}
