// What TPM2_GetCapability returns.
// Source: TPM 2.0 Library, Part 2, clause 10.10, revision 1.59.

import { type Codec, struct, tagged, UINT32 } from './codec.ts'
import { TPM_CAP } from './constants.ts'
import {
  TPML_ACT_DATA,
  TPML_ALG_PROPERTY,
  TPML_CC,
  TPML_CCA,
  TPML_ECC_CURVE,
  TPML_HANDLE,
  TPML_TAGGED_PCR_PROPERTY,
  TPML_TAGGED_POLICY,
  TPML_TAGGED_TPM_PROPERTY,
  type TPMS_ACT_DATA,
  type TPMS_ALG_PROPERTY,
  type TPMS_TAGGED_PCR_SELECT,
  type TPMS_TAGGED_POLICY,
  type TPMS_TAGGED_PROPERTY,
} from './lists.ts'
import { TPML_PCR_SELECTION, type TPMS_PCR_SELECTION } from './pcr.ts'
import { TPM_RC } from './response-codes.ts'

interface Capability<C extends number, T> {
  /** TPM_CAP */
  readonly capability: C
  readonly data: readonly T[]
}

/** TPMS_CAPABILITY_DATA (10.10.2): a TPM_CAP and the list that goes with it. */
export type TPMS_CAPABILITY_DATA =
  | Capability<typeof TPM_CAP.ALGS, TPMS_ALG_PROPERTY>
  | Capability<typeof TPM_CAP.PCRS, TPMS_PCR_SELECTION>
  | Capability<typeof TPM_CAP.TPM_PROPERTIES, TPMS_TAGGED_PROPERTY>
  | Capability<typeof TPM_CAP.PCR_PROPERTIES, TPMS_TAGGED_PCR_SELECT>
  | Capability<typeof TPM_CAP.AUTH_POLICIES, TPMS_TAGGED_POLICY>
  | Capability<typeof TPM_CAP.ACT, TPMS_ACT_DATA>
  | Capability<
      | typeof TPM_CAP.HANDLES
      | typeof TPM_CAP.COMMANDS
      | typeof TPM_CAP.PP_COMMANDS
      | typeof TPM_CAP.AUDIT_COMMANDS
      | typeof TPM_CAP.ECC_CURVES,
      number
    >

function data<T>(items: Codec<readonly T[]>): Codec<{ readonly data: readonly T[] }> {
  return struct('TPMU_CAPABILITIES', { data: items })
}

/** How TPMS_CAPABILITY_DATA is read and written. TPM_RC_VALUE. */
export const TPMS_CAPABILITY_DATA = tagged<TPMS_CAPABILITY_DATA, 'capability'>(
  'TPMS_CAPABILITY_DATA',
  'capability',
  UINT32,
  TPM_RC.VALUE,
  {
    [TPM_CAP.ALGS]: data(TPML_ALG_PROPERTY),
    [TPM_CAP.HANDLES]: data(TPML_HANDLE),
    [TPM_CAP.COMMANDS]: data(TPML_CCA),
    [TPM_CAP.PP_COMMANDS]: data(TPML_CC),
    [TPM_CAP.AUDIT_COMMANDS]: data(TPML_CC),
    [TPM_CAP.PCRS]: data(TPML_PCR_SELECTION),
    [TPM_CAP.TPM_PROPERTIES]: data(TPML_TAGGED_TPM_PROPERTY),
    [TPM_CAP.PCR_PROPERTIES]: data(TPML_TAGGED_PCR_PROPERTY),
    [TPM_CAP.ECC_CURVES]: data(TPML_ECC_CURVE),
    [TPM_CAP.AUTH_POLICIES]: data(TPML_TAGGED_POLICY),
    [TPM_CAP.ACT]: data(TPML_ACT_DATA),
  },
)
