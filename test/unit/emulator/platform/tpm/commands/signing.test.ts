// Signatures: what the TPM signs others verify, what others sign the TPM verifies.

import {
  constants,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  sign as nodeSign,
  verify,
} from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { fixedEntropy } from '../../../../../../emulator/platform/tpm/keys/index.ts'
import {
  TPM2_Sign,
  TPM2_VerifySignature,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPMA_OBJECT,
  type TpmClient,
  type TPMT_SIG_SCHEME_PLUS,
  type TPMT_SIGNATURE,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  atHandle,
  atParameter,
  DECRYPT,
  FIXED,
  flush,
  loadEcc,
  loadKeyedHash,
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
const SHA256 = TPM_ALG.SHA256
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
const NO_TICKET = { tag: 0x8024, hierarchy: TPM_RH.NULL, digest: NONE } as const
const message = utf8('a message')
const HASHES = [
  ['sha1', TPM_ALG.SHA1],
  ['sha256', SHA256],
  ['sha384', TPM_ALG.SHA384],
  ['sha512', TPM_ALG.SHA512],
] as const
const digestOf = (name: string): Uint8Array => new Uint8Array(createHash(name).update(message).digest())
const digest = digestOf('sha256')

let client: TpmClient
beforeAll(async () => {
  ;({ client } = await rig())
})

async function signed(
  keyHandle: number,
  value: Uint8Array,
  inScheme: TPMT_SIG_SCHEME_PLUS,
): Promise<TPMT_SIGNATURE> {
  const request = { keyHandle, digest: value, inScheme, validation: NO_TICKET }
  return (await client.call(TPM2_Sign, request, auth)).signature
}

/** A signature's bytes, as node:crypto takes them. */
function bytesOf(signature: TPMT_SIGNATURE): Uint8Array {
  if ('sig' in signature) return signature.sig
  if ('digest' in signature) return signature.digest
  return Uint8Array.from([...signature.signatureR, ...signature.signatureS])
}

function nodeOptions(key: KeyObject, scheme: number) {
  if (scheme === TPM_ALG.ECDSA) return { key, dsaEncoding: 'ieee-p1363' } as const
  if (scheme === TPM_ALG.RSASSA) return { key, padding: constants.RSA_PKCS1_PADDING }
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
}

describe('signatures of asymmetric keys', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

  it("RSASSA and RSAPSS: OpenSSL verifies the TPM's, and the TPM OpenSSL's", async () => {
    const { handle: keyHandle } = await loadRsa(client, rsa.privateKey, SIGN)
    for (const scheme of [TPM_ALG.RSASSA, TPM_ALG.RSAPSS] as const) {
      for (const [name, hashAlg] of HASHES) {
        const signature = await signed(keyHandle, digestOf(name), { scheme, hashAlg })
        expect(verify(name, message, nodeOptions(rsa.publicKey, scheme), bytesOf(signature))).toBe(true)
        const sig = new Uint8Array(nodeSign(name, message, nodeOptions(rsa.privateKey, scheme)))
        const other = { sigAlg: scheme, hash: hashAlg, sig }
        await client.call(TPM2_VerifySignature, { keyHandle, digest: digestOf(name), signature: other })
      }
    }
    await flush(client, keyHandle)
  })

  it('ECDSA on each curve with each hash, both ways', async () => {
    for (const namedCurve of ['P-256', 'P-384', 'P-521']) {
      const pair = generateKeyPairSync('ec', { namedCurve })
      const { handle: keyHandle } = await loadEcc(client, pair.privateKey, SIGN)
      for (const [name, hashAlg] of HASHES) {
        const scheme = TPM_ALG.ECDSA
        const signature = await signed(keyHandle, digestOf(name), { scheme, hashAlg })
        expect(verify(name, message, nodeOptions(pair.publicKey, scheme), bytesOf(signature))).toBe(true)
        const both = new Uint8Array(nodeSign(name, message, nodeOptions(pair.privateKey, scheme)))
        const half = both.length / 2
        const other = {
          sigAlg: scheme,
          hash: hashAlg,
          signatureR: both.slice(0, half),
          signatureS: both.slice(half),
        }
        await client.call(TPM2_VerifySignature, { keyHandle, digest: digestOf(name), signature: other })
      }
      await flush(client, keyHandle)
    }
  })

  it('a bit more or less in digest or signature is a refusal', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const ecc = await loadEcc(client, pair.privateKey, SIGN)
    const rsaKey = await loadRsa(client, rsa.privateKey, SIGN)
    for (const [{ handle: keyHandle }, scheme] of [
      [rsaKey, TPM_ALG.RSASSA],
      [rsaKey, TPM_ALG.RSAPSS],
      [ecc, TPM_ALG.ECDSA],
      [ecc, TPM_ALG.ECSCHNORR],
    ] as const) {
      const signature = await signed(keyHandle, digest, { scheme, hashAlg: SHA256 })
      const refused = async (value: Uint8Array, changed: TPMT_SIGNATURE) =>
        refusal(client.call(TPM2_VerifySignature, { keyHandle, digest: value, signature: changed }))
      const bad = atParameter(TPM_RC.SIGNATURE, 2)
      const flip = (bytes: Uint8Array): Uint8Array =>
        bytes.map((octet, at) => (at === 20 ? octet ^ 1 : octet))
      expect(await refused(flip(digest), signature)).toBe(bad)
      const changed = 'sig' in signature ? { ...signature, sig: flip(signature.sig) } : undefined
      const changedR =
        'signatureR' in signature ? { ...signature, signatureR: flip(signature.signatureR) } : undefined
      expect(await refused(digest, changed ?? changedR ?? signature)).toBe(bad)
      await client.call(TPM2_VerifySignature, { keyHandle, digest, signature })
    }
    await flush(client, ecc.handle, rsaKey.handle)
  })

  it('takes the scheme of the key, or of the caller where the key has none', async () => {
    const fixed = await loadRsa(client, rsa.privateKey, SIGN, { scheme: TPM_ALG.RSAPSS, hashAlg: SHA256 })
    const open = await loadRsa(client, rsa.privateKey, SIGN)
    const wrong = atParameter(TPM_RC.SCHEME, 2)
    expect((await signed(fixed.handle, digest, NO_SCHEME)).sigAlg).toBe(TPM_ALG.RSAPSS)
    expect(await refusal(signed(fixed.handle, digest, { scheme: TPM_ALG.RSASSA, hashAlg: SHA256 }))).toBe(
      wrong,
    )
    expect(
      await refusal(signed(fixed.handle, digest, { scheme: TPM_ALG.RSAPSS, hashAlg: TPM_ALG.SHA1 })),
    ).toBe(wrong)
    expect(await refusal(signed(open.handle, digest, NO_SCHEME))).toBe(wrong)
    expect(await refusal(signed(open.handle, digest, { scheme: TPM_ALG.ECDSA, hashAlg: SHA256 }))).toBe(wrong)
    await flush(client, fixed.handle, open.handle)
  })

  it('signs digests of the size of the hash, and with signing keys only', async () => {
    const key = await loadRsa(client, rsa.privateKey, SIGN)
    const decrypts = await loadRsa(client, rsa.privateKey, DECRYPT)
    const scheme = { scheme: TPM_ALG.RSASSA, hashAlg: SHA256 } as const
    expect(await refusal(signed(key.handle, digest.slice(1), scheme))).toBe(atParameter(TPM_RC.SIZE, 1))
    expect(await refusal(signed(decrypts.handle, digest, scheme))).toBe(atHandle(TPM_RC.KEY, 1))
    await signed(key.handle, digest, scheme)
    await flush(client, key.handle, decrypts.handle)
  })
})

