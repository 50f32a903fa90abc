// How a TPM refuses: a response code. A command throws it; a transport turns it into a response header.
// Source: TPM 2.0 Library, Part 2, clause 6.6 (TPM_RC), revision 1.59.

import { TPM_RC } from '../../../sdk/tpm2/index.ts'

const NAMES = new Map<number, string>(Object.entries(TPM_RC).map(([name, rc]) => [rc, `TPM_RC_${name}`]))

/** A command that failed; no state changed. */
export class TpmError extends Error {
  /** the response code, without a parameter, handle or session number */
  readonly rc: number

  constructor(rc: (typeof TPM_RC)[keyof typeof TPM_RC], message: string, options?: ErrorOptions) {
    super(`${NAMES.get(rc) ?? 'TPM_RC'} (0x${rc.toString(16)}): ${message}`, options)
    this.name = 'TpmError'
    this.rc = rc
  }
}
