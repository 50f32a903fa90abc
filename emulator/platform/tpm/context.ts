// What every command works on: the state of one powered TPM. Commands are functions of this context, one file per
// family as Part 3 groups them; a transport unmarshals a command's bytes and calls the same functions.

import { TPM_RC, TPM_RH } from '../../../sdk/tpm2/index.ts'
import { type TpmClock } from './clock.ts'
import { TpmError } from './errors.ts'
import { derivePrimary, type TpmObject } from './objects.ts'
import { type PcrBanks } from './pcr-banks.ts'
import { type TpmState } from './state.ts'
import { AK_HANDLE, AK_TEMPLATE, EK_HANDLE, EK_TEMPLATE } from './templates.ts'

/** TPM_PT_FIRMWARE_VERSION_1 and _2: changes when the TPM's own behaviour does. */
export const FIRMWARE_VERSION = 0x0001_0000_0000_0000n

/** A TPM between _TPM_Init and power-off. */
export interface TpmContext {
  readonly clock: TpmClock
  /** undefined until TPM2_Startup */
  pcrs: PcrBanks | undefined
  readonly objects: ReadonlyMap<number, TpmObject>
}

/** The objects of a new or restarted TPM: EK and AK at their persistent handles. */
export function persistentObjects(state: TpmState): Map<number, TpmObject> {
  return new Map([
    [EK_HANDLE, derivePrimary(state.seed, TPM_RH.ENDORSEMENT, EK_TEMPLATE)],
    [AK_HANDLE, derivePrimary(state.seed, TPM_RH.ENDORSEMENT, AK_TEMPLATE)],
  ])
}

/** The PCRs of a started TPM. Throws TpmError INITIALIZE before TPM2_Startup: every command but that one needs it. */
export function started(context: TpmContext): PcrBanks {
  if (context.pcrs === undefined)
    throw new TpmError(TPM_RC.INITIALIZE, 'expected TPM2_Startup first, found another command')
  return context.pcrs
}

/** The object at `handle`. Throws TpmError HANDLE. */
export function objectAt(context: TpmContext, handle: number): TpmObject {
  const object = context.objects.get(handle)
  if (object === undefined) {
    throw new TpmError(
      TPM_RC.HANDLE,
      `expected the handle of a loaded object, found 0x${handle.toString(16)}`,
    )
  }
  return object
}
