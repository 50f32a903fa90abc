// NV indices: their public area, and what some of them hold.
// Source: TPM 2.0 Library, Part 2, clause 13, revision 1.59.

import { TPMA_NV_BITS } from './attribute-types.ts'
import { TPM2B_DIGEST } from './buffers.ts'
import { type Codec, sized, struct, UINT16, UINT32 } from './codec.ts'
import { handleParameter, TPMI_RH_NV_INDEX } from './handles.ts'
import { TPMI_ALG_HASH } from './interface-types.ts'
import { TPM_RC } from './response-codes.ts'

/** MAX_NV_INDEX_SIZE, in bytes: data of one index. */
const MAX_NV_INDEX_SIZE = 2048

const DATA_SIZE: Codec<number> = {
  name: 'TPMS_NV_PUBLIC.dataSize',
  read: (reader) => {
    const size = reader.uint16()
    if (size > MAX_NV_INDEX_SIZE) {
      reader.fail(`expected at most ${String(MAX_NV_INDEX_SIZE)} bytes, found ${String(size)}`, TPM_RC.SIZE)
    }
    return size
  },
  write: (writer, value) => {
    UINT16.write(writer, value)
  },
}

/** TPMS_NV_PUBLIC (13.5). */
export interface TPMS_NV_PUBLIC {
  /** the handle of the index */
  readonly nvIndex: number
  /** hash of the index's name, and of an extend index (TPM_ALG) */
  readonly nameAlg: number
  /** bits of TPMA_NV */
  readonly attributes: number
  readonly authPolicy: Uint8Array
  readonly dataSize: number
}

/** How TPMS_NV_PUBLIC is read and written. */
export const TPMS_NV_PUBLIC = struct<TPMS_NV_PUBLIC>('TPMS_NV_PUBLIC', {
  nvIndex: handleParameter(TPMI_RH_NV_INDEX),
  nameAlg: TPMI_ALG_HASH,
  attributes: TPMA_NV_BITS,
  authPolicy: TPM2B_DIGEST,
  dataSize: DATA_SIZE,
})

/** TPM2B_NV_PUBLIC (13.6). */
export const TPM2B_NV_PUBLIC = sized('TPM2B_NV_PUBLIC', TPMS_NV_PUBLIC)

/** TPMS_NV_PIN_COUNTER_PARAMETERS (13.3): data of a PIN index. */
export interface TPMS_NV_PIN_COUNTER_PARAMETERS {
  readonly pinCount: number
  readonly pinLimit: number
}

/** How TPMS_NV_PIN_COUNTER_PARAMETERS is read and written. */
export const TPMS_NV_PIN_COUNTER_PARAMETERS = struct<TPMS_NV_PIN_COUNTER_PARAMETERS>(
  'TPMS_NV_PIN_COUNTER_PARAMETERS',
  { pinCount: UINT32, pinLimit: UINT32 },
)
