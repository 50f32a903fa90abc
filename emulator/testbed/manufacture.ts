// What a TPM's manufacturer does before it is sold: EKs at their persistent handles, and certificates for them in NV
// memory, where clients look for them.
// Source: TCG EK Credential Profile, version 2.5, clause 2.2 (NV indices).

import { callDirectly, TPM2_Shutdown, TPM2_Startup, TPM_SU } from '../../sdk/tpm2/index.ts'
import { Manufacturer, provisionEkCertificates } from '../platform/index.ts'
import { type Tpm } from '../platform/tpm/index.ts'

/**
 * Gives a TPM that is off its EKs (RSA 2048 and P-256) and their certificates by the manufacturer in `folder`, which is
 * made there when there is none; its root is root.pem. What the TPM has already stays. Costs one TPM Reset.
 * Throws TpmResponseError when the TPM's owner has set authorizations that this would need.
 *
 * @example
 * const tpm = new Tpm()
 * manufactureTpm(tpm, 'manufacturer') // NV indices 0x01c00002 and 0x01c0000a; openssl verify -CAfile manufacturer/root.pem
 * tpm.powerOn()
 */
export function manufactureTpm(tpm: Tpm, folder: string): void {
  const execute = (command: Uint8Array): Uint8Array => tpm.execute(command)
  tpm.powerOn()
  try {
    callDirectly(execute, TPM2_Startup, { startupType: TPM_SU.CLEAR })
    provisionEkCertificates(tpm, Manufacturer.open(folder))
    callDirectly(execute, TPM2_Shutdown, { shutdownType: TPM_SU.CLEAR })
  } finally {
    tpm.powerOff()
  }
}
