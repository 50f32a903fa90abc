// Policy assertions on what is the case: PCRs, NV data, time, locality, the command itself; those that are checked when
// the session is used are only noted here.
// Source: TPM 2.0 Library, Part 3, clauses 23.6 to 23.15 and 23.17 to 23.21, revision 1.59.

import {
  hash,
  marshal,
  TPM2_PolicyAuthValue,
  TPM2_PolicyCommandCode,
  TPM2_PolicyCounterTimer,
  TPM2_PolicyCpHash,
  TPM2_PolicyDuplicationSelect,
  TPM2_PolicyGetDigest,
  TPM2_PolicyLocality,
  TPM2_PolicyNameHash,
  TPM2_PolicyNV,
  TPM2_PolicyNvWritten,
  TPM2_PolicyOR,
  TPM2_PolicyPassword,
  TPM2_PolicyPCR,
  TPM2_PolicyPhysicalPresence,
  TPM2_PolicyTemplate,
  TPM_CC,
  TPM_RC,
  TPMI_YES_NO,
  TPML_PCR_SELECTION,
  TPMS_TIME_INFO,
  UINT16,
  UINT32,
  UINT8,
  nvIndexName,
} from '../../../../sdk/tpm2/index.ts'
import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { type Registry } from '../dispatch/execute.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { clockInfo } from '../entities/attest.ts'
import { checkNvRead } from '../entities/nv-access.ts'
import { visibleNv } from '../entities/nv-index.ts'
import { implementedSelection, selectedDigest } from '../entities/pcr.ts'
import {
  checkBinding,
  checkUnbound,
  clearPolicyDigest,
  compares,
  EXTENDED_LOCALITY,
  extendPolicy,
  isTrial,
  policySessionAt,
} from '../entities/policy.ts'
import { type Session } from '../entities/session.ts'
import { TpmError } from '../errors.ts'
import { type TpmState } from '../state/tpm-state.ts'

/** TPMA_LOCALITY: bits of localities 0 to 4. */
const ALL_LOCALITIES = 0x1f
/** Time and Clock come first in TPMS_TIME_INFO. */
const TIME_AND_CLOCK_BYTES = 16

const or = implement(TPM2_PolicyOR, (tpm, { policySession, pHashList }) => {
  const session = policySessionAt(tpm, policySession)
  if (!isTrial(session) && !pHashList.some((one) => equalBytes(one, session.policyDigest))) {
    throw new TpmError(
      TPM_RC.VALUE,
      "expected the session's digest among the branches, found it in none",
      'pHashList',
    )
  }
  clearPolicyDigest(session)
  extendPolicy(session, TPM_CC.PolicyOR, ...pHashList)
  return {}
})

const pcr = implement(TPM2_PolicyPCR, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const selection = implementedSelection(tpm, request.pcrs, 'pcrs')
  const { pcrUpdateCounter } = tpm.volatile.reset
  let digest = selectedDigest(tpm, selection, session.authHash)
  if (isTrial(session)) {
    if (request.pcrDigest.length > 0) digest = request.pcrDigest
  } else {
    if (session.pcrUpdateCounter !== undefined && session.pcrUpdateCounter !== pcrUpdateCounter) {
      throw new TpmError(
        TPM_RC.PCR_CHANGED,
        'expected the PCRs as at the first TPM2_PolicyPCR, found a change',
      )
    }
    if (request.pcrDigest.length > 0 && !equalBytes(request.pcrDigest, digest)) {
      throw new TpmError(TPM_RC.VALUE, 'expected the digest of the selected PCRs, found another', 'pcrDigest')
    }
    session.pcrUpdateCounter = pcrUpdateCounter
  }
  extendPolicy(session, TPM_CC.PolicyPCR, marshal(TPML_PCR_SELECTION, selection), digest)
  return {}
})

const locality = implement(TPM2_PolicyLocality, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const narrowed = narrowLocality(session.locality, request.locality)
  extendPolicy(session, TPM_CC.PolicyLocality, marshal(UINT8, request.locality))
  session.locality = narrowed
  return {}
})

