// TPM_PT: properties of the TPM that never change, and those that follow its state.
// Source: TPM 2.0 Library, Part 2, clause 6.13, revision 1.59; TCG PC Client Platform TPM Profile, version 1.05, clause 3.

import {
  PCR_COUNT,
  TPM_ALG,
  TPM_NT,
  TPM_PS,
  TPM_PT,
  TPM_SPEC,
  TPMA_MEMORY,
  TPMA_PERMANENT,
  TPMA_STARTUP_CLEAR,
  type TPMS_TAGGED_PROPERTY,
} from '../../../sdk/tpm2/index.ts'
import { nvType } from './entities/nv-index.ts'
import { nvCountersAvailable } from './entities/nv-store.ts'
import {
  CONTEXT_GAP_MAX,
  CONTEXT_HASH,
  CONTEXT_KEY_BITS,
  CURVES,
  FIRMWARE_VERSION,
  type Limits,
  MAX_COMMITS,
  MAX_DIGEST_BUFFER,
  MAX_NV_BUFFER_SIZE,
  MAX_NV_INDEX_SIZE,
  MAX_PERSISTENT_OBJECTS,
} from './profile.ts'
import { type TpmState } from './state/tpm-state.ts'

/** Four characters as a property. */
function text(characters: string): number {
  return Buffer.from(characters.padEnd(4, '\0'), 'latin1').readUInt32BE()
}

/** What identifies the maker and the model. "SW  " is how clients know a software TPM. */
const IDENTITY: Readonly<Record<string, number>> = {
  MANUFACTURER: text('PLMP'),
  VENDOR_STRING_1: text('SW  '),
  VENDOR_STRING_2: text('pali'),
  VENDOR_STRING_3: text('mpse'),
  VENDOR_STRING_4: text('st'),
  VENDOR_TPM_TYPE: 1,
  FIRMWARE_VERSION_1: Number(FIRMWARE_VERSION >> 32n),
  FIRMWARE_VERSION_2: Number(FIRMWARE_VERSION & 0xffffffffn),
}

/** Bytes in a saved object's and a saved session's context, at most. */
const MAX_OBJECT_CONTEXT = 2048
const MAX_SESSION_CONTEXT = 1024

type Name = keyof typeof TPM_PT

function fixed(tpm: TpmState, commands: number): Partial<Record<Name, number>> {
  const { limits } = tpm
  return {
    FAMILY_INDICATOR: TPM_SPEC.FAMILY,
    LEVEL: TPM_SPEC.LEVEL,
    REVISION: TPM_SPEC.VERSION,
    DAY_OF_YEAR: TPM_SPEC.DAY_OF_YEAR,
    YEAR: TPM_SPEC.YEAR,
    ...IDENTITY,
    INPUT_BUFFER: MAX_DIGEST_BUFFER,
    HR_TRANSIENT_MIN: limits.transientObjects,
    HR_PERSISTENT_MIN: MAX_PERSISTENT_OBJECTS,
    HR_LOADED_MIN: limits.loadedSessions,
    ACTIVE_SESSIONS_MAX: limits.activeSessions,
    PCR_COUNT,
    PCR_SELECT_MIN: PCR_COUNT / 8,
    CONTEXT_GAP_MAX,
    NV_COUNTERS_MAX: 0,
    NV_INDEX_MAX: MAX_NV_INDEX_SIZE,
    MEMORY: TPMA_MEMORY.sharedNV | TPMA_MEMORY.objectCopiedToRam,
    CLOCK_UPDATE: 2 ** 16,
    CONTEXT_HASH,
    CONTEXT_SYM: TPM_ALG.AES,
    CONTEXT_SYM_SIZE: CONTEXT_KEY_BITS,
    ORDERLY_COUNT: 0,
    MAX_COMMAND_SIZE: limits.bufferSize,
    MAX_RESPONSE_SIZE: limits.bufferSize,
    MAX_DIGEST: 64,
    MAX_OBJECT_CONTEXT,
    MAX_SESSION_CONTEXT,
    PS_FAMILY_INDICATOR: TPM_PS.PC,
    PS_LEVEL: 0,
    PS_REVISION: 0x105,
    PS_DAY_OF_YEAR: 0,
    PS_YEAR: 0,
    SPLIT_MAX: MAX_COMMITS,
    TOTAL_COMMANDS: commands,
    LIBRARY_COMMANDS: commands,
    VENDOR_COMMANDS: 0,
    NV_BUFFER_MAX: MAX_NV_BUFFER_SIZE,
    MODES: 0,
    MAX_CAP_BUFFER: 1024,
  }
}

