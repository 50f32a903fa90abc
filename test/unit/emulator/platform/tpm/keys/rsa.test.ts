// RSA operations against node:crypto's own (a second implementation of every encoding), and their refusals.

import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  sign,
  verify,
} from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  deterministicStream,
  fixedEntropy,
  generateRsaKey,
  KeyError,
  oaepDecrypt,
  oaepEncrypt,
  rsaesDecrypt,
  rsaesEncrypt,
  rsaKeyFromPrime,
  rsapssSign,
  rsapssVerify,
  rsaPrivate,
  rsaPublic,
  rsaPublicKey,
  rsassaSign,
  rsassaVerify,
} from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { hash, TPM_ALG } from '../../../../../../sdk/tpm2/index.ts'
import { refusal } from './refusal.ts'

const NONE = new Uint8Array(0)
const LABEL = new TextEncoder().encode('DUPLICATE\0')
const next = fixedEntropy('rsa tests').next
const pair = generateKeyPairSync('rsa', { modulusLength: 1024 })
const larger = generateKeyPairSync('rsa', { modulusLength: 2048 })
const hashes = [
  ['sha1', TPM_ALG.SHA1],
  ['sha256', TPM_ALG.SHA256],
  ['sha384', TPM_ALG.SHA384],
  ['sha512', TPM_ALG.SHA512],
] as const
const message = fc.uint8Array({ maxLength: 200 })

describe('raw RSA', () => {
  it('undoes itself, and takes and drops leading zeros', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 127 }), (block) => {
        const padded = new Uint8Array(128)
        padded.set(block, 128 - block.length)
        const sealed = rsaPublic(pair.publicKey, block)
        expect(rsaPrivate(pair.privateKey, sealed)).toEqual(padded)
        expect(rsaPublic(pair.publicKey, Uint8Array.from([0, 0, ...padded]))).toEqual(sealed)
        expect(rsaPublic(pair.publicKey, rsaPrivate(pair.privateKey, block))).toEqual(padded)
      }),
      { numRuns: 20 },
    )
  })

  it('refuses a number that is longer than the modulus or not below it', () => {
    expect(refusal(() => rsaPublic(pair.publicKey, new Uint8Array(129).fill(1)))).toBe('SIZE')
    expect(refusal(() => rsaPublic(pair.publicKey, new Uint8Array(128).fill(0xff)))).toBe('VALUE')
    expect(refusal(() => rsaPrivate(pair.privateKey, new Uint8Array(128).fill(0xff)))).toBe('VALUE')
    expect(() => rsaPublic(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey, NONE)).toThrow(
      TypeError,
    )
  })
})

describe('RSAES', () => {
  it('is read by node, and reads what node wrote', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 117 }), (text) => {
        const sealed = rsaesEncrypt(pair.publicKey, text, next)
        expect(rsaesDecrypt(pair.privateKey, sealed)).toEqual(text)
        const key = { key: pair.publicKey, padding: constants.RSA_PKCS1_PADDING }
        expect(rsaesDecrypt(pair.privateKey, publicEncrypt(key, text))).toEqual(text)
      }),
      { numRuns: 20 },
    )
  })

  it('refuses a message that does not fit, and every defect of the padding', () => {
    expect(refusal(() => rsaesEncrypt(pair.publicKey, new Uint8Array(118), next))).toBe('VALUE')
    expect(refusal(() => rsaesDecrypt(pair.privateKey, new Uint8Array(127)))).toBe('SIZE')
    const good = new Uint8Array(128).fill(7)
    good.set([0, 2])
    good[20] = 0
    const seal = (change: (block: Uint8Array) => void): Uint8Array => {
      const block = Uint8Array.from(good)
      change(block)
      return rsaPublic(pair.publicKey, block)
    }
    expect(
      rsaesDecrypt(
        pair.privateKey,
        seal(() => undefined),
      ),
    ).toHaveLength(107)
    const defects: readonly ((block: Uint8Array) => void)[] = [
      (block) => {
        block.set([1], 0)
      },
      (block) => {
        block.set([1], 1)
      },
      (block) => {
        block.set([0], 9)
      },
      (block) => {
        block.set([9], 20)
      },
    ]
    for (const defect of defects)
      expect(refusal(() => rsaesDecrypt(pair.privateKey, seal(defect)))).toBe('PADDING')
  })
})

