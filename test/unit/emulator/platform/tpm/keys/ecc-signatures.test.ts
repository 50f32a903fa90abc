// Signatures over a digest: against node:crypto over the message, @noble/curves over the digest, and RFC 6979.

import { sign, verify } from 'node:crypto'
import { p256, p384, p521 } from '@noble/curves/nist.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  commitPoints,
  commitScalar,
  curveOf,
  ecdaaSign,
  ecdsaSign,
  ecdsaSignMessage,
  ecdsaVerify,
  type EccSignature,
  eccPrivateKey,
  eccPublicKey,
  ecSchnorrSign,
  ecSchnorrVerify,
  type Entropy,
  fixedEntropy,
  generateEccKey,
  publicPoint,
  scalarMaterialSize,
} from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { hash, TPM_ALG, TPM_ECC } from '../../../../../../sdk/tpm2/index.ts'
import { refusal } from './refusal.ts'

const next = fixedEntropy('ecc signature tests').next
const curves = [
  ['P-256', TPM_ECC.NIST_P256, p256],
  ['P-384', TPM_ECC.NIST_P384, p384],
  ['P-521', TPM_ECC.NIST_P521, p521],
] as const
const hashes = [
  ['sha1', TPM_ALG.SHA1],
  ['sha256', TPM_ALG.SHA256],
  ['sha384', TPM_ALG.SHA384],
  ['sha512', TPM_ALG.SHA512],
] as const

function integer(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex') || '0'}`)
}

function bytesOf(value: bigint, size: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex'))
}

function joined(signature: EccSignature): Uint8Array {
  return Uint8Array.from([...signature.signatureR, ...signature.signatureS])
}

function split(bytes: Uint8Array): EccSignature {
  return { signatureR: bytes.slice(0, bytes.length / 2), signatureS: bytes.slice(bytes.length / 2) }
}

/** A source whose first scalar is `nonce`, then anything. */
function nonceSource(nonce: bigint, curveID: number): Entropy {
  let first = true
  return (bytes) => {
    const known = first && bytes === scalarMaterialSize(curveID)
    first = false
    return known ? bytesOf(nonce - 1n, bytes) : next(bytes)
  }
}

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.map((octet, index) => (index === bit >> 3 ? octet ^ (1 << (bit & 7)) : octet))
}

