// Tickets: what this TPM says to itself later, that it has once checked something. A ticket is an HMAC with the proof of a
// hierarchy; a new proof ends all tickets of its hierarchy, and the NULL hierarchy's ends with each TPM Reset.
// Source: TPM 2.0 Library, Part 2, clause 10.7 and Part 1, clause 11.4.6 (tickets), revision 1.59.

import { concatBytes, equalBytes } from '../../../../sdk/crypto/index.ts'
import {
  type Codec,
  hmac,
  marshal,
  struct,
  TPM2B_DIGEST,
  TPM2B_NAME,
  TPM2B_NONCE,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  TPMI_YES_NO,
  UINT16,
  UINT64,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { CONTEXT_HASH } from '../profile.ts'
import { permanentHierarchy } from '../state/permanent.ts'
import { type TpmState } from '../state/tpm-state.ts'

/** What tickets of one kind are made of: the facts that they attest. */
export interface TicketFacts {
  /** a signature over `digest` was verified with the key of this name */
  [TPM_ST.VERIFIED]: { readonly digest: Uint8Array; readonly keyName: Uint8Array }
  /** the data of `digest` does not start with TPM_GENERATED_VALUE */
  [TPM_ST.HASHCHECK]: { readonly hashAlg: number; readonly digest: Uint8Array }
  /** this TPM made the object of this name, with creation data of this hash */
  [TPM_ST.CREATION]: { readonly name: Uint8Array; readonly creationHash: Uint8Array }
  /** TPM2_PolicySigned was satisfied */
  [TPM_ST.AUTH_SIGNED]: AuthFacts
  /** TPM2_PolicySecret was satisfied */
  [TPM_ST.AUTH_SECRET]: AuthFacts
}

/** What an authorization that a ticket repeats was about. */
export interface AuthFacts {
  readonly cpHash: Uint8Array
  readonly policyRef: Uint8Array
  /** name of the entity that authorized */
  readonly authName: Uint8Array
  /** TPM time in milliseconds after which it is worth nothing; 0: it does not expire */
  readonly timeout: bigint
  /** it is worth nothing after a TPM Reset either */
  readonly expiresOnReset: boolean
}

type Kind = keyof TicketFacts

/** TPMT_TK_VERIFIED, _HASHCHECK, _CREATION or _AUTH, by its tag. */
export interface Ticket<K extends Kind> {
  readonly tag: K
  /** TPM_RH */
  readonly hierarchy: number
  readonly digest: Uint8Array
}

/**
 * Every part has its size before it, other than in the formulas of Part 2: side by side without sizes, a cpHash without
 * a policyRef would be the same bytes as that policyRef without a cpHash. Nobody but the TPM can tell the difference.
 */
const AUTH_FACTS = struct<AuthFacts>('authorization', {
  cpHash: TPM2B_DIGEST,
  policyRef: TPM2B_NONCE,
  authName: TPM2B_NAME,
  timeout: UINT64,
  expiresOnReset: TPMI_YES_NO,
})
const FACTS: { readonly [K in Kind]: Codec<TicketFacts[K]> } = {
  [TPM_ST.VERIFIED]: struct('verified', {
    digest: TPM2B_DIGEST,
    keyName: TPM2B_NAME,
  }),
  [TPM_ST.HASHCHECK]: struct('hash check', {
    hashAlg: UINT16,
    digest: TPM2B_DIGEST,
  }),
  [TPM_ST.CREATION]: struct('creation', {
    name: TPM2B_NAME,
    creationHash: TPM2B_DIGEST,
  }),
  [TPM_ST.AUTH_SIGNED]: AUTH_FACTS,
  [TPM_ST.AUTH_SECRET]: AUTH_FACTS,
}

/** The secret that ties what the TPM lets go of to a hierarchy: of tickets, contexts and obfuscated clocks. */
export function hierarchyProof(tpm: TpmState, hierarchy: number): Uint8Array {
  return permanentHierarchy(tpm.permanent, hierarchy)?.proof ?? tpm.volatile.reset.nullProof
}

/** A ticket for `facts`, by the proof of `hierarchy` (TPM_RH). */
export function makeTicket<K extends Kind>(
  tpm: TpmState,
  tag: K,
  hierarchy: number,
  facts: TicketFacts[K],
): Ticket<K> {
  return { tag, hierarchy, digest: ticketDigest(tpm, tag, hierarchy, facts) }
}

/** A ticket that attests nothing: TPM_RH_NULL and no digest (Part 2, 10.7.1). */
export function nullTicket<K extends Kind>(tag: K): Ticket<K> {
  return { tag, hierarchy: TPM_RH.NULL, digest: new Uint8Array(0) }
}

/**
 * Throws TpmError `rc`, at the parameter `at`, when this TPM did not make the ticket for these facts. A NULL ticket is
 * one that it did not make.
 */
export function checkTicket<K extends Kind>(
  tpm: TpmState,
  ticket: Ticket<K>,
  facts: TicketFacts[K],
  at: string,
  rc: number = TPM_RC.TICKET,
): void {
  const expected = ticketDigest(tpm, ticket.tag, ticket.hierarchy, facts)
  if (!equalBytes(ticket.digest, expected)) {
    throw new TpmError(rc, 'expected a ticket that this TPM made for this, found another', at)
  }
}

function ticketDigest<K extends Kind>(
  tpm: TpmState,
  tag: K,
  hierarchy: number,
  facts: TicketFacts[K],
): Uint8Array {
  const proof = hierarchyProof(tpm, hierarchy)
  return hmac(CONTEXT_HASH, proof, marshal(UINT16, tag), marshal(FACTS[tag], facts), epoch(tpm, facts))
}

/** An expiring ticket's time base: what no longer is the same when the TPM's time began anew, or after a TPM Reset. */
function epoch(tpm: TpmState, facts: TicketFacts[Kind]): Uint8Array {
  if (!('timeout' in facts) || facts.timeout === 0n) return new Uint8Array(0)
  const resets = facts.expiresOnReset ? tpm.permanent.timing.totalResetCount : 0n
  return concatBytes(tpm.volatile.timeEpoch, marshal(UINT64, resets))
}
