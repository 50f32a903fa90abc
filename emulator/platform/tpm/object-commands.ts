// TPM2_ReadPublic and TPM2_ActivateCredential.
// Source: TPM 2.0 Library, Part 3, clauses 12.4 and 12.5, revision 1.59.

import {
  type Credential,
  marshal,
  openCredential,
  TPM_RC,
  Tpm2Error,
  TPMT_PUBLIC,
} from '../../../sdk/tpm2/index.ts'
import { objectAt, started, type TpmContext } from './context.ts'
import { TpmError } from './errors.ts'

/** Answer of TPM2_ReadPublic. */
export interface ReadPublicResponse {
  /** TPMT_PUBLIC */
  readonly outPublic: Uint8Array
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}

/** Parameters of TPM2_ActivateCredential: the named key, and the key that the credential was made for. */
export interface ActivateCredentialRequest extends Credential {
  readonly activateHandle: number
  readonly keyHandle: number
}

/** TPM2_ReadPublic. Throws TpmError HANDLE. */
export function readPublic(context: TpmContext, objectHandle: number): ReadPublicResponse {
  started(context)
  const { publicArea, name, qualifiedName } = objectAt(context, objectHandle)
  return {
    outPublic: marshal(TPMT_PUBLIC, publicArea),
    name: name.slice(),
    qualifiedName: qualifiedName.slice(),
  }
}

/**
 * TPM2_ActivateCredential: returns the credential's secret if it was made for both keys.
 * Throws TpmError TYPE when `keyHandle` is no restricted decryption key, INTEGRITY when the credential was made for
 * another EK or another object, SIZE when its parts are not structures.
 */
export function activateCredential(context: TpmContext, request: ActivateCredentialRequest): Uint8Array {
  started(context)
  const activated = objectAt(context, request.activateHandle)
  const key = objectAt(context, request.keyHandle)
  if (!key.has('restricted') || !key.has('decrypt')) {
    throw new TpmError(TPM_RC.TYPE, 'expected a restricted decryption key, found another kind')
  }
  try {
    return openCredential({
      ekPublic: key.publicArea,
      agree: (point) => key.agree(point),
      objectName: activated.name,
      credentialBlob: request.credentialBlob,
      secret: request.secret,
    })
  } catch (cause) {
    if (!(cause instanceof Tpm2Error)) throw cause
    const rc = cause.code === 'BAD_CREDENTIAL' ? TPM_RC.INTEGRITY : TPM_RC.SIZE
    throw new TpmError(rc, cause.message, { cause })
  }
}
