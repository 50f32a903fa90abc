// Symmetric encryption, hashes and HMACs against node:crypto.

import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  type Request,
  TPM2_EncryptDecrypt,
  TPM2_EncryptDecrypt2,
  TPM2_Hash,
  TPM2_HMAC,
  TPM2_Sign,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPMA_OBJECT,
  type TpmClient,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  atHandle,
  atParameter,
  DECRYPT,
  flush,
  loadAes,
  loadKeyedHash,
  NONE,
  primaryAk,
  PW,
  refusal,
  rig,
  SIGN,
  utf8,
} from './crypto-rig.ts'

const auth = { sessions: [PW] }
const HASHES = [
  ['sha1', TPM_ALG.SHA1],
  ['sha256', TPM_ALG.SHA256],
  ['sha384', TPM_ALG.SHA384],
  ['sha512', TPM_ALG.SHA512],
] as const
const MODES = [
  ['cfb', TPM_ALG.CFB],
  ['cbc', TPM_ALG.CBC],
  ['ctr', TPM_ALG.CTR],
  ['ofb', TPM_ALG.OFB],
  ['ecb', TPM_ALG.ECB],
] as const

let client: TpmClient
beforeAll(async () => {
  ;({ client } = await rig())
})

describe('TPM2_EncryptDecrypt and TPM2_EncryptDecrypt2', () => {
  const data = new Uint8Array(64).map((_, at) => at)
  const iv = new Uint8Array(16).fill(0xfe)

  it('AES in each mode, in one go or in two that are chained', async () => {
    for (const [name, mode] of MODES) {
      for (const bytes of [16, 24, 32]) {
        const secret = new Uint8Array(bytes).fill(5)
        const { handle: keyHandle } = await loadAes(client, secret, SIGN | DECRYPT, mode)
        const ivIn = name === 'ecb' ? NONE : iv
        const cipher = createCipheriv(`aes-${String(8 * bytes)}-${name}`, secret, name === 'ecb' ? null : iv)
        const expected = new Uint8Array(cipher.setAutoPadding(false).update(data))
        const request = { keyHandle, decrypt: false, mode: TPM_ALG.NULL, ivIn, inData: data }
        const { outData } = await client.call(TPM2_EncryptDecrypt2, request, auth)
        expect(outData).toEqual(expected)
        const first = await client.call(TPM2_EncryptDecrypt, { ...request, inData: data.slice(0, 32) }, auth)
        const rest = { ...request, ivIn: first.ivOut, inData: data.slice(32) }
        const second = await client.call(TPM2_EncryptDecrypt, rest, auth)
        expect([...first.outData, ...second.outData]).toEqual([...expected])
        const back = { ...request, decrypt: true, inData: expected }
        expect((await client.call(TPM2_EncryptDecrypt2, back, auth)).outData).toEqual(data)
        await flush(client, keyHandle)
      }
    }
  })

  it('takes the mode of the key, or of the caller where it has none', async () => {
    const open = await loadAes(client, new Uint8Array(16), SIGN | DECRYPT, TPM_ALG.NULL)
    const fixed = await loadAes(client, new Uint8Array(16), SIGN | DECRYPT, TPM_ALG.CFB)
    const request = { keyHandle: open.handle, decrypt: false, mode: TPM_ALG.CBC, ivIn: iv, inData: data }
    await client.call(TPM2_EncryptDecrypt2, request, auth)
    const without = client.call(TPM2_EncryptDecrypt2, { ...request, mode: TPM_ALG.NULL }, auth)
    expect(await refusal(without)).toBe(atParameter(TPM_RC.MODE, 3))
    const other = client.call(TPM2_EncryptDecrypt, { ...request, keyHandle: fixed.handle }, auth)
    expect(await refusal(other)).toBe(atParameter(TPM_RC.MODE, 2))
    await flush(client, open.handle, fixed.handle)
  })

  it('takes an IV of the block, and whole blocks where the mode has no others', async () => {
    const { handle: keyHandle } = await loadAes(client, new Uint8Array(16), SIGN | DECRYPT, TPM_ALG.NULL)
    const request = { keyHandle, decrypt: false, mode: TPM_ALG.CBC, ivIn: iv, inData: data }
    const refused = async (change: Partial<Request<typeof TPM2_EncryptDecrypt2>>) =>
      refusal(client.call(TPM2_EncryptDecrypt2, { ...request, ...change }, auth))
    expect(await refused({ ivIn: iv.slice(1) })).toBe(atParameter(TPM_RC.SIZE, 4))
    expect(await refused({ mode: TPM_ALG.ECB })).toBe(atParameter(TPM_RC.SIZE, 4))
    expect(await refused({ inData: data.slice(1) })).toBe(atParameter(TPM_RC.SIZE, 1))
    await client.call(TPM2_EncryptDecrypt2, { ...request, mode: TPM_ALG.CTR, inData: data.slice(1) }, auth)
    await flush(client, keyHandle)
  })

  it('goes only in the directions of the key, and takes no other key', async () => {
    const encrypts = await loadAes(client, new Uint8Array(16), SIGN, TPM_ALG.CFB)
    const hmac = await loadKeyedHash(client, utf8('key'), SIGN)
    const request = { keyHandle: encrypts.handle, decrypt: false, mode: TPM_ALG.NULL, ivIn: iv, inData: data }
    await client.call(TPM2_EncryptDecrypt2, request, auth)
    const back = client.call(TPM2_EncryptDecrypt2, { ...request, decrypt: true }, auth)
    expect(await refusal(back)).toBe(atHandle(TPM_RC.ATTRIBUTES, 1))
    const other = client.call(TPM2_EncryptDecrypt2, { ...request, keyHandle: hmac.handle }, auth)
    expect(await refusal(other)).toBe(atHandle(TPM_RC.KEY, 1))
    await flush(client, encrypts.handle, hmac.handle)
  })
})

