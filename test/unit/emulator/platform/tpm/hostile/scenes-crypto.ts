// Scenes of cryptographic primitives, sequences, attestation, signing, PCRs and capabilities: clauses 14 to 22 and 30 of
// Part 3.

import {
  hash,
  startHmacSession,
  TPM2_Certify,
  TPM2_CertifyCreation,
  TPM2_Commit,
  TPM2_EC_Ephemeral,
  TPM2_ECC_Parameters,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_EncryptDecrypt,
  TPM2_EncryptDecrypt2,
  TPM2_EventSequenceComplete,
  TPM2_GetCapability,
  TPM2_GetCommandAuditDigest,
  TPM2_GetRandom,
  TPM2_GetSessionAuditDigest,
  TPM2_GetTime,
  TPM2_Hash,
  TPM2_HashSequenceStart,
  TPM2_HMAC,
  TPM2_HMAC_Start,
  TPM2_PCR_Allocate,
  TPM2_PCR_Event,
  TPM2_PCR_Extend,
  TPM2_PCR_Read,
  TPM2_PCR_Reset,
  TPM2_PCR_SetAuthPolicy,
  TPM2_PCR_SetAuthValue,
  TPM2_Quote,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_SequenceComplete,
  TPM2_SequenceUpdate,
  TPM2_Sign,
  TPM2_StirRandom,
  TPM2_TestParms,
  TPM2_VerifySignature,
  TPM2_ZGen_2Phase,
  TPM_ALG,
  TPM_CAP,
  TPM_ECC,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
  selectPcrs,
  type TPMT_PUBLIC,
} from '../../../../../../sdk/tpm2/index.ts'
import { loadAes, loadKeyedHash, SIGN } from '../commands/crypto-rig.ts'
import {
  defineNv,
  eccKey,
  NONE,
  PLAIN,
  primary,
  type Rig,
  type Scene,
  scene,
  SIGNING,
  STORAGE,
  utf8,
} from './scene.ts'

const KEY = new Uint8Array(16).fill(0x4b)
const IV = new Uint8Array(16)
const DATA = utf8('sixteen bytes, or thirty-two ...')
const DIGEST = hash(TPM_ALG.SHA256, DATA)
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
const NO_TICKET = { tag: TPM_ST.HASHCHECK, hierarchy: TPM_RH.NULL, digest: NONE } as const
const quoted = { qualifyingData: utf8('nonce'), inScheme: NO_SCHEME }

/** As small as RSA keys of the device get, to be made in little time. */
const RSA: TPMT_PUBLIC = {
  type: TPM_ALG.RSA,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: PLAIN | TPMA_OBJECT.decrypt,
  authPolicy: NONE,
  parameters: { symmetric: { algorithm: TPM_ALG.NULL }, scheme: NO_SCHEME, keyBits: 1024, exponent: 0 },
  unique: NONE,
}
const OAEP = { scheme: TPM_ALG.OAEP, hashAlg: TPM_ALG.SHA1 } as const
const EXCHANGE = eccKey(TPMA_OBJECT.decrypt)

async function aes(rig: Rig): Promise<number> {
  const both = SIGN | TPMA_OBJECT.decrypt
  return (await loadAes(rig.client, KEY, both, TPM_ALG.CFB)).handle
}

async function hmacKey(rig: Rig): Promise<number> {
  return (await loadKeyedHash(rig.client, KEY, SIGN)).handle
}

async function signer(rig: Rig): Promise<number> {
  return (await primary(rig, SIGNING)).objectHandle
}

