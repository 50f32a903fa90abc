// All commands of this room, by command code: what a TPM dispatches on, and what TPM2_GetCapability lists.
// Source: TPM 2.0 Library, Part 3, revision 1.59, one file for each of its clauses.

import { type AnyCommand } from '../command.ts'
import * as asymmetric from './asymmetric.ts'
import * as attestation from './attestation.ts'
import * as audit from './audit.ts'
import * as capability from './capability.ts'
import * as clock from './clock.ts'
import * as context from './context.ts'
import * as dictionary from './dictionary.ts'
import * as duplication from './duplication.ts'
import * as ephemeral from './ephemeral.ts'
import * as hash from './hash.ts'
import * as hierarchy from './hierarchy.ts'
import * as management from './management.ts'
import * as nv from './nv.ts'
import * as object from './object.ts'
import * as pcr from './pcr.ts'
import * as policy from './policy.ts'
import * as random from './random.ts'
import * as session from './session.ts'
import * as signing from './signing.ts'
import * as startup from './startup.ts'
import * as symmetric from './symmetric.ts'
import * as testing from './testing.ts'

export * from './asymmetric.ts'
export * from './attestation.ts'
export * from './audit.ts'
export * from './capability.ts'
export * from './clock.ts'
export * from './context.ts'
export * from './dictionary.ts'
export * from './duplication.ts'
export * from './ephemeral.ts'
export * from './hash.ts'
export * from './hierarchy.ts'
export * from './management.ts'
export * from './nv.ts'
export * from './object.ts'
export * from './pcr.ts'
export * from './policy.ts'
export * from './random.ts'
export * from './session.ts'
export * from './signing.ts'
export * from './startup.ts'
export * from './symmetric.ts'
export * from './testing.ts'

const FAMILIES = [
  startup,
  testing,
  session,
  object,
  duplication,
  asymmetric,
  symmetric,
  random,
  hash,
  attestation,
  ephemeral,
  signing,
  audit,
  pcr,
  policy,
  hierarchy,
  dictionary,
  management,
  context,
  clock,
  capability,
  nv,
]

const ROWS: readonly AnyCommand[] = FAMILIES.flatMap((family) => Object.values<AnyCommand>(family))

/** Every command by its code, in ascending order of codes. */
export const COMMANDS: ReadonlyMap<number, AnyCommand> = new Map(
  ROWS.toSorted((a, b) => a.code - b.code).map((row) => [row.code, row]),
)
