// What every command works on: the state of one powered TPM and what the platform around it sets. Commands are functions
// of this; they check everything before they change anything.
// Source: TPM 2.0 Library, Part 1, clause 10 (TPM operational states), revision 1.59.

import { TPM_RC } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { type EntropySource } from '../keys/index.ts'
import { type Limits } from '../profile.ts'
import { type TpmClock } from './clock.ts'
import { type PermanentState } from './permanent.ts'
import { type VolatileState } from './volatile.ts'

/** A TPM between power-on and power-off. */
export interface TpmState {
  permanent: PermanentState
  volatile: VolatileState
  clock: TpmClock
  readonly random: EntropySource
  readonly limits: Limits
  /** set by the platform */
  readonly platform: PlatformInputs
  /** locality of the command that is executed */
  locality: number
  /** an H-CRTM sequence before TPM2_Startup, by bank: it goes into PCR 0 */
  earlyMeasurement: ReadonlyMap<number, Uint8Array> | undefined
  /** permanent state was changed and must be stored before the response goes out */
  changed: boolean
}

/** What reaches a TPM beside commands. */
export interface PlatformInputs {
  physicalPresence: boolean
  nvAvailable: boolean
  cancel: boolean
}

/** Throws TpmError CANCELED when the platform wants the command given up; for commands that take long. */
export function checkNotCanceled(tpm: TpmState): void {
  if (tpm.platform.cancel) throw new TpmError(TPM_RC.CANCELED, 'expected no cancel signal, found it set')
}

/** Marks the permanent state as changed: it is stored before the response goes out. */
export function changed(tpm: TpmState): void {
  tpm.changed = true
}
