// Our own client: its sessions as TPMs see them. What swtpm accepts here is computed as the TPM 2.0 Library says, and
// what it refuses is refused for the reason that the Library gives.
// Source: TPM 2.0 Library, Part 1, clauses 19 (authorizations), 21 (encryption) and 33 (audit), revision 1.59.

import { expect, it } from 'vitest'
import {
  marshal,
  passwordSession,
  selectPcrs,
  startHmacSession,
  TPM2_FlushContext,
  TPM2_GetRandom,
  TPM2_GetSessionAuditDigest,
  TPM2_HashSequenceStart,
  TPM2_HierarchyChangeAuth,
  TPM2_NV_DefineSpace,
  TPM2_NV_Read,
  TPM2_NV_Write,
  TPM2_PCR_Extend,
  TPM2_PCR_Read,
  TPM2_Quote,
  TPM2_SequenceComplete,
  TPM2_SetPrimaryPolicy,
  TPM2_Unseal,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
  TPMA_NV,
  TPMS_ATTEST,
  TPMT_SIGNATURE_PLUS,
  unmarshal,
  verifyQuote,
} from '../../../sdk/tpm2/index.ts'
import { child, primary, refusal, tapped } from './client.ts'
import { eccAttestation, eccStorage, rsaStorage, sealed } from './templates.ts'
import { onEachTpm } from './tools.ts'

const text = (value: string) => new TextEncoder().encode(value)
const NONE = new Uint8Array(0)
const secret = text('a secret of thirty-two octets...')
const good = text('good')
const bad = text('bad')
const AES_CFB = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const
const XOR = { algorithm: TPM_ALG.XOR, hashAlg: TPM_ALG.SHA256 } as const

