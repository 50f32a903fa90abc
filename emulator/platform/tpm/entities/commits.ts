// Commits: secret numbers that TPM2_Commit and TPM2_EC_Ephemeral take, and one later command uses up. Nothing is kept of
// one but its place in a count, since the number follows from the count and a nonce that ends with the next TPM Reset.
// Source: TPM 2.0 Library, Part 1, annex C.2 (split operations); Part 3, clauses 14.7, 19 and 20.2, revision 1.59.

import { TPM_RC } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { commitScalar } from '../keys/index.ts'
import { CONTEXT_HASH, MAX_COMMITS } from '../profile.ts'
import { type TpmState } from '../state/tpm-state.ts'

const LOW_BITS = 16

function scalar(tpm: TpmState, curveID: number, name: Uint8Array, count: bigint): Uint8Array {
  return commitScalar(curveID, CONTEXT_HASH, tpm.volatile.reset.commitNonce, name, count)
}

/** The number of the next commit, for the key of this name (no bytes: for no key). It is not taken yet. */
export function nextCommit(tpm: TpmState, curveID: number, name: Uint8Array): Uint8Array {
  return scalar(tpm, curveID, name, tpm.volatile.reset.commitCounter)
}

/** Takes the next commit, and returns its counter as callers see it: the low 16 bits. The oldest is forgotten. */
export function takeCommit(tpm: TpmState): number {
  const { reset } = tpm.volatile
  const count = reset.commitCounter
  reset.commitsOut = [...reset.commitsOut.filter((out) => count - out < MAX_COMMITS), count]
  reset.commitCounter = count + 1n
  return lowBits(count)
}

function lowBits(count: bigint): number {
  return Number(BigInt.asUintN(LOW_BITS, count))
}

/** The number of a commit that was taken. Throws TpmError VALUE, at the parameter `at`, when it is not open. */
export function openCommit(
  tpm: TpmState,
  curveID: number,
  name: Uint8Array,
  counter: number,
  at?: string,
): Uint8Array {
  const count = tpm.volatile.reset.commitsOut.find((out) => lowBits(out) === counter)
  if (count !== undefined) return scalar(tpm, curveID, name, count)
  throw new TpmError(TPM_RC.VALUE, 'expected the counter of a commit that is open, found another', at)
}

/** A commit was used: its number must never be used again. */
export function endCommit(tpm: TpmState, counter: number): void {
  const { reset } = tpm.volatile
  reset.commitsOut = reset.commitsOut.filter((out) => lowBits(out) !== counter)
}
