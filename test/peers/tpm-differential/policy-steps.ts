// Steps of policy sessions, each recorded by a probe.

import { createHash } from 'node:crypto'
import { type AuthSession } from '../../../sdk/tpm2/auth-session.ts'
import { startPolicySession } from '../../../sdk/tpm2/client.ts'
import {
  passwordSession,
  TPM2_FlushContext,
  TPM2_NV_DefineSpace,
  TPM2_PolicyGetDigest,
  TPM_ALG,
  TPM_RH,
  TPMA_NV,
} from '../../../sdk/tpm2/index.ts'
import { type Probe } from './probe.ts'

export const NONE = new Uint8Array(0)
export const INDEX = 0x01500000
export const pw = passwordSession()
export const bytes = (...octets: readonly number[]): Uint8Array => Uint8Array.from(octets)
export const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const state = createHash('sha256')
  for (const part of parts) state.update(part)
  return new Uint8Array(state.digest())
}
export const HASHES = {
  sha1: TPM_ALG.SHA1,
  sha256: TPM_ALG.SHA256,
  sha384: TPM_ALG.SHA384,
  sha512: TPM_ALG.SHA512,
}
export const SIZES: Record<string, number> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }

/** Runs `work` with policy sessions of each kind and shows the digest that it leaves. */
export async function inSessions(
  probe: Probe,
  work: (policySession: number, label: string, session: AuthSession) => Promise<void>,
  kinds: readonly boolean[] = [false, true],
  hashes: Partial<Record<keyof typeof HASHES, number>> = { sha256: TPM_ALG.SHA256 },
): Promise<void> {
  for (const [name, authHash] of Object.entries(hashes)) {
    for (const trial of kinds) {
      const session = await startPolicySession(probe.client, { authHash, trial })
      const label = `${name} ${trial ? 'trial' : 'policy'}`
      await work(session.handle, label, session)
      await showDigest(probe, label, session.handle)
      await probe.client.call(TPM2_FlushContext, { flushHandle: session.handle })
    }
  }
}

export async function showDigest(probe: Probe, label: string, policySession: number): Promise<void> {
  const response = await probe.try(label, TPM2_PolicyGetDigest, { policySession })
  probe.show(`${label}, digest`, response?.policyDigest)
}

export async function define(
  probe: Probe,
  attributes: number,
  authPolicy: Uint8Array,
  dataSize = 8,
): Promise<void> {
  const publicInfo = { nvIndex: INDEX, nameAlg: TPM_ALG.SHA256, attributes, authPolicy, dataSize }
  const platform = (attributes & TPMA_NV.PLATFORMCREATE) !== 0
  const authHandle = platform ? TPM_RH.PLATFORM : TPM_RH.OWNER
  await probe.try(
    'define',
    TPM2_NV_DefineSpace,
    { authHandle, auth: bytes(1), publicInfo },
    { sessions: [pw] },
  )
}

export const OWNER = TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
export const byOwner = { authHandle: TPM_RH.OWNER, nvIndex: INDEX }
