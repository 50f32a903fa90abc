// HPKE: the published vector of this suite, an independent recipient written from RFC 9180, and refusal of any change.

import { createDecipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  concatBytes,
  fromHex,
  generateHpkeKeyPair,
  hex,
  type HpkeKeyPair,
  open,
  seal,
  SealError,
  Secret,
  utf8,
} from '../../../../sdk/crypto/index.ts'
import vector from '../../../vectors/hpke.json' with { type: 'json' }

const hmac = (key: Uint8Array, data: Uint8Array): Uint8Array =>
  new Uint8Array(createHmac('sha256', key).update(data).digest())

function expand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  let block: Uint8Array = new Uint8Array(0)
  let out: Uint8Array = new Uint8Array(0)
  for (let i = 1; out.length < length; i++) {
    block = hmac(prk, concatBytes(block, info, Uint8Array.of(i)))
    out = concatBytes(out, block)
  }
  return out.slice(0, length)
}

// LabeledExtract and LabeledExpand of RFC 9180 section 4.
const extractWith = (suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array =>
  hmac(salt.length === 0 ? new Uint8Array(32) : salt, concatBytes(utf8('HPKE-v1'), suite, utf8(label), ikm))
const expandWith = (
  suite: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array =>
  expand(
    prk,
    concatBytes(Uint8Array.of(length >> 8, length & 0xff), utf8('HPKE-v1'), suite, utf8(label), info),
    length,
  )

const KEM_SUITE = concatBytes(utf8('KEM'), fromHex('0020'))
const SUITE = concatBytes(utf8('HPKE'), fromHex('002000010002'))
const NOTHING = new Uint8Array(0)

/** X25519 through node's key objects: the DER prefixes are those of RFC 8410. */
function x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const pkcs8 = Buffer.concat([fromHex('302e020100300506032b656e04220420'), privateKey])
  const spki = Buffer.concat([fromHex('302a300506032b656e032100'), publicKey])
  return new Uint8Array(
    diffieHellman({
      privateKey: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }),
      publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }),
    }),
  )
}

/** Key schedule of RFC 9180 sections 4.1 and 5.1, mode base. */
function schedule(
  pair: HpkeKeyPair,
  enc: Uint8Array,
  info: Uint8Array,
): { shared: Uint8Array; key: Uint8Array; nonce: Uint8Array } {
  const dh = pair.privateKey.use((bytes) => x25519(bytes, enc))
  const eaePrk = extractWith(KEM_SUITE, NOTHING, 'eae_prk', dh)
  const shared = expandWith(KEM_SUITE, eaePrk, 'shared_secret', concatBytes(enc, pair.publicKey), 32)
  const context = concatBytes(
    Uint8Array.of(0),
    extractWith(SUITE, NOTHING, 'psk_id_hash', NOTHING),
    extractWith(SUITE, NOTHING, 'info_hash', info),
  )
  const secret = extractWith(SUITE, shared, 'secret', NOTHING)
  const key = expandWith(SUITE, secret, 'key', context, 32)
  return { shared, key, nonce: expandWith(SUITE, secret, 'base_nonce', context, 12) }
}

function openIndependently(
  pair: HpkeKeyPair,
  {
    enc,
    info,
    aad,
    ciphertext,
  }: { enc: Uint8Array; info: Uint8Array; aad: Uint8Array; ciphertext: Uint8Array },
): Uint8Array {
  const { key, nonce } = schedule(pair, enc, info)
  const decipher = createDecipheriv('aes-256-gcm', key, nonce)
    .setAAD(aad)
    .setAuthTag(ciphertext.subarray(-16))
  return new Uint8Array(Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]))
}

const vectorPair = (): HpkeKeyPair => ({
  publicKey: fromHex(vector.pkRm),
  privateKey: Secret.from(fromHex(vector.skRm)),
})
const vectorMessage = {
  enc: fromHex(vector.enc),
  info: fromHex(vector.info),
  aad: fromHex(vector.aad),
  ciphertext: fromHex(vector.ciphertext),
}