describe('OAEP', () => {
  it.each(hashes)('%s is read by node, and reads what node wrote', (name, hashAlg) => {
    const text = next(20)
    const options = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: name, oaepLabel: LABEL }
    const sealed = oaepEncrypt(larger.publicKey, hashAlg, LABEL, text, next)
    expect(new Uint8Array(privateDecrypt({ key: larger.privateKey, ...options }, sealed))).toEqual(text)
    const foreign = publicEncrypt({ key: larger.publicKey, ...options }, text)
    expect(oaepDecrypt(larger.privateKey, hashAlg, LABEL, foreign)).toEqual(text)
  })

  it('carries any message that fits, with no label too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 190 }), (text) => {
        const sealed = oaepEncrypt(larger.publicKey, TPM_ALG.SHA256, NONE, text, next)
        expect(oaepDecrypt(larger.privateKey, TPM_ALG.SHA256, NONE, sealed)).toEqual(text)
      }),
      { numRuns: 20 },
    )
  })

  it('refuses another label or hash, a longer message and a hash that does not fit', () => {
    const sealed = oaepEncrypt(pair.publicKey, TPM_ALG.SHA256, LABEL, next(16), next)
    expect(refusal(() => oaepDecrypt(pair.privateKey, TPM_ALG.SHA256, NONE, sealed))).toBe('PADDING')
    expect(refusal(() => oaepDecrypt(pair.privateKey, TPM_ALG.SHA1, LABEL, sealed))).toBe('PADDING')
    expect(refusal(() => oaepDecrypt(pair.privateKey, TPM_ALG.SHA512, LABEL, sealed))).toBe('HASH')
    expect(refusal(() => oaepDecrypt(pair.privateKey, TPM_ALG.SHA256, LABEL, NONE))).toBe('SIZE')
    expect(refusal(() => oaepEncrypt(pair.publicKey, TPM_ALG.SHA256, LABEL, next(63), next))).toBe('VALUE')
    expect(refusal(() => oaepEncrypt(pair.publicKey, TPM_ALG.SHA512, LABEL, NONE, next))).toBe('HASH')
  })
})

describe('signatures of a digest', () => {
  it.each(hashes)('RSASSA with %s is what node signs', (name, hashAlg) => {
    const text = next(40)
    const digest = hash(hashAlg, text)
    const signature = rsassaSign(larger.privateKey, hashAlg, digest)
    expect(signature).toEqual(new Uint8Array(sign(name, text, larger.privateKey)))
    expect(rsassaVerify(larger.publicKey, hashAlg, digest, signature)).toBe(true)
    expect(rsassaVerify(larger.publicKey, hashAlg, hash(hashAlg, digest), signature)).toBe(false)
  })

  it.each(hashes)('RSAPSS with %s is verified by node, and verifies what node signed', (name, hashAlg) => {
    const text = next(40)
    const digest = hash(hashAlg, text)
    const padding = constants.RSA_PKCS1_PSS_PADDING
    const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
    const signature = rsapssSign(larger.privateKey, hashAlg, digest, next)
    expect(verify(name, text, { key: larger.publicKey, padding, saltLength }, signature)).toBe(true)
    for (const salt of [constants.RSA_PSS_SALTLEN_DIGEST, constants.RSA_PSS_SALTLEN_MAX_SIGN, 0]) {
      const foreign = sign(name, text, { key: larger.privateKey, padding, saltLength: salt })
      expect(rsapssVerify(larger.publicKey, hashAlg, digest, foreign)).toBe(true)
      expect(rsapssVerify(larger.publicKey, hashAlg, hash(hashAlg, digest), foreign)).toBe(false)
    }
  })

  it('RSAPSS takes the longest salt that fits: SHA-512 under 1024 bits', () => {
    const text = next(9)
    const signature = rsapssSign(pair.privateKey, TPM_ALG.SHA512, hash(TPM_ALG.SHA512, text), next)
    const options = { key: pair.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 62 }
    expect(verify('sha512', text, options, signature)).toBe(true)
  })

  it('every flipped bit makes a signature bad', () => {
    const digest = hash(TPM_ALG.SHA256, LABEL)
    const rsassa = rsassaSign(pair.privateKey, TPM_ALG.SHA256, digest)
    const rsapss = rsapssSign(pair.privateKey, TPM_ALG.SHA256, digest, next)
    fc.assert(
      fc.property(fc.nat(1023), (bit) => {
        const flip = (bytes: Uint8Array): Uint8Array =>
          bytes.map((octet, index) => (index === bit >> 3 ? octet ^ (1 << (bit & 7)) : octet))
        expect(rsassaVerify(pair.publicKey, TPM_ALG.SHA256, digest, flip(rsassa))).toBe(false)
        expect(rsapssVerify(pair.publicKey, TPM_ALG.SHA256, digest, flip(rsapss))).toBe(false)
      }),
      { numRuns: 60 },
    )
    expect(rsassaVerify(pair.publicKey, TPM_ALG.SHA256, digest, rsassa.subarray(1))).toBe(false)
    expect(rsapssVerify(pair.publicKey, TPM_ALG.SHA256, digest, Uint8Array.from([0, ...rsapss]))).toBe(false)
  })

  it('RSASSA without a hash signs the bytes as they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 117 }), (bytes) => {
        const signature = rsassaSign(pair.privateKey, TPM_ALG.NULL, bytes)
        const block = rsaPublic(pair.publicKey, signature)
        expect(block.subarray(128 - bytes.length)).toEqual(bytes)
        expect(rsassaVerify(pair.publicKey, TPM_ALG.NULL, bytes, signature)).toBe(true)
      }),
      { numRuns: 20 },
    )
    expect(refusal(() => rsassaSign(pair.privateKey, TPM_ALG.NULL, new Uint8Array(118)))).toBe('HASH')
  })

  it('refuses a digest of another length', () => {
    const digest = new Uint8Array(20)
    expect(refusal(() => rsassaSign(pair.privateKey, TPM_ALG.SHA256, digest))).toBe('SIZE')
    expect(refusal(() => rsapssSign(pair.privateKey, TPM_ALG.SHA256, digest, next))).toBe('SIZE')
    expect(rsapssVerify(pair.publicKey, TPM_ALG.SHA256, digest, new Uint8Array(128))).toBe(false)
  })
})

