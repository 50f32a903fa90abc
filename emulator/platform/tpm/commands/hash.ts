// Sequences: hashes, HMACs and events over more data than fits one command.
// Source: TPM 2.0 Library, Part 3, clause 17, revision 1.59.

import {
  TPM2_EventSequenceComplete,
  TPM2_HashSequenceStart,
  TPM2_HMAC_Start,
  TPM2_SequenceComplete,
  TPM2_SequenceUpdate,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  trimAuth,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { hmacKeyAt } from '../entities/hmac-key.ts'
import { addTransient, sequenceAt } from '../entities/object-store.ts'
import { extendPcr } from '../entities/pcr.ts'
import { Sequence } from '../entities/sequence.ts'
import { makeTicket, nullTicket } from '../entities/tickets.ts'
import { TpmError } from '../errors.ts'
import { HASHES } from '../profile.ts'
import { checkExtend } from './pcr.ts'

const hmacStart = implement(TPM2_HMAC_Start, (tpm, { handle, auth, hashAlg }) => {
  const chosen = hmacKeyAt(tpm, handle, hashAlg)
  const sequence = Sequence.hmac(chosen.hashAlg, chosen.key, trimAuth(auth))
  return { sequenceHandle: addTransient(tpm, sequence) }
})

/** Without a hash it is an event, which is hashed with every hash that a bank can have. */
const hashSequenceStart = implement(TPM2_HashSequenceStart, (tpm, { auth, hashAlg }) => {
  const authValue = trimAuth(auth)
  const sequence =
    hashAlg === TPM_ALG.NULL ? Sequence.event(HASHES, authValue) : Sequence.hash(hashAlg, authValue)
  return { sequenceHandle: addTransient(tpm, sequence) }
})

const sequenceUpdate = implement(TPM2_SequenceUpdate, (tpm, { sequenceHandle, buffer }) => {
  sequenceAt(tpm, sequenceHandle, 'sequenceHandle').update(buffer)
  return {}
})

const sequenceComplete = implement(TPM2_SequenceComplete, (tpm, { sequenceHandle, buffer, hierarchy }) => {
  const sequence = sequenceAt(tpm, sequenceHandle, 'sequenceHandle')
  if (sequence.kind === 'event') {
    throw new TpmError(
      TPM_RC.MODE,
      'expected a hash or HMAC sequence, found an event sequence',
      'sequenceHandle',
    )
  }
  sequence.update(buffer)
  const { hashAlg } = sequence
  const result = sequence.finish().get(hashAlg) ?? new Uint8Array(0)
  tpm.volatile.objects.delete(sequenceHandle)
  const worthless = sequence.kind === 'hmac' || hierarchy === TPM_RH.NULL || !sequence.ticketSafe
  const validation = worthless
    ? nullTicket(TPM_ST.HASHCHECK)
    : makeTicket(tpm, TPM_ST.HASHCHECK, hierarchy, { hashAlg, digest: result })
  return { result, validation }
})

const eventSequenceComplete = implement(
  TPM2_EventSequenceComplete,
  (tpm, { pcrHandle, sequenceHandle, buffer }) => {
    const sequence = sequenceAt(tpm, sequenceHandle, 'sequenceHandle')
    if (sequence.kind !== 'event') {
      throw new TpmError(TPM_RC.MODE, 'expected an event sequence, found another', 'sequenceHandle')
    }
    checkExtend(tpm, pcrHandle)
    sequence.update(buffer)
    const results = [...sequence.finish()].map(([hashAlg, digest]) => ({ hashAlg, digest }))
    tpm.volatile.objects.delete(sequenceHandle)
    if (pcrHandle !== TPM_RH.NULL) {
      for (const { hashAlg, digest } of results) extendPcr(tpm, pcrHandle, hashAlg, digest)
    }
    return { results }
  },
)

/** Clause 17. */
export const hashCommands: readonly Implementation[] = [
  hmacStart,
  hashSequenceStart,
  sequenceUpdate,
  sequenceComplete,
  eventSequenceComplete,
]
