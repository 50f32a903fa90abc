// Curve arithmetic against @noble/curves (a second implementation) and published vectors.

import { createPublicKey, diffieHellman } from 'node:crypto'
import { p256, p384, p521 } from '@noble/curves/nist.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { add, toAffine } from '../../../../../../emulator/platform/tpm/keys/ecc.ts'
import {
  commitPoints,
  curveOf,
  ECC_CURVES,
  eccAgree,
  eccMultiply,
  eccPrivateKey,
  eccPublicKey,
  fixedEntropy,
  generateEccKey,
  isOnCurve,
  publicPoint,
  scalarFromMaterial,
  scalarMaterialSize,
  type TwoPhase,
  twoPhaseEcdh,
  twoPhaseMqv,
} from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { TPM_ECC, type TPMS_ECC_POINT } from '../../../../../../sdk/tpm2/index.ts'
import { refusal } from './refusal.ts'

const next = fixedEntropy('ecc tests').next
const curves = [
  ['P-256', TPM_ECC.NIST_P256, p256],
  ['P-384', TPM_ECC.NIST_P384, p384],
  ['P-521', TPM_ECC.NIST_P521, p521],
] as const
type Noble = (typeof curves)[number][2]

function integer(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex') || '0'}`)
}

function bytesOf(value: bigint, size: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex'))
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

function nobleMultiply(curve: Noble, scalar: bigint, point: TPMS_ECC_POINT): TPMS_ECC_POINT {
  const affine = curve.Point.fromAffine({ x: integer(point.x), y: integer(point.y) })
  const { x, y } = affine.multiplyUnsafe(scalar).toAffine()
  const size = Math.ceil(curve.Point.Fn.BITS / 8)
  return { x: bytesOf(x, size), y: bytesOf(y, size) }
}

describe('curves', () => {
  it.each(curves)('%s has the parameters of the second implementation', (name, curveID, noble) => {
    const { p, a, b, gx, gy, n, h, jwkName, bits, size } = curveOf(curveID)
    const other = noble.Point.CURVE()
    expect({ p, a, b, Gx: gx, Gy: gy, n, h }).toEqual({ ...other })
    expect(jwkName).toBe(name)
    expect(bits).toBe(n.toString(2).length)
    expect(size).toBe(Math.ceil(p.toString(2).length / 8))
  })

  it('refuses another curve', () => {
    expect(ECC_CURVES).toEqual([3, 4, 5])
    expect(refusal(() => curveOf(TPM_ECC.NIST_P224))).toBe('CURVE')
    expect(refusal(() => generateEccKey(0x10, next))).toBe('CURVE')
  })
})

describe('scalars', () => {
  it.each(curves)('%s: material becomes (material mod (n - 1)) + 1, and is wiped', (_, curveID) => {
    const { n, size } = curveOf(curveID)
    const length = scalarMaterialSize(curveID)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: length, maxLength: length + 9 }), (material) => {
        const expected = (integer(material) % (n - 1n)) + 1n
        expect(scalarFromMaterial(curveID, material)).toEqual(bytesOf(expected, size))
        expect(material.every((octet) => octet === 0)).toBe(true)
      }),
    )
    expect(() => scalarFromMaterial(curveID, new Uint8Array(length - 1))).toThrow(RangeError)
    expect(scalarFromMaterial(curveID, bytesOf(n - 1n, length))).toEqual(bytesOf(1n, size))
    expect(scalarFromMaterial(curveID, bytesOf(n - 2n, length))).toEqual(bytesOf(n - 1n, size))
  })

  it.each(curves)('%s: zero, the order and more are no private scalars', (_, curveID) => {
    const { n, size } = curveOf(curveID)
    for (const value of [0n, n, n + 1n]) {
      expect(refusal(() => publicPoint(curveID, bytesOf(value, size)))).toBe('VALUE')
    }
  })
})