describe('ECDSA', () => {
  it.each(curves)(
    '%s: node verifies what is signed, and what node signs is verified, for every hash',
    (_, curveID) => {
      const { scalar, point } = generateEccKey(curveID, next)
      const publicKey = { key: eccPublicKey(curveID, point), dsaEncoding: 'ieee-p1363' } as const
      const privateKey = eccPrivateKey(curveID, scalar, point)
      for (const [name, hashAlg] of hashes) {
        const text = next(33)
        const digest = hash(hashAlg, text)
        const signature = ecdsaSign(curveID, scalar, digest, next)
        expect(verify(name, text, publicKey, joined(signature))).toBe(true)
        expect(ecdsaVerify(curveID, point, digest, signature)).toBe(true)
        const foreign = split(sign(name, text, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
        expect(ecdsaVerify(curveID, point, digest, foreign)).toBe(true)
        const whole = ecdsaSignMessage(privateKey, hashAlg, text)
        expect(ecdsaVerify(curveID, point, digest, whole)).toBe(true)
        expect(whole.signatureR).toHaveLength(curveOf(curveID).size)
        expect(ecdsaVerify(curveID, point, hash(hashAlg, digest), foreign)).toBe(false)
      }
    },
  )

  it.each(curves)(
    '%s: with the same nonce it is the signature of the second implementation',
    (_, curveID, noble) => {
      const { n, size } = curveOf(curveID)
      const { scalar } = generateEccKey(curveID, next)
      for (const length of [1, 20, 32, 48, 64, 66, 70]) {
        const digest = next(length)
        const expected = noble.sign(digest, scalar, { prehash: false, lowS: false })
        const { signatureR, signatureS } = split(expected)
        const excess = 8 * length - n.toString(2).length
        const e = excess > 0 ? integer(digest) >> BigInt(excess) : integer(digest)
        const r = integer(signatureR)
        const nonce = noble.Point.Fn.mul(
          noble.Point.Fn.create(e + r * integer(scalar)),
          noble.Point.Fn.inv(integer(signatureS)),
        )
        expect(joined(ecdsaSign(curveID, scalar, digest, nonceSource(nonce, curveID)))).toEqual(expected)
        expect(expected).toHaveLength(2 * size)
      }
    },
  )

  it('is the signature of RFC 6979, A.2.5 (P-256, SHA-256, "sample")', () => {
    const scalar = Buffer.from('C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721', 'hex')
    const nonce = 0xa6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60n
    const digest = hash(TPM_ALG.SHA256, new TextEncoder().encode('sample'))
    const signature = ecdsaSign(TPM_ECC.NIST_P256, scalar, digest, nonceSource(nonce, TPM_ECC.NIST_P256))
    expect(Buffer.from(joined(signature)).toString('hex').toUpperCase()).toBe(
      'EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716' +
        'F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8',
    )
  })

  it('verifies any digest, also one of zeros, and no signature with a flipped bit', () => {
    const { scalar, point } = generateEccKey(TPM_ECC.NIST_P256, next)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(511), (digest, bit) => {
        const signature = ecdsaSign(TPM_ECC.NIST_P256, scalar, digest, next)
        expect(ecdsaVerify(TPM_ECC.NIST_P256, point, digest, signature)).toBe(true)
        expect(ecdsaVerify(TPM_ECC.NIST_P256, point, digest, split(flip(joined(signature), bit)))).toBe(false)
      }),
      { numRuns: 60 },
    )
    const zeros = new Uint8Array(32)
    const signature = ecdsaSign(TPM_ECC.NIST_P256, scalar, zeros, next)
    expect(p256.verify(joined(signature), zeros, encoded(point), { prehash: false, lowS: false })).toBe(true)
    expect(ecdsaVerify(TPM_ECC.NIST_P256, point, zeros, signature)).toBe(true)
  })

  it('refuses numbers out of range, and infinity', () => {
    const { n, size } = curveOf(TPM_ECC.NIST_P256)
    const { scalar, point } = generateEccKey(TPM_ECC.NIST_P256, next)
    const digest = next(32)
    const good = ecdsaSign(TPM_ECC.NIST_P256, scalar, digest, next)
    const check = (signature: EccSignature): boolean =>
      ecdsaVerify(TPM_ECC.NIST_P256, point, digest, signature)
    const s = integer(good.signatureS)
    expect(check({ ...good, signatureS: bytesOf(n - s, size) })).toBe(true)
    expect(check({ ...good, signatureS: bytesOf(s + n, size + 1) })).toBe(false)
    expect(check({ ...good, signatureR: bytesOf(integer(good.signatureR) + n, size + 1) })).toBe(false)
    expect(check({ ...good, signatureS: bytesOf(n, size) })).toBe(false)
    expect(check({ ...good, signatureR: new Uint8Array(size) })).toBe(false)
    expect(check({ ...good, signatureS: new Uint8Array(0) })).toBe(false)
    // e = -r·d makes eG + rQ the point at infinity.
    const r = 12345n
    const e = n - ((r * integer(scalar)) % n)
    const crafted = { signatureR: bytesOf(r, size), signatureS: bytesOf(7n, size) }
    expect(ecdsaVerify(TPM_ECC.NIST_P256, point, bytesOf(e, size), crafted)).toBe(false)
  })

  it('refuses a scalar, a point and a hash that are none', () => {
    expect(refusal(() => ecdsaSign(TPM_ECC.NIST_P256, new Uint8Array(32), next(32), next))).toBe('VALUE')
    const value = { signatureR: Uint8Array.of(1), signatureS: Uint8Array.of(1) }
    const point = { x: Uint8Array.of(1), y: Uint8Array.of(1) }
    expect(refusal(() => ecdsaVerify(TPM_ECC.NIST_P256, point, next(32), value))).toBe('ECC_POINT')
    const key = generateEccKey(TPM_ECC.NIST_P256, next)
    const privateKey = eccPrivateKey(TPM_ECC.NIST_P256, key.scalar, key.point)
    expect(refusal(() => ecdsaSignMessage(privateKey, TPM_ALG.NULL, next(3)))).toBe('SCHEME')
  })
})

function encoded(point: { readonly x: Uint8Array; readonly y: Uint8Array }): Uint8Array {
  return Uint8Array.from([4, ...point.x, ...point.y])
}