/** Localities that both allow; `before` 0: any. Throws TpmError RANGE when there are none. */
function narrowLocality(before: number, added: number): number {
  const extended = added >= EXTENDED_LOCALITY
  const allowed = extended ? added : (before === 0 ? ALL_LOCALITIES : before) & added
  const sameKind = before === 0 || extended === before >= EXTENDED_LOCALITY
  if (added !== 0 && sameKind && allowed !== 0 && (!extended || before === 0 || before === added))
    return allowed
  throw new TpmError(TPM_RC.RANGE, 'expected a locality that is left in the session, found none', 'locality')
}

interface Comparison {
  readonly operandB: Uint8Array
  readonly offset: number
  readonly operation: number
}

/** H(operandB ‖ offset ‖ operation): what the digest shows of a comparison. */
function comparisonHash(session: Session, { operandB, offset, operation }: Comparison): Uint8Array {
  return hash(session.authHash, operandB, marshal(UINT16, offset), marshal(UINT16, operation))
}

/** Throws TpmError POLICY unless the comparison holds for the octets of `data` at its offset. */
function checkComparison(data: Uint8Array, { operandB, offset, operation }: Comparison): void {
  if (compares(data.subarray(offset, offset + operandB.length), operation, operandB)) return
  throw new TpmError(TPM_RC.POLICY, 'expected a comparison that holds, found one that does not')
}

const nv = implement(TPM2_PolicyNV, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const index = visibleNv(tpm, request.nvIndex, 'nvIndex')
  if (!isTrial(session)) {
    checkNvRead(index, request.authHandle)
    const { dataSize } = index.publicArea
    if (request.offset > dataSize) {
      const found = `expected an offset up to ${String(dataSize)}, found ${String(request.offset)}`
      throw new TpmError(TPM_RC.VALUE, found, 'offset')
    }
    if (dataSize - request.offset < request.operandB.length) {
      throw new TpmError(
        TPM_RC.SIZE,
        'expected an operand within the data of the index, found a longer one',
        'operandB',
      )
    }
    checkComparison(index.data, request)
  }
  extendPolicy(session, TPM_CC.PolicyNV, comparisonHash(session, request), nvIndexName(index.publicArea))
  return {}
})

const counterTimer = implement(TPM2_PolicyCounterTimer, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const time = marshal(TPMS_TIME_INFO, { time: tpm.clock.time, clockInfo: clockInfo(tpm) })
  if (request.offset > time.length) {
    const found = `expected an offset up to ${String(time.length)}, found ${String(request.offset)}`
    throw new TpmError(TPM_RC.VALUE, found, 'offset')
  }
  if (request.offset + request.operandB.length > time.length) {
    throw new TpmError(TPM_RC.RANGE, 'expected an operand within TPMS_TIME_INFO, found a longer one')
  }
  if (!isTrial(session)) {
    if (request.offset < TIME_AND_CLOCK_BYTES) checkClockRuns(tpm)
    checkComparison(time, request)
  }
  extendPolicy(session, TPM_CC.PolicyCounterTimer, comparisonHash(session, request))
  return {}
})

function checkClockRuns(tpm: TpmState): void {
  if (tpm.platform.nvAvailable) return
  throw new TpmError(TPM_RC.NV_UNAVAILABLE, 'expected NV memory for the clock, found it unavailable')
}

function commandCode(registry: () => Registry): Implementation {
  return implement(TPM2_PolicyCommandCode, (tpm, { policySession, code }) => {
    const session = policySessionAt(tpm, policySession)
    if (session.commandCode !== undefined && session.commandCode !== code) {
      throw new TpmError(TPM_RC.VALUE, "expected the session's command, found another", 'code')
    }
    if (!registry().has(code)) {
      throw new TpmError(
        TPM_RC.POLICY_CC,
        `expected an implemented command, found 0x${code.toString(16)}`,
        'code',
      )
    }
    extendPolicy(session, TPM_CC.PolicyCommandCode, marshal(UINT32, code))
    session.commandCode = code
    return {}
  })
}

const physicalPresence = implement(TPM2_PolicyPhysicalPresence, (tpm, { policySession }) => {
  const session = policySessionAt(tpm, policySession)
  extendPolicy(session, TPM_CC.PolicyPhysicalPresence)
  session.physicalPresenceNeeded = true
  return {}
})

