// Secrets that come encrypted to a loaded key: salts of sessions, seeds of duplicates, credentials.
// Source: TPM 2.0 Library, Part 1, annexes B.10 (RSA) and C.6 (ECC), revision 1.59.

import { recoverSecret, type SecretKey, type SecretUse, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { withKeyErrors } from '../errors.ts'
import { eccAgree, oaepDecrypt } from '../keys/index.ts'
import { type TpmObject } from './object.ts'

/** A key's private half, as sdk/tpm2 asks for it. */
function secretKey(key: TpmObject, at: string): SecretKey {
  const { publicArea } = key
  return {
    agree: (point) => {
      if (publicArea.type !== TPM_ALG.ECC) throw new TypeError('expected an ECC key to agree with')
      return eccAgree(publicArea.parameters.curveID, key.sensitive(at).sensitive, point)
    },
    oaep: (encrypted, hashAlg, label) => oaepDecrypt(key.privateKey(at), hashAlg, label, encrypted),
  }
}

/** The secret that was encrypted to `key`. Throws TpmError at the parameter `at` when it was not. */
export function recover(key: TpmObject, encrypted: Uint8Array, use: SecretUse, at: string): Uint8Array {
  return withKeyErrors(at, () => recoverSecret(key.publicArea, secretKey(key, at), use, encrypted))
}