const ASYMMETRIC: readonly Scene[] = [
  scene(
    TPM2_RSA_Encrypt,
    '',
    async (rig) => {
      const { objectHandle: keyHandle } = await primary(rig, RSA)
      await rig.call(TPM2_RSA_Encrypt, { keyHandle, message: KEY, inScheme: OAEP, label: utf8('label\0') })
    },
    { dear: true },
  ),
  scene(
    TPM2_RSA_Decrypt,
    '',
    async (rig) => {
      const { objectHandle: keyHandle } = await primary(rig, RSA)
      const request = { keyHandle, inScheme: OAEP, label: utf8('label\0') }
      const { outData } = await rig.call(TPM2_RSA_Encrypt, { ...request, message: KEY })
      await rig.call(TPM2_RSA_Decrypt, { ...request, cipherText: outData })
    },
    { dear: true },
  ),
  scene(TPM2_ECDH_KeyGen, '', async (rig) => {
    const { objectHandle: keyHandle } = await primary(rig, EXCHANGE)
    await rig.call(TPM2_ECDH_KeyGen, { keyHandle })
  }),
  scene(
    TPM2_ECDH_ZGen,
    '',
    async (rig) => {
      const { objectHandle: keyHandle } = await primary(rig, EXCHANGE)
      const { pubPoint } = await rig.call(TPM2_ECDH_KeyGen, { keyHandle })
      await rig.call(TPM2_ECDH_ZGen, { keyHandle, inPoint: pubPoint })
    },
    { dear: true },
  ),
  scene(TPM2_ECC_Parameters, '', (rig) => rig.call(TPM2_ECC_Parameters, { curveID: TPM_ECC.NIST_P256 })),
  scene(
    TPM2_ZGen_2Phase,
    '',
    async (rig) => {
      const { objectHandle: keyA } = await primary(rig, EXCHANGE)
      const { pubPoint } = await rig.call(TPM2_ECDH_KeyGen, { keyHandle: keyA })
      const { Q, counter } = await rig.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
      const request = { keyA, inQsB: pubPoint, inQeB: Q, inScheme: TPM_ALG.ECDH, counter }
      await rig.call(TPM2_ZGen_2Phase, request)
    },
    { dear: true },
  ),
  scene(TPM2_EC_Ephemeral, '', (rig) => rig.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })),
  scene(
    TPM2_Commit,
    '',
    async (rig) => {
      const anonymous = eccKey(TPMA_OBJECT.sign, { scheme: TPM_ALG.ECDAA, hashAlg: TPM_ALG.SHA256, count: 0 })
      const { objectHandle: signHandle, outPublic } = await primary(rig, anonymous)
      if (outPublic.type !== TPM_ALG.ECC) throw new Error('expected an elliptic curve key')
      await rig.call(TPM2_Commit, { signHandle, P1: outPublic.unique, s2: NONE, y2: NONE })
    },
    { dear: true },
  ),
]

const SYMMETRIC: readonly Scene[] = [
  scene(TPM2_EncryptDecrypt, '', async (rig) => {
    const keyHandle = await aes(rig)
    const request = { keyHandle, decrypt: false, mode: TPM_ALG.NULL, ivIn: IV, inData: DATA }
    await rig.call(TPM2_EncryptDecrypt, request)
  }),
  scene(TPM2_EncryptDecrypt2, '', async (rig) => {
    const keyHandle = await aes(rig)
    const request = { keyHandle, decrypt: true, mode: TPM_ALG.CFB, ivIn: IV, inData: DATA }
    await rig.call(TPM2_EncryptDecrypt2, request)
  }),
  scene(TPM2_Hash, '', (rig) =>
    rig.call(TPM2_Hash, { data: DATA, hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.OWNER }),
  ),
  scene(TPM2_HMAC, '', async (rig) =>
    rig.call(TPM2_HMAC, { handle: await hmacKey(rig), buffer: DATA, hashAlg: TPM_ALG.NULL }),
  ),
  scene(TPM2_GetRandom, '', (rig) => rig.call(TPM2_GetRandom, { bytesRequested: 16 })),
  scene(TPM2_GetRandom, 'by a session that audits and encrypts', async (rig) => {
    const symmetric = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const
    const session = await startHmacSession(rig.client, { symmetric })
    const use = session.use({ audit: true, encrypt: true })
    await rig.call(TPM2_GetRandom, { bytesRequested: 16 }, [use])
  }),
  scene(TPM2_StirRandom, '', (rig) => rig.call(TPM2_StirRandom, { inData: DATA })),
]

