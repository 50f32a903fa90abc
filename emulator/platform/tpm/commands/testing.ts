// Self-test commands. Each algorithm is tested at the latest when a client asks for the result, so that there always is
// one: TPM_RC_NEEDS_TEST and TPM_RC_TESTING are never the answer.
// Source: TPM 2.0 Library, Part 3, clause 10 and Part 1, clause 10.3, revision 1.59.

import {
  TPM2_GetTestResult,
  TPM2_IncrementalSelfTest,
  TPM2_SelfTest,
  TPM_RC,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { passes, TESTED_ALGORITHMS } from '../entities/self-test.ts'
import { TpmError } from '../errors.ts'
import { checkNotCanceled, type TpmState } from '../state/tpm-state.ts'

/**
 * Tests algorithms in their order. What has passed stays so when the next one is canceled. The first that fails takes
 * the TPM into failure mode, and its answer is TPM_RC_FAILURE.
 */
function test(tpm: TpmState, algorithms: readonly number[]): void {
  for (const algorithm of algorithms) {
    checkNotCanceled(tpm)
    if (!passes(algorithm, tpm.random.next)) {
      tpm.volatile.failed = true
      throw new TpmError(TPM_RC.FAILURE, `expected the known answer of algorithm 0x${algorithm.toString(16)}`)
    }
    if (!tpm.volatile.selfTested.includes(algorithm)) {
      tpm.volatile.selfTested = [...tpm.volatile.selfTested, algorithm]
    }
  }
}

function untested(tpm: TpmState): number[] {
  return TESTED_ALGORITHMS.filter((algorithm) => !tpm.volatile.selfTested.includes(algorithm))
}

const selfTest = implement(TPM2_SelfTest, (tpm, { fullTest }) => {
  if (fullTest) tpm.volatile.selfTested = []
  test(tpm, untested(tpm))
  return {}
})

const incrementalSelfTest = implement(TPM2_IncrementalSelfTest, (tpm, { toTest }) => {
  const unknown = toTest.find((algorithm) => !TESTED_ALGORITHMS.includes(algorithm))
  if (unknown !== undefined) {
    const found = `expected algorithms that are implemented, found 0x${unknown.toString(16)}`
    throw new TpmError(TPM_RC.VALUE, found, 'toTest')
  }
  test(
    tpm,
    untested(tpm).filter((algorithm) => toTest.includes(algorithm)),
  )
  return { toDoList: untested(tpm) }
})

/** What to do about a failure, for whoever reads the data. */
const ADVICE = new TextEncoder().encode('failure mode: cycle the power of the TPM')

const getTestResult = implement(TPM2_GetTestResult, (tpm) => {
  if (!tpm.volatile.failed) test(tpm, untested(tpm))
  return tpm.volatile.failed
    ? { outData: ADVICE, testResult: TPM_RC.FAILURE }
    : { outData: new Uint8Array(0), testResult: TPM_RC.SUCCESS }
})

/** Clause 10. */
export const testingCommands: readonly Implementation[] = [selfTest, incrementalSelfTest, getTestResult]
