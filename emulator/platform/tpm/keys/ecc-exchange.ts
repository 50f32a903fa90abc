// The points of TPM2_Commit and of the two-phase key exchanges.
// Source: TPM 2.0 Library, Part 1, annexes C.2.3 (Commit) and C.6 to C.8 (ECDH, ECMQV); Part 3, clauses 14.7 and 19;
// SP 800-56A rev. 3, 5.7.2.3 (ECC MQV) and 6.1.1.2 (full unified model).

import { type TPMS_ECC_POINT } from '../../../../sdk/tpm2/index.ts'
import { type Curve, curveOf } from './curves.ts'
import { add, type Affine, fromAffine, multiply, multiplyBase, scalarValue, toAffine } from './ecc.ts'
import { KeyError } from './errors.ts'

/** The points of a commit; those that were not asked for are absent. */
export interface CommitPoints {
  /** d times P2. */
  readonly K?: TPMS_ECC_POINT
  /** r times P2. */
  readonly L?: TPMS_ECC_POINT
  /** r times P1, or r times the base point when neither point is given. */
  readonly E?: TPMS_ECC_POINT
}

/**
 * K = dP2, L = rP2 and E = rP1 (rG when neither point is given), for the key's scalar d and the commit's scalar r.
 * Throws KeyError CURVE, VALUE (a scalar) or ECC_POINT.
 */
export function commitPoints(
  curveID: number,
  scalar: Uint8Array,
  commit: Uint8Array,
  points: { readonly P1?: TPMS_ECC_POINT; readonly P2?: TPMS_ECC_POINT },
): CommitPoints {
  const curve = curveOf(curveID)
  const [d, r] = [scalarValue(curve, scalar), scalarValue(curve, commit)]
  const P1 = points.P1 && toAffine(curve, points.P1)
  const P2 = points.P2 && toAffine(curve, points.P2)
  const E = P1 === undefined ? multiplyBase(curve, r) : multiply(curve, r, P1)
  if (P2 === undefined) return { E: fromAffine(curve, E) }
  const both = { K: fromAffine(curve, multiply(curve, d, P2)), L: fromAffine(curve, multiply(curve, r, P2)) }
  return P1 === undefined ? both : { ...both, E: fromAffine(curve, E) }
}

/** One side's part in a two-phase exchange: its own two scalars and the other side's two points. */
export interface TwoPhase {
  readonly staticScalar: Uint8Array
  readonly ephemeralScalar: Uint8Array
  readonly otherStatic: TPMS_ECC_POINT
  readonly otherEphemeral: TPMS_ECC_POINT
}

interface Checked {
  readonly ds: bigint
  readonly de: bigint
  readonly Qs: Affine
  readonly Qe: Affine
}

function check(curve: Curve, side: TwoPhase): Checked {
  return {
    ds: scalarValue(curve, side.staticScalar),
    de: scalarValue(curve, side.ephemeralScalar),
    Qs: toAffine(curve, side.otherStatic),
    Qe: toAffine(curve, side.otherEphemeral),
  }
}

/**
 * Both secrets of the full unified model: outZ1 is static times static, outZ2 ephemeral times ephemeral.
 * Throws KeyError CURVE, VALUE (a scalar) or ECC_POINT.
 */
export function twoPhaseEcdh(
  curveID: number,
  side: TwoPhase,
): { readonly outZ1: TPMS_ECC_POINT; readonly outZ2: TPMS_ECC_POINT } {
  const curve = curveOf(curveID)
  const { ds, de, Qs, Qe } = check(curve, side)
  return {
    outZ1: fromAffine(curve, multiply(curve, ds, Qs)),
    outZ2: fromAffine(curve, multiply(curve, de, Qe)),
  }
}

/** The associate value of a point: the low half of its x, with one bit more set (SP 800-56A, 5.7.2.2). */
function associateValue(curve: Curve, point: Affine): bigint {
  const half = BigInt(Math.ceil(curve.bits / 2))
  return BigInt.asUintN(Number(half), point.x) + (1n << half)
}

/**
 * The secret of full MQV: (de + avf(Qe,A)·ds)(Qe,B + avf(Qe,B)·Qs,B).
 * Throws KeyError CURVE, VALUE (a scalar), ECC_POINT, or NO_RESULT at infinity.
 */
export function twoPhaseMqv(curveID: number, side: TwoPhase): TPMS_ECC_POINT {
  const curve = curveOf(curveID)
  const { ds, de, Qs, Qe } = check(curve, side)
  const implicit = (de + associateValue(curve, multiplyBase(curve, de)) * ds) % curve.n
  const sum = add(curve, Qe, multiply(curve, associateValue(curve, Qe), Qs))
  if (implicit === 0n || sum === undefined) {
    throw new KeyError('NO_RESULT', 'expected a shared point, found the point at infinity')
  }
  return fromAffine(curve, multiply(curve, implicit, sum))
}