const cpHash = implement(TPM2_PolicyCpHash, (tpm, { policySession, cpHashA }) => {
  const session = policySessionAt(tpm, policySession)
  const binding = { kind: 'cpHash', digest: cpHashA } as const
  checkBinding(session, binding, 'cpHashA')
  extendPolicy(session, TPM_CC.PolicyCpHash, cpHashA)
  session.bound = binding
  return {}
})

const nameHash = implement(TPM2_PolicyNameHash, (tpm, request) => {
  const session = policySessionAt(tpm, request.policySession)
  const binding = { kind: 'nameHash', digest: request.nameHash } as const
  checkBinding(session, binding, 'nameHash')
  // Not even the same one again, other than with cpHash and template (Part 3, 23.14).
  checkUnbound(session)
  extendPolicy(session, TPM_CC.PolicyNameHash, request.nameHash)
  session.bound = binding
  return {}
})

const duplicationSelect = implement(TPM2_PolicyDuplicationSelect, (tpm, request) => {
  const { objectName, newParentName, includeObject } = request
  const session = policySessionAt(tpm, request.policySession)
  checkUnbound(session)
  if (session.commandCode !== undefined) {
    throw new TpmError(TPM_RC.COMMAND_CODE, 'expected a session without a command, found one that names it')
  }
  const shown = includeObject ? [objectName, newParentName] : [newParentName]
  extendPolicy(session, TPM_CC.PolicyDuplicationSelect, ...shown, marshal(TPMI_YES_NO, includeObject))
  session.bound = { kind: 'nameHash', digest: hash(session.authHash, objectName, newParentName) }
  session.commandCode = TPM_CC.Duplicate
  return {}
})

const authValue = implement(TPM2_PolicyAuthValue, (tpm, { policySession }) => {
  const session = policySessionAt(tpm, policySession)
  extendPolicy(session, TPM_CC.PolicyAuthValue)
  session.authValueNeeded = true
  session.passwordNeeded = false
  return {}
})

/** The digest is that of TPM2_PolicyAuthValue, so that either satisfies the same policy. */
const password = implement(TPM2_PolicyPassword, (tpm, { policySession }) => {
  const session = policySessionAt(tpm, policySession)
  extendPolicy(session, TPM_CC.PolicyAuthValue)
  session.authValueNeeded = false
  session.passwordNeeded = true
  return {}
})

const getDigest = implement(TPM2_PolicyGetDigest, (tpm, { policySession }) => ({
  policyDigest: policySessionAt(tpm, policySession).policyDigest,
}))

const nvWritten = implement(TPM2_PolicyNvWritten, (tpm, { policySession, writtenSet }) => {
  const session = policySessionAt(tpm, policySession)
  if (session.nvWritten !== undefined && session.nvWritten !== writtenSet) {
    throw new TpmError(TPM_RC.VALUE, "expected the session's writtenSet, found the opposite", 'writtenSet')
  }
  extendPolicy(session, TPM_CC.PolicyNvWritten, marshal(TPMI_YES_NO, writtenSet))
  session.nvWritten = writtenSet
  return {}
})

const template = implement(TPM2_PolicyTemplate, (tpm, { policySession, templateHash }) => {
  const session = policySessionAt(tpm, policySession)
  const binding = { kind: 'template', digest: templateHash } as const
  if (session.bound?.kind === 'template' && !equalBytes(session.bound.digest, templateHash)) {
    throw new TpmError(TPM_RC.VALUE, "expected the session's template, found another", 'templateHash')
  }
  checkBinding(session, binding, 'templateHash')
  extendPolicy(session, TPM_CC.PolicyTemplate, templateHash)
  session.bound = binding
  return {}
})

/** The assertions of clause 23. */
export function policyAssertions(registry: () => Registry): readonly Implementation[] {
  return [
    or,
    pcr,
    locality,
    nv,
    counterTimer,
    commandCode(registry),
    physicalPresence,
    cpHash,
    nameHash,
    duplicationSelect,
    authValue,
    password,
    getDigest,
    nvWritten,
    template,
  ]
}
