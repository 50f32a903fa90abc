// Sensitive areas: what an object keeps secret, and what a caller gives when it makes one.
// Source: TPM 2.0 Library, Part 2, clauses 11.1.15, 11.1.16 and 12.3, revision 1.59.

import {
  TPM2B_AUTH,
  TPM2B_DIGEST,
  TPM2B_ECC_PARAMETER,
  TPM2B_PRIVATE_KEY_RSA,
  TPM2B_SENSITIVE_DATA,
  TPM2B_SYM_KEY,
} from './buffers.ts'
import { type Codec, sized, struct, tagged, UINT16 } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { TPM_RC } from './response-codes.ts'

/** TPMS_SENSITIVE_CREATE (11.1.15). */
export interface TPMS_SENSITIVE_CREATE {
  readonly userAuth: Uint8Array
  /** data to seal or a key to use; empty when the TPM is to make it. For a derived object: the bytes of a TPMS_DERIVE */
  readonly data: Uint8Array
}

/** How TPMS_SENSITIVE_CREATE is read and written. */
export const TPMS_SENSITIVE_CREATE = struct<TPMS_SENSITIVE_CREATE>('TPMS_SENSITIVE_CREATE', {
  userAuth: TPM2B_AUTH,
  data: TPM2B_SENSITIVE_DATA,
})

/** TPM2B_SENSITIVE_CREATE (11.1.16). */
export const TPM2B_SENSITIVE_CREATE = sized('TPM2B_SENSITIVE_CREATE', TPMS_SENSITIVE_CREATE)

/** TPMT_SENSITIVE (12.3.4). */
export interface TPMT_SENSITIVE {
  /** the type of the object (TPM_ALG) */
  readonly sensitiveType:
    typeof TPM_ALG.RSA | typeof TPM_ALG.ECC | typeof TPM_ALG.KEYEDHASH | typeof TPM_ALG.SYMCIPHER
  readonly authValue: Uint8Array
  /** of a storage key: from it come the keys that protect its children; else what obfuscates `unique` */
  readonly seedValue: Uint8Array
  /** RSA: one prime; ECC: the scalar; KEYEDHASH: the sealed data or the key; SYMCIPHER: the key */
  readonly sensitive: Uint8Array
}

function area(sensitive: Codec<Uint8Array>): Codec<Omit<TPMT_SENSITIVE, 'sensitiveType'>> {
  return struct('TPMT_SENSITIVE', { authValue: TPM2B_AUTH, seedValue: TPM2B_DIGEST, sensitive })
}

/** How TPMT_SENSITIVE is read and written. TPM_RC_TYPE. */
export const TPMT_SENSITIVE = tagged<TPMT_SENSITIVE, 'sensitiveType'>(
  'TPMT_SENSITIVE',
  'sensitiveType',
  UINT16,
  TPM_RC.TYPE,
  {
    [TPM_ALG.RSA]: area(TPM2B_PRIVATE_KEY_RSA),
    [TPM_ALG.ECC]: area(TPM2B_ECC_PARAMETER),
    [TPM_ALG.KEYEDHASH]: area(TPM2B_SENSITIVE_DATA),
    [TPM_ALG.SYMCIPHER]: area(TPM2B_SYM_KEY),
  },
)

/** TPM2B_SENSITIVE (12.3.5) with contents, as it lies encrypted in a TPM2B_PRIVATE. */
export const TPM2B_SENSITIVE = sized('TPM2B_SENSITIVE', TPMT_SENSITIVE)

/** TPM2B_SENSITIVE as TPM2_LoadExternal takes it: an empty one, undefined here, loads the public area alone. */
export const TPM2B_SENSITIVE_OPTIONAL: Codec<TPMT_SENSITIVE | undefined> = {
  name: TPM2B_SENSITIVE.name,
  sized: true,
  read: (reader) => {
    const size = reader.uint16()
    if (size === 0) return undefined
    const inner = reader.inner(size, TPM2B_SENSITIVE.name)
    const value = TPMT_SENSITIVE.read(inner)
    inner.end()
    return value
  },
  write: (writer, value) => {
    if (value === undefined) writer.uint16(0)
    else TPM2B_SENSITIVE.write(writer, value)
  },
}
