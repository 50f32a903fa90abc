// How tests look at refusals: by code, with a message that names what was expected and found.

import { Refusal, type RefusalCode } from '../../../../sdk/attest/index.ts'

/** The refusal that `run` throws; any other error, or none, fails the test. */
export function refusalOf(run: () => unknown): Refusal {
  try {
    run()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('expected a refusal, got none')
}

/** As {@link refusalOf}, for promises. */
export async function refusalIn(work: Promise<unknown>): Promise<Refusal> {
  try {
    await work
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('expected a refusal, got none')
}

/** Its code alone. */
export function codeOf(run: () => unknown): RefusalCode {
  return refusalOf(run).code
}
