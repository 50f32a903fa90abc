// TPM2_NV_*: what indices hold over restarts, who may use them, how much there is of them, and what is attested.

import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MemoryTpmStore } from '../../../../../../emulator/platform/tpm/state/store.ts'
import { type Tpm } from '../../../../../../emulator/platform/tpm/tpm.ts'
import {
  hash,
  passwordSession,
  startHmacSession,
  startPolicySession,
  TPM2_GetCapability,
  TPM2_NV_Certify,
  TPM2_NV_ChangeAuth,
  TPM2_NV_DefineSpace,
  TPM2_NV_Extend,
  TPM2_NV_GlobalWriteLock,
  TPM2_NV_Increment,
  TPM2_NV_Read,
  TPM2_NV_ReadLock,
  TPM2_NV_ReadPublic,
  TPM2_NV_SetBits,
  TPM2_NV_UndefineSpace,
  TPM2_NV_UndefineSpaceSpecial,
  TPM2_NV_Write,
  TPM2_NV_WriteLock,
  TPM2_PolicyCommandCode,
  TPM2_Shutdown,
  TPM2_Startup,
  TPM_ALG,
  TPM_CAP,
  TPM_CC,
  TPM_NT,
  TPM_PT,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  TPM_SU,
  TPMA_NV,
  type TpmClient,
  TPMS_ATTEST,
  unmarshal,
  verifySignature,
} from '../../../../../../sdk/tpm2/index.ts'
import { atHandle, loadEcc, NONE, PW, refusal, rig, SIGN, utf8 } from './crypto-rig.ts'

const INDEX = 0x01c00100
const own = { authHandle: INDEX, nvIndex: INDEX }
const byOwner = { authHandle: TPM_RH.OWNER, nvIndex: INDEX }
const pw = { sessions: [PW] }
const OWNER = TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
const AUTH = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA

interface Definition {
  readonly nvIndex?: number
  readonly attributes?: number
  readonly authPolicy?: Uint8Array
  readonly dataSize?: number
  readonly auth?: Uint8Array
  readonly authHandle?: number
}

async function define(client: TpmClient, definition: Definition = {}): Promise<void> {
  const { auth = NONE, authHandle = TPM_RH.OWNER, ...given } = definition
  const publicInfo = {
    nvIndex: INDEX,
    nameAlg: TPM_ALG.SHA256,
    attributes: OWNER | AUTH,
    authPolicy: NONE,
    dataSize: 8,
    ...given,
  }
  await client.call(TPM2_NV_DefineSpace, { authHandle, auth, publicInfo }, pw)
}

async function write(client: TpmClient, data: Uint8Array, offset = 0): Promise<void> {
  await client.call(TPM2_NV_Write, { ...own, data, offset }, pw)
}

async function read(client: TpmClient, size = 8): Promise<Uint8Array> {
  return (await client.call(TPM2_NV_Read, { ...own, size, offset: 0 }, pw)).data
}

async function restart(
  tpm: Tpm,
  client: TpmClient,
  shutdown?: number,
  startup: number = TPM_SU.CLEAR,
): Promise<void> {
  if (shutdown !== undefined) await client.call(TPM2_Shutdown, { shutdownType: shutdown })
  tpm.reset()
  await client.call(TPM2_Startup, { startupType: startup })
}

const DATA = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

