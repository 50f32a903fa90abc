// Our own client: policy sessions as TPMs see them.
// Source: TPM 2.0 Library, Part 1, clause 19.7 (enhanced authorization), and Part 3, clause 23, revision 1.59.

import { expect, it } from 'vitest'
import {
  type AuthSession,
  startHmacSession,
  startPolicySession,
  TPM2_PCR_Extend,
  TPM2_PolicyAuthValue,
  TPM2_PolicyCommandCode,
  TPM2_PolicyGetDigest,
  TPM2_PolicyPassword,
  TPM2_PolicyPCR,
  TPM2_PolicySecret,
  TPM2_Unseal,
  TPM_ALG,
  TPM_CC,
  TPM_RH,
  type TpmClient,
  passwordSession,
  selectPcrs,
} from '../../../sdk/tpm2/index.ts'
import { child, primary, refusal, tapped } from './client.ts'
import { eccStorage, sealed } from './templates.ts'
import { onEachTpm } from './tools.ts'

const text = (value: string) => new TextEncoder().encode(value)
const NONE = new Uint8Array(0)
const secret = text('a secret of thirty-two octets...')
const good = text('good')
const AES_CFB = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const
const pcrs = [selectPcrs(TPM_ALG.SHA256, [16])]

/** Steps of a policy, run on a session. */
type Policy = (client: TpmClient, session: AuthSession) => Promise<void>

const pcr: Policy = async (client, { handle: policySession }) => {
  await client.call(TPM2_PolicyPCR, { policySession, pcrDigest: NONE, pcrs })
}
const authValue: Policy = async (client, { handle: policySession }) => {
  await client.call(TPM2_PolicyAuthValue, { policySession })
}
const password: Policy = async (client, { handle: policySession }) => {
  await client.call(TPM2_PolicyPassword, { policySession })
}
const ownerSecret: Policy = async (client, session) => {
  const hmac = await startHmacSession(client)
  await client.call(
    TPM2_PolicySecret,
    {
      authHandle: TPM_RH.OWNER,
      policySession: session.handle,
      nonceTPM: session.nonceTPM,
      cpHashA: NONE,
      policyRef: NONE,
      expiration: 0,
    },
    { sessions: [hmac.use({ continueSession: false })] },
  )
}

async function digestOf(client: TpmClient, ...steps: readonly Policy[]): Promise<Uint8Array> {
  const trial = await startPolicySession(client, { trial: true })
  for (const step of steps) await step(client, trial)
  const { policyDigest } = await client.call(TPM2_PolicyGetDigest, { policySession: trial.handle })
  return policyDigest
}

/** A secret under a policy and the password `good`, and a session on which the policy is satisfied. */
async function scene(client: TpmClient, ...steps: readonly Policy[]) {
  const authPolicy = await digestOf(client, ...steps)
  const parent = await primary(client, eccStorage)
  const salt = { handle: parent.objectHandle, key: parent.outPublic }
  const hidden = await startHmacSession(client, { salt, symmetric: AES_CFB })
  const item = await child(client, parent.objectHandle, sealed(authPolicy), {
    auth: good,
    data: secret,
    sessions: [hidden.use({ decrypt: true, continueSession: false })],
  })
  const satisfied = async (start = {}): Promise<AuthSession> => {
    const session = await startPolicySession(client, start)
    for (const step of steps) await step(client, session)
    return session
  }
  return { request: { itemHandle: item.objectHandle }, salt, satisfied }
}

onEachTpm((on) => {
  it('the state of PCRs opens, without any authValue; another state does not', async () => {
    const { client } = tapped(on())
    const { request, satisfied } = await scene(client, pcr)
    const open = async () =>
      client.call(TPM2_Unseal, request, {
        sessions: [(await satisfied()).use({ continueSession: false })],
      })
    expect(await open()).toEqual({ outData: secret })
    expect(await refusal(client.call(TPM2_Unseal, request, { sessions: [passwordSession(good)] }))).toBe(
      'TPM_RC_AUTH_UNAVAILABLE',
    )
    const digests = [{ hashAlg: TPM_ALG.SHA256, digest: new Uint8Array(32).fill(1) }]
    await client.call(TPM2_PCR_Extend, { pcrHandle: 16, digests }, { sessions: [passwordSession()] })
    expect(await refusal(open())).toBe('TPM_RC_POLICY_FAIL, session 1')
  })

  it.each([
    ['TPM2_PolicyAuthValue', 'hmac', authValue],
    ['TPM2_PolicyPassword', 'password', password],
  ] as const)('%s: the authValue as %s, and the right one', async (_, proof, step) => {
    const { client } = tapped(on())
    const { request, satisfied } = await scene(client, step)
    const session = await satisfied()
    for (let round = 0; round < 2; round += 1) {
      if (round > 0) await step(client, session)
      const sessions = [session.use({ auth: good, proof })]
      expect(await client.call(TPM2_Unseal, request, { sessions })).toEqual({ outData: secret })
    }
    await step(client, session)
    const wrong = [session.use({ auth: text('bad'), proof })]
    expect(await refusal(client.call(TPM2_Unseal, request, { sessions: wrong }))).toBe(
      'TPM_RC_AUTH_FAIL, session 1',
    )
  })

  it('salted: the HMAC is there although the policy asks for none, and the response is encrypted', async () => {
    const { client, seen } = tapped(on())
    const { request, salt, satisfied } = await scene(client, ownerSecret, pcr)
    const session = await satisfied({ salt, symmetric: AES_CFB })
    const sessions = [session.use({ encrypt: true, auth: good })]
    expect(await client.call(TPM2_Unseal, request, { sessions })).toEqual({ outData: secret })
    expect(seen(secret)).toBe(false)
    const { policyDigest } = await client.call(TPM2_PolicyGetDigest, { policySession: session.handle })
    expect(policyDigest).toEqual(new Uint8Array(32))
  })

  it('a policy for another command does not authorize this one', async () => {
    const { client } = tapped(on())
    const create: Policy = async (c, { handle: policySession }) => {
      await c.call(TPM2_PolicyCommandCode, { policySession, code: TPM_CC.ObjectChangeAuth })
    }
    const { request, satisfied } = await scene(client, create)
    const sessions = [(await satisfied()).use()]
    expect(await refusal(client.call(TPM2_Unseal, request, { sessions }))).toBe('TPM_RC_POLICY_CC, session 1')
  })
})