describe('key of a modulus and a prime', () => {
  const stream = deterministicStream(TPM_ALG.SHA256, next(32), 'RSA', NONE, NONE)
  const made = generateRsaKey(1024, 0, stream)
  const key = rsaKeyFromPrime(made.modulus, 0, made.prime)

  it('signs and decrypts for the public key of the same modulus', () => {
    const publicKey = rsaPublicKey(made.modulus, 65537)
    expect(createPublicKey(key).equals(publicKey)).toBe(true)
    fc.assert(
      fc.property(message, (text) => {
        expect(verify('sha256', text, publicKey, sign('sha256', text, key))).toBe(true)
      }),
      { numRuns: 10 },
    )
  })

  it('takes either prime', () => {
    const [n, p] = [made.modulus, made.prime].map((bytes) =>
      BigInt(`0x${Buffer.from(bytes).toString('hex')}`),
    )
    const other = ((n ?? 0n) / (p ?? 1n)).toString(16)
    const digest = hash(TPM_ALG.SHA256, NONE)
    const same = rsassaSign(
      rsaKeyFromPrime(made.modulus, 0, Buffer.from(other, 'hex')),
      TPM_ALG.SHA256,
      digest,
    )
    expect(same).toEqual(rsassaSign(key, TPM_ALG.SHA256, digest))
  })

  it('refuses what is no prime of the modulus', () => {
    const wrong = Uint8Array.from(made.prime)
    wrong[40] = (wrong[40] ?? 0) ^ 1
    expect(refusal(() => rsaKeyFromPrime(made.modulus, 0, wrong))).toBe('BINDING')
    expect(refusal(() => rsaKeyFromPrime(made.modulus, 0, new Uint8Array(64)))).toBe('BINDING')
    const one = new Uint8Array(64)
    one[63] = 1
    expect(refusal(() => rsaKeyFromPrime(made.modulus, 0, one))).toBe('BINDING')
    expect(refusal(() => rsaKeyFromPrime(made.modulus, 0, made.prime.subarray(1)))).toBe('KEY_SIZE')
    expect(refusal(() => rsaKeyFromPrime(made.modulus.subarray(1), 0, made.prime))).toBe('KEY_SIZE')
    expect(refusal(() => rsaKeyFromPrime(made.modulus, 65536, made.prime))).toBe('RANGE')
  })

  it('refuses numbers that are no RSA modulus', () => {
    expect(refusal(() => rsaPublicKey(new Uint8Array(128), 0))).toBe('VALUE')
    expect(refusal(() => rsaPublicKey(new Uint8Array(100), 0))).toBe('KEY_SIZE')
    expect(new KeyError('VALUE', 'x').name).toBe('KeyError')
  })
})
