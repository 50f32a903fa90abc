// What a TPM signs about itself: TPMS_ATTEST and its parts. A quote is the one kind read here; another kind is one
// more interface and one more line in ATTESTED.
// Source: TPM 2.0 Library, Part 2, clauses 10.11 and 10.12, revision 1.59.

import { type Codec, buffer, struct, TPMI_YES_NO, UINT16, UINT32, UINT64 } from './codec.ts'
import { TPM_GENERATED_VALUE, TPM_ST } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { MAX_DIGEST_SIZE } from './hash.ts'
import { TPML_PCR_SELECTION } from './pcr.ts'
import { TPM2B_DIGEST, TPM2B_NAME } from './public.ts'

/** TPM2B_DATA (10.4.3): as large as a TPMT_HA, that is an algorithm and the largest digest. */
export const TPM2B_DATA = buffer('TPM2B_DATA', 2 + MAX_DIGEST_SIZE)

/** TPMS_CLOCK_INFO (10.11.1). */
export interface TPMS_CLOCK_INFO {
  /** milliseconds that the TPM has been powered */
  readonly clock: bigint
  /** TPM resets since the owner was last cleared */
  readonly resetCount: number
  /** restarts and resumes since the last reset */
  readonly restartCount: number
  /** false when an earlier, greater clock may have been reported */
  readonly safe: boolean
}

/** How TPMS_CLOCK_INFO is read and written. */
export const TPMS_CLOCK_INFO = struct<TPMS_CLOCK_INFO>('TPMS_CLOCK_INFO', {
  clock: UINT64,
  resetCount: UINT32,
  restartCount: UINT32,
  safe: TPMI_YES_NO,
})

/** TPMS_TIME_INFO (10.11.6): what TPM2_ReadClock returns; `time` is milliseconds since power-on. */
export interface TPMS_TIME_INFO {
  readonly time: bigint
  readonly clockInfo: TPMS_CLOCK_INFO
}

/** How TPMS_TIME_INFO is read and written. */
export const TPMS_TIME_INFO = struct<TPMS_TIME_INFO>('TPMS_TIME_INFO', {
  time: UINT64,
  clockInfo: TPMS_CLOCK_INFO,
})

/** TPMS_QUOTE_INFO (10.12.4). */
export interface TPMS_QUOTE_INFO {
  readonly pcrSelect: TPML_PCR_SELECTION
  readonly pcrDigest: Uint8Array
}

const TPMS_QUOTE_INFO = struct<TPMS_QUOTE_INFO>('TPMS_QUOTE_INFO', {
  pcrSelect: TPML_PCR_SELECTION,
  pcrDigest: TPM2B_DIGEST,
})

/** TPMU_ATTEST (10.12.11) by its selector, a TPM_ST. */
interface AttestedByType {
  [TPM_ST.ATTEST_QUOTE]: TPMS_QUOTE_INFO
}

const ATTESTED: { readonly [K in keyof AttestedByType]: Codec<AttestedByType[K]> } = {
  [TPM_ST.ATTEST_QUOTE]: TPMS_QUOTE_INFO,
}

/** TPMS_ATTEST (10.12.12). `magic` is TPM_GENERATED_VALUE: a TPM signs nothing else that starts with it. */
export interface TPMS_ATTEST<K extends keyof AttestedByType = keyof AttestedByType> {
  readonly magic: typeof TPM_GENERATED_VALUE
  readonly type: K
  /** qualified name of the signing key */
  readonly qualifiedSigner: Uint8Array
  /** the caller's qualifying data */
  readonly extraData: Uint8Array
  readonly clockInfo: TPMS_CLOCK_INFO
  readonly firmwareVersion: bigint
  readonly attested: AttestedByType[K]
}

const AttestBody = struct<
  Pick<TPMS_ATTEST, 'qualifiedSigner' | 'extraData' | 'clockInfo' | 'firmwareVersion'>
>('TPMS_ATTEST', {
  qualifiedSigner: TPM2B_NAME,
  extraData: TPM2B_DATA,
  clockInfo: TPMS_CLOCK_INFO,
  firmwareVersion: UINT64,
})

/** Reading throws Tpm2Error BAD_MAGIC or BAD_TYPE for a foreign magic number or a kind that is not read here. */
export const TPMS_ATTEST: Codec<TPMS_ATTEST> = {
  name: 'TPMS_ATTEST',
  read: (reader) => {
    const magic = reader.uint32()
    if (magic !== TPM_GENERATED_VALUE) {
      throw new Tpm2Error(
        'BAD_MAGIC',
        `expected TPM_GENERATED_VALUE 0xff544347, found 0x${magic.toString(16)}`,
      )
    }
    const type = UINT16.read(reader)
    if (type !== TPM_ST.ATTEST_QUOTE) {
      throw new Tpm2Error('BAD_TYPE', `expected TPM_ST_ATTEST_QUOTE 0x8018, found 0x${type.toString(16)}`)
    }
    return { magic, type, ...AttestBody.read(reader), attested: ATTESTED[type].read(reader) }
  },
  write: (writer, value) => {
    writer.uint32(value.magic)
    writer.uint16(value.type)
    AttestBody.write(writer, value)
    ATTESTED[value.type].write(writer, value.attested)
  },
}
