// What a TPM signs about itself: TPMS_ATTEST and its parts.
// Source: TPM 2.0 Library, Part 2, clauses 10.11 and 10.12, revision 1.59.

import { TPM2B_DATA, TPM2B_DIGEST, TPM2B_MAX_NV_BUFFER, TPM2B_NAME } from './buffers.ts'
import { type Codec, struct, TPMI_YES_NO, UINT16, UINT32, UINT64 } from './codec.ts'
import { TPM_GENERATED_VALUE, TPM_ST } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { TPML_PCR_SELECTION } from './pcr.ts'
import { TPM_RC } from './response-codes.ts'

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

/** TPMS_TIME_ATTEST_INFO (10.12.2). */
export interface TPMS_TIME_ATTEST_INFO {
  readonly time: TPMS_TIME_INFO
  readonly firmwareVersion: bigint
}

/** TPMS_CERTIFY_INFO (10.12.3): an object that is loaded in this TPM. */
export interface TPMS_CERTIFY_INFO {
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}

/** TPMS_QUOTE_INFO (10.12.4). */
export interface TPMS_QUOTE_INFO {
  readonly pcrSelect: TPML_PCR_SELECTION
  readonly pcrDigest: Uint8Array
}

/** TPMS_COMMAND_AUDIT_INFO (10.12.5). */
export interface TPMS_COMMAND_AUDIT_INFO {
  readonly auditCounter: bigint
  /** TPM_ALG */
  readonly digestAlg: number
  readonly auditDigest: Uint8Array
  /** over the codes of the audited commands */
  readonly commandDigest: Uint8Array
}

/** TPMS_SESSION_AUDIT_INFO (10.12.6). */
export interface TPMS_SESSION_AUDIT_INFO {
  readonly exclusiveSession: boolean
  readonly sessionDigest: Uint8Array
}

/** TPMS_CREATION_INFO (10.12.7): an object that this TPM made. */
export interface TPMS_CREATION_INFO {
  readonly objectName: Uint8Array
  readonly creationHash: Uint8Array
}

/** TPMS_NV_CERTIFY_INFO (10.12.8). */
export interface TPMS_NV_CERTIFY_INFO {
  readonly indexName: Uint8Array
  readonly offset: number
  readonly nvContents: Uint8Array
}

/** TPMS_NV_DIGEST_CERTIFY_INFO (10.12.9). */
export interface TPMS_NV_DIGEST_CERTIFY_INFO {
  readonly indexName: Uint8Array
  readonly nvDigest: Uint8Array
}

/** TPMU_ATTEST (10.12.11) by its selector, a TPM_ST. */
export interface AttestedByType {
  [TPM_ST.ATTEST_CERTIFY]: TPMS_CERTIFY_INFO
  [TPM_ST.ATTEST_CREATION]: TPMS_CREATION_INFO
  [TPM_ST.ATTEST_QUOTE]: TPMS_QUOTE_INFO
  [TPM_ST.ATTEST_COMMAND_AUDIT]: TPMS_COMMAND_AUDIT_INFO
  [TPM_ST.ATTEST_SESSION_AUDIT]: TPMS_SESSION_AUDIT_INFO
  [TPM_ST.ATTEST_TIME]: TPMS_TIME_ATTEST_INFO
  [TPM_ST.ATTEST_NV]: TPMS_NV_CERTIFY_INFO
  [TPM_ST.ATTEST_NV_DIGEST]: TPMS_NV_DIGEST_CERTIFY_INFO
}

/** TPMI_ST_ATTEST (10.12.10). */
export type AttestType = keyof AttestedByType

