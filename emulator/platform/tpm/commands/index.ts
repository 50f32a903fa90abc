// Every command that this TPM has, by its code: what is not here is answered with TPM_RC_COMMAND_CODE.

import { type Registry } from '../dispatch/execute.ts'
import { type Implementation } from '../dispatch/implementation.ts'
import { auditCommands } from './audit.ts'
import { capabilityCommands } from './capability.ts'
import { clockCommands } from './clock.ts'
import { contextCommands } from './context.ts'
import { createLoadedCommands } from './create-loaded.ts'
import { dictionaryCommands } from './dictionary.ts'
import { duplicationCommands } from './duplication.ts'
import { hierarchyCommands } from './hierarchy.ts'
import { managementCommands } from './management.ts'
import { nvCommands } from './nv.ts'
import { objectCommands } from './object.ts'
import { pcrCommands } from './pcr.ts'
import { policyCommands } from './policy.ts'
import { sessionCommands } from './session.ts'
import { startupCommands } from './startup.ts'
import { asymmetricCommands } from './asymmetric.ts'
import { attestationCommands } from './attestation.ts'
import { ephemeralCommands } from './ephemeral.ts'
import { hashCommands } from './hash.ts'
import { randomCommands } from './random.ts'
import { signingCommands } from './signing.ts'
import { symmetricCommands } from './symmetric.ts'
import { testingCommands } from './testing.ts'

const FAMILIES: readonly (readonly Implementation[])[] = [
  startupCommands,
  sessionCommands,
  objectCommands,
  createLoadedCommands,
  duplicationCommands,
  contextCommands,
  testingCommands,
  asymmetricCommands,
  symmetricCommands,
  randomCommands,
  hashCommands,
  attestationCommands,
  ephemeralCommands,
  signingCommands,
  pcrCommands,
  auditCommands(() => IMPLEMENTED),
  policyCommands(() => IMPLEMENTED),
  hierarchyCommands,
  dictionaryCommands,
  managementCommands(() => IMPLEMENTED),
  clockCommands,
  nvCommands,
  capabilityCommands(() => IMPLEMENTED),
]

/** The commands. */
export const IMPLEMENTED: Registry = new Map(FAMILIES.flat().map((one) => [one.row.code, one]))
