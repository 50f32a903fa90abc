// Policies over time, power cycles, localities and PCRs: what a session or a ticket is worth then. What each assertion
// hashes and refuses is compared with swtpm in test/peers.

import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type Tpm } from '../../../../../../emulator/platform/tpm/tpm.ts'
import {
  type AuthSession,
  hash,
  marshal,
  type Response,
  selectPcrs,
  startPolicySession,
  TPM2_ContextLoad,
  TPM2_ContextSave,
  TPM2_Clear,
  TPM2_CreatePrimary,
  TPM2_PCR_Extend,
  TPM2_PolicyCounterTimer,
  TPM2_PolicyCpHash,
  TPM2_PolicyGetDigest,
  TPM2_PolicyLocality,
  TPM2_PolicyNameHash,
  TPM2_PolicyPCR,
  TPM2_PolicyPhysicalPresence,
  TPM2_PolicySecret,
  TPM2_PolicySigned,
  TPM2_PolicyTemplate,
  TPM2_PolicyTicket,
  TPM2_SetPrimaryPolicy,
  TPM2_HierarchyChangeAuth,
  TPM2_Shutdown,
  TPM2_Startup,
  TPM_ALG,
  TPM_CC,
  TPM_ECC,
  TPM_EO,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TPMA_OBJECT,
  TpmClient,
  TPMT_PUBLIC,
  UINT32,
} from '../../../../../../sdk/tpm2/index.ts'
import { atParameter, loadKeyedHash, NONE, PW, refusal, rig, SIGN, utf8 } from './crypto-rig.ts'

const pw = { sessions: [PW] }
const atSession = (rc: number): number => rc + 0x900
interface Terms {
  readonly nonceTPM: Uint8Array
  readonly cpHashA: Uint8Array
  readonly policyRef: Uint8Array
  readonly expiration: number
}
const terms: Terms = { nonceTPM: NONE, cpHashA: NONE, policyRef: NONE, expiration: 0 }
type Granted = Response<typeof TPM2_PolicySecret>

/** Gives the owner the policy that `assert` makes in a trial session. */
async function ownerPolicy(
  client: TpmClient,
  assert: (policySession: number) => Promise<unknown>,
): Promise<void> {
  const trial = await startPolicySession(client, { trial: true })
  await assert(trial.handle)
  const { policyDigest } = await client.call(TPM2_PolicyGetDigest, { policySession: trial.handle })
  const request = { authHandle: TPM_RH.OWNER, authPolicy: policyDigest, hashAlg: TPM_ALG.SHA256 }
  await client.call(TPM2_SetPrimaryPolicy, request, pw)
}

/** A command with the owner's authorization that changes nothing that matters here. */
async function act(client: TpmClient, session: AuthSession): Promise<unknown> {
  const request = { authHandle: TPM_RH.OWNER, newAuth: NONE }
  return client.call(TPM2_HierarchyChangeAuth, request, { sessions: [session.use()] })
}

async function secret(client: TpmClient, policySession: number, more: Partial<Terms> = {}): Promise<Granted> {
  return client.call(
    TPM2_PolicySecret,
    { authHandle: TPM_RH.ENDORSEMENT, policySession, ...terms, ...more },
    pw,
  )
}

const ENDORSEMENT = marshal(UINT32, TPM_RH.ENDORSEMENT)

async function ticket(client: TpmClient, policySession: number, granted: Granted): Promise<unknown> {
  const { timeout, policyTicket } = granted
  const request = {
    policySession,
    timeout,
    cpHashA: NONE,
    policyRef: NONE,
    authName: ENDORSEMENT,
    ticket: policyTicket,
  }
  return client.call(TPM2_PolicyTicket, request)
}

async function restart(
  tpm: Tpm,
  client: TpmClient,
  shutdownType?: number,
  startupType: number = TPM_SU.CLEAR,
): Promise<void> {
  if (shutdownType !== undefined) await client.call(TPM2_Shutdown, { shutdownType })
  tpm.reset()
  await client.call(TPM2_Startup, { startupType })
}

