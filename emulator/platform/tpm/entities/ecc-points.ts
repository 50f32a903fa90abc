// Points and curves as parameters of commands.
// Source: TPM 2.0 Library, Part 2, clause 11.2.5 and Part 3, clauses 14 and 19, revision 1.59.

import { TPM_RC, type TPMS_ECC_POINT } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { curveOf, isOnCurve } from '../keys/index.ts'
import { toBytes, toInteger } from '../keys/integers.ts'
import { CURVES } from '../profile.ts'

/** A point that is not there: two empty coordinates. */
export const NO_POINT: TPMS_ECC_POINT = { x: new Uint8Array(0), y: new Uint8Array(0) }

/** Whether a point is left out. */
export function isEmptyPoint({ x, y }: TPMS_ECC_POINT): boolean {
  return x.length === 0 && y.length === 0
}

/** Throws TpmError CURVE, at the parameter `at`, for a curve that is not implemented. */
export function checkCurve(curveID: number, at: string): void {
  if (CURVES.includes(curveID)) return
  throw new TpmError(TPM_RC.CURVE, `expected a curve that is implemented, found ${String(curveID)}`, at)
}

/** Throws TpmError ECC_POINT, at the parameter `at`, for a point that is not on the curve. */
export function checkOnCurve(curveID: number, point: TPMS_ECC_POINT, at: string): void {
  if (isOnCurve(curveID, point)) return
  throw new TpmError(TPM_RC.ECC_POINT, "expected a point of the key's curve, found another", at)
}

/** A digest as a coordinate: modulo the field's prime, as long as the field. */
export function reducedHash(curveID: number, digest: Uint8Array): Uint8Array {
  const { p, size } = curveOf(curveID)
  return toBytes(toInteger(digest) % p, size)
}
