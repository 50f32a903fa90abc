// Integrity collection: the commands on PCRs.
// Source: TPM 2.0 Library, Part 3, clause 22, revision 1.59.

import {
  digestSize,
  hash,
  PCR_COUNT,
  selectedPcrs,
  selectPcrs,
  TPM2_PCR_Allocate,
  TPM2_PCR_Event,
  TPM2_PCR_Extend,
  TPM2_PCR_Read,
  TPM2_PCR_Reset,
  TPM2_PCR_SetAuthPolicy,
  TPM2_PCR_SetAuthValue,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  trimAuth,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import {
  allocatedBanks,
  checkSelection,
  extendPcr,
  implementedSelection,
  pcrValue,
  zeroPcr,
} from '../entities/pcr.ts'
import { inPolicyGroup, pcrAttributes } from '../entities/pcr-attributes.ts'
import { TpmError } from '../errors.ts'
import { HASHES } from '../profile.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'

/** TPML_DIGEST's limit: what one TPM2_PCR_Read returns at most (Part 2, 10.9.4). */
const MAX_DIGESTS = 8
const ALL_BITS = 2 ** PCR_COUNT - 1

/** Throws TpmError LOCALITY unless the bit map has the command's locality. */
function checkLocality(tpm: TpmState, localities: number, what: string): void {
  if (tpm.locality < 5 && (localities & (1 << tpm.locality)) !== 0) return
  throw new TpmError(TPM_RC.LOCALITY, `expected a locality that may ${what}, found ${String(tpm.locality)}`)
}

/** Throws TpmError LOCALITY unless the command's locality may extend the PCR; TPM_RH_NULL is always allowed. */
export function checkExtend(tpm: TpmState, pcr: number): void {
  if (pcr !== TPM_RH.NULL) checkLocality(tpm, pcrAttributes(pcr).extend, `extend PCR ${String(pcr)}`)
}

const extend = implement(TPM2_PCR_Extend, (tpm, { pcrHandle, digests }) => {
  checkExtend(tpm, pcrHandle)
  if (pcrHandle === TPM_RH.NULL) return {}
  for (const { hashAlg, digest } of digests) {
    if (hashAlg !== TPM_ALG.NULL) extendPcr(tpm, pcrHandle, hashAlg, digest)
  }
  return {}
})

const event = implement(TPM2_PCR_Event, (tpm, { pcrHandle, eventData }) => {
  checkExtend(tpm, pcrHandle)
  const digests = allocatedBanks(tpm).map((hashAlg) => ({ hashAlg, digest: hash(hashAlg, eventData) }))
  if (pcrHandle !== TPM_RH.NULL) {
    for (const { hashAlg, digest } of digests) extendPcr(tpm, pcrHandle, hashAlg, digest)
  }
  return { digests }
})

const read = implement(TPM2_PCR_Read, (tpm, { pcrSelectionIn }) => {
  const pcrValues: Uint8Array[] = []
  const pcrSelectionOut = implementedSelection(tpm, pcrSelectionIn, 'pcrSelectionIn').map((bank) => {
    const wanted = selectedPcrs(bank).slice(0, MAX_DIGESTS - pcrValues.length)
    for (const pcr of wanted) pcrValues.push(pcrValue(tpm, bank.hash, pcr) ?? new Uint8Array(0))
    return selectPcrs(bank.hash, wanted)
  })
  return { pcrUpdateCounter: tpm.volatile.reset.pcrUpdateCounter, pcrSelectionOut, pcrValues }
})

/** Takes effect at the next TPM Reset. Banks that are not named keep what they have. */
const allocate = implement(TPM2_PCR_Allocate, (tpm, { pcrAllocation }) => {
  checkSelection(pcrAllocation, 'pcrAllocation')
  const next = new Map(tpm.permanent.nextAllocation ?? tpm.permanent.pcrAllocation)
  for (const bank of pcrAllocation) {
    next.set(
      bank.hash,
      selectedPcrs(bank).reduce((map, pcr) => map + 2 ** pcr, 0),
    )
  }
  // The PC Client profile wants a bank with all PCRs, and PCR 0 and the D-RTM's PCR 17 somewhere (Part 3, 22.5).
  if (![...next.values()].includes(ALL_BITS)) {
    throw new TpmError(TPM_RC.PCR, 'expected one bank at least with all PCRs, found none')
  }
  tpm.permanent.nextAllocation = next
  changed(tpm)
  const sizeNeeded = [...next].reduce(
    (sum, [bank, bits]) => sum + (bits === 0 ? 0 : PCR_COUNT * digestSize(bank)),
    0,
  )
  const sizeAvailable = HASHES.reduce((sum, bank) => sum + PCR_COUNT * digestSize(bank), 0)
  return { allocationSuccess: true, maxPCR: PCR_COUNT, sizeNeeded, sizeAvailable }
})

const setAuthPolicy = implement(TPM2_PCR_SetAuthPolicy, (tpm, { authPolicy, hashAlg, pcrNum }) => {
  const size = hashAlg === TPM_ALG.NULL ? 0 : digestSize(hashAlg)
  if (authPolicy.length !== size) {
    throw new TpmError(TPM_RC.SIZE, 'expected a policy of the size of hashAlg', 'authPolicy')
  }
  checkGroup(pcrNum, 'pcrNum')
  tpm.permanent.pcrPolicies.set(pcrNum, { hashAlg, digest: authPolicy })
  changed(tpm)
  return {}
})

const setAuthValue = implement(TPM2_PCR_SetAuthValue, (tpm, { pcrHandle, auth }) => {
  checkGroup(pcrHandle, 'pcrHandle')
  tpm.volatile.clear.pcrAuthValues.set(pcrHandle, trimAuth(auth))
  return {}
})

function checkGroup(pcr: number, at: string): void {
  if (inPolicyGroup(pcr)) return
  throw new TpmError(
    TPM_RC.VALUE,
    `expected a PCR with an authorization of its own, found ${String(pcr)}`,
    at,
  )
}

const reset = implement(TPM2_PCR_Reset, (tpm, { pcrHandle }) => {
  checkLocality(tpm, pcrAttributes(pcrHandle).reset, `reset PCR ${String(pcrHandle)}`)
  zeroPcr(tpm, pcrHandle)
  return {}
})

/** Clause 22. */
export const pcrCommands: readonly Implementation[] = [
  extend,
  event,
  read,
  allocate,
  setAuthPolicy,
  setAuthValue,
  reset,
]