const SEQUENCES: readonly Scene[] = [
  scene(TPM2_HMAC_Start, '', async (rig) =>
    rig.call(TPM2_HMAC_Start, { handle: await hmacKey(rig), auth: NONE, hashAlg: TPM_ALG.SHA256 }),
  ),
  scene(TPM2_HashSequenceStart, '', (rig) =>
    rig.call(TPM2_HashSequenceStart, { auth: utf8('a'), hashAlg: TPM_ALG.SHA256 }),
  ),
  scene(TPM2_SequenceUpdate, '', async (rig) => {
    const begin = { auth: NONE, hashAlg: TPM_ALG.SHA256 }
    const { sequenceHandle } = await rig.call(TPM2_HashSequenceStart, begin)
    await rig.call(TPM2_SequenceUpdate, { sequenceHandle, buffer: DATA })
  }),
  scene(TPM2_SequenceComplete, '', async (rig) => {
    const begin = { auth: NONE, hashAlg: TPM_ALG.SHA256 }
    const { sequenceHandle } = await rig.call(TPM2_HashSequenceStart, begin)
    await rig.call(TPM2_SequenceComplete, { sequenceHandle, buffer: DATA, hierarchy: TPM_RH.OWNER })
  }),
  scene(TPM2_EventSequenceComplete, '', async (rig) => {
    const begin = { auth: NONE, hashAlg: TPM_ALG.NULL }
    const { sequenceHandle } = await rig.call(TPM2_HashSequenceStart, begin)
    await rig.call(TPM2_EventSequenceComplete, { pcrHandle: 16, sequenceHandle, buffer: DATA })
  }),
]

const ATTESTATION: readonly Scene[] = [
  scene(
    TPM2_Certify,
    '',
    async (rig) => {
      const signHandle = await signer(rig)
      const { objectHandle } = await primary(rig)
      await rig.call(TPM2_Certify, { objectHandle, signHandle, ...quoted })
    },
    { dear: true },
  ),
  scene(
    TPM2_CertifyCreation,
    '',
    async (rig) => {
      const signHandle = await signer(rig)
      const { objectHandle, creationHash, creationTicket } = await primary(rig, STORAGE)
      const made = { creationHash, creationTicket }
      await rig.call(TPM2_CertifyCreation, { signHandle, objectHandle, ...quoted, ...made })
    },
    { dear: true },
  ),
  scene(
    TPM2_Quote,
    '',
    async (rig) => {
      const PCRselect = [selectPcrs(TPM_ALG.SHA256, [0, 16])]
      await rig.call(TPM2_Quote, { signHandle: await signer(rig), ...quoted, PCRselect })
    },
    { dear: true },
  ),
  scene(
    TPM2_GetSessionAuditDigest,
    '',
    async (rig) => {
      const session = await startHmacSession(rig.client)
      await rig.call(TPM2_GetRandom, { bytesRequested: 8 }, [session.use({ audit: true })])
      const handles = { privacyAdminHandle: TPM_RH.ENDORSEMENT, signHandle: await signer(rig) }
      await rig.call(TPM2_GetSessionAuditDigest, { ...handles, sessionHandle: session.handle, ...quoted })
    },
    { dear: true },
  ),
  scene(
    TPM2_GetCommandAuditDigest,
    '',
    async (rig) => {
      const handles = { privacyHandle: TPM_RH.ENDORSEMENT, signHandle: await signer(rig) }
      await rig.call(TPM2_GetCommandAuditDigest, { ...handles, ...quoted })
    },
    { dear: true },
  ),
  scene(
    TPM2_GetTime,
    '',
    async (rig) => {
      const handles = { privacyAdminHandle: TPM_RH.ENDORSEMENT, signHandle: await signer(rig) }
      await rig.call(TPM2_GetTime, { ...handles, ...quoted })
    },
    { dear: true },
  ),
  scene(
    TPM2_Sign,
    '',
    async (rig) => {
      const request = { keyHandle: await signer(rig), digest: DIGEST, inScheme: NO_SCHEME }
      await rig.call(TPM2_Sign, { ...request, validation: NO_TICKET })
    },
    { dear: true },
  ),
  scene(TPM2_Sign, 'with an HMAC and a ticket', async (rig) => {
    const about = { data: DATA, hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.OWNER }
    const { outHash, validation } = await rig.call(TPM2_Hash, about)
    const request = { keyHandle: await hmacKey(rig), digest: outHash, inScheme: NO_SCHEME }
    await rig.call(TPM2_Sign, { ...request, validation })
  }),
  scene(
    TPM2_VerifySignature,
    '',
    async (rig) => {
      const request = { keyHandle: await signer(rig), digest: DIGEST }
      const { signature } = await rig.call(TPM2_Sign, {
        ...request,
        inScheme: NO_SCHEME,
        validation: NO_TICKET,
      })
      await rig.call(TPM2_VerifySignature, { ...request, signature })
    },
    { dear: true },
  ),
]

