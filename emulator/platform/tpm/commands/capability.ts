// TPM2_GetCapability and TPM2_TestParms: what this TPM is and has, from the same tables that it works by.
// Source: TPM 2.0 Library, Part 3, clause 30, and Part 2, clauses 6.12 to 6.14, revision 1.59.

import {
  commandAttributes,
  selectPcrs,
  TPM2_GetCapability,
  TPM2_TestParms,
  TPM_CAP,
  TPM_HT,
  TPM_PT_PCR,
  TPM_RC,
  TPM_RH,
  TPM_RS_PW,
  type TPMS_CAPABILITY_DATA,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { type Registry } from '../dispatch/execute.ts'
import { handleKind, handleNumber } from '../entities/entity.ts'
import { ALL_PCRS, inPolicyGroup, pcrAttributes } from '../entities/pcr-attributes.ts'
import { checkImplemented } from '../entities/template.ts'
import { TpmError } from '../errors.ts'
import { ALGORITHMS } from '../algorithms.ts'
import { CURVES, HASHES } from '../profile.ts'
import { properties } from '../properties.ts'
import { type AuthPolicy } from '../state/permanent.ts'
import { type TpmState } from '../state/tpm-state.ts'

/** Bytes of a capability's list (MAX_CAP_BUFFER less the selector and the count). */
const MAX_LIST_BYTES = 1024 - 8

interface Page<T> {
  readonly moreData: boolean
  readonly data: readonly T[]
}

/** The items from `property` on, as many as were asked for and fit; `itemBytes` is an item's size. */
function page<T>(
  items: readonly T[],
  key: (item: T) => number,
  property: number,
  count: number,
  itemBytes: number,
): Page<T> {
  const from = items.filter((item) => key(item) >= property)
  from.sort((a, b) => key(a) - key(b))
  const data = from.slice(0, Math.min(count, Math.floor(MAX_LIST_BYTES / itemBytes)))
  return { moreData: data.length < from.length, data }
}

const self = (value: number): number => value

type Answer = { readonly moreData: boolean; readonly capabilityData: TPMS_CAPABILITY_DATA }

function answer(
  tpm: TpmState,
  registry: Registry,
  capability: number,
  property: number,
  count: number,
): Answer {
  const commandCodes = (kind: CommandCodeList, items: readonly number[]): Answer => {
    const { moreData, data } = page(items, self, property, count, 4)
    return { moreData, capabilityData: { capability: kind, data } }
  }
  switch (capability) {
    case TPM_CAP.ALGS: {
      const { moreData, data } = page(ALGORITHMS, ({ alg }) => alg, property, count, 6)
      return { moreData, capabilityData: { capability: TPM_CAP.ALGS, data } }
    }
    case TPM_CAP.HANDLES: {
      // By number: all handles of a list are of one kind but for sessions, whose two kinds share their numbers.
      const { moreData, data } = page(handles(tpm, property), handleNumber, handleNumber(property), count, 4)
      return { moreData, capabilityData: { capability: TPM_CAP.HANDLES, data } }
    }
    case TPM_CAP.COMMANDS: {
      const rows = [...registry.values()].map(({ row }) => row)
      const { moreData, data } = page(rows, ({ code }) => code, property, count, 4)
      return { moreData, capabilityData: { capability: TPM_CAP.COMMANDS, data: data.map(commandAttributes) } }
    }
    case TPM_CAP.PP_COMMANDS:
      return commandCodes(TPM_CAP.PP_COMMANDS, tpm.permanent.ppCommands)
    case TPM_CAP.AUDIT_COMMANDS:
      return commandCodes(TPM_CAP.AUDIT_COMMANDS, tpm.permanent.audit.commands)
    case TPM_CAP.PCRS:
      return banks(tpm, property)
    case TPM_CAP.TPM_PROPERTIES: {
      const group = properties(tpm, property, registry.size)
      const { moreData, data } = page(group, (one) => one.property, property, count, 8)
      return { moreData, capabilityData: { capability: TPM_CAP.TPM_PROPERTIES, data } }
    }
    case TPM_CAP.PCR_PROPERTIES: {
      const { moreData, data } = page(PCR_PROPERTIES, ({ tag }) => tag, property, count, 8)
      return { moreData, capabilityData: { capability: TPM_CAP.PCR_PROPERTIES, data } }
    }
    case TPM_CAP.ECC_CURVES: {
      const { moreData, data } = page(CURVES, self, property, count, 2)
      return { moreData, capabilityData: { capability: TPM_CAP.ECC_CURVES, data } }
    }
    case TPM_CAP.AUTH_POLICIES: {
      const { moreData, data } = page(policies(tpm), ({ handle }) => handle, property, count, 70)
      return { moreData, capabilityData: { capability: TPM_CAP.AUTH_POLICIES, data } }
    }
    case TPM_CAP.ACT:
      return { moreData: false, capabilityData: { capability: TPM_CAP.ACT, data: [] } }
    default:
      throw new TpmError(
        TPM_RC.VALUE,
        `expected a known capability, found ${String(capability)}`,
        'capability',
      )
  }
}

type CommandCodeList = typeof TPM_CAP.PP_COMMANDS | typeof TPM_CAP.AUDIT_COMMANDS

function banks(tpm: TpmState, property: number): Answer {
  if (property !== 0) throw new TpmError(TPM_RC.VALUE, 'expected property 0 with TPM_CAP_PCRS', 'property')
  const data = HASHES.map((bank) => {
    const bits = tpm.permanent.pcrAllocation.get(bank) ?? 0
    return selectPcrs(
      bank,
      ALL_PCRS.filter((pcr) => (bits & (1 << pcr)) !== 0),
    )
  })
  return { moreData: false, capabilityData: { capability: TPM_CAP.PCRS, data } }
}

const PERMANENT_HANDLES: readonly number[] = [
  TPM_RH.OWNER,
  TPM_RH.NULL,
  TPM_RS_PW,
  TPM_RH.LOCKOUT,
  TPM_RH.ENDORSEMENT,
  TPM_RH.PLATFORM,
  TPM_RH.PLATFORM_NV,
]

/** Handles of the kind that `property` is of. */
function handles(tpm: TpmState, property: number): readonly number[] {
  const { sessions, objects, reset } = tpm.volatile
  switch (handleKind(property)) {
    case TPM_HT.PCR:
      return ALL_PCRS
    case TPM_HT.NV_INDEX:
      return [...tpm.permanent.nv.keys()]
    case TPM_HT.LOADED_SESSION:
      return [...sessions.keys()]
    // A saved session's kind is for its context to say: all are listed as HMAC sessions, as in the reference code.
    case TPM_HT.SAVED_SESSION:
      return [...reset.savedSessions.keys()].map(
        (handle) => TPM_HT.HMAC_SESSION * 2 ** 24 + handleNumber(handle),
      )
    case TPM_HT.PERMANENT:
      return PERMANENT_HANDLES
    case TPM_HT.TRANSIENT:
      return [...objects.keys()]
    case TPM_HT.PERSISTENT:
      return [...tpm.permanent.persistent.keys()]
    default:
      throw new TpmError(TPM_RC.HANDLE, 'expected a handle of a kind that is listed', 'property')
  }
}

/** Policies of hierarchies (Part 2, 10.9.13). */
function policies(tpm: TpmState): { handle: number; policyHash: { hashAlg: number; digest: Uint8Array } }[] {
  const { owner, endorsement, lockout } = tpm.permanent
  const { platformPolicy, platformPolicyHash } = tpm.volatile.clear
  const all: [number, AuthPolicy][] = [
    [TPM_RH.OWNER, owner.authPolicy],
    [TPM_RH.LOCKOUT, lockout.authPolicy],
    [TPM_RH.ENDORSEMENT, endorsement.authPolicy],
    [TPM_RH.PLATFORM, { hashAlg: platformPolicyHash, digest: platformPolicy }],
  ]
  return all.map(([handle, policyHash]) => ({ handle, policyHash }))
}

function pcrsWith(fits: (pcr: number) => boolean): Uint8Array {
  return selectPcrs(0, ALL_PCRS.filter(fits)).pcrSelect
}

/** TPM_PT_PCR (Part 2, 6.14). */
const PCR_PROPERTIES = [
  { tag: TPM_PT_PCR.SAVE, pcrSelect: pcrsWith((pcr) => pcrAttributes(pcr).saved) },
  ...[0, 1, 2, 3, 4].flatMap((locality) => [
    {
      tag: TPM_PT_PCR.EXTEND_L0 + 2 * locality,
      pcrSelect: pcrsWith((pcr) => (pcrAttributes(pcr).extend & (1 << locality)) !== 0),
    },
    {
      tag: TPM_PT_PCR.RESET_L0 + 2 * locality,
      pcrSelect: pcrsWith((pcr) => (pcrAttributes(pcr).reset & (1 << locality)) !== 0),
    },
  ]),
  { tag: TPM_PT_PCR.NO_INCREMENT, pcrSelect: pcrsWith((pcr) => !pcrAttributes(pcr).counted) },
  { tag: TPM_PT_PCR.DRTM_RESET, pcrSelect: pcrsWith((pcr) => pcrAttributes(pcr).drtm) },
  { tag: TPM_PT_PCR.POLICY, pcrSelect: pcrsWith(inPolicyGroup) },
  { tag: TPM_PT_PCR.AUTH, pcrSelect: pcrsWith(inPolicyGroup) },
] as const

const testParms = implement(TPM2_TestParms, (_tpm, { parameters }) => {
  checkImplemented(parameters, 'parameters')
  return {}
})

/** Clause 30. What is implemented comes with the call: this family is part of it. */
export function capabilityCommands(registry: () => Registry): readonly Implementation[] {
  const getCapability = implement(TPM2_GetCapability, (tpm, { capability, property, propertyCount }) =>
    answer(tpm, registry(), capability, property, propertyCount),
  )
  return [getCapability, testParms]
}
