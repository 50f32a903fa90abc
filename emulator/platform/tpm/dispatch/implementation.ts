// What ties a row of the command tables to the code that does it.

import { type AnyCommand, type Command } from '../../../../sdk/tpm2/index.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { type SessionUse } from './call.ts'

/** What some commands need besides their parameters. */
export interface Surroundings {
  /** sessions of the command, in order */
  readonly uses: readonly SessionUse[]
}

/** A command that the TPM has. */
export interface Implementation {
  readonly row: AnyCommand
  run(tpm: TpmState, request: object, surroundings: Surroundings): object
}

/** Ties `row` to `run`, which checks everything before it changes anything and throws TpmError when it refuses. */
export function implement<Q extends object, S extends object>(
  row: Command<Q, S>,
  run: (tpm: TpmState, request: Q, surroundings: Surroundings) => S,
): Implementation {
  return { row: row, run: (tpm, request, surroundings) => run(tpm, request as Q, surroundings) }
}