/** A TPM whose time the test moves. */
async function timed(): Promise<{ tpm: Tpm; client: TpmClient; wait: (milliseconds: number) => void }> {
  let now = 0n
  const { tpm, client } = await rig({ now: () => now })
  return {
    tpm,
    client,
    wait: (milliseconds) => {
      now += BigInt(milliseconds)
    },
  }
}

describe('deadlines of policies', () => {
  it('an authorization ends `expiration` seconds after the start of the session; using the session begins anew', async () => {
    const { client, wait } = await timed()
    await ownerPolicy(client, (policySession) => secret(client, policySession))
    const session = await startPolicySession(client)
    const grant = (): Promise<unknown> =>
      secret(client, session.handle, { nonceTPM: session.nonceTPM, expiration: 10 })
    await grant()
    wait(10_000)
    await act(client, session)
    wait(9_000)
    await grant()
    wait(1_001)
    expect(await refusal(act(client, session))).toBe(atSession(TPM_RC.EXPIRED))
    expect(await refusal(grant())).toBe(atParameter(TPM_RC.EXPIRED, 4))
  })

  it('the earliest of several holds', async () => {
    const { client, wait } = await timed()
    await ownerPolicy(client, async (policySession) => {
      await secret(client, policySession)
      await secret(client, policySession)
    })
    const session = await startPolicySession(client)
    for (const expiration of [5, 100]) {
      await secret(client, session.handle, { nonceTPM: session.nonceTPM, expiration })
    }
    wait(5_001)
    expect(await refusal(act(client, session))).toBe(atSession(TPM_RC.EXPIRED))
  })

  it('passes with the run of time that it was set in: a saved session does not live longer by a power cycle', async () => {
    const { tpm, client } = await timed()
    await ownerPolicy(client, (policySession) => secret(client, policySession))
    const session = await startPolicySession(client)
    await secret(client, session.handle, { nonceTPM: session.nonceTPM, expiration: 3600 })
    const { context } = await client.call(TPM2_ContextSave, { saveHandle: session.handle })
    await restart(tpm, client, TPM_SU.STATE, TPM_SU.STATE)
    await client.call(TPM2_ContextLoad, { context })
    expect(await refusal(act(client, session))).toBe(atSession(TPM_RC.EXPIRED))
  })

  it('NV memory has to be there for the clock to be relied on', async () => {
    const { tpm, client } = await timed()
    const { handle: policySession, nonceTPM } = await startPolicySession(client)
    const operandB = new Uint8Array(8)
    const ahead = { policySession, operandB, offset: 0, operation: TPM_EO.UNSIGNED_GE }
    tpm.setNvAvailable(false)
    expect(await refusal(secret(client, policySession, { nonceTPM, expiration: 10 }))).toBe(
      TPM_RC.NV_UNAVAILABLE,
    )
    expect(await refusal(client.call(TPM2_PolicyCounterTimer, ahead))).toBe(TPM_RC.NV_UNAVAILABLE)
    await secret(client, policySession)
    await client.call(TPM2_PolicyCounterTimer, { ...ahead, operandB: new Uint8Array(4), offset: 20 })
  })
})