onEachTpm((on) => {
  it('an HMAC session quotes, again and again; not with a wrong authValue', async () => {
    const { client } = tapped(on())
    const ak = await primary(client, eccAttestation, good)
    const session = await startHmacSession(client)
    const request = {
      signHandle: ak.objectHandle,
      qualifyingData: text('nonce'),
      inScheme: { scheme: TPM_ALG.NULL },
      PCRselect: [selectPcrs(TPM_ALG.SHA256, [0, 7])],
    }
    for (let round = 0; round < 3; round += 1) {
      const { quoted, signature } = await client.call(TPM2_Quote, request, {
        sessions: [session.use({ auth: good })],
      })
      const attest = verifyQuote({
        attest: quoted,
        signature: marshal(TPMT_SIGNATURE_PLUS, signature),
        akPublic: ak.outPublic,
        qualifyingData: text('nonce'),
        expectedSelection: request.PCRselect,
      })
      expect(attest.type).toBe(TPM_ST.ATTEST_QUOTE)
    }
    const refused = client.call(TPM2_Quote, request, { sessions: [session.use({ auth: bad })] })
    expect(await refusal(refused)).toBe('TPM_RC_AUTH_FAIL, session 1')
    expect(await refusal(client.call(TPM2_Quote, request))).toBe('TPM_RC_AUTH_MISSING')
  })

  it.each([TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512])(
    'a session with hash TPM_ALG %s',
    async (authHash) => {
      const { client } = tapped(on())
      const session = await startHmacSession(client, { authHash })
      const digests = [{ hashAlg: TPM_ALG.SHA256, digest: new Uint8Array(32) }]
      await client.call(TPM2_PCR_Extend, { pcrHandle: 16, digests }, { sessions: [session.use()] })
      const { pcrValues } = await client.call(TPM2_PCR_Read, {
        pcrSelectionIn: [selectPcrs(TPM_ALG.SHA256, [16])],
      })
      expect(pcrValues[0]).not.toEqual(new Uint8Array(32))
      const ended = client.call(
        TPM2_PCR_Extend,
        { pcrHandle: 16, digests },
        { sessions: [session.use({ continueSession: false })] },
      )
      expect(await refusal(ended)).toBe('accepted')
      expect(await refusal(client.call(TPM2_FlushContext, { flushHandle: session.handle }))).toBe(
        'TPM_RC_HANDLE, parameter 1',
      )
    },
  )

  it.each([
    ['RSA', 'AES-CFB', rsaStorage, AES_CFB],
    ['ECC', 'AES-CFB', eccStorage, AES_CFB],
    ['ECC', 'XOR', eccStorage, XOR],
  ])(
    'salted by an %s key and encrypting by %s, the secret is on no wire',
    async (_, __, template, symmetric) => {
      const { client, seen } = tapped(on())
      const parent = await primary(client, template)
      const salt = { handle: parent.objectHandle, key: parent.outPublic }
      const session = await startHmacSession(client, { salt, symmetric })
      const item = await child(client, parent.objectHandle, sealed(), {
        auth: good,
        data: secret,
        sessions: [session.use({ decrypt: true })],
      })
      const itemHandle = item.objectHandle
      const sessions = [session.use({ auth: good, encrypt: true })]
      expect(await client.call(TPM2_Unseal, { itemHandle }, { sessions })).toEqual({ outData: secret })
      expect(seen(secret)).toBe(false)
      await client.call(TPM2_Unseal, { itemHandle }, { sessions: [session.use({ auth: good })] })
      expect(seen(secret)).toBe(true)
    },
  )

  it('bound: the authValue is in the key of the session, and other entities still need their own', async () => {
    const { client } = tapped(on())
    const parent = await primary(client, eccStorage)
    const item = await child(client, parent.objectHandle, sealed(), { auth: good, data: secret })
    const other = await child(client, parent.objectHandle, sealed(), { auth: bad, data: secret })
    const bind = { handle: item.objectHandle, auth: Uint8Array.from([...good, 0, 0]), name: item.name }
    const symmetric = AES_CFB
    const session = await startHmacSession(client, { bind, symmetric })
    const unseal = (itemHandle: number, auth: Uint8Array) =>
      client.call(TPM2_Unseal, { itemHandle }, { sessions: [session.use({ auth, encrypt: true })] })
    expect(await unseal(item.objectHandle, good)).toEqual({ outData: secret })
    expect(await unseal(other.objectHandle, bad)).toEqual({ outData: secret })
    expect(await refusal(unseal(other.objectHandle, good))).toBe('TPM_RC_AUTH_FAIL, session 1')
    expect(await unseal(item.objectHandle, good)).toEqual({ outData: secret })
    const wrong = await startHmacSession(client, { bind: { ...bind, auth: bad } })
    const refused = client.call(
      TPM2_Unseal,
      { itemHandle: item.objectHandle },
      { sessions: [wrong.use({ auth: bad })] },
    )
    expect(await refusal(refused)).toBe('TPM_RC_AUTH_FAIL, session 1')
  })

  it('sessions that only encrypt: their nonces are in the first HMAC', async () => {
    const { client, seen } = tapped(on())
    const parent = await primary(client, eccStorage)
    const salt = { handle: parent.objectHandle, key: parent.outPublic }
    const authorizing = await startHmacSession(client)
    const one = await startHmacSession(client, { salt, symmetric: AES_CFB })
    const two = await startHmacSession(client, { salt, symmetric: XOR, authHash: TPM_ALG.SHA384 })
    const item = await child(client, parent.objectHandle, sealed(), {
      auth: good,
      data: secret,
      sessions: [authorizing.use(), one.use({ decrypt: true }), two.use({ encrypt: true })],
    })
    for (const sessions of [
      [authorizing.use({ auth: good }), two.use({ encrypt: true })],
      [passwordSession(good), one.use({ encrypt: true })],
    ]) {
      const { outData } = await client.call(TPM2_Unseal, { itemHandle: item.objectHandle }, { sessions })
      expect(outData).toEqual(secret)
    }
    expect(seen(secret)).toBe(false)
    const { randomBytes } = await client.call(
      TPM2_GetRandom,
      { bytesRequested: 32 },
      { sessions: [one.use({ encrypt: true })] },
    )
    expect(seen(randomBytes)).toBe(false)
  })

  it('a command that changes the authValue is answered with the new one', async () => {
    const { client } = tapped(on())
    const session = await startHmacSession(client, { symmetric: AES_CFB })
    const change = (auth: Uint8Array, newAuth: Uint8Array) =>
      client.call(
        TPM2_HierarchyChangeAuth,
        { authHandle: TPM_RH.OWNER, newAuth },
        { sessions: [session.use({ auth, authAfter: newAuth, decrypt: true })] },
      )
    await change(NONE, good)
    expect(await refusal(change(bad, NONE))).toBe('TPM_RC_BAD_AUTH, session 1')
    const policy = { authHandle: TPM_RH.OWNER, authPolicy: NONE, hashAlg: TPM_ALG.NULL }
    await client.call(TPM2_SetPrimaryPolicy, policy, { sessions: [session.use({ auth: good })] })
    await change(good, NONE)
  })

  it('an audit session counts as the TPM does', async () => {
    const { client } = tapped(on())
    const ak = await primary(client, eccAttestation)
    const session = await startHmacSession(client, { symmetric: AES_CFB })
    expect(session.auditDigest).toBeUndefined()
    const audit = { audit: true, encrypt: true }
    await client.call(TPM2_GetRandom, { bytesRequested: 8 }, { sessions: [session.use(audit)] })
    await client.call(TPM2_GetRandom, { bytesRequested: 9 }, { sessions: [session.use(audit)] })
    const { auditInfo } = await client.call(
      TPM2_GetSessionAuditDigest,
      {
        privacyAdminHandle: TPM_RH.ENDORSEMENT,
        signHandle: ak.objectHandle,
        sessionHandle: session.handle,
        qualifyingData: NONE,
        inScheme: { scheme: TPM_ALG.NULL },
      },
      { sessions: [passwordSession(), passwordSession()] },
    )
    const attested: unknown = unmarshal(TPMS_ATTEST, auditInfo).attested
    expect(attested).toEqual({ exclusiveSession: true, sessionDigest: session.auditDigest })
    await client.call(TPM2_GetRandom, { bytesRequested: 8 })
    const exclusive = client.call(
      TPM2_GetRandom,
      { bytesRequested: 8 },
      { sessions: [session.use({ ...audit, auditExclusive: true })] },
    )
    expect(await refusal(exclusive)).toBe('TPM_RC_EXCLUSIVE')
    const before = session.auditDigest
    await client.call(
      TPM2_GetRandom,
      { bytesRequested: 8 },
      { sessions: [session.use({ ...audit, auditReset: true })] },
    )
    expect(session.auditDigest).not.toEqual(before)
  })

  it('names: of a sequence empty, of an NV index another after the first write', async () => {
    const { client } = tapped(on())
    const session = await startHmacSession(client)
    const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, {
      auth: good,
      hashAlg: TPM_ALG.SHA256,
    })
    const { result } = await client.call(
      TPM2_SequenceComplete,
      { sequenceHandle, buffer: text('abc'), hierarchy: TPM_RH.OWNER },
      { sessions: [session.use({ auth: good })] },
    )
    expect(Buffer.from(result).toString('hex').slice(0, 16)).toBe('ba7816bf8f01cfea')
    const nvIndex = 0x01500001
    const attributes = TPMA_NV.AUTHWRITE | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA
    const publicInfo = { nvIndex, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: NONE, dataSize: 8 }
    const owner = { sessions: [session.use()] }
    await client.call(TPM2_NV_DefineSpace, { authHandle: TPM_RH.OWNER, auth: good, publicInfo }, owner)
    const index = { authHandle: nvIndex, nvIndex }
    const stale = new Map([[nvIndex, await client.nameOf(nvIndex)]])
    for (const data of [text('12345678'), text('abcdefgh')]) {
      const sessions = [session.use({ auth: good })]
      await client.call(TPM2_NV_Write, { ...index, data, offset: 0 }, { sessions })
      expect(await client.call(TPM2_NV_Read, { ...index, size: 8, offset: 0 }, { sessions })).toEqual({
        data,
      })
    }
    const withStaleName = client.call(
      TPM2_NV_Read,
      { ...index, size: 8, offset: 0 },
      { sessions: [session.use({ auth: good })], names: stale },
    )
    expect(await refusal(withStaleName)).toBe('TPM_RC_BAD_AUTH, session 1')
  })
})
