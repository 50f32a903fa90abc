// RSA encryption against node:crypto, key exchanges against node:crypto and @noble/curves.

import { constants, diffieHellman, generateKeyPairSync, privateDecrypt, publicEncrypt } from 'node:crypto'
import { p256 as nobleP256, p384 as nobleP384, p521 as nobleP521 } from '@noble/curves/nist.js'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  type Request,
  TPM2_EC_Ephemeral,
  TPM2_ECC_Parameters,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_ZGen_2Phase,
  TPM_ALG,
  TPM_ECC,
  TPM_RC,
  type TpmClient,
  type TPMS_ECC_POINT,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  atHandle,
  atParameter,
  DECRYPT,
  flush,
  loadEcc,
  loadRsa,
  NONE,
  pointOf,
  PW,
  refusal,
  rig,
  scalarOf,
  SIGN,
  uncompressed,
  utf8,
} from './crypto-rig.ts'

const auth = { sessions: [PW] }
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const peer = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const SHA256 = TPM_ALG.SHA256
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
const OAEP = { scheme: TPM_ALG.OAEP, hashAlg: SHA256 } as const
const RSAES = { scheme: TPM_ALG.RSAES } as const
const label = utf8('LABEL\0')
const message = utf8('a secret')

let client: TpmClient
beforeAll(async () => {
  ;({ client } = await rig())
})

describe('RSA encryption', () => {
  const oaepOptions = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: label }

  it('OAEP: what the TPM encrypts OpenSSL decrypts, and the other way, with the label', async () => {
    const { handle: keyHandle } = await loadRsa(client, rsa.privateKey, DECRYPT)
    const { outData } = await client.call(TPM2_RSA_Encrypt, { keyHandle, message, inScheme: OAEP, label })
    expect(new Uint8Array(privateDecrypt({ key: rsa.privateKey, ...oaepOptions }, outData))).toEqual(message)

    const cipherText = new Uint8Array(publicEncrypt({ key: rsa.publicKey, ...oaepOptions }, message))
    const request = { keyHandle, cipherText, inScheme: OAEP, label }
    expect((await client.call(TPM2_RSA_Decrypt, request, auth)).message).toEqual(message)
    const other = client.call(TPM2_RSA_Decrypt, { ...request, label: utf8('OTHER\0') }, auth)
    expect(await refusal(other)).toBe(TPM_RC.VALUE)
    await flush(client, keyHandle)
  })

  it('RSAES and no padding', async () => {
    const { handle: keyHandle } = await loadRsa(client, rsa.privateKey, DECRYPT)
    const encrypted = await client.call(TPM2_RSA_Encrypt, {
      keyHandle,
      message,
      inScheme: RSAES,
      label: NONE,
    })
    const request = { keyHandle, cipherText: encrypted.outData, inScheme: RSAES, label: NONE }
    expect((await client.call(TPM2_RSA_Decrypt, request, auth)).message).toEqual(message)

    const block = new Uint8Array(256).fill(3)
    const raw = await client.call(TPM2_RSA_Encrypt, {
      keyHandle,
      message: block,
      inScheme: NO_SCHEME,
      label: NONE,
    })
    const padding = constants.RSA_NO_PADDING
    expect(raw.outData).toEqual(new Uint8Array(publicEncrypt({ key: rsa.publicKey, padding }, block)))
    const back = { keyHandle, cipherText: raw.outData, inScheme: NO_SCHEME, label: NONE }
    expect((await client.call(TPM2_RSA_Decrypt, back, auth)).message).toEqual(block)
    await flush(client, keyHandle)
  })

  it('uses the scheme of the key, and no other beside it', async () => {
    const { handle: keyHandle } = await loadRsa(client, rsa.privateKey, DECRYPT, OAEP)
    const { outData } = await client.call(TPM2_RSA_Encrypt, {
      keyHandle,
      message,
      inScheme: NO_SCHEME,
      label,
    })
    expect(new Uint8Array(privateDecrypt({ key: rsa.privateKey, ...oaepOptions }, outData))).toEqual(message)
    for (const inScheme of [RSAES, { ...OAEP, hashAlg: TPM_ALG.SHA1 }]) {
      const call = client.call(TPM2_RSA_Encrypt, { keyHandle, message, inScheme, label })
      expect(await refusal(call)).toBe(atParameter(TPM_RC.SCHEME, 2))
    }
    await flush(client, keyHandle)
  })

  it('refuses what does not fit the modulus, and labels without an end', async () => {
    const { handle: keyHandle } = await loadRsa(client, rsa.privateKey, DECRYPT)
    const request = { keyHandle, message, inScheme: OAEP, label }
    const refused = async (change: Partial<Request<typeof TPM2_RSA_Encrypt>>) =>
      refusal(client.call(TPM2_RSA_Encrypt, { ...request, ...change }))
    expect(await refused({ message: new Uint8Array(191) })).toBe(TPM_RC.VALUE)
    await client.call(TPM2_RSA_Encrypt, { ...request, message: new Uint8Array(190) })
    expect(await refused({ label: utf8('LABEL') })).toBe(atParameter(TPM_RC.VALUE, 3))
    const beyond = { message: new Uint8Array(256).fill(0xff), inScheme: NO_SCHEME }
    expect(await refused(beyond)).toBe(TPM_RC.VALUE)
    await flush(client, keyHandle)
  })

  it('decrypts only blocks of the size of the key, below its modulus, with good padding', async () => {
    const { handle: keyHandle } = await loadRsa(client, rsa.privateKey, DECRYPT)
    const refused = async (cipherText: Uint8Array) =>
      refusal(client.call(TPM2_RSA_Decrypt, { keyHandle, cipherText, inScheme: RSAES, label: NONE }, auth))
    expect(await refused(new Uint8Array(255).fill(1))).toBe(TPM_RC.SIZE)
    expect(await refused(new Uint8Array(256).fill(0xff))).toBe(TPM_RC.VALUE)
    expect(await refused(new Uint8Array(256).fill(1))).toBe(TPM_RC.VALUE)
    await flush(client, keyHandle)
  })

  it('decrypts with an unrestricted decryption key only', async () => {
    const request = { cipherText: new Uint8Array(256), inScheme: NO_SCHEME, label: NONE }
    const signs = await loadRsa(client, rsa.privateKey, SIGN)
    const call = client.call(TPM2_RSA_Decrypt, { ...request, keyHandle: signs.handle }, auth)
    expect(await refusal(call)).toBe(atHandle(TPM_RC.ATTRIBUTES, 1))
    const ecc = await loadEcc(client, own.privateKey, DECRYPT)
    const other = client.call(TPM2_RSA_Decrypt, { ...request, keyHandle: ecc.handle }, auth)
    expect(await refusal(other)).toBe(atHandle(TPM_RC.KEY, 1))
    await flush(client, signs.handle, ecc.handle)
  })
})