const PCRS: readonly Scene[] = [
  scene(TPM2_PCR_Extend, '', (rig) =>
    rig.call(TPM2_PCR_Extend, {
      pcrHandle: 16,
      digests: [
        { hashAlg: TPM_ALG.SHA1, digest: hash(TPM_ALG.SHA1, DATA) },
        { hashAlg: TPM_ALG.SHA256, digest: DIGEST },
      ],
    }),
  ),
  scene(TPM2_PCR_Event, '', (rig) => rig.call(TPM2_PCR_Event, { pcrHandle: 0, eventData: DATA })),
  scene(TPM2_PCR_Read, '', (rig) =>
    rig.call(TPM2_PCR_Read, { pcrSelectionIn: [selectPcrs(TPM_ALG.SHA256, [0, 1, 23])] }),
  ),
  scene(TPM2_PCR_Allocate, '', (rig) => {
    const pcrAllocation = [selectPcrs(TPM_ALG.SHA1, []), selectPcrs(TPM_ALG.SHA512, [0, 1, 2])]
    return rig.call(TPM2_PCR_Allocate, { authHandle: TPM_RH.PLATFORM, pcrAllocation })
  }),
  scene(TPM2_PCR_SetAuthPolicy, '', (rig) => {
    const about = { authPolicy: DIGEST, hashAlg: TPM_ALG.SHA256, pcrNum: 20 }
    return rig.call(TPM2_PCR_SetAuthPolicy, { authHandle: TPM_RH.PLATFORM, ...about })
  }),
  scene(TPM2_PCR_SetAuthValue, '', (rig) =>
    rig.call(TPM2_PCR_SetAuthValue, { pcrHandle: 20, auth: utf8('auth') }),
  ),
  scene(TPM2_PCR_Reset, '', (rig) => rig.call(TPM2_PCR_Reset, { pcrHandle: 16 })),
  scene(TPM2_PCR_Reset, 'at locality 4', (rig) => {
    rig.locality = 4
    return rig.call(TPM2_PCR_Reset, { pcrHandle: 20 })
  }),
]

const CAPABILITIES: readonly Scene[] = [
  ...Object.entries(TPM_CAP)
    .filter(([name]) => name !== 'VENDOR_PROPERTY')
    .map(([name, capability]) =>
      scene(TPM2_GetCapability, name, async (rig) => {
        await defineNv(rig)
        const property = capability === TPM_CAP.HANDLES ? 0x01000000 : 0
        await rig.call(TPM2_GetCapability, { capability, property, propertyCount: 3 })
      }),
    ),
  scene(TPM2_TestParms, '', (rig) => rig.call(TPM2_TestParms, { parameters: STORAGE })),
]

/** Scenes of this file. */
export const CRYPTO_SCENES: readonly Scene[] = [
  ...ASYMMETRIC,
  ...SYMMETRIC,
  ...SEQUENCES,
  ...ATTESTATION,
  ...PCRS,
  ...CAPABILITIES,
]
