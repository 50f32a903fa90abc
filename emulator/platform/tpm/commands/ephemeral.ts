// Ephemeral elliptic curve keys: the first half of operations that a later command ends.
// Source: TPM 2.0 Library, Part 3, clause 19 and Part 1, annex C.2, revision 1.59.

import {
  hash,
  TPM2_Commit,
  TPM2_EC_Ephemeral,
  TPM_ALG,
  TPM_RC,
  type TPMS_ECC_POINT,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { checkCurve, checkOnCurve, isEmptyPoint, NO_POINT, reducedHash } from '../entities/ecc-points.ts'
import { nextCommit, takeCommit } from '../entities/commits.ts'
import { keyAt } from '../entities/object-store.ts'
import { isAnonymous } from '../entities/signing.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { commitPoints, publicPoint } from '../keys/index.ts'
import { checkNotCanceled } from '../state/tpm-state.ts'

const NO_NAME = new Uint8Array(0)

const commit = implement(TPM2_Commit, (tpm, { signHandle, P1, s2, y2 }) => {
  const key = keyAt(tpm, signHandle, 'signHandle', TPM_RC.KEY)
  const { publicArea } = key
  if (publicArea.type !== TPM_ALG.ECC) {
    throw new TpmError(TPM_RC.KEY, 'expected an elliptic curve key, found another', 'signHandle')
  }
  const { curveID, scheme } = publicArea.parameters
  if (!isAnonymous(scheme.scheme)) {
    throw new TpmError(TPM_RC.SCHEME, 'expected a key of an anonymous scheme, found another', 'signHandle')
  }
  if ((s2.length === 0) !== (y2.length === 0)) {
    throw new TpmError(TPM_RC.SIZE, 'expected both of s2 and y2 or neither, found one', 'y2')
  }
  const scalar = key.sensitive('signHandle', TPM_RC.KEY).sensitive
  const points: { P1?: TPMS_ECC_POINT; P2?: TPMS_ECC_POINT } = {}
  if (s2.length > 0) {
    points.P2 = { x: reducedHash(curveID, hash(publicArea.nameAlg, s2)), y: y2 }
    checkOnCurve(curveID, points.P2, 's2')
  }
  if (!isEmptyPoint(P1)) {
    points.P1 = P1
    checkOnCurve(curveID, P1, 'P1')
  }
  checkNotCanceled(tpm)
  const number = nextCommit(tpm, curveID, key.name)
  const {
    K = NO_POINT,
    L = NO_POINT,
    E = NO_POINT,
  } = withKeyErrors('signHandle', () => commitPoints(curveID, scalar, number, points))
  return { K, L, E, counter: takeCommit(tpm) }
})

const ecEphemeral = implement(TPM2_EC_Ephemeral, (tpm, { curveID }) => {
  checkCurve(curveID, 'curveID')
  const Q = publicPoint(curveID, nextCommit(tpm, curveID, NO_NAME))
  return { Q, counter: takeCommit(tpm) }
})

/** Clause 19. */
export const ephemeralCommands: readonly Implementation[] = [commit, ecEphemeral]
