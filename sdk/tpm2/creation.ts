// Creation data: under what circumstances a TPM made an object.
// Source: TPM 2.0 Library, Part 2, clause 15, revision 1.59.

import { TPMA_LOCALITY_BITS } from './attribute-types.ts'
import { TPM2B_DATA, TPM2B_DIGEST, TPM2B_NAME } from './buffers.ts'
import { sized, struct, UINT16 } from './codec.ts'
import { TPML_PCR_SELECTION } from './pcr.ts'

/** TPMS_CREATION_DATA (15.1). */
export interface TPMS_CREATION_DATA {
  readonly pcrSelect: TPML_PCR_SELECTION
  /** over the selected PCRs, with the nameAlg of the object */
  readonly pcrDigest: Uint8Array
  /** bits of TPMA_LOCALITY */
  readonly locality: number
  /** nameAlg of the parent; NULL under a hierarchy */
  readonly parentNameAlg: number
  readonly parentName: Uint8Array
  readonly parentQualifiedName: Uint8Array
  /** the caller's data */
  readonly outsideInfo: Uint8Array
}

/** How TPMS_CREATION_DATA is read and written. */
export const TPMS_CREATION_DATA = struct<TPMS_CREATION_DATA>('TPMS_CREATION_DATA', {
  pcrSelect: TPML_PCR_SELECTION,
  pcrDigest: TPM2B_DIGEST,
  locality: TPMA_LOCALITY_BITS,
  parentNameAlg: UINT16,
  parentName: TPM2B_NAME,
  parentQualifiedName: TPM2B_NAME,
  outsideInfo: TPM2B_DATA,
})

/** TPM2B_CREATION_DATA (15.2). */
export const TPM2B_CREATION_DATA = sized('TPM2B_CREATION_DATA', TPMS_CREATION_DATA)
