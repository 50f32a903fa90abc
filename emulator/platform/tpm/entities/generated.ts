// How data that a TPM made itself is known: what it attests starts with TPM_GENERATED_VALUE. A restricted key signs no
// digest of other data that starts so, since it would pass for an attestation.
// Source: TPM 2.0 Library, Part 2, clause 6.2, revision 1.59.

import { TPM_GENERATED_VALUE } from '../../../../sdk/tpm2/index.ts'

/** Bytes that tell. */
export const GENERATED_BYTES = 4

/** Whether data starts as what a TPM makes itself does. */
export function looksGenerated(data: Uint8Array): boolean {
  if (data.length < GENERATED_BYTES) return false
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0) === TPM_GENERATED_VALUE
}
