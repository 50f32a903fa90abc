// Commits and ephemeral keys, whose secret numbers only show in what they are multiplied with: the equations of ECDAA,
// checked with @noble/curves.

import { createHash, generateKeyPairSync } from 'node:crypto'
import { p256 } from '@noble/curves/nist.js'
import { describe, expect, it } from 'vitest'
import {
  type Request,
  TPM2_Certify,
  TPM2_Commit,
  TPM2_EC_Ephemeral,
  TPM2_Sign,
  TPM2_Startup,
  TPM_ALG,
  TPM_ECC,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  type TpmClient,
  type TPMS_ECC_POINT,
  type TPMT_SIGNATURE_PLUS,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  atHandle,
  atParameter,
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
const two = { sessions: [PW, PW] }
const SHA256 = TPM_ALG.SHA256
const NO_POINT = { x: NONE, y: NONE }
const NO_TICKET = { tag: 0x8024, hierarchy: TPM_RH.NULL, digest: NONE } as const
const ECDAA = { scheme: TPM_ALG.ECDAA, hashAlg: SHA256, count: 0 } as const
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const peer = pointOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)

const { Point } = p256
const { p, n } = Point.CURVE()
const point = (value: TPMS_ECC_POINT) => Point.fromBytes(uncompressed(value))
const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const sha256 = (...parts: Uint8Array[]): Uint8Array =>
  new Uint8Array(createHash('sha256').update(Buffer.concat(parts)).digest())

/** s2 whose hash is the x of a point, and that point's y. */
function basePoint(): { s2: Uint8Array; y2: Uint8Array; point: TPMS_ECC_POINT } {
  for (let count = 0; ; count += 1) {
    const s2 = utf8(`base ${String(count)}`)
    const x = number(sha256(s2)) % p
    try {
      const found = Point.fromHex(`02${x.toString(16).padStart(64, '0')}`).toBytes(false)
      const value = { x: found.slice(1, 33), y: found.slice(33) }
      return { s2, y2: value.y, point: value }
    } catch {
      // half of all numbers are the x of no point
    }
  }
}

async function committed(
  client: TpmClient,
  signHandle: number,
  change: Partial<Request<typeof TPM2_Commit>> = {},
) {
  return client.call(TPM2_Commit, { signHandle, P1: NO_POINT, s2: NONE, y2: NONE, ...change }, auth)
}

/** Whether s·G = r·G + H(nonce ‖ digest)·Q: the ECDAA signature of the digest that the commit of E began. */
function holds(signature: TPMT_SIGNATURE_PLUS, E: TPMS_ECC_POINT, digest: Uint8Array): boolean {
  if (!('signatureR' in signature)) return false
  const challenge = number(sha256(signature.signatureR, digest)) % n
  const left = Point.BASE.multiply(number(signature.signatureS))
  return left.equals(point(E).add(point(pointOf(key)).multiply(challenge)))
}

async function signed(client: TpmClient, keyHandle: number, count: number, digest: Uint8Array) {
  const request = { keyHandle, digest, inScheme: { ...ECDAA, count }, validation: NO_TICKET }
  return (await client.call(TPM2_Sign, request, auth)).signature
}