describe('TPM2_Hash', () => {
  it('is the hash that others compute', async () => {
    for (const [name, hashAlg] of HASHES) {
      for (const data of [NONE, utf8('abc'), new Uint8Array(1024).fill(1)]) {
        const { outHash } = await client.call(TPM2_Hash, { data, hashAlg, hierarchy: TPM_RH.NULL })
        expect(outHash).toEqual(new Uint8Array(createHash(name).update(data).digest()))
      }
    }
  })

  it('gives a ticket for what the TPM did not make itself, and a restricted key signs by it', async () => {
    const { objectHandle: keyHandle } = await primaryAk(client, TPM_RH.OWNER)
    const sign = async (data: Uint8Array) => {
      const request = { data, hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.OWNER }
      const { outHash: digest, validation } = await client.call(TPM2_Hash, request)
      return client.call(
        TPM2_Sign,
        { keyHandle, digest, inScheme: { scheme: TPM_ALG.NULL }, validation },
        auth,
      )
    }
    await sign(utf8('message'))
    await sign(Uint8Array.of(0xff, 0x54, 0x43))
    const forged = sign(Uint8Array.of(0xff, 0x54, 0x43, 0x47, 0x80))
    expect(await refusal(forged)).toBe(atParameter(TPM_RC.TICKET, 3))
    await flush(client, keyHandle)
  })
})

describe('TPM2_HMAC', () => {
  const key = utf8('a key')
  const buffer = utf8('a message')

  it('is the HMAC that others compute, with the hash of the key or of the caller', async () => {
    for (const [name, hashAlg] of HASHES) {
      const expected = new Uint8Array(createHmac(name, key).update(buffer).digest())
      const fixed = await loadKeyedHash(client, key, SIGN, { scheme: TPM_ALG.HMAC, hashAlg })
      const request = { handle: fixed.handle, buffer, hashAlg: TPM_ALG.NULL }
      expect((await client.call(TPM2_HMAC, request, auth)).outHMAC).toEqual(expected)
      const open = await loadKeyedHash(client, key, SIGN | DECRYPT, { scheme: TPM_ALG.NULL })
      const other = { handle: open.handle, buffer, hashAlg }
      expect((await client.call(TPM2_HMAC, other, auth)).outHMAC).toEqual(expected)
      await flush(client, fixed.handle, open.handle)
    }
  })

  it('refuses two hashes, none, and what is no HMAC key', async () => {
    const fixed = await loadKeyedHash(client, key, SIGN)
    const open = await loadKeyedHash(client, key, SIGN | DECRYPT, { scheme: TPM_ALG.NULL })
    const sealed = await loadKeyedHash(client, key, TPMA_OBJECT.userWithAuth, { scheme: TPM_ALG.NULL })
    const aes = await loadAes(client, new Uint8Array(16), SIGN, TPM_ALG.CFB)
    const refused = async (handle: number, hashAlg: number) =>
      refusal(client.call(TPM2_HMAC, { handle, buffer, hashAlg }, auth))
    expect(await refused(fixed.handle, TPM_ALG.SHA384)).toBe(atParameter(TPM_RC.VALUE, 2))
    expect(await refused(open.handle, TPM_ALG.NULL)).toBe(atParameter(TPM_RC.VALUE, 2))
    expect(await refused(sealed.handle, TPM_ALG.SHA256)).toBe(atHandle(TPM_RC.KEY, 1))
    expect(await refused(aes.handle, TPM_ALG.SHA256)).toBe(atHandle(TPM_RC.TYPE, 1))
    await client.call(TPM2_HMAC, { handle: fixed.handle, buffer, hashAlg: TPM_ALG.SHA256 }, auth)
    await flush(client, fixed.handle, open.handle, sealed.handle, aes.handle)
  })
})