describe('HPKE', () => {
  it('opens the vector of RFC 9180 for X25519, HKDF-SHA256, AES-256-GCM', async () => {
    const opened = await open({ keyPair: vectorPair(), ...vectorMessage })
    expect(opened.use(hex)).toBe(vector.plaintext)
  })

  it('the independent recipient of this test agrees with the vector at every step', () => {
    const { shared, key, nonce } = schedule(vectorPair(), vectorMessage.enc, vectorMessage.info)
    expect([hex(shared), hex(key), hex(nonce)]).toEqual([vector.sharedSecret, vector.key, vector.baseNonce])
    expect(hex(openIndependently(vectorPair(), vectorMessage))).toBe(vector.plaintext)
  })

  it('seals what the independent recipient opens, for raw and secret plaintexts', async () => {
    const pair = await generateHpkeKeyPair()
    const [info, aad] = [utf8('info'), utf8('aad')]
    for (const plaintext of [utf8('block key'), Secret.from(utf8('block key')), new Uint8Array(0)]) {
      const sealed = await seal({ recipient: pair.publicKey, info, aad, plaintext })
      const expected = plaintext instanceof Secret ? plaintext.use(hex) : hex(plaintext)
      expect(hex(openIndependently(pair, { ...sealed, info, aad }))).toBe(expected)
      expect((await open({ keyPair: pair, ...sealed, info, aad })).use(hex)).toBe(expected)
    }
  })

  it('makes a fresh encapsulation each time', async () => {
    const { publicKey } = await generateHpkeKeyPair()
    const message = { recipient: publicKey, info: NOTHING, aad: NOTHING, plaintext: utf8('x') }
    expect(hex((await seal(message)).enc)).not.toBe(hex((await seal(message)).enc))
  })

  it('refuses another key, info, aad, enc or ciphertext, without saying which', async () => {
    const changed = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte))
    const attempts = [
      { keyPair: await generateHpkeKeyPair(), ...vectorMessage },
      { keyPair: vectorPair(), ...vectorMessage, info: changed(vectorMessage.info) },
      { keyPair: vectorPair(), ...vectorMessage, aad: changed(vectorMessage.aad) },
      { keyPair: vectorPair(), ...vectorMessage, enc: changed(vectorMessage.enc) },
      { keyPair: vectorPair(), ...vectorMessage, enc: new Uint8Array(32) },
      { keyPair: vectorPair(), ...vectorMessage, enc: new Uint8Array(31) },
      { keyPair: vectorPair(), ...vectorMessage, ciphertext: changed(vectorMessage.ciphertext) },
      { keyPair: vectorPair(), ...vectorMessage, ciphertext: vectorMessage.ciphertext.subarray(1) },
      { keyPair: vectorPair(), ...vectorMessage, ciphertext: NOTHING },
    ]
    const messages = new Set<string>()
    for (const attempt of attempts) {
      const error: unknown = await open(attempt).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(SealError)
      expect(error).toMatchObject({ code: 'UNSEAL_FAILED' })
      messages.add((error as Error).message)
    }
    expect(messages.size).toBe(1)
  })

  it('refuses to seal to a key of small order or a wrong length', async () => {
    const rest = { info: NOTHING, aad: NOTHING, plaintext: utf8('x') }
    await expect(seal({ recipient: new Uint8Array(32), ...rest })).rejects.toBeInstanceOf(SealError)
    await expect(seal({ recipient: new Uint8Array(31), ...rest })).rejects.toBeInstanceOf(RangeError)
  })

  it('leaves the key pair and the plaintext usable', async () => {
    const pair = await generateHpkeKeyPair()
    const plaintext = Secret.random(64)
    const rest = { info: NOTHING, aad: NOTHING }
    const sealed = await seal({ recipient: pair.publicKey, plaintext, ...rest })
    for (let i = 0; i < 2; i++) {
      expect((await open({ keyPair: pair, ...sealed, ...rest })).equals(plaintext)).toBe(true)
    }
    pair.privateKey.wipe()
    await expect(open({ keyPair: pair, ...sealed, ...rest })).rejects.toThrow(/wiped/)
  })
})