describe('TPM2_Commit', () => {
  const digest = sha256(utf8('message'))

  it('begins one ECDAA signature', async () => {
    const { client } = await rig()
    const { handle } = await loadEcc(client, key, SIGN, ECDAA)
    const { K, L, E, counter } = await committed(client, handle)
    expect([K, L]).toEqual([NO_POINT, NO_POINT])
    const signature = await signed(client, handle, counter, digest)
    expect(holds(signature, E, digest)).toBe(true)
    expect(holds(signature, E, sha256(digest))).toBe(false)
    expect(await refusal(signed(client, handle, counter, digest))).toBe(TPM_RC.VALUE)
    expect(await refusal(signed(client, handle, counter + 1, digest))).toBe(TPM_RC.VALUE)
  })

  it('multiplies the points that it is given', async () => {
    const { client } = await rig()
    const { handle } = await loadEcc(client, key, SIGN, ECDAA)
    const base = basePoint()
    const both = await committed(client, handle, { P1: peer, s2: base.s2, y2: base.y2 })
    expect(uncompressed(both.K)).toEqual(point(base.point).multiply(scalarOf(key)).toBytes(false))
    const signature = await signed(client, handle, both.counter, digest)
    if (!('signatureR' in signature)) throw new Error('expected ECDAA')
    const challenge = number(sha256(signature.signatureR, digest)) % n
    const r = (((number(signature.signatureS) - challenge * scalarOf(key)) % n) + n) % n
    expect(uncompressed(both.L)).toEqual(point(base.point).multiply(r).toBytes(false))
    expect(uncompressed(both.E)).toEqual(point(peer).multiply(r).toBytes(false))
    const second = await committed(client, handle, { s2: base.s2, y2: base.y2 })
    expect([second.E, second.counter]).toEqual([NO_POINT, both.counter + 1])
  })

  it('attests anonymously: the nonce of the caller is signed beside the attestation', async () => {
    const { client } = await rig()
    const { handle } = await loadEcc(client, key, SIGN, ECDAA)
    const { E, counter } = await committed(client, handle)
    const qualifyingData = utf8('nonce')
    const request = {
      objectHandle: handle,
      signHandle: handle,
      qualifyingData,
      inScheme: { ...ECDAA, count: counter },
    }
    const { certifyInfo, signature } = await client.call(TPM2_Certify, request, two)
    expect(holds(signature, E, sha256(qualifyingData, sha256(certifyInfo)))).toBe(true)
  })

  it('refuses half a point, points off the curve, and keys that are not anonymous', async () => {
    const { client } = await rig()
    const { handle } = await loadEcc(client, key, SIGN, ECDAA)
    const ecdsa = await loadEcc(client, key, SIGN, { scheme: TPM_ALG.ECDSA, hashAlg: SHA256 })
    const rsa = await loadRsa(client, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, SIGN)
    const { s2, y2 } = basePoint()
    const refused = async (change: Partial<Request<typeof TPM2_Commit>>) =>
      refusal(committed(client, handle, change))
    expect(await refused({ s2 })).toBe(atParameter(TPM_RC.SIZE, 3))
    expect(await refused({ y2 })).toBe(atParameter(TPM_RC.SIZE, 3))
    expect(await refused({ s2, y2: peer.y })).toBe(atParameter(TPM_RC.ECC_POINT, 2))
    expect(await refused({ P1: { x: peer.x, y: peer.x } })).toBe(atParameter(TPM_RC.ECC_POINT, 1))
    expect(await refused({ signHandle: ecdsa.handle })).toBe(atHandle(TPM_RC.SCHEME, 1))
    expect(await refused({ signHandle: rsa.handle })).toBe(atHandle(TPM_RC.KEY, 1))
    expect((await committed(client, handle, { s2, y2 })).counter).toBe(0)
  })

  it('is given up when the platform cancels', async () => {
    const { tpm, client } = await rig()
    const { handle } = await loadEcc(client, key, SIGN, ECDAA)
    tpm.setCancel(true)
    expect(await refusal(committed(client, handle))).toBe(TPM_RC.CANCELED)
    tpm.setCancel(false)
    expect((await committed(client, handle)).counter).toBe(0)
  })

  it('keeps the last 128, and none over a reset', async () => {
    const { tpm, client } = await rig()
    const first = await loadEcc(client, key, SIGN, ECDAA)
    for (let count = 0; count < 129; count += 1) await committed(client, first.handle)
    expect(await refusal(signed(client, first.handle, 0, digest))).toBe(TPM_RC.VALUE)
    await signed(client, first.handle, 1, digest)
    tpm.reset()
    await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
    const again = await loadEcc(client, key, SIGN, ECDAA)
    expect(await refusal(signed(client, again.handle, 2, digest))).toBe(TPM_RC.VALUE)
  })
})

describe('TPM2_EC_Ephemeral', () => {
  it('gives another point of the curve each time', async () => {
    const { client } = await rig()
    const one = await client.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
    const other = await client.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
    expect(point(one.Q).equals(point(other.Q))).toBe(false)
    expect([one.counter, other.counter]).toEqual([0, 1])
    const unknown = client.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.BN_P256 })
    expect(await refusal(unknown)).toBe(atParameter(TPM_RC.CURVE, 1))
  })
})
