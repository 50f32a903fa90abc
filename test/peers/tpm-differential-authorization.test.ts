// Policy assertions by a signature, a secret, a ticket or an approved policy: our TPM against swtpm, command by command.
// Times and nonces differ, so digests are compared where they do not hold any.

import { describe, it } from 'vitest'
import { type AuthSession } from '../../sdk/tpm2/auth-session.ts'
import { startPolicySession } from '../../sdk/tpm2/client.ts'
import {
  hash,
  passwordSession,
  TPM2_FlushContext,
  TPM2_HierarchyChangeAuth,
  TPM2_LoadExternal,
  TPM2_NV_DefineSpace,
  TPM2_NV_Write,
  TPM2_PolicyAuthorize,
  TPM2_PolicyAuthValue,
  TPM2_PolicyCpHash,
  TPM2_PolicyGetDigest,
  TPM2_PolicyPassword,
  TPM2_PolicySecret,
  TPM2_PolicySigned,
  TPM2_PolicyTicket,
  TPM2_VerifySignature,
  TPM_ALG,
  TPM_CC,
  TPM_NT,
  TPM_RH,
  TPM_ST,
  TPMA_NV,
} from '../../sdk/tpm2/index.ts'
import { type Probe, sameOnBoth } from './tpm-differential/probe.ts'
import { HMAC_KEY, KEYS } from './tpm-differential/signing-keys.ts'

const NONE = new Uint8Array(0)
const INDEX = 0x01500000
const pw = passwordSession()
const bytes = (...octets: readonly number[]): Uint8Array => Uint8Array.from(octets)
const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => hash(TPM_ALG.SHA256, ...parts)

async function load(probe: Probe, name: string): Promise<number> {
  const area = KEYS[name]?.area
  if (area === undefined) throw new Error(`no key ${name}`)
  const secret = area.type === TPM_ALG.KEYEDHASH
  const sensitive = {
    sensitiveType: TPM_ALG.KEYEDHASH,
    authValue: NONE,
    seedValue: new Uint8Array(32),
    sensitive: HMAC_KEY,
  }
  const hierarchy = secret ? TPM_RH.NULL : TPM_RH.OWNER
  const request = { inPrivate: secret ? sensitive : undefined, inPublic: area, hierarchy }
  return (await probe.client.call(TPM2_LoadExternal, request)).objectHandle
}

const flush = async (probe: Probe, flushHandle: number): Promise<void> => {
  await probe.client.call(TPM2_FlushContext, { flushHandle })
}

async function showDigest(probe: Probe, label: string, policySession: number): Promise<void> {
  const { policyDigest } = await probe.client.call(TPM2_PolicyGetDigest, { policySession })
  probe.show(`${label}, digest`, policyDigest)
}

function int32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setInt32(0, value)
  return out
}

interface Terms {
  readonly nonceTPM?: Uint8Array
  readonly expiration?: number
  readonly cpHashA?: Uint8Array
  readonly policyRef?: Uint8Array
}
type FullTerms = Required<Terms>
const full = (terms: Terms): FullTerms => ({
  nonceTPM: NONE,
  expiration: 0,
  cpHashA: NONE,
  policyRef: NONE,
  ...terms,
})

interface Ticketed {
  readonly timeout: Uint8Array
  readonly policyTicket: { readonly tag: number; readonly hierarchy: number; readonly digest: Uint8Array }
}

function showTicket(probe: Probe, label: string, response: Ticketed | undefined): void {
  probe.show(`${label}, timeout`, response?.timeout.length)
  probe.show(
    `${label}, for good`,
    response?.timeout.length === 8 ? (response.timeout[0] ?? 0) < 0x80 : undefined,
  )
  const { tag, hierarchy, digest } = response?.policyTicket ?? {}
  probe.show(`${label}, ticket`, [tag, hierarchy, digest?.length].join(' '))
}

