// What a policy session authorizes: our TPM against swtpm, command by command.

import { describe, it } from 'vitest'
import { startPolicySession } from '../../sdk/tpm2/client.ts'
import {
  TPM2_FlushContext,
  TPM2_NV_ChangeAuth,
  TPM2_NV_Read,
  TPM2_NV_UndefineSpace,
  TPM2_NV_UndefineSpaceSpecial,
  TPM2_NV_Write,
  TPM2_PolicyAuthValue,
  TPM2_PolicyCommandCode,
  TPM2_PolicyCpHash,
  TPM2_PolicyLocality,
  TPM2_PolicyNameHash,
  TPM2_PolicyNvWritten,
  TPM2_PolicyPassword,
  TPM2_PolicyPhysicalPresence,
  TPM2_PolicyRestart,
  TPM2_PolicyTemplate,
  TPM_ALG,
  TPM_CC,
  TPM_RH,
  TPMA_NV,
} from '../../sdk/tpm2/index.ts'
import { byOwner, bytes, define, INDEX, pw, sha256, showDigest } from './tpm-differential/policy-steps.ts'
import { type Probe, sameOnBoth } from './tpm-differential/probe.ts'

describe('what a policy session authorizes, as with swtpm', () => {
  const ATTRIBUTES = TPMA_NV.POLICYREAD | TPMA_NV.POLICYWRITE | TPMA_NV.NO_DA
  const policies = {
    empty: new Uint8Array(32),
    authValue: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6b)),
    read: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6c), bytes(0, 0, 1, 0x4e)),
    write: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6c), bytes(0, 0, 1, 0x37)),
    changeAuth: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6c), bytes(0, 0, 1, 0x3b)),
    special: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6c), bytes(0, 0, 1, 0x1f)),
    written: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x8f), bytes(1)),
    unwritten: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x8f), bytes(0)),
    presence: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x87)),
    zero: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6f), bytes(1)),
    one: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6f), bytes(2)),
    cpHash: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6e), new Uint8Array(32)),
    nameHash: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x70), new Uint8Array(32)),
    template: sha256(new Uint8Array(32), bytes(0, 0, 1, 0x90), new Uint8Array(32)),
  }

  async function assert(probe: Probe, policy: string, policySession: number): Promise<void> {
    const code = async (cc: number): Promise<void> => {
      await probe.client.call(TPM2_PolicyCommandCode, { policySession, code: cc })
    }
    if (policy === 'authValue') await probe.client.call(TPM2_PolicyAuthValue, { policySession })
    if (policy === 'password') await probe.client.call(TPM2_PolicyPassword, { policySession })
    if (policy === 'read') await code(TPM_CC.NV_Read)
    if (policy === 'write') await code(TPM_CC.NV_Write)
    if (policy === 'changeAuth') await code(TPM_CC.NV_ChangeAuth)
    if (policy === 'special') await code(TPM_CC.NV_UndefineSpaceSpecial)
    if (policy === 'written')
      await probe.client.call(TPM2_PolicyNvWritten, { policySession, writtenSet: true })
    if (policy === 'unwritten')
      await probe.client.call(TPM2_PolicyNvWritten, { policySession, writtenSet: false })
    if (policy === 'presence') await probe.client.call(TPM2_PolicyPhysicalPresence, { policySession })
    if (policy === 'zero') await probe.client.call(TPM2_PolicyLocality, { policySession, locality: 1 })
    if (policy === 'one') await probe.client.call(TPM2_PolicyLocality, { policySession, locality: 2 })
    const digest = new Uint8Array(32)
    if (policy === 'cpHash') await probe.client.call(TPM2_PolicyCpHash, { policySession, cpHashA: digest })
    if (policy === 'nameHash')
      await probe.client.call(TPM2_PolicyNameHash, { policySession, nameHash: digest })
    if (policy === 'template')
      await probe.client.call(TPM2_PolicyTemplate, { policySession, templateHash: digest })
  }

  it('uses of NV indices', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const own = { authHandle: INDEX, nvIndex: INDEX }
      for (const [policy, authPolicy] of Object.entries(policies)) {
        await define(probe, ATTRIBUTES, authPolicy)
        for (const gathered of [
          policy,
          policy === 'empty' ? 'read' : 'empty',
          policy === 'authValue' ? 'password' : '',
        ]) {
          if (gathered === '') continue
          const label = `${policy}, ${gathered}`
          const session = await startPolicySession(probe.client)
          const proof = gathered === 'authValue' ? 'hmac' : gathered === 'password' ? 'password' : 'policy'
          const use = { sessions: [session.use({ auth: bytes(1), proof })] }
          for (const round of [1, 2]) {
            await assert(probe, gathered, session.handle)
            const write = { ...own, data: bytes(1, 2, 3, 4, 5, 6, 7, 8), offset: 0 }
            await probe.try(`${label}, ${String(round)}`, TPM2_NV_Write, write, use)
            await showDigest(probe, label, session.handle)
            await probe.client.call(TPM2_PolicyRestart, { sessionHandle: session.handle })
            await assert(probe, gathered, session.handle)
            await probe.try(`${label}, ${String(round)}`, TPM2_NV_Read, { ...own, size: 8, offset: 0 }, use)
            await probe.client.call(TPM2_PolicyRestart, { sessionHandle: session.handle })
          }
          await assert(probe, gathered, session.handle)
          await probe.try(
            label,
            TPM2_NV_ChangeAuth,
            { nvIndex: INDEX, newAuth: bytes(2) },
            {
              sessions: [session.use({ auth: bytes(1), authAfter: bytes(2), proof })],
            },
          )
          await probe.client.call(TPM2_FlushContext, { flushHandle: session.handle })
        }
        await probe.try(policy, TPM2_NV_UndefineSpace, byOwner, { sessions: [pw] })
      }
    })
  })

  it('a trial session, a wrong authValue, deletion by policy', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const own = { authHandle: INDEX, nvIndex: INDEX }
      await define(probe, ATTRIBUTES, policies.authValue)
      const read = { ...own, size: 0, offset: 0 }
      const trial = await startPolicySession(probe.client, { trial: true })
      await assert(probe, 'authValue', trial.handle)
      await probe.try('trial', TPM2_NV_Read, read, {
        sessions: [trial.use({ auth: bytes(1), proof: 'hmac' })],
      })
      const session = await startPolicySession(probe.client)
      for (const [gathered, proof] of [
        ['authValue', 'hmac'],
        ['password', 'password'],
      ] as const) {
        await assert(probe, gathered, session.handle)
        const wrong = { sessions: [session.use({ auth: bytes(9), proof })] }
        await probe.try(`wrong ${gathered}`, TPM2_NV_Read, read, wrong)
        await probe.client.call(TPM2_PolicyRestart, { sessionHandle: session.handle })
      }
      const sha384 = await startPolicySession(probe.client, { authHash: TPM_ALG.SHA384 })
      await probe.try('other hash', TPM2_NV_Read, read, { sessions: [sha384.use()] })
      await probe.try('undefine', TPM2_NV_UndefineSpace, byOwner, { sessions: [pw] })
      const platform = TPMA_NV.PLATFORMCREATE | TPMA_NV.POLICY_DELETE | TPMA_NV.PPREAD | TPMA_NV.PPWRITE
      await define(probe, platform, policies.special)
      const special = { nvIndex: INDEX, platform: TPM_RH.PLATFORM }
      await probe.try('without', TPM2_NV_UndefineSpaceSpecial, special, { sessions: [session.use(), pw] })
      await assert(probe, 'special', session.handle)
      await probe.try('with', TPM2_NV_UndefineSpaceSpecial, special, { sessions: [session.use(), pw] })
    })
  })
})