describe('ECDH', () => {
  it('is what OpenSSL agrees on, on each curve', async () => {
    for (const [namedCurve, curve] of [
      ['P-256', nobleP256],
      ['P-384', nobleP384],
      ['P-521', nobleP521],
    ] as const) {
      const mine = generateKeyPairSync('ec', { namedCurve })
      const theirs = generateKeyPairSync('ec', { namedCurve })
      const { handle: keyHandle } = await loadEcc(client, mine.privateKey, DECRYPT)
      const { outPoint } = await client.call(
        TPM2_ECDH_ZGen,
        { keyHandle, inPoint: pointOf(theirs.privateKey) },
        auth,
      )
      const shared = diffieHellman({ privateKey: theirs.privateKey, publicKey: mine.publicKey })
      expect(outPoint.x).toEqual(new Uint8Array(shared))
      const product = curve.Point.fromBytes(uncompressed(pointOf(theirs.privateKey))).multiply(
        scalarOf(mine.privateKey),
      )
      expect(uncompressed(outPoint)).toEqual(product.toBytes(false))

      const { zPoint, pubPoint } = await client.call(TPM2_ECDH_KeyGen, { keyHandle })
      const again = curve.Point.fromBytes(uncompressed(pubPoint)).multiply(scalarOf(mine.privateKey))
      expect(uncompressed(zPoint)).toEqual(again.toBytes(false))
      await flush(client, keyHandle)
    }
  })

  it('refuses points that are not on the curve, and keys that do not decrypt', async () => {
    const { handle: keyHandle } = await loadEcc(client, own.privateKey, DECRYPT)
    const inPoint = pointOf(peer.privateKey)
    for (const bad of [
      { x: inPoint.x, y: inPoint.x },
      { x: NONE, y: NONE },
    ]) {
      const call = client.call(TPM2_ECDH_ZGen, { keyHandle, inPoint: bad }, auth)
      expect(await refusal(call)).toBe(atParameter(TPM_RC.ECC_POINT, 1))
    }
    const signs = await loadEcc(client, own.privateKey, SIGN)
    const call = client.call(TPM2_ECDH_ZGen, { keyHandle: signs.handle, inPoint }, auth)
    expect(await refusal(call)).toBe(atHandle(TPM_RC.ATTRIBUTES, 1))
    const both = await loadEcc(client, own.privateKey, DECRYPT, { scheme: TPM_ALG.ECMQV, hashAlg: SHA256 })
    const other = client.call(TPM2_ECDH_ZGen, { keyHandle: both.handle, inPoint }, auth)
    expect(await refusal(other)).toBe(atHandle(TPM_RC.SCHEME, 1))
    await client.call(TPM2_ECDH_ZGen, { keyHandle, inPoint }, auth)
    await flush(client, keyHandle, signs.handle, both.handle)
  })
})