describe('NV data', () => {
  it('is there after a power loss, also of an orderly index, and goes into the store', async () => {
    const store = new MemoryTpmStore()
    const { tpm, client } = await rig({ store })
    await define(client)
    await write(client, DATA)
    await restart(tpm, client)
    expect(await read(client)).toEqual(DATA)
    const other = await rig({ store })
    expect(await read(other.client)).toEqual(DATA)
  })

  it('a refused write leaves it as it was', async () => {
    const { client } = await rig()
    await define(client)
    await write(client, DATA)
    expect(await refusal(write(client, DATA, 1))).toBe(TPM_RC.NV_RANGE)
    expect(await read(client)).toEqual(DATA)
  })

  it('of an orderly index is kept by TPM Resume and Restart, and ends with a TPM Reset; a counter goes on', async () => {
    const { tpm, client } = await rig()
    await define(client, { attributes: OWNER | AUTH | TPMA_NV.ORDERLY })
    await write(client, DATA)
    await restart(tpm, client, TPM_SU.STATE, TPM_SU.STATE)
    expect(await read(client)).toEqual(DATA)
    await restart(tpm, client, TPM_SU.STATE)
    expect(await read(client)).toEqual(DATA)
    await restart(tpm, client, TPM_SU.CLEAR)
    expect(await refusal(read(client))).toBe(TPM_RC.NV_UNINITIALIZED)
    await client.call(TPM2_NV_UndefineSpace, byOwner, pw)
    await define(client, { attributes: OWNER | AUTH | TPMA_NV.ORDERLY | (TPM_NT.COUNTER << 4) })
    for (const expected of [1, 2, 3]) {
      await client.call(TPM2_NV_Increment, own, pw)
      await restart(tpm, client)
      expect((await read(client)).at(-1)).toBe(expected)
    }
  })

  it('with CLEAR_STCLEAR is gone after a restart, and its old octets do not come back', async () => {
    const { tpm, client } = await rig()
    await define(client, { attributes: OWNER | AUTH | TPMA_NV.CLEAR_STCLEAR })
    await write(client, DATA)
    await restart(tpm, client, TPM_SU.STATE, TPM_SU.STATE)
    expect(await read(client)).toEqual(DATA)
    await restart(tpm, client, TPM_SU.STATE)
    expect(await refusal(read(client))).toBe(TPM_RC.NV_UNINITIALIZED)
    await write(client, Uint8Array.of(9))
    expect(await read(client)).toEqual(Uint8Array.of(9, ...new Uint8Array(7).fill(0xff)))
  })

  it('cannot be written, nor space defined, while NV memory is unavailable', async () => {
    const { tpm, client } = await rig()
    await define(client)
    await write(client, DATA)
    tpm.setNvAvailable(false)
    expect(await refusal(write(client, DATA))).toBe(TPM_RC.NV_UNAVAILABLE)
    expect(await refusal(define(client, { nvIndex: INDEX + 1 }))).toBe(TPM_RC.NV_UNAVAILABLE)
    expect(await read(client)).toEqual(DATA)
    tpm.setNvAvailable(true)
    await write(client, DATA)
  })
})

describe('NV space', () => {
  it('ends with TPM_RC_NV_SPACE, and deleting makes room', async () => {
    const { client } = await rig()
    const defineAt = (at: number): Promise<void> => define(client, { nvIndex: INDEX + at, dataSize: 2048 })
    let count = 0
    let rc = 0
    while (rc === 0 && count < 100) {
      rc = await defineAt(count).then(
        () => 0,
        async (error: unknown) => refusal(Promise.reject(error as Error)),
      )
      if (rc === 0) count += 1
    }
    expect(rc).toBe(TPM_RC.NV_SPACE)
    expect(count).toBe(Math.floor((128 * 1024) / (2048 + 14 + 66)))
    await client.call(TPM2_NV_UndefineSpace, byOwner, pw)
    await defineAt(count)
  })
})

describe('NV space for counters', () => {
  it('is as TPM_PT_NV_COUNTERS_AVAIL tells', async () => {
    const { client } = await rig()
    const available = async (): Promise<number> => {
      const property = TPM_PT.NV_COUNTERS_AVAIL
      const request = { capability: TPM_CAP.TPM_PROPERTIES, property, propertyCount: 1 }
      const { capabilityData } = await client.call(TPM2_GetCapability, request)
      if (capabilityData.capability !== TPM_CAP.TPM_PROPERTIES) throw new Error('expected properties')
      return capabilityData.data[0]?.value ?? -1
    }
    const before = await available()
    await define(client, { attributes: OWNER | AUTH | (TPM_NT.COUNTER << 4) })
    expect(await available()).toBe(before - 1)
  })
})