describe('authorizations in policies as swtpm has them', () => {
  for (const name of Object.keys(KEYS)) {
    it(`TPM2_PolicySigned, ${name}`, async (context) => {
      await sameOnBoth(context, async (probe) => {
        const authObject = await load(probe, name)
        for (const trial of [false, true]) {
          const session = await startPolicySession(probe.client, { trial })
          const policySession = session.handle
          const nonce = session.nonceTPM
          const attempt = async (label: string, terms: Terms, said: Terms = terms): Promise<void> => {
            const { nonceTPM, expiration, cpHashA, policyRef } = full(terms)
            const auth = KEYS[name]?.signed(join(nonceTPM, int32(expiration), cpHashA, policyRef))
            if (auth === undefined) return
            const what = `${label}, ${trial ? 'trial' : 'policy'}`
            const request = { authObject, policySession, auth, ...full(said) }
            showTicket(probe, what, await probe.try(what, TPM2_PolicySigned, request))
            await showDigest(probe, what, policySession)
          }
          await attempt('anything', {})
          await attempt('with a nonce', { nonceTPM: nonce })
          await attempt('with another nonce', { nonceTPM: nonce.map((octet) => octet ^ 1) })
          await attempt('with a short nonce', { nonceTPM: nonce.subarray(1) })
          await attempt('a reference', { policyRef: bytes(1, 2, 3) })
          await attempt('another reference', { policyRef: bytes(1, 2, 3) }, { policyRef: bytes(1, 2, 4) })
          await attempt(
            'another expiration',
            { nonceTPM: nonce, expiration: 3 },
            { nonceTPM: nonce, expiration: 300 },
          )
          await attempt('in time', { nonceTPM: nonce, expiration: 1000 })
          await attempt('ticket', { nonceTPM: nonce, expiration: -1000 })
          await attempt('ticket until reset', { expiration: -100_000 })
          await attempt('cpHash of another size', { cpHashA: bytes(1) })
          await attempt('cpHash', { cpHashA: new Uint8Array(32).fill(1) })
          await attempt('the same cpHash', { cpHashA: new Uint8Array(32).fill(1) })
          await attempt('another cpHash', { cpHashA: new Uint8Array(32).fill(2) })
          await flush(probe, policySession)
        }
      })
    })
  }

  it('TPM2_PolicySigned, what does not fit the key', async (context) => {
    await sameOnBoth(context, async (probe) => {
      for (const name of Object.keys(KEYS)) {
        const authObject = await load(probe, name)
        const session = await startPolicySession(probe.client)
        for (const [other, { signed }] of Object.entries(KEYS)) {
          const auth = signed(int32(0))
          const request = { authObject, policySession: session.handle, ...full({}), auth }
          await probe.try(`${name}, ${other}`, TPM2_PolicySigned, request)
          await probe.try(`${name}, ${other}, a reference`, TPM2_PolicySigned, {
            ...request,
            policyRef: bytes(1),
          })
        }
        await flush(probe, session.handle)
        await flush(probe, authObject)
      }
    })
  })

  it('TPM2_PolicySecret', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const attributes = TPMA_NV.AUTHREAD | TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
      const indices = { ordinary: attributes, pin: attributes | (TPM_NT.PIN_PASS << 4) }
      for (const [at, one] of Object.values(indices).entries()) {
        const area = {
          nvIndex: INDEX + at,
          nameAlg: TPM_ALG.SHA256,
          attributes: one,
          authPolicy: NONE,
          dataSize: 8,
        }
        const request = { authHandle: TPM_RH.OWNER, auth: bytes(1), publicInfo: area }
        await probe.try('define', TPM2_NV_DefineSpace, request, { sessions: [pw] })
        const data = bytes(0, 0, 0, 0, 0, 0, 0, 9)
        const write = { authHandle: TPM_RH.OWNER, nvIndex: INDEX + at, data, offset: 0 }
        await probe.try('write', TPM2_NV_Write, write, { sessions: [pw] })
      }
      const change = { authHandle: TPM_RH.ENDORSEMENT, newAuth: bytes(1) }
      await probe.try('authValue', TPM2_HierarchyChangeAuth, change, { sessions: [pw] })
      const entities: readonly (readonly [number, Uint8Array])[] = [
        [TPM_RH.OWNER, NONE],
        [TPM_RH.ENDORSEMENT, bytes(1)],
        [TPM_RH.PLATFORM, NONE],
        [TPM_RH.LOCKOUT, NONE],
        [TPM_RH.NULL, NONE],
        [TPM_RH.AUTH_00, NONE],
        [TPM_RH.ACT_0, NONE],
        [INDEX, bytes(1)],
        [INDEX + 1, bytes(1)],
        [0, NONE],
        [INDEX, bytes(2)],
      ]
      for (const [authHandle, auth] of entities) {
        for (const trial of [false, true]) {
          const session = await startPolicySession(probe.client, { trial })
          const attempt = async (label: string, terms: Terms): Promise<void> => {
            const what = `${label}, 0x${authHandle.toString(16)}, ${trial ? 'trial' : 'policy'}`
            const request = { authHandle, policySession: session.handle, ...full(terms) }
            const response = await probe.try(what, TPM2_PolicySecret, request, {
              sessions: [passwordSession(auth)],
            })
            showTicket(probe, what, response)
            await showDigest(probe, what, session.handle)
          }
          await attempt('anything', {})
          await attempt('a reference', { policyRef: bytes(1) })
          await attempt('a nonce', { nonceTPM: session.nonceTPM })
          await attempt('another nonce', { nonceTPM: new Uint8Array(32) })
          await attempt('ticket', { expiration: -5000 })
          await attempt('ticket', { expiration: -5000, nonceTPM: session.nonceTPM })
          await attempt('a deadline', { expiration: 5000 })
          await flush(probe, session.handle)
        }
      }
    })
  })

  it('TPM2_PolicySecret by a policy', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const step = (code: number): Uint8Array => bytes(0, 0, 1, code & 0xff)
      const authPolicy = sha256(new Uint8Array(32), step(TPM_CC.PolicyAuthValue))
      const attributes = TPMA_NV.POLICYREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
      const publicInfo = { nvIndex: INDEX, nameAlg: TPM_ALG.SHA256, attributes, authPolicy, dataSize: 8 }
      const request = { authHandle: TPM_RH.OWNER, auth: bytes(1), publicInfo }
      await probe.try('define', TPM2_NV_DefineSpace, request, { sessions: [pw] })
      const target = await startPolicySession(probe.client)
      const proving = await startPolicySession(probe.client)
      const prove = async (
        label: string,
        session: AuthSession,
        proof: 'policy' | 'hmac' | 'password',
      ): Promise<void> => {
        const secret = { authHandle: INDEX, policySession: target.handle, ...full({}) }
        const sessions = [session.use({ auth: bytes(1), proof })]
        await probe.try(label, TPM2_PolicySecret, secret, { sessions })
      }
      await prove('without an authValue', proving, 'policy')
      await probe.client.call(TPM2_PolicyAuthValue, { policySession: proving.handle })
      await prove('with an authValue', proving, 'hmac')
      await probe.client.call(TPM2_PolicyPassword, { policySession: proving.handle })
      await prove('with a password', proving, 'password')
      await prove('used up', proving, 'policy')
      await showDigest(probe, 'target', target.handle)
    })
  })

  it('tickets', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const authObject = await load(probe, 'ecdsa')
      const first = await startPolicySession(probe.client)
      const second = await startPolicySession(probe.client)
      const policySession = second.handle
      const authName = sha256(NONE)
      const tickets: Record<string, { said: FullTerms; response: Ticketed | undefined }> = {}
      for (const [label, terms] of Object.entries({
        plain: { expiration: -1000 },
        nonce: { expiration: -1000, nonceTPM: first.nonceTPM },
        reference: { expiration: -1000, policyRef: bytes(4) },
        soon: { expiration: -1, nonceTPM: first.nonceTPM },
      })) {
        const said = full(terms)
        const message = join(said.nonceTPM, int32(said.expiration), said.cpHashA, said.policyRef)
        const auth = KEYS.ecdsa?.signed(message)
        if (auth === undefined) return
        const request = { authObject, policySession: first.handle, ...said, auth }
        tickets[`signed, ${label}`] = { said, response: await probe.try(label, TPM2_PolicySigned, request) }
        const secret = { authHandle: TPM_RH.OWNER, policySession: first.handle, ...said }
        const response = await probe.try(label, TPM2_PolicySecret, secret, { sessions: [pw] })
        tickets[`secret, ${label}`] = { said, response }
      }
      await new Promise((resolve) => setTimeout(resolve, 1300))
      const keyName = await probe.client.nameOf(authObject)
      for (const [label, { said, response }] of Object.entries(tickets)) {
        if (response === undefined) continue
        const name = label.startsWith('signed') ? keyName : bytes(0x40, 0, 0, 1)
        const { tag, hierarchy, digest } = response.policyTicket
        if (tag !== TPM_ST.AUTH_SIGNED && tag !== TPM_ST.AUTH_SECRET) continue
        const good = {
          policySession,
          timeout: response.timeout,
          cpHashA: said.cpHashA,
          policyRef: said.policyRef,
          authName: name,
          ticket: { tag, hierarchy, digest } as typeof response.policyTicket & { tag: typeof tag },
        }
        await probe.try(`${label}, good`, TPM2_PolicyTicket, good)
        await showDigest(probe, label, policySession)
        await probe.try(`${label}, again`, TPM2_PolicyTicket, good)
        await probe.try(`${label}, other name`, TPM2_PolicyTicket, { ...good, authName })
        await probe.try(`${label}, other reference`, TPM2_PolicyTicket, { ...good, policyRef: bytes(9) })
        await probe.try(`${label}, other cpHash`, TPM2_PolicyTicket, { ...good, cpHashA: new Uint8Array(32) })
        await probe.try(`${label}, short cpHash`, TPM2_PolicyTicket, { ...good, cpHashA: bytes(1) })
        const timeout = response.timeout.slice()
        timeout[7] = (timeout[7] ?? 0) ^ 1
        await probe.try(`${label}, other timeout`, TPM2_PolicyTicket, { ...good, timeout })
        await probe.try(`${label}, short timeout`, TPM2_PolicyTicket, {
          ...good,
          timeout: timeout.subarray(1),
        })
        await probe.try(`${label}, no timeout`, TPM2_PolicyTicket, { ...good, timeout: NONE })
        const other = { ...good.ticket, hierarchy: TPM_RH.PLATFORM }
        await probe.try(`${label}, other hierarchy`, TPM2_PolicyTicket, { ...good, ticket: other })
        const empty = { ...good.ticket, hierarchy: TPM_RH.NULL, digest: NONE }
        await probe.try(`${label}, NULL ticket`, TPM2_PolicyTicket, { ...good, ticket: empty })
        await showDigest(probe, label, policySession)
      }
      await flush(probe, first.handle)
      const trial = await startPolicySession(probe.client, { trial: true })
      const ticket = { tag: TPM_ST.AUTH_SECRET, hierarchy: TPM_RH.OWNER, digest: NONE }
      const request = {
        policySession: trial.handle,
        timeout: NONE,
        cpHashA: NONE,
        policyRef: NONE,
        authName,
        ticket,
      }
      await probe.try('trial', TPM2_PolicyTicket, request)
    })
  })

  it('approved policies', async (context) => {
    await sameOnBoth(context, async (probe) => {
      for (const name of ['ecdsa', 'hmac']) {
        const keyHandle = await load(probe, name)
        const keySign = await probe.client.nameOf(keyHandle)
        const approvedPolicy = sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6e), new Uint8Array(32))
        const policyRef = bytes(1, 2)
        const signature = KEYS[name]?.signed(join(approvedPolicy, policyRef))
        if (signature === undefined) return
        const digest = sha256(approvedPolicy, policyRef)
        const { validation } = await probe.client.call(TPM2_VerifySignature, { keyHandle, digest, signature })
        for (const trial of [false, true]) {
          const session = await startPolicySession(probe.client, { trial })
          const policySession = session.handle
          const good = { policySession, approvedPolicy, policyRef, keySign, checkTicket: validation }
          const attempt = async (label: string, changes: Partial<typeof good>): Promise<void> => {
            const what = `${name}, ${label}, ${trial ? 'trial' : 'policy'}`
            await probe.try(what, TPM2_PolicyAuthorize, { ...good, ...changes })
            await showDigest(probe, what, policySession)
          }
          await attempt('not yet', {})
          await probe.try('assert', TPM2_PolicyCpHash, { policySession, cpHashA: new Uint8Array(32) })
          await attempt('other reference', { policyRef: bytes(1) })
          await attempt('other policy', { approvedPolicy: new Uint8Array(32) })
          await attempt('other key', { keySign: join(keySign.subarray(0, 2), new Uint8Array(32)) })
          await attempt('short name', { keySign: keySign.subarray(1) })
          await attempt('no hash', { keySign: join(bytes(0, 6), keySign.subarray(2)) })
          await attempt('long name', { keySign: join(keySign, bytes(0)) })
          await attempt('NULL ticket', {
            checkTicket: { ...validation, hierarchy: TPM_RH.NULL, digest: NONE },
          })
          await attempt('other hierarchy', { checkTicket: { ...validation, hierarchy: TPM_RH.PLATFORM } })
          await attempt('good', {})
          await flush(probe, policySession)
        }
        await flush(probe, keyHandle)
      }
    })
  })
})
