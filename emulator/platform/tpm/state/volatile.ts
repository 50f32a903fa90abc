// What a powered TPM has in memory: state clear and state reset data, loaded objects and sessions. It is one structure
// too, so that a powered TPM can be saved and taken up elsewhere, as a VM's migration needs it.
// Source: TPM 2.0 Library, Part 1, clause 10.2.3 (startup), revision 1.59.

import {
  type Codec,
  INT32,
  list,
  struct,
  TPM2B_NONCE,
  TPM_ALG,
  TPMI_YES_NO,
  UINT16,
  UINT32,
  UINT64,
} from '../../../../sdk/tpm2/index.ts'
import { OBJECT_RECORD, TpmObject } from '../entities/object.ts'
import { Sequence } from '../entities/sequence.ts'
import { SESSION, type Session } from '../entities/session.ts'
import { type Entropy } from '../keys/index.ts'
import { SEED_BYTES } from '../profile.ts'
import { mapOf, mapped, optional } from './codecs.ts'
import { CLEAR_STATE, type ClearState, RESET_STATE, type ResetState } from './saved.ts'

const EPOCH_BYTES = 8

/** How TpmObject is saved: by its record. */
const OBJECT: Codec<TpmObject> = mapped(
  OBJECT_RECORD,
  (record) => new TpmObject(record),
  (object) => object.record,
)

/** A transient slot's contents: an object or a sequence. */
export const SLOT: Codec<TpmObject | Sequence> = {
  name: 'slot',
  read: (reader) => (TPMI_YES_NO.read(reader) ? Sequence.codec.read(reader) : OBJECT.read(reader)),
  write: (writer, value) => {
    TPMI_YES_NO.write(writer, value instanceof Sequence)
    if (value instanceof Sequence) Sequence.codec.write(writer, value)
    else OBJECT.write(writer, value)
  },
}

/** State between power-on and power-off. */
export interface VolatileState {
  /** TPM2_Startup was done */
  started: boolean
  /** internal failure: only TPM2_GetTestResult and TPM2_GetCapability answer (Part 1, 10.3) */
  failed: boolean
  /** the power went off after TPM2_Shutdown before the last startup, or the TPM was new */
  startedOrderly: boolean
  /** last startup's locality: PCR 0 starts with it */
  startupLocality: number
  clear: ClearState
  reset: ResetState
  /** transient slots, by handle */
  objects: Map<number, TpmObject | Sequence>
  sessions: Map<number, Session>
  /** handle of the session whose audit is exclusive */
  exclusiveSession: number | undefined
  /** Time in milliseconds at which the last failed try was forgiven or counted */
  healTimer: bigint
  /** Time in milliseconds at which lockoutAuth failed */
  lockoutTimer: bigint
  /** random, of this run of Time: deadlines in Time mean nothing in another */
  readonly timeEpoch: Uint8Array
  /** a D-RTM sequence is under way or was done */
  established: boolean
  /** algorithms (TPM_ALG) whose self-test has passed since power-on */
  selfTested: readonly number[]
}

/** How VolatileState is saved. */
const VOLATILE_STATE: Codec<VolatileState> = struct<VolatileState>('TPM volatile state', {
  started: TPMI_YES_NO,
  failed: TPMI_YES_NO,
  startedOrderly: TPMI_YES_NO,
  startupLocality: UINT32,
  clear: CLEAR_STATE,
  reset: RESET_STATE,
  objects: mapOf(SLOT),
  sessions: mapOf(SESSION),
  exclusiveSession: optional(UINT32),
  healTimer: UINT64,
  lockoutTimer: UINT64,
  timeEpoch: TPM2B_NONCE,
  established: TPMI_YES_NO,
  selfTested: list('algorithms', UINT16, 64),
})

/** State clear data after TPM2_Startup(CLEAR), but for the PCRs' values. */
export function newClearState(): ClearState {
  return {
    shEnable: true,
    ehEnable: true,
    phEnable: true,
    phEnableNV: true,
    platformAuth: new Uint8Array(0),
    platformPolicyHash: TPM_ALG.NULL,
    platformPolicy: new Uint8Array(0),
    pcrAuthValues: new Map(),
    pcrs: new Map(),
  }
}

/** State reset data after a TPM Reset. */
function newResetState(entropy: Entropy): ResetState {
  return {
    nullSeed: entropy(SEED_BYTES),
    nullProof: entropy(SEED_BYTES),
    restartCount: 0,
    clearCount: 0,
    pcrUpdateCounter: 0,
    objectContext: 0n,
    sessionContext: 0n,
    savedSessions: new Map(),
    commandAuditDigest: undefined,
    commitNonce: entropy(SEED_BYTES),
    commitCounter: 0n,
    commitsOut: [],
  }
}

/** State of a TPM after _TPM_Init, before TPM2_Startup. */
export function newVolatileState(entropy: Entropy): VolatileState {
  return {
    started: false,
    failed: false,
    startedOrderly: false,
    startupLocality: 0,
    clear: newClearState(),
    reset: newResetState(entropy),
    objects: new Map(),
    sessions: new Map(),
    exclusiveSession: undefined,
    healTimer: 0n,
    lockoutTimer: 0n,
    timeEpoch: entropy(EPOCH_BYTES),
    established: false,
    selfTested: [],
  }
}

/** A powered TPM put aside: its volatile state and where its clocks stood. */
export interface Snapshot {
  readonly state: VolatileState
  readonly time: bigint
  readonly clock: bigint
  /** of the clocks' rate, in parts per million */
  readonly adjustment: number
}

/** How Snapshot is stored. */
export const SNAPSHOT: Codec<Snapshot> = struct<Snapshot>('TPM snapshot', {
  state: VOLATILE_STATE,
  time: UINT64,
  clock: UINT64,
  adjustment: INT32,
})
