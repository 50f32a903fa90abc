// What goes into an appraisal and what comes out of it.

import type { BlockId, BlockKind, RangePair } from '../block/index.ts'
import type { BootProfile, EventLog, FirmwareManifest, LaunchReport } from '../evidence/index.ts'
import type { TPMS_CLOCK_INFO } from '../tpm2/index.ts'
import type { Role } from './binding.ts'
import type { MadeChallenge } from './challenge.ts'
import type { EnrolmentRecord } from './enrolment.ts'
import type { Open } from './open-types.ts'
import type { Policy } from './policy.ts'

/** What the host relays in one message: measurement, both block ids, and the evidence for them. Nothing is believed. */
export interface Delivery {
  /** SHA-256 of the firmware's memory image, as the host says */
  readonly measurement: Uint8Array
  /** the first of the terms' first blocks */
  readonly firstBlock: BlockId
  /** the first of the terms' second blocks */
  readonly secondBlock: BlockId
  /** TPMS_ATTEST and TPMT_SIGNATURE */
  readonly quote: { readonly attest: Uint8Array; readonly signature: Uint8Array }
  /** crypto-agile TCG event log */
  readonly eventLog: Uint8Array
  /** COSE_Sign1 */
  readonly firmwareManifest: Uint8Array
  /** COSE_Sign1 whose report data answers the challenge */
  readonly workerReport: Uint8Array
}

/** What a VM agreed to before the terms came. */
export interface Approved {
  readonly kind: BlockKind
  /** the terms may name fewer blocks, but none besides these and none to another second block */
  readonly pairs: readonly RangePair[]
  /** disks: the terms must name these volumes */
  readonly volumes?: { readonly source: string; readonly destination: string }
}

/** The platform's clock over the life of a VM: what the next quote is held against. */
export interface ClockState {
  /** reset count of the first quote that was accepted */
  readonly firstResetCount: number
  /** clock of the last quote that was accepted */
  readonly last: TPMS_CLOCK_INFO
}

/** Everything that an appraisal looks at. */
export interface AppraisalInput {
  readonly policy: Policy
  readonly enrolment: EnrolmentRecord
  /** the terms, decoded from the very bytes that `transcript` is the digest of */
  readonly open: Open
  readonly transcript: Uint8Array
  /** the side of the VM that judges */
  readonly role: Role
  /** the VM's own challenge, whose nonce the caller has burnt */
  readonly challenge: Pick<MadeChallenge, 'nonce' | 'selection'>
  /** the VM that judges: name on the host and digest of its identity key */
  readonly own: { readonly vm: string; readonly identity: Uint8Array }
  readonly approved: Approved
  /** launch report of the other side's VM, COSE_Sign1 */
  readonly peerReport: Uint8Array
  readonly delivery: Delivery
  /** the `clock` of the last appraisal of this platform; absent the first time */
  readonly clock?: ClockState
  /** milliseconds since 1970, for reference values that expire; default: now */
  readonly now?: number
}

/** Names of the steps, in their order. */
export type AppraisalStepName =
  | 'sizes'
  | 'enrolment'
  | 'platform'
  | 'signatures'
  | 'quote'
  | 'worker-binding'
  | 'terms'
  | 'pcrs'
  | 'boot'
  | 'pcr-values'
  | 'firmware'
  | 'signer'
  | 'security-version'
  | 'configuration'
  | 'hypervisor'
  | 'worker'
  | 'clock'
  | 'peer'
  | 'emulated'

/** One passed step: what it found, in words, and how many milliseconds it took. */
export interface AppraisalStep {
  readonly name: AppraisalStepName
  readonly finding: string
  readonly ms: number
}

/** Evidence that passed every step. */
export interface Appraisal {
  readonly steps: readonly AppraisalStep[]
  /** name of the platform's endorsement key */
  readonly platform: Uint8Array
  /** SHA-256 of the firmware image */
  readonly firmware: Uint8Array
  readonly manifest: FirmwareManifest
  /** digest of the hypervisor's image, in the policy's bank */
  readonly hypervisor: Uint8Array
  readonly worker: LaunchReport
  readonly peer: LaunchReport
  /** for the next appraisal of this platform */
  readonly clock: ClockState
}

/** What the steps have established so far, each value by the step that proved it. */
export interface Findings {
  worker?: LaunchReport
  peer?: LaunchReport
  quotedClock?: TPMS_CLOCK_INFO
  quotedPcrDigest?: Uint8Array
  /** TPM_ALG of the quote's signing scheme, which is also the hash of the PCR digest */
  quoteHash?: number
  log?: EventLog
  /** values of the policy's bank that the log replays to, by PCR */
  replayed?: ReadonlyMap<number, Uint8Array>
  boot?: BootProfile
  manifest?: FirmwareManifest
  clock?: ClockState
}

/** A step: refuses with one reason, or adds to the findings and says what it found. */
export interface Step {
  readonly name: AppraisalStepName
  readonly check: (input: AppraisalInput, findings: Findings) => string
}

/** A finding that an earlier step must have made. Throws TypeError when the steps are in a wrong order. */
export function known<K extends keyof Findings>(findings: Findings, name: K): NonNullable<Findings[K]> {
  const value = findings[name]
  if (value === undefined) throw new TypeError(`step order: "${name}" is not established yet`)
  return value
}