/** Bits of a TPMA_ structure, by the names that hold. */
function bits<T extends Readonly<Record<string, number>>>(
  table: T,
  set: Partial<Record<keyof T, boolean>>,
): number {
  return Object.entries(set).reduce((sum, [name, on]) => sum + (on === true ? (table[name] ?? 0) : 0), 0)
}

function variable(tpm: TpmState): Partial<Record<Name, number>> {
  const { permanent, volatile, limits } = tpm
  const { dictionary } = permanent
  const active = volatile.sessions.size + volatile.reset.savedSessions.size
  return {
    PERMANENT: bits(TPMA_PERMANENT, {
      ownerAuthSet: permanent.owner.authValue.length > 0,
      endorsementAuthSet: permanent.endorsement.authValue.length > 0,
      lockoutAuthSet: permanent.lockout.authValue.length > 0,
      disableClear: permanent.disableClear,
      inLockout: dictionary.failedTries >= dictionary.maxTries,
      tpmGeneratedEPS: true,
    }),
    STARTUP_CLEAR: bits(TPMA_STARTUP_CLEAR, {
      phEnable: volatile.clear.phEnable,
      shEnable: volatile.clear.shEnable,
      ehEnable: volatile.clear.ehEnable,
      phEnableNV: volatile.clear.phEnableNV,
      orderly: volatile.startedOrderly,
    }),
    HR_NV_INDEX: permanent.nv.size,
    HR_LOADED: volatile.sessions.size,
    HR_LOADED_AVAIL: limits.loadedSessions - volatile.sessions.size,
    HR_ACTIVE: active,
    HR_ACTIVE_AVAIL: limits.activeSessions - active,
    HR_TRANSIENT_AVAIL: limits.transientObjects - volatile.objects.size,
    HR_PERSISTENT: permanent.persistent.size,
    HR_PERSISTENT_AVAIL: MAX_PERSISTENT_OBJECTS - permanent.persistent.size,
    NV_COUNTERS: [...permanent.nv.values()].filter(
      (nv) => nvType(nv.publicArea.attributes) === TPM_NT.COUNTER,
    ).length,
    NV_COUNTERS_AVAIL: nvCountersAvailable(tpm),
    ALGORITHM_SET: 0,
    LOADED_CURVES: CURVES.length,
    LOCKOUT_COUNTER: dictionary.failedTries,
    MAX_AUTH_FAIL: dictionary.maxTries,
    LOCKOUT_INTERVAL: dictionary.recoveryTime,
    LOCKOUT_RECOVERY: dictionary.lockoutRecovery,
    NV_WRITE_RECOVERY: 0,
    AUDIT_COUNTER_0: Number(permanent.audit.counter >> 32n),
    AUDIT_COUNTER_1: Number(permanent.audit.counter & 0xffffffffn),
  }
}

function list(values: Partial<Record<Name, number>>): TPMS_TAGGED_PROPERTY[] {
  return Object.entries(values).map(([name, value]) => ({ property: TPM_PT[name as Name], value }))
}

/** Fixed properties by the limits that they were made for: clients ask for them before almost every command. */
const fixedLists = new WeakMap<Limits, readonly TPMS_TAGGED_PROPERTY[]>()

/**
 * The properties of one group, PT_FIXED or PT_VAR, as TPM2_GetCapability(TPM_CAP_TPM_PROPERTIES) lists them: those of
 * the group that `property` is in. `commands` is how many commands the TPM has.
 */
export function properties(
  tpm: TpmState,
  property: number,
  commands: number,
): readonly TPMS_TAGGED_PROPERTY[] {
  if (property >= 2 * TPM_PT.PT_VAR - TPM_PT.PT_FIXED) return []
  if (property >= TPM_PT.PT_VAR) return list(variable(tpm))
  let known = fixedLists.get(tpm.limits)
  if (known === undefined) {
    known = list(fixed(tpm, commands))
    fixedLists.set(tpm.limits, known)
  }
  return known
}