describe('NV types', () => {
  it('a counter starts above every deleted one, also after a restart', async () => {
    const { tpm, client } = await rig()
    const attributes = OWNER | AUTH | (TPM_NT.COUNTER << 4)
    await define(client, { attributes })
    for (let step = 0; step < 5; step += 1) await client.call(TPM2_NV_Increment, own, pw)
    await client.call(TPM2_NV_UndefineSpace, byOwner, pw)
    await restart(tpm, client)
    await define(client, { attributes })
    await client.call(TPM2_NV_Increment, own, pw)
    expect(await read(client)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 6))
    expect(await refusal(write(client, DATA))).toBe(TPM_RC.ATTRIBUTES)
  })

  it('a bit field only gains bits; another command of another type is refused', async () => {
    const { client } = await rig()
    await define(client, { attributes: OWNER | AUTH | (TPM_NT.BITS << 4) })
    await client.call(TPM2_NV_SetBits, { ...own, bits: 1n }, pw)
    await client.call(TPM2_NV_SetBits, { ...own, bits: 2n ** 63n }, pw)
    expect(await read(client)).toEqual(Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 1))
    expect(await refusal(client.call(TPM2_NV_Increment, own, pw))).toBe(atHandle(TPM_RC.ATTRIBUTES, 2))
  })

  it('an extended index is H(old ‖ data), from zeros on', async () => {
    const { client } = await rig()
    await define(client, { attributes: OWNER | AUTH | (TPM_NT.EXTEND << 4), dataSize: 32 })
    await client.call(TPM2_NV_Extend, { ...own, data: DATA }, pw)
    const first = hash(TPM_ALG.SHA256, new Uint8Array(32), DATA)
    expect(await read(client, 32)).toEqual(first)
    await client.call(TPM2_NV_Extend, { ...own, data: utf8('x') }, pw)
    expect(await read(client, 32)).toEqual(hash(TPM_ALG.SHA256, first, utf8('x')))
  })

  it('PIN_FAIL counts failures and forgets them at a success; at the limit nothing opens it', async () => {
    const { tpm, client } = await rig()
    const attributes = (OWNER | TPMA_NV.AUTHREAD | (TPM_NT.PIN_FAIL << 4)) >>> 0
    await define(client, { attributes, auth: utf8('pin') })
    const limits = { ...byOwner, data: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 2), offset: 0 }
    await client.call(TPM2_NV_Write, limits, pw)
    const attempt = (pin: string): Promise<unknown> =>
      client.call(TPM2_NV_Read, { ...own, size: 8, offset: 0 }, { sessions: [passwordSession(utf8(pin))] })
    expect(await refusal(attempt('nip'))).toBe(TPM_RC.BAD_AUTH + 0x900)
    await attempt('pin')
    expect(await refusal(attempt('nip'))).toBe(TPM_RC.BAD_AUTH + 0x900)
    await restart(tpm, client)
    expect(await refusal(attempt('nip'))).toBe(TPM_RC.BAD_AUTH + 0x900)
    expect(await refusal(attempt('pin'))).toBe(TPM_RC.AUTH_UNAVAILABLE)
    await client.call(TPM2_NV_Write, limits, pw)
    await attempt('pin')
  })
})

describe('NV locks', () => {
  it('stop writing and reading until a restart, or writing for good; GlobalWriteLock takes all that want it', async () => {
    const { tpm, client } = await rig()
    const stclear = (OWNER | AUTH | TPMA_NV.WRITE_STCLEAR | TPMA_NV.READ_STCLEAR) >>> 0
    await define(client, { attributes: stclear })
    await write(client, DATA)
    await client.call(TPM2_NV_WriteLock, own, pw)
    expect(await refusal(write(client, DATA))).toBe(TPM_RC.NV_LOCKED)
    expect(await read(client)).toEqual(DATA)
    await client.call(TPM2_NV_ReadLock, own, pw)
    expect(await refusal(read(client))).toBe(TPM_RC.NV_LOCKED)
    await restart(tpm, client)
    await write(client, DATA)
    await client.call(TPM2_NV_UndefineSpace, byOwner, pw)
    await define(client, { attributes: OWNER | AUTH | TPMA_NV.WRITEDEFINE | TPMA_NV.GLOBALLOCK })
    await write(client, DATA)
    await client.call(TPM2_NV_GlobalWriteLock, { authHandle: TPM_RH.OWNER }, pw)
    await restart(tpm, client)
    expect(await refusal(write(client, DATA))).toBe(TPM_RC.NV_LOCKED)
    expect(await read(client)).toEqual(DATA)
  })
})

