// Calls without waiting, of a TPM in this process: what they take, and that they believe no more than a client does.

import { describe, expect, it } from 'vitest'
import { Tpm } from '../../../../emulator/platform/tpm/index.ts'
import {
  baseCode,
  callDirectly,
  passwordSession,
  startHmacSession,
  startPolicyDirectly,
  Tpm2Error,
  TPM2_GetRandom,
  TPM2_HierarchyChangeAuth,
  TPM2_PolicyGetDigest,
  TPM2_PolicySecret,
  TPM2_SetPrimaryPolicy,
  TPM2_Startup,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TpmClient,
  TpmResponseError,
} from '../../../../sdk/tpm2/index.ts'

const NONE = new Uint8Array(0)

function started(): (command: Uint8Array) => Uint8Array {
  const tpm = new Tpm()
  tpm.powerOn()
  const execute = (command: Uint8Array) => tpm.execute(command)
  callDirectly(execute, TPM2_Startup, { startupType: TPM_SU.CLEAR })
  return execute
}

function rcOf(work: () => unknown): number | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof TpmResponseError) return baseCode(error.rc)
    throw error
  }
}

describe('callDirectly', () => {
  it('returns what the command returns, and throws the response code of a refusal', () => {
    const execute = started()
    expect(callDirectly(execute, TPM2_GetRandom, { bytesRequested: 8 }).randomBytes).toHaveLength(8)
    const change = (password: Uint8Array) =>
      rcOf(() =>
        callDirectly(
          execute,
          TPM2_HierarchyChangeAuth,
          { authHandle: TPM_RH.OWNER, newAuth: Uint8Array.of(7) },
          [passwordSession(password)],
        ),
      )
    expect(change(NONE)).toBeUndefined()
    expect(change(NONE)).toBe(TPM_RC.BAD_AUTH)
    expect(change(Uint8Array.of(7))).toBeUndefined()
  })

  it('authorizes by a policy session without a key', () => {
    const execute = started()
    const secretOfEndorsement = () => {
      const session = startPolicyDirectly(execute)
      const secret = {
        authHandle: TPM_RH.ENDORSEMENT,
        policySession: session.handle,
        nonceTPM: NONE,
        cpHashA: NONE,
        policyRef: NONE,
        expiration: 0,
      }
      callDirectly(execute, TPM2_PolicySecret, secret, [passwordSession()])
      return session
    }
    const policySession = secretOfEndorsement().handle
    const { policyDigest } = callDirectly(execute, TPM2_PolicyGetDigest, { policySession })
    const policy = { authHandle: TPM_RH.OWNER, authPolicy: policyDigest, hashAlg: TPM_ALG.SHA256 }
    callDirectly(execute, TPM2_SetPrimaryPolicy, policy, [passwordSession()])
    const change = { authHandle: TPM_RH.OWNER, newAuth: Uint8Array.of(7) }
    const by = (session: ReturnType<typeof secretOfEndorsement>) =>
      rcOf(() => callDirectly(execute, TPM2_HierarchyChangeAuth, change, [session.use()]))
    expect(by(startPolicyDirectly(execute))).toBe(TPM_RC.POLICY_FAIL)
    expect(by(secretOfEndorsement())).toBeUndefined()
  })

  it('refuses sessions that need names', async () => {
    const execute = started()
    const client = new TpmClient({ send: execute })
    const hmac = await startHmacSession(client)
    const change = { authHandle: TPM_RH.OWNER, newAuth: Uint8Array.of(7) }
    const by = (session: ReturnType<typeof hmac.use>) => () =>
      callDirectly(execute, TPM2_HierarchyChangeAuth, change, [session])
    expect(by(hmac.use())).toThrow(TypeError)
    expect(by(startPolicyDirectly(execute).use({ proof: 'hmac' }))).toThrow(TypeError)
    expect(by(passwordSession())).not.toThrow()
  })

  it('refuses a response that is none', () => {
    const execute = started()
    const random = (change: (response: Uint8Array) => Uint8Array) => () =>
      callDirectly((command) => change(execute(command)), TPM2_GetRandom, { bytesRequested: 8 })
    expect(random((response) => response)).not.toThrow()
    expect(random((response) => response.slice(0, -1))).toThrow(Tpm2Error)
    expect(random(() => NONE)).toThrow(Tpm2Error)
    expect(random((response) => response.with(1, 2))).toThrow(Tpm2Error)
  })
})
