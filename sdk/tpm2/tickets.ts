// Tickets: what a TPM says to itself later, that it has once checked something. Each is an HMAC with a proof that only
// this TPM has. Source: TPM 2.0 Library, Part 2, clause 10.7, revision 1.59.

import { TPM2B_DIGEST } from './buffers.ts'
import { type Codec, struct, tagged, UINT16 } from './codec.ts'
import { TPM_ST } from './constants.ts'
import { handleParameter, TPMI_RH_HIERARCHY_PLUS } from './handles.ts'
import { TPM_RC } from './response-codes.ts'

/** A ticket with its tag. A NULL ticket has the hierarchy TPM_RH_NULL and an empty digest. */
interface Ticket<Tag extends number> {
  /** TPM_ST; another tag is refused with TPM_RC_TAG */
  readonly tag: Tag
  /** TPM_RH of the hierarchy whose proof made it */
  readonly hierarchy: number
  readonly digest: Uint8Array
}

const BODY = struct<Omit<Ticket<number>, 'tag'>>('TPMT_TK', {
  hierarchy: handleParameter(TPMI_RH_HIERARCHY_PLUS),
  digest: TPM2B_DIGEST,
})

/** TPMT_TK_CREATION (10.7.3): this TPM made the object with these creation data. */
export type TPMT_TK_CREATION = Ticket<typeof TPM_ST.CREATION>
/** How TPMT_TK_CREATION is read and written. */
export const TPMT_TK_CREATION: Codec<TPMT_TK_CREATION> = tagged<TPMT_TK_CREATION, 'tag'>(
  'TPMT_TK_CREATION',
  'tag',
  UINT16,
  TPM_RC.TAG,
  { [TPM_ST.CREATION]: BODY },
)

/** TPMT_TK_VERIFIED (10.7.4): a signature over a digest was good. */
export type TPMT_TK_VERIFIED = Ticket<typeof TPM_ST.VERIFIED>
/** How TPMT_TK_VERIFIED is read and written. */
export const TPMT_TK_VERIFIED: Codec<TPMT_TK_VERIFIED> = tagged<TPMT_TK_VERIFIED, 'tag'>(
  'TPMT_TK_VERIFIED',
  'tag',
  UINT16,
  TPM_RC.TAG,
  { [TPM_ST.VERIFIED]: BODY },
)

/** TPMT_TK_AUTH (10.7.5): TPM2_PolicySigned or TPM2_PolicySecret was satisfied. */
export type TPMT_TK_AUTH = Ticket<typeof TPM_ST.AUTH_SIGNED | typeof TPM_ST.AUTH_SECRET>
/** How TPMT_TK_AUTH is read and written. */
export const TPMT_TK_AUTH: Codec<TPMT_TK_AUTH> = tagged<TPMT_TK_AUTH, 'tag'>(
  'TPMT_TK_AUTH',
  'tag',
  UINT16,
  TPM_RC.TAG,
  { [TPM_ST.AUTH_SIGNED]: BODY, [TPM_ST.AUTH_SECRET]: BODY },
)

/** TPMT_TK_HASHCHECK (10.7.6): the data that was hashed does not look like what a TPM makes itself. */
export type TPMT_TK_HASHCHECK = Ticket<typeof TPM_ST.HASHCHECK>
/** How TPMT_TK_HASHCHECK is read and written. */
export const TPMT_TK_HASHCHECK: Codec<TPMT_TK_HASHCHECK> = tagged<TPMT_TK_HASHCHECK, 'tag'>(
  'TPMT_TK_HASHCHECK',
  'tag',
  UINT16,
  TPM_RC.TAG,
  { [TPM_ST.HASHCHECK]: BODY },
)