describe('signatures of HMAC keys', () => {
  it('are HMACs of the digest, which only the secret verifies', async () => {
    const secret = utf8('a key')
    const { handle: keyHandle } = await loadKeyedHash(client, secret, SIGN)
    const signature = await signed(keyHandle, digest, NO_SCHEME)
    const expected = new Uint8Array(createHmac('sha256', secret).update(digest).digest())
    expect(signature).toEqual({ sigAlg: TPM_ALG.HMAC, hashAlg: SHA256, digest: expected })
    await client.call(TPM2_VerifySignature, { keyHandle, digest, signature })

    const scheme = { scheme: TPM_ALG.HMAC, hashAlg: SHA256 } as const
    const closed = await loadKeyedHash(client, secret, SIGN, scheme, 'public')
    const without = client.call(TPM2_VerifySignature, { keyHandle: closed.handle, digest, signature })
    expect(await refusal(without)).toBe(atParameter(TPM_RC.HANDLE, 2))
    const weaker = { sigAlg: TPM_ALG.HMAC, hashAlg: TPM_ALG.SHA1, digest: new Uint8Array(20) } as const
    const other = client.call(TPM2_VerifySignature, { keyHandle, digest, signature: weaker })
    expect(await refusal(other)).toBe(atParameter(TPM_RC.SIGNATURE, 2))
    await flush(client, keyHandle, closed.handle)
  })
})

describe('restricted keys and tickets', () => {
  it('a verified signature gives a ticket of the hierarchy of the key, none of the NULL hierarchy', async () => {
    const { objectHandle } = await primaryAk(client, TPM_RH.ENDORSEMENT, undefined, FIXED | SIGN)
    const signature = await signed(objectHandle, digest, NO_SCHEME)
    const { validation } = await client.call(TPM2_VerifySignature, {
      keyHandle: objectHandle,
      digest,
      signature,
    })
    expect(validation.hierarchy).toBe(TPM_RH.ENDORSEMENT)
    expect(validation.digest.length).toBeGreaterThan(0)
    const temporary = await primaryAk(client, TPM_RH.NULL, undefined, FIXED | SIGN)
    const own = await signed(temporary.objectHandle, digest, NO_SCHEME)
    const request = { keyHandle: temporary.objectHandle, digest, signature: own }
    expect((await client.call(TPM2_VerifySignature, request)).validation.digest).toEqual(NONE)
    await flush(client, objectHandle, temporary.objectHandle)
  })

  it('a restricted key signs nothing without a ticket', async () => {
    const { objectHandle } = await primaryAk(client, TPM_RH.OWNER)
    expect(await refusal(signed(objectHandle, digest, NO_SCHEME))).toBe(atParameter(TPM_RC.TICKET, 3))
    await flush(client, objectHandle)
  })

  it('a key for X.509 certificates signs no digests', async () => {
    const attributes = FIXED | SIGN | TPMA_OBJECT.x509sign
    const { objectHandle } = await primaryAk(client, TPM_RH.OWNER, undefined, attributes)
    expect(await refusal(signed(objectHandle, digest, NO_SCHEME))).toBe(atHandle(TPM_RC.ATTRIBUTES, 1))
    await flush(client, objectHandle)
  })
})

it('a fixed entropy makes the same signature each time', async () => {
  const once = async (entropy: string) => {
    const { client: fixed } = await rig({ entropy: fixedEntropy(entropy) })
    const { objectHandle: keyHandle } = await primaryAk(fixed, TPM_RH.OWNER, undefined, FIXED | SIGN)
    const request = { keyHandle, digest, inScheme: NO_SCHEME, validation: NO_TICKET }
    return (await fixed.call(TPM2_Sign, request, auth)).signature
  }
  expect(await once('a')).toEqual(await once('a'))
  expect(await once('a')).not.toEqual(await once('b'))
})
