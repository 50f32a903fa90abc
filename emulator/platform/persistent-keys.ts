// Primary keys at persistent handles: made at first use, found there ever after.
// Source: TPM 2.0 Library, Part 3, clauses 24.1 (TPM2_CreatePrimary) and 28.5 (TPM2_EvictControl), revision 1.59.

import {
  baseCode,
  callDirectly,
  type Execute,
  passwordSession,
  TPM2_CreatePrimary,
  TPM2_EvictControl,
  TPM2_FlushContext,
  TPM2_ReadPublic,
  TPM_RC,
  TPM_RH,
  TpmResponseError,
  type TPMT_PUBLIC,
} from '../../sdk/tpm2/index.ts'

const NONE = new Uint8Array(0)

/** What `work` returns; undefined when the TPM has nothing at the handle that it asks for. Throws TpmResponseError. */
export function ifPresent<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    if (error instanceof TpmResponseError && baseCode(error.rc) === TPM_RC.HANDLE) return undefined
    throw error
  }
}

/** The public area at a persistent handle; undefined without an object there. Throws TpmResponseError. */
export function persistentPublic(execute: Execute, objectHandle: number): TPMT_PUBLIC | undefined {
  return ifPresent(() => callDirectly(execute, TPM2_ReadPublic, { objectHandle }).outPublic)
}

/**
 * Makes the primary key of a template in the endorsement hierarchy, persistent at `persistentHandle`, and returns its
 * public area. Endorsement and owner authorization must be empty. Throws TpmResponseError.
 */
export function makePersistent(
  execute: Execute,
  template: TPMT_PUBLIC,
  persistentHandle: number,
): TPMT_PUBLIC {
  const sessions = [passwordSession()]
  const { objectHandle, outPublic } = callDirectly(
    execute,
    TPM2_CreatePrimary,
    {
      primaryHandle: TPM_RH.ENDORSEMENT,
      inSensitive: { userAuth: NONE, data: NONE },
      inPublic: template,
      outsideInfo: NONE,
      creationPCR: [],
    },
    sessions,
  )
  const evict = { auth: TPM_RH.OWNER, objectHandle, persistentHandle }
  callDirectly(execute, TPM2_EvictControl, evict, sessions)
  callDirectly(execute, TPM2_FlushContext, { flushHandle: objectHandle })
  return outPublic
}
