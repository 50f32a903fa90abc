// Errors of the pure rooms, as the wire has them: a refusal keeps its code, malformed bytes are INVALID_ARGUMENT.

import { Refusal } from '../attest/index.ts'
import { BlockError } from '../block/index.ts'
import { FormatError } from '../crypto/index.ts'
import { EvidenceError } from '../evidence/index.ts'
import { PalimpsestError } from '../rpc/index.ts'

/** `error` as a PalimpsestError where it is the caller's doing; any other unchanged. */
function wireError(error: unknown): unknown {
  if (error instanceof Refusal) return new PalimpsestError(error.code, error.message, { cause: error })
  if (error instanceof FormatError || error instanceof EvidenceError || error instanceof BlockError)
    return new PalimpsestError('INVALID_ARGUMENT', error.message, { cause: error })
  return error
}

/** Runs `work` and gives its errors the form of the wire. */
export async function onWire<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw wireError(error)
  }
}
