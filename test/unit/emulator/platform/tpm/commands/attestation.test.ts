// Attestations: what they say, and that others verify them.

import { createHash, generateKeyPairSync, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { fixedEntropy } from '../../../../../../emulator/platform/tpm/keys/index.ts'
import {
  marshal,
  selectPcrs,
  startHmacSession,
  TPM2_Certify,
  TPM2_CertifyCreation,
  TPM2_Commit,
  TPM2_GetCommandAuditDigest,
  TPM2_GetRandom,
  TPM2_GetSessionAuditDigest,
  TPM2_GetTime,
  TPM2_PCR_Extend,
  TPM2_PCR_Read,
  TPM2_Quote,
  TPM2_SetCommandCodeAuditStatus,
  TPM_ALG,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  type TPMT_SIGNATURE_PLUS,
  unmarshal,
  verifyQuote,
  type TpmClient,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  atHandle,
  atParameter,
  DECRYPT,
  FIXED,
  loadRsa,
  NONE,
  primaryAk,
  PW,
  refusal,
  rig,
  SIGN,
  utf8,
} from './crypto-rig.ts'

const auth = { sessions: [PW] }
const two = { sessions: [PW, PW] }
const SHA256 = TPM_ALG.SHA256
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
const qualifyingData = utf8('a nonce')
const PCRS = [selectPcrs(SHA256, [0, 7, 16]), selectPcrs(TPM_ALG.SHA1, [16])]
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const sha256 = (...parts: Uint8Array[]): Uint8Array =>
  new Uint8Array(createHash('sha256').update(Buffer.concat(parts)).digest())

type Ak = Awaited<ReturnType<typeof primaryAk>>

/** A signature that is one, as bytes. */
function signatureBytes(signature: TPMT_SIGNATURE_PLUS): Uint8Array {
  if (signature.sigAlg === TPM_ALG.NULL) throw new Error('expected a signature, found none')
  return marshal(TPMT_SIGNATURE, signature)
}

/** The attestation, once it is known to be signed by the key. */
function attested(ak: Ak, attest: Uint8Array, signature: TPMT_SIGNATURE_PLUS): TPMS_ATTEST {
  if (!('signatureR' in signature) || ak.outPublic.type !== TPM_ALG.ECC) throw new Error('expected ECDSA')
  const { x, y } = ak.outPublic.unique
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const key = {
    key: { kty: 'EC', crv: 'P-256', x: text(x), y: text(y) },
    format: 'jwk',
    dsaEncoding: 'ieee-p1363',
  } as const
  const both = Uint8Array.from([...signature.signatureR, ...signature.signatureS])
  expect(verify('sha256', attest, key, both)).toBe(true)
  return unmarshal(TPMS_ATTEST, attest)
}

async function quoted(client: TpmClient, ak: Ak) {
  const request = { signHandle: ak.objectHandle, qualifyingData, inScheme: NO_SCHEME, PCRselect: PCRS }
  return client.call(TPM2_Quote, request, auth)
}

describe('TPM2_Quote', () => {
  it('is what a verifier takes: the PCRs as they are, the nonce, the key', async () => {
    const { client } = await rig()
    const ak = await primaryAk(client, TPM_RH.ENDORSEMENT)
    const digests = [{ hashAlg: SHA256, digest: sha256(utf8('event')) }]
    await client.call(TPM2_PCR_Extend, { pcrHandle: 16, digests }, auth)
    const { quoted: attest, signature } = await quoted(client, ak)
    const found = verifyQuote({
      akPublic: ak.outPublic,
      attest,
      signature: signatureBytes(signature),
      qualifyingData,
      expectedSelection: PCRS,
    })
    const { pcrValues } = await client.call(TPM2_PCR_Read, { pcrSelectionIn: PCRS })
    expect(found.attested.pcrDigest).toEqual(sha256(...pcrValues))
    expect(pcrValues).toHaveLength(4)
  })

  it('selects the PCRs that there are', async () => {
    const { client } = await rig()
    const ak = await primaryAk(client, TPM_RH.ENDORSEMENT)
    const request = { signHandle: ak.objectHandle, qualifyingData, inScheme: NO_SCHEME }
    const refused = async (PCRselect: typeof PCRS) =>
      refusal(client.call(TPM2_Quote, { ...request, PCRselect }, auth))
    expect(await refused([{ hash: SHA256, pcrSelect: new Uint8Array(4) }])).toBe(atParameter(TPM_RC.VALUE, 3))
    expect(await refused([{ hash: TPM_ALG.SM2, pcrSelect: new Uint8Array(3) }])).toBe(
      atParameter(TPM_RC.HASH, 3),
    )
    const many = [0, 1, 2, 3, 4].map((pcr) => selectPcrs(SHA256, [pcr]))
    expect(await refused(many)).toBe(atParameter(TPM_RC.SIZE, 3))
    const { quoted: attest } = await client.call(TPM2_Quote, { ...request, PCRselect: [] }, auth)
    const found = unmarshal(TPMS_ATTEST, attest)
    expect(found.attested).toEqual({ pcrSelect: [], pcrDigest: sha256() })
  })

  it('needs a key that signs, with a scheme', async () => {
    const { client } = await rig()
    const decrypts = await loadRsa(client, rsa, DECRYPT)
    const open = await loadRsa(client, rsa, SIGN)
    const request = { qualifyingData, inScheme: NO_SCHEME, PCRselect: PCRS }
    const refused = async (signHandle: number) =>
      refusal(client.call(TPM2_Quote, { ...request, signHandle }, auth))
    expect(await refused(decrypts.handle)).toBe(atHandle(TPM_RC.KEY, 1))
    expect(await refused(open.handle)).toBe(atParameter(TPM_RC.SCHEME, 2))
    expect(await refused(TPM_RH.NULL)).toBe(atParameter(TPM_RC.SCHEME, 2))
    const inScheme = { scheme: TPM_ALG.RSASSA, hashAlg: SHA256 } as const
    await client.call(TPM2_Quote, { ...request, inScheme, signHandle: open.handle }, auth)
  })

  it('is the same each time with fixed entropy and a fixed clock', async () => {
    const once = async () => {
      const { client } = await rig({ entropy: fixedEntropy('e'), now: () => 0n })
      const ak = await primaryAk(client, TPM_RH.ENDORSEMENT)
      return quoted(client, ak)
    }
    expect(await once()).toEqual(await once())
  })
})

describe('clock and version', () => {
  it('are in plain sight for keys of the endorsement and platform hierarchies, hidden for others', async () => {
    const { client } = await rig()
    const time = async (hierarchy: number, ak: Ak) => {
      const request = {
        privacyAdminHandle: TPM_RH.ENDORSEMENT,
        signHandle: ak.objectHandle,
        qualifyingData,
        inScheme: NO_SCHEME,
      }
      const { timeInfo, signature } = await client.call(TPM2_GetTime, request, two)
      const found = attested(ak, timeInfo, signature)
      if (found.type !== TPM_ST.ATTEST_TIME) throw new Error('expected the time')
      const { clockInfo } = found.attested.time
      expect(found.qualifiedSigner).toEqual(
        Uint8Array.from([0, 11, ...sha256(handleBytes(hierarchy), ak.name)]),
      )
      return { shown: found, plain: clockInfo, version: found.attested.firmwareVersion }
    }
    const shown = await time(TPM_RH.ENDORSEMENT, await primaryAk(client, TPM_RH.ENDORSEMENT))
    expect(shown.shown.clockInfo.resetCount).toBe(shown.plain.resetCount)
    expect(shown.shown.firmwareVersion).toBe(shown.version)
    const platform = await time(TPM_RH.PLATFORM, await primaryAk(client, TPM_RH.PLATFORM))
    expect(platform.shown.firmwareVersion).toBe(platform.version)

    const owner = await primaryAk(client, TPM_RH.OWNER)
    const hidden = await time(TPM_RH.OWNER, owner)
    expect(hidden.shown.clockInfo.resetCount).not.toBe(hidden.plain.resetCount)
    expect(hidden.shown.clockInfo.restartCount).not.toBe(hidden.plain.restartCount)
    expect(hidden.shown.firmwareVersion).not.toBe(hidden.version)
    const again = await time(TPM_RH.OWNER, owner)
    expect(again.shown.firmwareVersion).toBe(hidden.shown.firmwareVersion)
  })
})

function handleBytes(handle: number): Uint8Array {
  return Uint8Array.of(handle >>> 24, (handle >>> 16) & 0xff, (handle >>> 8) & 0xff, handle & 0xff)
}

describe('TPM2_Certify and TPM2_CertifyCreation', () => {
  it('certify an object by its names', async () => {
    const { client } = await rig()
    const ak = await primaryAk(client, TPM_RH.ENDORSEMENT)
    const key = await primaryAk(client, TPM_RH.OWNER)
    const request = {
      objectHandle: key.objectHandle,
      signHandle: ak.objectHandle,
      qualifyingData,
      inScheme: NO_SCHEME,
    }
    const { certifyInfo, signature } = await client.call(TPM2_Certify, request, two)
    const qualifiedName = Uint8Array.from([0, 11, ...sha256(handleBytes(TPM_RH.OWNER), key.name)])
    expect(attested(ak, certifyInfo, signature).attested).toEqual({ name: key.name, qualifiedName })
  })

  it('certify a creation by the ticket that it gave, and by no other', async () => {
    const { client } = await rig()
    const ak = await primaryAk(client, TPM_RH.ENDORSEMENT)
    const { creationHash, creationTicket, name } = ak
    const request = {
      signHandle: ak.objectHandle,
      objectHandle: ak.objectHandle,
      qualifyingData,
      creationHash,
      inScheme: NO_SCHEME,
      creationTicket,
    }
    const { certifyInfo, signature } = await client.call(TPM2_CertifyCreation, request, auth)
    expect(attested(ak, certifyInfo, signature).attested).toEqual({ objectName: name, creationHash })
    const wrong = { ...request, creationHash: sha256(utf8('another')) }
    expect(await refusal(client.call(TPM2_CertifyCreation, wrong, auth))).toBe(atParameter(TPM_RC.TICKET, 4))
  })

  it('without a key there is no signature', async () => {
    const { client } = await rig()
    const key = await loadRsa(client, rsa, SIGN)
    const request = { objectHandle: key.handle, signHandle: TPM_RH.NULL, qualifyingData, inScheme: NO_SCHEME }
    const { certifyInfo, signature } = await client.call(TPM2_Certify, request, two)
    expect(signature).toEqual({ sigAlg: TPM_ALG.NULL })
    const found = unmarshal(TPMS_ATTEST, certifyInfo)
    expect(found.qualifiedSigner).toEqual(handleBytes(TPM_RH.NULL))
    expect(found.attested).toEqual({ name: key.name, qualifiedName: key.name })
  })
})

describe('audit digests', () => {
  it('of a session: what its client has computed, too', async () => {
    const { client } = await rig()
    const ak = await primaryAk(client, TPM_RH.ENDORSEMENT)
    const session = await startHmacSession(client)
    const request = {
      privacyAdminHandle: TPM_RH.ENDORSEMENT,
      signHandle: ak.objectHandle,
      sessionHandle: session.handle,
      qualifyingData,
      inScheme: NO_SCHEME,
    }
    expect(await refusal(client.call(TPM2_GetSessionAuditDigest, request, two))).toBe(
      atHandle(TPM_RC.TYPE, 3),
    )
    const audited = { sessions: [session.use({ audit: true })] }
    for (const bytesRequested of [1, 2]) await client.call(TPM2_GetRandom, { bytesRequested }, audited)
    const { auditInfo, signature } = await client.call(TPM2_GetSessionAuditDigest, request, two)
    const sessionDigest = session.auditDigest
    expect(attested(ak, auditInfo, signature).attested).toEqual({ exclusiveSession: true, sessionDigest })
    const later = await client.call(TPM2_GetSessionAuditDigest, request, two)
    const found = attested(ak, later.auditInfo, later.signature).attested
    expect(found).toEqual({ exclusiveSession: false, sessionDigest })
  })

  it('of commands: begun anew once it was signed', async () => {
    const { client } = await rig()
    const ak = await primaryAk(client, TPM_RH.ENDORSEMENT)
    const change = { auth: TPM_RH.OWNER, auditAlg: TPM_ALG.NULL, setList: [TPM_CC.GetRandom], clearList: [] }
    await client.call(TPM2_SetCommandCodeAuditStatus, { ...change, auditAlg: SHA256, setList: [] }, auth)
    await client.call(TPM2_SetCommandCodeAuditStatus, change, auth)
    const request = {
      privacyHandle: TPM_RH.ENDORSEMENT,
      signHandle: ak.objectHandle,
      qualifyingData,
      inScheme: NO_SCHEME,
    }
    const info = async (signHandle = ak.objectHandle) => {
      const { auditInfo } = await client.call(TPM2_GetCommandAuditDigest, { ...request, signHandle }, two)
      const found = unmarshal(TPMS_ATTEST, auditInfo)
      if (found.type !== TPM_ST.ATTEST_COMMAND_AUDIT) throw new Error('expected a command audit')
      return found.attested
    }
    await info()
    const { randomBytes } = await client.call(TPM2_GetRandom, { bytesRequested: 2 })
    const code = handleBytes(TPM_CC.GetRandom)
    const rpHash = sha256(new Uint8Array(4), code, Uint8Array.of(0, 2), randomBytes)
    const auditDigest = sha256(new Uint8Array(32), sha256(code, Uint8Array.of(0, 2)), rpHash)
    const unsigned = await info(TPM_RH.NULL)
    expect(unsigned.auditDigest).toEqual(auditDigest)
    expect(await info()).toEqual(unsigned)
    expect((await info()).auditDigest).toEqual(NONE)
    expect(unsigned.digestAlg).toBe(SHA256)
  })
})

it('an anonymous key names neither itself nor the nonce', async () => {
  const { client } = await rig()
  const scheme = { scheme: TPM_ALG.ECDAA, hashAlg: SHA256, count: 0 } as const
  const ak = await primaryAk(client, TPM_RH.OWNER, scheme, FIXED | SIGN)
  const { objectHandle, name } = ak
  const commit = { signHandle: objectHandle, P1: { x: NONE, y: NONE }, s2: NONE, y2: NONE }
  const { counter } = await client.call(TPM2_Commit, commit, auth)
  const inScheme = { ...scheme, count: counter }
  const request = { objectHandle, signHandle: objectHandle, qualifyingData, inScheme }
  const { certifyInfo, signature } = await client.call(TPM2_Certify, request, two)
  const found = unmarshal(TPMS_ATTEST, certifyInfo)
  expect([found.qualifiedSigner, found.extraData]).toEqual([NONE, NONE])
  expect(found.attested).toEqual({ name, qualifiedName: NONE })
  expect(signature.sigAlg).toBe(TPM_ALG.ECDAA)
})
