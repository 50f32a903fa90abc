// TPM2_SetCommandCodeAuditStatus, seen through TPM2_GetCommandAuditDigest.

import { describe, expect, it } from 'vitest'
import {
  hash,
  marshal,
  TPM2_GetCommandAuditDigest,
  TPM2_GetRandom,
  TPM2_SetCommandCodeAuditStatus,
  TPM_ALG,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  type TpmClient,
  TPMS_ATTEST,
  UINT32,
  unmarshal,
} from '../../../../../../sdk/tpm2/index.ts'
import { atParameter, NONE, PW, refusal, rig } from './crypto-rig.ts'

const pw = { sessions: [PW] }
const auth = TPM_RH.OWNER
const CODES = [TPM_CC.SetCommandCodeAuditStatus, TPM_CC.GetRandom]

async function set(
  client: TpmClient,
  auditAlg: number,
  setList: readonly number[] = [],
  clearList: readonly number[] = [],
): Promise<void> {
  await client.call(TPM2_SetCommandCodeAuditStatus, { auth, auditAlg, setList, clearList }, pw)
}

interface Audit {
  readonly auditCounter: bigint
  readonly digestAlg: number
  readonly auditDigest: Uint8Array
  readonly commandDigest: Uint8Array
}

/** The audit without a signature, which leaves it going. */
async function audit(client: TpmClient): Promise<Audit> {
  const request = {
    privacyHandle: TPM_RH.ENDORSEMENT,
    signHandle: TPM_RH.NULL,
    qualifyingData: NONE,
    inScheme: { scheme: TPM_ALG.NULL },
  } as const
  const { auditInfo } = await client.call(TPM2_GetCommandAuditDigest, request, { sessions: [PW, PW] })
  const attest = unmarshal(TPMS_ATTEST, auditInfo)
  if (attest.type !== TPM_ST.ATTEST_COMMAND_AUDIT)
    throw new Error('expected an attestation of the command audit')
  return attest.attested
}

describe('command audit', () => {
  it('covers the commands that were set, with the hash that was set', async () => {
    const { client } = await rig()
    await set(client, TPM_ALG.SHA256)
    await set(client, TPM_ALG.NULL, [TPM_CC.GetRandom])
    const before = await audit(client)
    expect(before.digestAlg).toBe(TPM_ALG.SHA256)
    const codes = CODES.toSorted((a, b) => a - b).map((code) => marshal(UINT32, code))
    expect(before.commandDigest).toEqual(hash(TPM_ALG.SHA256, ...codes))
    const { randomBytes } = await client.call(TPM2_GetRandom, { bytesRequested: 4 })
    const code = marshal(UINT32, TPM_CC.GetRandom)
    const cpHash = hash(TPM_ALG.SHA256, code, Uint8Array.of(0, 4))
    const rpHash = hash(TPM_ALG.SHA256, new Uint8Array(4), code, Uint8Array.of(0, 4, ...randomBytes))
    const after = await audit(client)
    expect(after.auditDigest).toEqual(hash(TPM_ALG.SHA256, before.auditDigest, cpHash, rpHash))
    expect(after.auditCounter).toBe(before.auditCounter)
    await set(client, TPM_ALG.NULL, [], [TPM_CC.GetRandom])
    const cleared = await audit(client)
    await client.call(TPM2_GetRandom, { bytesRequested: 4 })
    expect((await audit(client)).auditDigest).toEqual(cleared.auditDigest)
  })

  it('begins anew with another hash, and not with the command that chose it', async () => {
    const { client } = await rig()
    await set(client, TPM_ALG.SHA256)
    expect((await audit(client)).auditDigest).toEqual(NONE)
    await set(client, TPM_ALG.NULL)
    expect((await audit(client)).auditDigest).toHaveLength(32)
  })

  it('refuses another hash together with commands, and leaves out what cannot be audited', async () => {
    const { client } = await rig()
    expect(await refusal(set(client, TPM_ALG.SHA1, [TPM_CC.GetRandom]))).toBe(atParameter(TPM_RC.VALUE, 1))
    const before = await audit(client)
    await set(client, TPM_ALG.NULL, [TPM_CC.Shutdown, 0x1000], [TPM_CC.SetCommandCodeAuditStatus])
    expect((await audit(client)).commandDigest).toEqual(before.commandDigest)
    await set(client, before.digestAlg, [TPM_CC.GetRandom])
    expect((await audit(client)).commandDigest).not.toEqual(before.commandDigest)
  })
})