describe('points', () => {
  it.each(curves)(
    '%s: multiples of the base point are those of the second implementation',
    (_, curveID, noble) => {
      const { n, gx, gy, size, p } = curveOf(curveID)
      const base = { x: bytesOf(gx, size), y: bytesOf(gy, size) }
      for (let round = 0; round < 4; round += 1) {
        const { scalar, point } = generateEccKey(curveID, next)
        expect(point).toEqual(nobleMultiply(noble, integer(scalar), base))
        expect(isOnCurve(curveID, point)).toBe(true)
      }
      expect(publicPoint(curveID, Uint8Array.of(1))).toEqual(base)
      expect(publicPoint(curveID, bytesOf(n - 1n, size))).toEqual({ x: base.x, y: bytesOf(p - gy, size) })
    },
  )

  it.each(curves)('%s: multiples of any point have both coordinates right', (_, curveID, noble) => {
    const { n, size } = curveOf(curveID)
    const { point } = generateEccKey(curveID, next)
    const random = [1, 2, 3].map(() => integer(generateEccKey(curveID, next).scalar))
    for (const scalar of [1n, 2n, 3n, n - 1n, n - 2n, n - 3n, ...random]) {
      const expected = nobleMultiply(noble, scalar, point)
      const bytes = bytesOf(scalar, size)
      expect(eccMultiply(curveID, bytes, point)).toEqual(expected)
      expect(eccAgree(curveID, bytes, point)).toEqual(expected.x)
    }
  })

  it.each(curves)('%s: sums are those of the second implementation', (_, curveID, noble) => {
    const curve = curveOf(curveID)
    const [one, two] = [1, 2].map(() => toAffine(curve, generateEccKey(curveID, next).point))
    if (one === undefined || two === undefined) throw new TypeError('expected two points')
    const point = noble.Point.fromAffine.bind(noble.Point)
    const { x, y } = point(one).add(point(two)).toAffine()
    expect(add(curve, one, two)).toEqual({ x, y })
    expect(add(curve, one, one)).toEqual({ ...point(one).double().toAffine() })
    expect(add(curve, one, { x: one.x, y: curve.p - one.y })).toBeUndefined()
  })

  it.each(curves)('%s: refuses points off the curve, and coordinates not below the modulus', (_, curveID) => {
    const { p, size, gx, gy } = curveOf(curveID)
    const scalar = bytesOf(5n, size)
    const off: readonly TPMS_ECC_POINT[] = [
      { x: bytesOf(gx, size), y: bytesOf(gy ^ 1n, size) },
      { x: bytesOf(gx + p, size + 1), y: bytesOf(gy, size) },
      { x: bytesOf(gx, size), y: bytesOf(gy + p, size + 1) },
      { x: new Uint8Array(0), y: new Uint8Array(0) },
    ]
    for (const point of off) {
      expect(isOnCurve(curveID, point)).toBe(false)
      expect(refusal(() => eccAgree(curveID, scalar, point))).toBe('ECC_POINT')
      expect(refusal(() => eccMultiply(curveID, scalar, point))).toBe('ECC_POINT')
      expect(refusal(() => eccPublicKey(curveID, point))).toBe('ECC_POINT')
    }
    expect(() => isOnCurve(9, { x: scalar, y: scalar })).toThrow()
  })

  it('agrees as NIST published: CAVP, ECC CDH, P-256, count 0', () => {
    const other = {
      x: fromHex('700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287'),
      y: fromHex('db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac'),
    }
    const scalar = fromHex('7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534')
    const shared = '46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b'
    expect(Buffer.from(eccAgree(TPM_ECC.NIST_P256, scalar, other)).toString('hex')).toBe(shared)
  })
})

describe('keys as node takes them', () => {
  it.each(curves)('%s: agree with each other', (_, curveID) => {
    const [mine, theirs] = [generateEccKey(curveID, next), generateEccKey(curveID, next)]
    const privateKey = eccPrivateKey(curveID, mine.scalar, mine.point)
    const publicKey = eccPublicKey(curveID, theirs.point)
    const shared = new Uint8Array(diffieHellman({ privateKey, publicKey }))
    expect(eccAgree(curveID, theirs.scalar, mine.point)).toEqual(shared)
    expect(createPublicKey(privateKey).equals(eccPublicKey(curveID, mine.point))).toBe(true)
    expect(refusal(() => eccPrivateKey(curveID, mine.scalar, theirs.point))).toBe('BINDING')
  })
})