describe('tickets of policies', () => {
  it('repeat an authorization in its time, in another session', async () => {
    const { client, wait } = await timed()
    await ownerPolicy(client, (policySession) => secret(client, policySession))
    const granted = await secret(client, (await startPolicySession(client)).handle, { expiration: -10 })
    const session = await startPolicySession(client)
    wait(9_999)
    await ticket(client, session.handle, granted)
    await act(client, session)
    wait(2)
    expect(await refusal(ticket(client, session.handle, granted))).toBe(atParameter(TPM_RC.EXPIRED, 1))
  })

  it('end with a power cycle, and with the proof of their hierarchy', async () => {
    const { tpm, client } = await timed()
    const first = await startPolicySession(client)
    const nonceTPM = first.nonceTPM
    const untilReset = await secret(client, first.handle, { expiration: -3600 })
    const untilTime = await secret(client, first.handle, { expiration: -3600, nonceTPM })
    for (const granted of [untilReset, untilTime]) await ticket(client, first.handle, granted)
    await restart(tpm, client)
    const second = await startPolicySession(client)
    for (const granted of [untilReset, untilTime]) {
      expect(await refusal(ticket(client, second.handle, granted))).toBe(atParameter(TPM_RC.TICKET, 5))
    }
    const third = await secret(client, second.handle, { expiration: -3600 })
    await ticket(client, second.handle, third)
    await client.call(TPM2_Clear, { authHandle: TPM_RH.LOCKOUT }, pw)
    expect(await refusal(ticket(client, second.handle, third))).toBe(atParameter(TPM_RC.TICKET, 5))
  })

  it('a cpHash cannot pass for a policyRef, nor the other way round', async () => {
    const { client } = await timed()
    const { handle: policySession } = await startPolicySession(client)
    const digest = hash(TPM_ALG.SHA256, utf8('one'))
    const { timeout, policyTicket } = await secret(client, policySession, {
      policyRef: digest,
      expiration: -10,
    })
    const request = { policySession, timeout, authName: ENDORSEMENT, ticket: policyTicket }
    const swapped = { ...request, cpHashA: digest, policyRef: NONE }
    expect(await refusal(client.call(TPM2_PolicyTicket, swapped))).toBe(atParameter(TPM_RC.TICKET, 5))
    await client.call(TPM2_PolicyTicket, { ...request, cpHashA: NONE, policyRef: digest })
  })
})

