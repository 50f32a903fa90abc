// Scenes of enhanced authorization: clause 23 of Part 3.

import {
  hash,
  marshal,
  type Request,
  TPM2_NV_Write,
  TPM2_PolicyAuthorize,
  TPM2_PolicyAuthorizeNV,
  TPM2_PolicyAuthValue,
  TPM2_PolicyCommandCode,
  TPM2_PolicyCounterTimer,
  TPM2_PolicyCpHash,
  TPM2_PolicyDuplicationSelect,
  TPM2_PolicyGetDigest,
  TPM2_PolicyLocality,
  TPM2_PolicyNameHash,
  TPM2_PolicyNV,
  TPM2_PolicyNvWritten,
  TPM2_PolicyOR,
  TPM2_PolicyPassword,
  TPM2_PolicyPCR,
  TPM2_PolicyPhysicalPresence,
  TPM2_PolicySecret,
  TPM2_PolicySigned,
  TPM2_PolicyTemplate,
  TPM2_PolicyTicket,
  TPM2_Sign,
  TPM2_VerifySignature,
  TPM_ALG,
  TPM_CC,
  TPM_EO,
  TPM_RH,
  TPM_ST,
  TPMT_HA,
  selectPcrs,
  UINT32,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  defineNv,
  NONE,
  NV_INDEX,
  policy,
  primary,
  type Rig,
  type Scene,
  scene,
  SIGNING,
  utf8,
} from './scene.ts'

const ZEROS = new Uint8Array(32)
const DIGEST = hash(TPM_ALG.SHA256, utf8('digest'))
const EMPTY = { nonceTPM: NONE, cpHashA: NONE, policyRef: utf8('ref') }
const COMPARED = { operandB: Uint8Array.of(0, 0), offset: 2, operation: TPM_EO.UNSIGNED_GE }

async function session(rig: Rig): Promise<number> {
  return (await policy(rig)).handle
}

async function sign(rig: Rig, keyHandle: number, digest: Uint8Array) {
  const validation = { tag: TPM_ST.HASHCHECK, hierarchy: TPM_RH.NULL, digest: NONE }
  return rig.call(TPM2_Sign, { keyHandle, digest, inScheme: { scheme: TPM_ALG.NULL }, validation })
}

/** TPM2_PolicySigned by a new key; a negative expiration asks for a ticket. */
async function signed(rig: Rig, policySession: number, expiration: number) {
  const { objectHandle: authObject, name } = await primary(rig, SIGNING)
  const about = marshal(UINT32, expiration >>> 0)
  const { signature } = await sign(rig, authObject, hash(TPM_ALG.SHA256, about, EMPTY.policyRef))
  const request = { authObject, policySession, ...EMPTY, expiration, auth: signature }
  return { authName: name, ...(await rig.call(TPM2_PolicySigned, request)) }
}

async function writtenNv(rig: Rig, data: Uint8Array): Promise<void> {
  await defineNv(rig, { dataSize: data.length })
  await rig.call(TPM2_NV_Write, { authHandle: TPM_RH.OWNER, nvIndex: NV_INDEX, data, offset: 0 })
}

const AUTHORIZATIONS: readonly Scene[] = [
  scene(TPM2_PolicySigned, '', async (rig) => signed(rig, await session(rig), 0), { dear: true }),
  scene(TPM2_PolicySecret, '', async (rig) =>
    rig.call(TPM2_PolicySecret, {
      authHandle: TPM_RH.ENDORSEMENT,
      policySession: await session(rig),
      ...EMPTY,
      cpHashA: DIGEST,
      expiration: -1000,
    }),
  ),
  scene(TPM2_PolicyTicket, '', async (rig) => {
    const { authName, timeout, policyTicket } = await signed(rig, await session(rig), -1000)
    const { cpHashA, policyRef } = EMPTY
    const policySession = await session(rig)
    const about = { timeout, cpHashA, policyRef, authName, ticket: policyTicket }
    await rig.call(TPM2_PolicyTicket, { policySession, ...about })
  }),
  scene(TPM2_PolicyAuthorize, '', async (rig) => {
    const { objectHandle: keyHandle, name } = await primary(rig, SIGNING)
    const digest = hash(TPM_ALG.SHA256, ZEROS, EMPTY.policyRef)
    const { signature } = await sign(rig, keyHandle, digest)
    const { validation } = await rig.call(TPM2_VerifySignature, { keyHandle, digest, signature })
    await rig.call(TPM2_PolicyAuthorize, {
      policySession: await session(rig),
      approvedPolicy: ZEROS,
      policyRef: EMPTY.policyRef,
      keySign: name,
      checkTicket: validation,
    })
  }),
  scene(TPM2_PolicyAuthorizeNV, '', async (rig) => {
    await writtenNv(rig, marshal(TPMT_HA, { hashAlg: TPM_ALG.SHA256, digest: ZEROS }))
    const handles = { authHandle: TPM_RH.OWNER, nvIndex: NV_INDEX, policySession: await session(rig) }
    await rig.call(TPM2_PolicyAuthorizeNV, handles)
  }),
  scene(TPM2_PolicyNV, '', async (rig) => {
    await writtenNv(rig, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    const handles = { authHandle: NV_INDEX, nvIndex: NV_INDEX, policySession: await session(rig) }
    await rig.call(TPM2_PolicyNV, { ...handles, ...COMPARED })
  }),
]

type OnSession<R> = Omit<Request<R>, 'policySession'>

/** An assertion that needs a session and nothing else. */
function plain<R extends Parameters<typeof scene>[0]>(row: R, request: OnSession<R>): Scene {
  return scene(row, '', async (rig) => rig.call(row, { policySession: await session(rig), ...request }))
}

/** Scenes of this file. */
export const POLICY_SCENES: readonly Scene[] = [
  ...AUTHORIZATIONS,
  plain(TPM2_PolicyOR, { pHashList: [DIGEST, ZEROS] }),
  plain(TPM2_PolicyPCR, { pcrDigest: NONE, pcrs: [selectPcrs(TPM_ALG.SHA256, [0, 7])] }),
  plain(TPM2_PolicyLocality, { locality: 0b101 }),
  plain(TPM2_PolicyCounterTimer, COMPARED),
  plain(TPM2_PolicyCommandCode, { code: TPM_CC.Unseal }),
  plain(TPM2_PolicyPhysicalPresence, {}),
  plain(TPM2_PolicyCpHash, { cpHashA: DIGEST }),
  plain(TPM2_PolicyNameHash, { nameHash: DIGEST }),
  plain(TPM2_PolicyDuplicationSelect, { objectName: DIGEST, newParentName: ZEROS, includeObject: true }),
  plain(TPM2_PolicyAuthValue, {}),
  plain(TPM2_PolicyPassword, {}),
  plain(TPM2_PolicyGetDigest, {}),
  plain(TPM2_PolicyNvWritten, { writtenSet: true }),
  plain(TPM2_PolicyTemplate, { templateHash: DIGEST }),
]