describe('exchanges', () => {
  it.each(curves)('%s: commit gives dP2, rP2 and rP1, or rG', (_, curveID, noble) => {
    const { gx, gy, size } = curveOf(curveID)
    const key = generateEccKey(curveID, next)
    const commit = generateEccKey(curveID, next)
    const [P1, P2] = [generateEccKey(curveID, next).point, generateEccKey(curveID, next).point]
    const [d, r] = [integer(key.scalar), integer(commit.scalar)]
    const E = nobleMultiply(noble, r, P1)
    const both = { K: nobleMultiply(noble, d, P2), L: nobleMultiply(noble, r, P2) }
    const base = { E: nobleMultiply(noble, r, { x: bytesOf(gx, size), y: bytesOf(gy, size) }) }
    expect(commitPoints(curveID, key.scalar, commit.scalar, { P1, P2 })).toEqual({ ...both, E })
    expect(commitPoints(curveID, key.scalar, commit.scalar, { P1 })).toEqual({ E })
    expect(commitPoints(curveID, key.scalar, commit.scalar, { P2 })).toEqual(both)
    expect(commitPoints(curveID, key.scalar, commit.scalar, {})).toEqual(base)
    const wrong = { x: P1.x, y: P2.y }
    expect(refusal(() => commitPoints(curveID, key.scalar, commit.scalar, { P2: wrong }))).toBe('ECC_POINT')
  })

  it.each(curves)('%s: both sides of a two-phase exchange have the same secrets', (_, curveID) => {
    const [as, ae, bs, be] = [1, 2, 3, 4].map(() => generateEccKey(curveID, next))
    if (!as || !ae || !bs || !be) throw new TypeError('expected four keys')
    const side = (s: typeof as, e: typeof as, os: typeof as, oe: typeof as): TwoPhase => ({
      staticScalar: s.scalar,
      ephemeralScalar: e.scalar,
      otherStatic: os.point,
      otherEphemeral: oe.point,
    })
    const [a, b] = [side(as, ae, bs, be), side(bs, be, as, ae)]
    const shared = twoPhaseEcdh(curveID, a)
    expect(twoPhaseEcdh(curveID, b)).toEqual(shared)
    expect(shared).toEqual({
      outZ1: eccMultiply(curveID, as.scalar, bs.point),
      outZ2: eccMultiply(curveID, ae.scalar, be.point),
    })
    const secret = twoPhaseMqv(curveID, a)
    expect(twoPhaseMqv(curveID, b)).toEqual(secret)
    expect(twoPhaseMqv(curveID, side(as, be, bs, ae))).not.toEqual(secret)
  })

  it.each(curves)('%s: MQV is the formula of SP 800-56A', (_, curveID, noble) => {
    const [ds, de] = [generateEccKey(curveID, next), generateEccKey(curveID, next)]
    const [qs, qe] = [generateEccKey(curveID, next), generateEccKey(curveID, next)]
    const { n, size, bits } = curveOf(curveID)
    const half = 1n << BigInt(Math.ceil(bits / 2))
    const avf = (point: TPMS_ECC_POINT): bigint => (integer(point.x) % half) + half
    // With the other side's scalars known, the shared point is sA · sB · G.
    const implicit = (s: bigint, e: bigint, point: TPMS_ECC_POINT): bigint => (e + avf(point) * s) % n
    const mine = implicit(integer(ds.scalar), integer(de.scalar), de.point)
    const theirs = implicit(integer(qs.scalar), integer(qe.scalar), qe.point)
    const { x, y } = noble.Point.BASE.multiply((mine * theirs) % n).toAffine()
    const side: TwoPhase = {
      staticScalar: ds.scalar,
      ephemeralScalar: de.scalar,
      otherStatic: qs.point,
      otherEphemeral: qe.point,
    }
    expect(twoPhaseMqv(curveID, side)).toEqual({ x: bytesOf(x, size), y: bytesOf(y, size) })
  })

  it('MQV refuses the point at infinity', () => {
    const curveID = TPM_ECC.NIST_P256
    const { n } = curveOf(curveID)
    const qe = generateEccKey(curveID, next)
    // Qe + avf(Qe)·Qs is infinity when the static scalar is -e/avf(Qe).
    const avf = (integer(qe.point.x) % (1n << 128n)) + (1n << 128n)
    const static_ = ((n - integer(qe.scalar)) * p256.Point.Fn.inv(avf)) % n
    const side: TwoPhase = {
      staticScalar: Uint8Array.of(2),
      ephemeralScalar: Uint8Array.of(3),
      otherStatic: publicPoint(curveID, bytesOf(static_, 32)),
      otherEphemeral: qe.point,
    }
    expect(refusal(() => twoPhaseMqv(curveID, side))).toBe('NO_RESULT')
  })
})
