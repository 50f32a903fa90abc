// TPM2_GetCapability(TPM_CAP_HANDLES): our TPM against swtpm. Sessions are listed by their number, whatever their kind,
// so a client that goes on behind the last handle it got must meet each of them once.

import { describe, it } from 'vitest'
import {
  TPM2_ContextSave,
  TPM2_GetCapability,
  TPM2_HashSequenceStart,
  TPM2_NV_DefineSpace,
  TPM2_StartAuthSession,
  TPM_ALG,
  TPM_CAP,
  TPM_RH,
  TPM_SE,
  TPMA_NV,
} from '../../sdk/tpm2/index.ts'
import { NONE, PW } from '../unit/emulator/platform/tpm/commands/crypto-rig.ts'
import { type Probe, sameOnBoth } from './tpm-differential/probe.ts'

async function sessionOf(probe: Probe, sessionType: number): Promise<number> {
  const { sessionHandle } = await probe.client.call(TPM2_StartAuthSession, {
    tpmKey: TPM_RH.NULL,
    bind: TPM_RH.NULL,
    nonceCaller: new Uint8Array(16),
    encryptedSalt: NONE,
    sessionType,
    symmetric: { algorithm: TPM_ALG.NULL },
    authHash: TPM_ALG.SHA256,
  })
  return sessionHandle
}

/** What is listed from a property on, and whether there is more. */
async function list(probe: Probe, property: number, propertyCount = 100): Promise<void> {
  const request = { capability: TPM_CAP.HANDLES, property, propertyCount }
  const label = `from 0x${property.toString(16)}, ${String(propertyCount)} at most`
  const answer = await probe.try(label, TPM2_GetCapability, request)
  if (answer === undefined) return
  const handles = answer.capabilityData.data.map((handle) => Number(handle).toString(16))
  probe.show(label, `${handles.join(' ')}${answer.moreData ? ' and more' : ''}`)
}

async function listAround(probe: Probe, first: number): Promise<void> {
  for (const property of [0, 1, 2, 3, 5, 0xffffff]) await list(probe, first + property)
  for (const property of [0, 1, 2]) await list(probe, first + property, 1)
}

const LOADED = 0x02000000
const SAVED = 0x03000000

describe('handles, beside swtpm', () => {
  for (const [title, kinds] of [
    ['an HMAC session before a policy session', [TPM_SE.HMAC, TPM_SE.POLICY]],
    ['a policy session before an HMAC session', [TPM_SE.POLICY, TPM_SE.HMAC]],
    ['a trial session between others', [TPM_SE.POLICY, TPM_SE.TRIAL, TPM_SE.HMAC]],
  ] as const) {
    it(`sessions, loaded and saved: ${title}`, async (context) => {
      await sameOnBoth(context, async (probe) => {
        const sessions: number[] = []
        for (const kind of kinds) sessions.push(await sessionOf(probe, kind))
        await listAround(probe, LOADED)
        await listAround(probe, SAVED)
        for (const saveHandle of sessions.reverse()) {
          await probe.client.call(TPM2_ContextSave, { saveHandle })
          await listAround(probe, LOADED)
          await listAround(probe, SAVED)
        }
      })
    })
  }

  it('PCRs, NV indices and objects, and of kinds that are not listed', async (context) => {
    await sameOnBoth(context, async (probe) => {
      for (const hashAlg of [TPM_ALG.SHA256, TPM_ALG.SHA1]) {
        await probe.client.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg })
      }
      for (const nvIndex of [0x01500005, 0x01500003]) {
        const attributes = TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE
        const publicInfo = { nvIndex, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: NONE, dataSize: 1 }
        const request = { authHandle: TPM_RH.OWNER, auth: NONE, publicInfo }
        await probe.client.call(TPM2_NV_DefineSpace, request, { sessions: [PW] })
      }
      for (const first of [0x80000000, 0x81000000, 0]) await listAround(probe, first)
      for (const property of [0x01000000, 0x01500003, 0x01500004, 0x01500006]) await list(probe, property)
      for (const property of [0x04000000, 0x41000000, 0x90000000, 0xff000000]) await list(probe, property)
    })
  })
})