const ATTESTED: { readonly [K in AttestType]: Codec<AttestedByType[K]> } = {
  [TPM_ST.ATTEST_CERTIFY]: struct('TPMS_CERTIFY_INFO', { name: TPM2B_NAME, qualifiedName: TPM2B_NAME }),
  [TPM_ST.ATTEST_CREATION]: struct('TPMS_CREATION_INFO', {
    objectName: TPM2B_NAME,
    creationHash: TPM2B_DIGEST,
  }),
  [TPM_ST.ATTEST_QUOTE]: struct('TPMS_QUOTE_INFO', {
    pcrSelect: TPML_PCR_SELECTION,
    pcrDigest: TPM2B_DIGEST,
  }),
  [TPM_ST.ATTEST_COMMAND_AUDIT]: struct('TPMS_COMMAND_AUDIT_INFO', {
    auditCounter: UINT64,
    digestAlg: UINT16,
    auditDigest: TPM2B_DIGEST,
    commandDigest: TPM2B_DIGEST,
  }),
  [TPM_ST.ATTEST_SESSION_AUDIT]: struct('TPMS_SESSION_AUDIT_INFO', {
    exclusiveSession: TPMI_YES_NO,
    sessionDigest: TPM2B_DIGEST,
  }),
  [TPM_ST.ATTEST_TIME]: struct('TPMS_TIME_ATTEST_INFO', { time: TPMS_TIME_INFO, firmwareVersion: UINT64 }),
  [TPM_ST.ATTEST_NV]: struct('TPMS_NV_CERTIFY_INFO', {
    indexName: TPM2B_NAME,
    offset: UINT16,
    nvContents: TPM2B_MAX_NV_BUFFER,
  }),
  [TPM_ST.ATTEST_NV_DIGEST]: struct('TPMS_NV_DIGEST_CERTIFY_INFO', {
    indexName: TPM2B_NAME,
    nvDigest: TPM2B_DIGEST,
  }),
}

interface AttestHead {
  /** qualified name of the signing key */
  readonly qualifiedSigner: Uint8Array
  /** the caller's qualifying data */
  readonly extraData: Uint8Array
  readonly clockInfo: TPMS_CLOCK_INFO
  readonly firmwareVersion: bigint
}

const AttestHead = struct<AttestHead>('TPMS_ATTEST', {
  qualifiedSigner: TPM2B_NAME,
  extraData: TPM2B_DATA,
  clockInfo: TPMS_CLOCK_INFO,
  firmwareVersion: UINT64,
})

interface AttestOf<K extends AttestType> extends AttestHead {
  readonly magic: typeof TPM_GENERATED_VALUE
  readonly type: K
  readonly attested: AttestedByType[K]
}

/**
 * TPMS_ATTEST (10.12.12), of the kinds `K`. `magic` is TPM_GENERATED_VALUE: a TPM signs nothing else that starts with
 * it.
 */
export type TPMS_ATTEST<K extends AttestType = AttestType> = { [T in K]: AttestOf<T> }[K]

function isOneOf<K extends AttestType>(types: readonly K[], type: number): type is K {
  return types.some((known) => known === type)
}

function attest<K extends AttestType>(types: readonly K[]): Codec<TPMS_ATTEST<K>> {
  return {
    name: 'TPMS_ATTEST',
    read: (reader) => {
      const magic = reader.uint32()
      if (magic !== TPM_GENERATED_VALUE) {
        const found = `found 0x${magic.toString(16)}`
        throw new Tpm2Error('BAD_MAGIC', `expected TPM_GENERATED_VALUE 0xff544347, ${found}`, {
          rc: TPM_RC.VALUE,
        })
      }
      const type = reader.uint16()
      if (!isOneOf(types, type)) {
        const expected = types.map((known) => `0x${known.toString(16)}`).join(', ')
        throw new Tpm2Error(
          'BAD_TYPE',
          `expected a TPMS_ATTEST of TPM_ST ${expected}, found 0x${type.toString(16)}`,
          { rc: TPM_RC.SELECTOR },
        )
      }
      return { magic, type, ...AttestHead.read(reader), attested: ATTESTED[type].read(reader) }
    },
    write: (writer, value) => {
      writer.uint32(value.magic)
      writer.uint16(value.type)
      AttestHead.write(writer, value)
      ATTESTED[value.type].write(writer, value.attested)
    },
  }
}

/** Every kind. Reading throws Tpm2Error BAD_MAGIC or BAD_TYPE for a foreign magic number or an unknown kind. */
export const TPMS_ATTEST = attest([
  TPM_ST.ATTEST_CERTIFY,
  TPM_ST.ATTEST_CREATION,
  TPM_ST.ATTEST_QUOTE,
  TPM_ST.ATTEST_COMMAND_AUDIT,
  TPM_ST.ATTEST_SESSION_AUDIT,
  TPM_ST.ATTEST_TIME,
  TPM_ST.ATTEST_NV,
  TPM_ST.ATTEST_NV_DIGEST,
])

/** A TPMS_ATTEST that is a quote. */
export type Quote = TPMS_ATTEST<typeof TPM_ST.ATTEST_QUOTE>
/** Quotes only: another kind is Tpm2Error BAD_TYPE before anything else of it is read. */
export const QUOTE: Codec<Quote> = attest([TPM_ST.ATTEST_QUOTE])