describe('NV authorizations', () => {
  it('ChangeAuth and UndefineSpaceSpecial want a policy that names them', async () => {
    const { client } = await rig()
    const zeros = new Uint8Array(32)
    const policyOf = (code: number): Uint8Array =>
      hash(TPM_ALG.SHA256, zeros, Uint8Array.of(0, 0, 1, 0x6c), Uint8Array.of(0, 0, 1, code & 0xff))
    await define(client, { authPolicy: policyOf(TPM_CC.NV_ChangeAuth), auth: utf8('old') })
    const session = await startPolicySession(client)
    const change = { nvIndex: INDEX, newAuth: utf8('new') }
    expect(await refusal(client.call(TPM2_NV_ChangeAuth, change, pw))).toBe(TPM_RC.AUTH_TYPE)
    expect(await refusal(client.call(TPM2_NV_ChangeAuth, change, { sessions: [session.use()] }))).toBe(
      TPM_RC.POLICY_FAIL + 0x900,
    )
    const policySession = session.handle
    await client.call(TPM2_PolicyCommandCode, { policySession, code: TPM_CC.NV_ChangeAuth })
    await client.call(TPM2_NV_ChangeAuth, change, { sessions: [session.use()] })
    const hmac = await startHmacSession(client)
    const request = { ...own, data: DATA, offset: 0 }
    expect(
      await refusal(client.call(TPM2_NV_Write, request, { sessions: [hmac.use({ auth: utf8('old') })] })),
    ).toBe(TPM_RC.BAD_AUTH + 0x900)
    await client.call(TPM2_NV_Write, request, { sessions: [hmac.use({ auth: utf8('new') })] })

    const special = TPMA_NV.PLATFORMCREATE | TPMA_NV.POLICY_DELETE | TPMA_NV.PPREAD | TPMA_NV.PPWRITE
    const authPolicy = policyOf(TPM_CC.NV_UndefineSpaceSpecial)
    await define(client, { nvIndex: INDEX + 1, attributes: special, authPolicy, authHandle: TPM_RH.PLATFORM })
    const request2 = { nvIndex: INDEX + 1, platform: TPM_RH.PLATFORM }
    const plain = { authHandle: TPM_RH.PLATFORM, nvIndex: INDEX + 1 }
    expect(await refusal(client.call(TPM2_NV_UndefineSpace, plain, pw))).toBe(atHandle(TPM_RC.ATTRIBUTES, 2))
    await client.call(TPM2_PolicyCommandCode, { policySession, code: TPM_CC.NV_UndefineSpaceSpecial })
    await client.call(TPM2_NV_UndefineSpaceSpecial, request2, { sessions: [session.use(), PW] })
    expect(await refusal(client.call(TPM2_NV_ReadPublic, { nvIndex: INDEX + 1 }))).toBe(
      atHandle(TPM_RC.HANDLE, 1),
    )
  })
})

describe('TPM2_NV_Certify', () => {
  it('signs a part of the data or a digest of it, of an index that may be read', async () => {
    const { client } = await rig()
    await define(client)
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const scheme = { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 } as const
    const { handle: signHandle } = await loadEcc(client, privateKey, SIGN, scheme)
    const certify = {
      signHandle,
      ...own,
      qualifyingData: utf8('fresh'),
      inScheme: { scheme: TPM_ALG.NULL },
    } as const
    const both = { sessions: [PW, PW] }
    const whole = { ...certify, size: 0, offset: 0 }
    expect(await refusal(client.call(TPM2_NV_Certify, whole, both))).toBe(TPM_RC.NV_UNINITIALIZED)
    await write(client, DATA)
    const { nvName } = await client.call(TPM2_NV_ReadPublic, { nvIndex: INDEX })
    const part = await client.call(TPM2_NV_Certify, { ...certify, size: 3, offset: 2 }, both)
    const attest = unmarshal(TPMS_ATTEST, part.certifyInfo)
    expect(attest.type).toBe(TPM_ST.ATTEST_NV)
    expect(attest.extraData).toEqual(utf8('fresh'))
    expect(attest.attested).toEqual({ indexName: nvName, offset: 2, nvContents: DATA.slice(2, 5) })
    const digest = await client.call(TPM2_NV_Certify, whole, both)
    const summary = unmarshal(TPMS_ATTEST, digest.certifyInfo)
    expect(summary.type).toBe(TPM_ST.ATTEST_NV_DIGEST)
    expect(summary.attested).toEqual({ indexName: nvName, nvDigest: hash(TPM_ALG.SHA256, DATA) })
    const { x, y } = publicKey.export({ format: 'jwk' })
    const point = [x, y].map((value) => new Uint8Array(Buffer.from(value ?? '', 'base64url')))
    const area = {
      type: TPM_ALG.ECC,
      nameAlg: TPM_ALG.SHA256,
      objectAttributes: SIGN,
      authPolicy: NONE,
      parameters: {
        symmetric: { algorithm: TPM_ALG.NULL },
        scheme,
        curveID: 3,
        kdf: { scheme: TPM_ALG.NULL },
      },
      unique: { x: point[0] ?? NONE, y: point[1] ?? NONE },
    } as const
    if (digest.signature.sigAlg !== TPM_ALG.ECDSA) throw new Error('expected an ECDSA signature')
    verifySignature(area, digest.certifyInfo, digest.signature)
    expect(await refusal(client.call(TPM2_NV_Certify, { ...certify, size: 8, offset: 1 }, both))).toBe(
      TPM_RC.NV_RANGE,
    )
  })
})