describe('EC Schnorr', () => {
  it.each(curves)('%s: verifies, and satisfies the equations of annex C', (_, curveID, noble) => {
    const { size, n } = curveOf(curveID)
    const { scalar, point } = generateEccKey(curveID, next)
    for (const [, hashAlg] of hashes) {
      const digest = hash(hashAlg, next(5))
      const signature = ecSchnorrSign(curveID, scalar, hashAlg, digest, next)
      expect(ecSchnorrVerify(curveID, point, hashAlg, digest, signature)).toBe(true)
      expect(ecSchnorrVerify(curveID, point, hashAlg, hash(hashAlg, digest), signature)).toBe(false)
      const [r, s] = [integer(signature.signatureR), integer(signature.signatureS)]
      const key = noble.Point.fromAffine({ x: integer(point.x), y: integer(point.y) })
      const R = noble.Point.BASE.multiply(s).subtract(key.multiplyUnsafe(r)).toAffine()
      const expected = hash(hashAlg, bytesOf(R.x, size), digest).subarray(0, size)
      expect(integer(expected) % n).toBe(r)
    }
  })

  it('no flipped bit is accepted, nor a number out of range', () => {
    const { n } = curveOf(TPM_ECC.NIST_P256)
    const { scalar, point } = generateEccKey(TPM_ECC.NIST_P256, next)
    const digest = next(32)
    const good = ecSchnorrSign(TPM_ECC.NIST_P256, scalar, TPM_ALG.SHA256, digest, next)
    const check = (signature: EccSignature): boolean =>
      ecSchnorrVerify(TPM_ECC.NIST_P256, point, TPM_ALG.SHA256, digest, signature)
    fc.assert(
      fc.property(fc.nat(511), (bit) => {
        expect(check(split(flip(joined(good), bit)))).toBe(false)
      }),
      { numRuns: 40 },
    )
    expect(check({ ...good, signatureS: bytesOf(integer(good.signatureS) + n, 33) })).toBe(false)
    expect(check(good)).toBe(true)
  })
})

describe('ECDAA', () => {
  it.each(curves)('%s: s·G is E + T·Q for the E of the commit', (_, curveID, noble) => {
    const { n, size } = curveOf(curveID)
    const { scalar, point } = generateEccKey(curveID, next)
    const commit = commitScalar(curveID, TPM_ALG.SHA256, next(32), next(34), 7n)
    const { E } = commitPoints(curveID, scalar, commit, {})
    const digest = next(32)
    const { signatureR, signatureS } = ecdaaSign(curveID, scalar, commit, TPM_ALG.SHA256, digest, next)
    const t = integer(hash(TPM_ALG.SHA256, signatureR, digest)) % n
    const key = noble.Point.fromAffine({ x: integer(point.x), y: integer(point.y) })
    const left = noble.Point.BASE.multiply(integer(signatureS)).subtract(key.multiplyUnsafe(t)).toAffine()
    expect({ x: bytesOf(left.x, size), y: bytesOf(left.y, size) }).toEqual(E)
  })

  it('a commit whose number cancels the signature gives no result', () => {
    const curveID = TPM_ECC.NIST_P256
    const { n, size } = curveOf(curveID)
    const { scalar } = generateEccKey(curveID, next)
    const nonce = 99n
    const digest = next(32)
    const t = integer(hash(TPM_ALG.SHA256, bytesOf(nonce, size), digest)) % n
    const commit = bytesOf(n - ((t * integer(scalar)) % n), size)
    const source = nonceSource(nonce, curveID)
    expect(refusal(() => ecdaaSign(curveID, scalar, commit, TPM_ALG.SHA256, digest, source))).toBe(
      'NO_RESULT',
    )
  })

  it('the number of a commit depends on nonce, name and counter alone, and is in range', () => {
    const curveID = TPM_ECC.NIST_P384
    const [nonce, name] = [next(32), next(34)]
    const scalar = commitScalar(curveID, TPM_ALG.SHA256, nonce, name, 1n)
    expect(commitScalar(curveID, TPM_ALG.SHA256, nonce, name, 1n)).toEqual(scalar)
    expect(commitScalar(curveID, TPM_ALG.SHA256, nonce, name, 2n)).not.toEqual(scalar)
    expect(commitScalar(curveID, TPM_ALG.SHA256, nonce, nonce, 1n)).not.toEqual(scalar)
    expect(commitScalar(curveID, TPM_ALG.SHA256, name, name, 1n)).not.toEqual(scalar)
    expect(publicPoint(curveID, scalar).x).toHaveLength(48)
  })
})
