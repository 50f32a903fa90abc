// TPM2_Startup. Source: TPM 2.0 Library, Part 3, clause 9.3, revision 1.59.

import { TPM_RC, TPM_SU } from '../../../sdk/tpm2/index.ts'
import { type TpmContext } from './context.ts'
import { TpmError } from './errors.ts'
import { PcrBanks } from './pcr-banks.ts'

/**
 * TPM2_Startup(CLEAR): a TPM reset. PCRs take their reset values, the reset count goes up, durably.
 * Throws TpmError INITIALIZE when started already, VALUE for TPM_SU_STATE (there is no saved state to go on from),
 * LOCALITY for a locality other than 0 and 3.
 */
export function startup(context: TpmContext, startupType: number, locality: number): void {
  if (context.pcrs !== undefined)
    throw new TpmError(TPM_RC.INITIALIZE, 'expected TPM2_Startup once after power-on')
  if (startupType !== TPM_SU.CLEAR) {
    throw new TpmError(TPM_RC.VALUE, `expected TPM_SU_CLEAR, found 0x${startupType.toString(16)}`)
  }
  if (locality !== 0 && locality !== 3) {
    throw new TpmError(
      TPM_RC.LOCALITY,
      `expected TPM2_Startup from locality 0 or 3, found ${String(locality)}`,
    )
  }
  context.clock.reset()
  context.pcrs = new PcrBanks(locality)
}
