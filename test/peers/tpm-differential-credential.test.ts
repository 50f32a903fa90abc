// TPM2_MakeCredential and TPM2_ActivateCredential: our TPM against swtpm, for credentials of every size at the edges.

import { describe, it } from 'vitest'
import {
  TPM2_ActivateCredential,
  TPM2_CreatePrimary,
  TPM2_MakeCredential,
  TPM_RH,
} from '../../sdk/tpm2/index.ts'
import { NONE, PW } from '../unit/emulator/platform/tpm/commands/crypto-rig.ts'
import { ECC_STORAGE, RSA_STORAGE } from '../unit/emulator/platform/tpm/powered.ts'
import { sameOnBoth } from './tpm-differential/probe.ts'

describe('credentials, beside swtpm', () => {
  for (const [kind, inPublic] of [
    ['RSA', RSA_STORAGE],
    ['ECC', ECC_STORAGE],
  ] as const) {
    it(`from none to one byte more than a digest, for an ${kind} key`, async (context) => {
      await sameOnBoth(context, async (probe) => {
        const inSensitive = { userAuth: NONE, data: NONE }
        const request = {
          primaryHandle: TPM_RH.OWNER,
          inSensitive,
          inPublic,
          outsideInfo: NONE,
          creationPCR: [],
        }
        const { objectHandle, name } = await probe.client.call(TPM2_CreatePrimary, request, {
          sessions: [PW],
        })
        for (const size of [0, 1, 31, 32, 33]) {
          const label = `${String(size)} bytes`
          const made = await probe.try(label, TPM2_MakeCredential, {
            handle: objectHandle,
            credential: new Uint8Array(size).fill(7),
            objectName: name,
          })
          if (made === undefined) continue
          const handles = { activateHandle: objectHandle, keyHandle: objectHandle }
          const opened = await probe.try(
            label,
            TPM2_ActivateCredential,
            { ...handles, ...made },
            { sessions: [PW, PW] },
          )
          probe.show(label, opened?.certInfo)
          const other = {
            ...handles,
            ...made,
            credentialBlob: made.credentialBlob.map((octet, at) => (at === 3 ? octet ^ 1 : octet)),
          }
          await probe.try(`${label}, changed`, TPM2_ActivateCredential, other, { sessions: [PW, PW] })
        }
      })
    })
  }
})