describe('TPM2_ECC_Parameters', () => {
  it('gives the curves as others know them', async () => {
    const curves = [
      [TPM_ECC.NIST_P256, nobleP256],
      [TPM_ECC.NIST_P384, nobleP384],
      [TPM_ECC.NIST_P521, nobleP521],
    ] as const
    for (const [curveID, { Point }] of curves) {
      const { parameters } = await client.call(TPM2_ECC_Parameters, { curveID })
      const { p, a, b, Gx, Gy, n, h } = Point.CURVE()
      const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
      const { gX, gY, keySize } = parameters
      const found = [parameters.p, parameters.a, parameters.b, gX, gY, parameters.n, parameters.h].map(number)
      expect(found).toEqual([p, a, b, Gx, Gy, n, h])
      expect(keySize).toBe(n.toString(2).length)
    }
  })

  it('refuses a curve that is not implemented', async () => {
    const call = client.call(TPM2_ECC_Parameters, { curveID: TPM_ECC.BN_P256 })
    expect(await refusal(call)).toBe(atParameter(TPM_RC.CURVE, 1))
  })
})

describe('TPM2_ZGen_2Phase', () => {
  /** The other side of an exchange, by the definitions in SP 800-56A, with @noble/curves. */
  const { Point } = nobleP256
  const { n } = Point.CURVE()
  const point = (value: TPMS_ECC_POINT) => Point.fromBytes(uncompressed(value))
  const ephemeral = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [staticKey, ephemeralKey] = [scalarOf(peer.privateKey), scalarOf(ephemeral.privateKey)]
  const others = { inQsB: pointOf(peer.privateKey), inQeB: pointOf(ephemeral.privateKey) }
  const associate = (x: bigint): bigint => (x & ((1n << 128n) - 1n)) | (1n << 128n)

  it('ECDH: both shared points', async () => {
    const { handle: keyA } = await loadEcc(client, own.privateKey, DECRYPT)
    const { Q, counter } = await client.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
    const request = { keyA, ...others, inScheme: TPM_ALG.ECDH, counter }
    const { outZ1, outZ2 } = await client.call(TPM2_ZGen_2Phase, request, auth)
    expect(uncompressed(outZ1)).toEqual(point(pointOf(own.privateKey)).multiply(staticKey).toBytes(false))
    expect(uncompressed(outZ2)).toEqual(point(Q).multiply(ephemeralKey).toBytes(false))
    await flush(client, keyA)
  })

  it('ECMQV: one shared point', async () => {
    const { handle: keyA } = await loadEcc(client, own.privateKey, DECRYPT)
    const { Q, counter } = await client.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
    const request = { keyA, ...others, inScheme: TPM_ALG.ECMQV, counter }
    const { outZ1, outZ2 } = await client.call(TPM2_ZGen_2Phase, request, auth)
    const mine = Point.BASE.multiply(ephemeralKey)
    const implicit = (ephemeralKey + associate(mine.toAffine().x) * staticKey) % n
    const sum = point(Q).add(point(pointOf(own.privateKey)).multiply(associate(point(Q).toAffine().x)))
    expect(uncompressed(outZ1)).toEqual(sum.multiply(implicit).toBytes(false))
    expect(outZ2).toEqual({ x: NONE, y: NONE })
    await flush(client, keyA)
  })

  it('uses a counter once, and only one that was given out', async () => {
    const { handle: keyA } = await loadEcc(client, own.privateKey, DECRYPT)
    const { counter } = await client.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
    const request = { keyA, ...others, inScheme: TPM_ALG.ECDH, counter }
    const refused = async (change: Partial<Request<typeof TPM2_ZGen_2Phase>>) =>
      refusal(client.call(TPM2_ZGen_2Phase, { ...request, ...change }, auth))
    expect(await refused({ counter: counter + 1 })).toBe(atParameter(TPM_RC.VALUE, 4))
    expect(await refused({ inQeB: { x: others.inQeB.x, y: NONE } })).toBe(atParameter(TPM_RC.ECC_POINT, 2))
    expect(await refused({ inScheme: TPM_ALG.SM2 })).toBe(atParameter(TPM_RC.SCHEME, 3))
    await client.call(TPM2_ZGen_2Phase, request, auth)
    expect(await refused({})).toBe(atParameter(TPM_RC.VALUE, 4))
    await flush(client, keyA)
  })
})