describe('conditions of policies', () => {
  it('a locality', async () => {
    const { tpm, client } = await rig()
    await ownerPolicy(client, (policySession) =>
      client.call(TPM2_PolicyLocality, { policySession, locality: 0b1000 }),
    )
    const session = await startPolicySession(client)
    await client.call(TPM2_PolicyLocality, { policySession: session.handle, locality: 0b1000 })
    expect(await refusal(act(client, session))).toBe(TPM_RC.LOCALITY)
    const third = new TpmClient({ send: (command) => tpm.execute(command, 3) })
    await act(third, session)
  })

  it('physical presence', async () => {
    const { tpm, client } = await rig()
    await ownerPolicy(client, (policySession) => client.call(TPM2_PolicyPhysicalPresence, { policySession }))
    const session = await startPolicySession(client)
    await client.call(TPM2_PolicyPhysicalPresence, { policySession: session.handle })
    expect(await refusal(act(client, session))).toBe(atSession(TPM_RC.PP))
    tpm.setPhysicalPresence(true)
    await act(client, session)
  })

  it('PCRs as they were at the assertion', async () => {
    const { client } = await rig()
    const pcr = (policySession: number): Promise<unknown> =>
      client.call(TPM2_PolicyPCR, { policySession, pcrDigest: NONE, pcrs: [selectPcrs(TPM_ALG.SHA256, [7])] })
    const extend = (pcrHandle: number): Promise<unknown> => {
      const digests = [{ hashAlg: TPM_ALG.SHA256, digest: new Uint8Array(32) }]
      return client.call(TPM2_PCR_Extend, { pcrHandle, digests }, pw)
    }
    await ownerPolicy(client, pcr)
    const session = await startPolicySession(client)
    await pcr(session.handle)
    await extend(16)
    await act(client, session)
    await pcr(session.handle)
    await extend(8)
    expect(await refusal(act(client, session))).toBe(TPM_RC.PCR_CHANGED)
  })

  it('a command by its cpHash or its names', async () => {
    const { client } = await rig()
    const owner = marshal(UINT32, TPM_RH.OWNER)
    const command = marshal(UINT32, TPM_CC.HierarchyChangeAuth)
    const byCpHash =
      (cpHashA: Uint8Array) =>
      (policySession: number): Promise<unknown> =>
        client.call(TPM2_PolicyCpHash, { policySession, cpHashA })
    const byNames =
      (nameHash: Uint8Array) =>
      (policySession: number): Promise<unknown> =>
        client.call(TPM2_PolicyNameHash, { policySession, nameHash })
    const used = async (bind: (policySession: number) => Promise<unknown>): Promise<unknown> => {
      await ownerPolicy(client, bind)
      const session = await startPolicySession(client)
      await bind(session.handle)
      return act(client, session)
    }
    await used(byCpHash(hash(TPM_ALG.SHA256, command, owner, Uint8Array.of(0, 0))))
    await used(byNames(hash(TPM_ALG.SHA256, owner)))
    for (const other of [
      byCpHash(hash(TPM_ALG.SHA256, command, owner, Uint8Array.of(0, 1, 1))),
      byNames(hash(TPM_ALG.SHA256, ENDORSEMENT)),
    ]) {
      expect(await refusal(used(other))).toBe(atSession(TPM_RC.POLICY_FAIL))
    }
  })

  it('the template of a primary object', async () => {
    const { client } = await rig()
    const inPublic: TPMT_PUBLIC = {
      type: TPM_ALG.ECC,
      nameAlg: TPM_ALG.SHA256,
      objectAttributes: SIGN | TPMA_OBJECT.sensitiveDataOrigin,
      authPolicy: NONE,
      parameters: {
        symmetric: { algorithm: TPM_ALG.NULL },
        scheme: { scheme: TPM_ALG.NULL },
        curveID: TPM_ECC.NIST_P256,
        kdf: { scheme: TPM_ALG.NULL },
      },
      unique: { x: NONE, y: NONE },
    }
    const templateHash = hash(TPM_ALG.SHA256, marshal(TPMT_PUBLIC, inPublic))
    const bind = (policySession: number): Promise<unknown> =>
      client.call(TPM2_PolicyTemplate, { policySession, templateHash })
    await ownerPolicy(client, bind)
    const session = await startPolicySession(client)
    const create = (template: TPMT_PUBLIC): Promise<unknown> => {
      const request = {
        primaryHandle: TPM_RH.OWNER,
        inSensitive: { userAuth: NONE, data: NONE },
        inPublic: template,
        outsideInfo: NONE,
        creationPCR: [],
      }
      return client.call(TPM2_CreatePrimary, request, { sessions: [session.use()] })
    }
    await bind(session.handle)
    const other = { ...inPublic, nameAlg: TPM_ALG.SHA384 }
    expect(await refusal(create(other))).toBe(atSession(TPM_RC.POLICY_FAIL))
    expect(await refusal(act(client, session))).toBe(atSession(TPM_RC.POLICY_FAIL))
    await create(inPublic)
  })
})

describe('TPM2_PolicySigned', () => {
  it('takes a signature for this session and this command, from the key of the policy', async () => {
    const { client } = await rig()
    const key = utf8('a key of 32 octets, more or less')
    const { handle: authObject } = await loadKeyedHash(client, key, SIGN)
    const sign = (policySession: number, nonceTPM: Uint8Array, signed = nonceTPM): Promise<unknown> => {
      const digest = hash(TPM_ALG.SHA256, signed, new Uint8Array(4))
      const mac = new Uint8Array(createHmac('sha256', key).update(digest).digest())
      const auth = { sigAlg: TPM_ALG.HMAC, hashAlg: TPM_ALG.SHA256, digest: mac } as const
      return client.call(TPM2_PolicySigned, { authObject, policySession, ...terms, nonceTPM, auth })
    }
    await ownerPolicy(client, (policySession) => sign(policySession, NONE))
    const session = await startPolicySession(client)
    const other = await startPolicySession(client)
    expect(await refusal(sign(session.handle, other.nonceTPM))).toBe(atParameter(TPM_RC.NONCE, 1))
    expect(await refusal(sign(session.handle, session.nonceTPM, NONE))).toBe(atParameter(TPM_RC.SIGNATURE, 5))
    expect(await refusal(act(client, session))).toBe(atSession(TPM_RC.POLICY_FAIL))
    await sign(session.handle, session.nonceTPM)
    await act(client, session)
  })
})
