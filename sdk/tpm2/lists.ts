// Lists: a 32-bit count, then the items.
// Source: TPM 2.0 Library, Part 2, clauses 10.8 and 10.9, revision 1.59. How many items a list of capabilities has at
// most follows from MAX_CAP_BUFFER, 1024 bytes, and the size of an item in the memory of the reference implementation.

import { TPMA_ALGORITHM_BITS } from './attribute-types.ts'
import { TPM2B_DIGEST, TPMT_HA, TPMT_HA_PLUS } from './buffers.ts'
import { type Codec, list, struct, UINT16, UINT32 } from './codec.ts'
import { MAX_BANKS, readSelect, writeSelect } from './pcr.ts'
import { TPM_RC } from './response-codes.ts'

/** Bytes for the items of a list of capabilities. */
const MAX_CAP_DATA = 1024 - 4 - 4
const MAX_ALG_LIST_SIZE = 64

function capabilities<T>(name: string, item: Codec<T>, itemSize: number): Codec<readonly T[]> {
  return list(name, item, Math.floor(MAX_CAP_DATA / itemSize))
}

/** TPMS_ALG_PROPERTY (10.8.1). */
export interface TPMS_ALG_PROPERTY {
  readonly alg: number
  /** bits of TPMA_ALGORITHM */
  readonly algProperties: number
}

/** How TPMS_ALG_PROPERTY is read and written. */
export const TPMS_ALG_PROPERTY = struct<TPMS_ALG_PROPERTY>('TPMS_ALG_PROPERTY', {
  alg: UINT16,
  algProperties: TPMA_ALGORITHM_BITS,
})

/** TPMS_TAGGED_PROPERTY (10.8.2): a TPM_PT and its value. */
export interface TPMS_TAGGED_PROPERTY {
  readonly property: number
  readonly value: number
}

/** How TPMS_TAGGED_PROPERTY is read and written. */
export const TPMS_TAGGED_PROPERTY = struct<TPMS_TAGGED_PROPERTY>('TPMS_TAGGED_PROPERTY', {
  property: UINT32,
  value: UINT32,
})

/** TPMS_TAGGED_PCR_SELECT (10.8.3): a TPM_PT_PCR and the PCRs that have it. */
export interface TPMS_TAGGED_PCR_SELECT {
  readonly tag: number
  readonly pcrSelect: Uint8Array
}

/** How TPMS_TAGGED_PCR_SELECT is read and written. */
export const TPMS_TAGGED_PCR_SELECT: Codec<TPMS_TAGGED_PCR_SELECT> = {
  name: 'TPMS_TAGGED_PCR_SELECT',
  read: (reader) => ({ tag: reader.uint32(), pcrSelect: readSelect(reader) }),
  write: (writer, value) => {
    writer.uint32(value.tag)
    writeSelect(writer, value.pcrSelect)
  },
}

/** TPMS_TAGGED_POLICY (10.8.4): a permanent handle and its policy. */
export interface TPMS_TAGGED_POLICY {
  readonly handle: number
  readonly policyHash: TPMT_HA
}

/** How TPMS_TAGGED_POLICY is read and written. */
export const TPMS_TAGGED_POLICY = struct<TPMS_TAGGED_POLICY>('TPMS_TAGGED_POLICY', {
  handle: UINT32,
  policyHash: TPMT_HA_PLUS,
})

/** TPMS_ACT_DATA (10.8.5): an authenticated countdown timer. */
export interface TPMS_ACT_DATA {
  readonly handle: number
  /** seconds left */
  readonly timeout: number
  /** bits of TPMA_ACT */
  readonly attributes: number
}

/** How TPMS_ACT_DATA is read and written. */
export const TPMS_ACT_DATA = struct<TPMS_ACT_DATA>('TPMS_ACT_DATA', {
  handle: UINT32,
  timeout: UINT32,
  attributes: UINT32,
})

/** TPML_CC (10.9.1): command codes. */
export const TPML_CC = capabilities('TPML_CC', UINT32, 4)
/** TPML_CCA (10.9.2): TPMA_CC of commands. */
export const TPML_CCA = capabilities('TPML_CCA', UINT32, 4)
/** TPML_ALG (10.9.3): algorithms to test. */
export const TPML_ALG = list('TPML_ALG', UINT16, MAX_ALG_LIST_SIZE)
/** TPML_HANDLE (10.9.4). */
export const TPML_HANDLE = capabilities('TPML_HANDLE', UINT32, 4)

const MAX_DIGESTS = 8
/** TPML_DIGEST (10.9.5) as a response has it: at most 8. */
export const TPML_DIGEST = list('TPML_DIGEST', TPM2B_DIGEST, MAX_DIGESTS)
/** TPML_DIGEST as TPM2_PolicyOR takes it: 2 to 8 branches. TPM_RC_SIZE. */
export const TPML_DIGEST_OR: Codec<readonly Uint8Array[]> = {
  name: TPML_DIGEST.name,
  read: (reader) => {
    const count = reader.uint32()
    if (count < 2 || count > MAX_DIGESTS) {
      reader.fail(`expected 2 to ${String(MAX_DIGESTS)} digests, found ${String(count)}`, TPM_RC.SIZE)
    }
    return Array.from({ length: count }, () => TPM2B_DIGEST.read(reader))
  },
  write: (writer, value) => {
    TPML_DIGEST.write(writer, value)
  },
}

/** TPML_DIGEST_VALUES (10.9.6): one digest for each bank. */
export const TPML_DIGEST_VALUES = list('TPML_DIGEST_VALUES', TPMT_HA, MAX_BANKS)

/** TPML_ALG_PROPERTY (10.9.8). */
export const TPML_ALG_PROPERTY = capabilities('TPML_ALG_PROPERTY', TPMS_ALG_PROPERTY, 8)
/** TPML_TAGGED_TPM_PROPERTY (10.9.9). */
export const TPML_TAGGED_TPM_PROPERTY = capabilities('TPML_TAGGED_TPM_PROPERTY', TPMS_TAGGED_PROPERTY, 8)
/** TPML_TAGGED_PCR_PROPERTY (10.9.10). */
export const TPML_TAGGED_PCR_PROPERTY = capabilities('TPML_TAGGED_PCR_PROPERTY', TPMS_TAGGED_PCR_SELECT, 8)
/** TPML_ECC_CURVE (10.9.11): curves, not all of which need be known here. */
export const TPML_ECC_CURVE = capabilities('TPML_ECC_CURVE', UINT16, 2)
/** TPML_TAGGED_POLICY (10.9.12). */
export const TPML_TAGGED_POLICY = capabilities('TPML_TAGGED_POLICY', TPMS_TAGGED_POLICY, 72)
/** TPML_ACT_DATA (10.9.13). */
export const TPML_ACT_DATA = capabilities('TPML_ACT_DATA', TPMS_ACT_DATA, 12)
