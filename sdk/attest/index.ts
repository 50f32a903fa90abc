// The public entry of this room: terms of a registration, challenges, enrolment of platforms, policies, and appraisal of
// evidence against them; and enrolment and appraisal of any other TPM. It transports nothing and knows no gRPC.

export { bindingDigest, NONCE_LENGTH, otherRole, type Role, roles } from './binding.ts'
export { decodeOpen, encodeOpen, OPEN_LIMIT, transcriptOf } from './open.ts'
export type { Open, OpenDisk, OpenMemory, OpenParty, PageRun } from './open-types.ts'
export {
  CHALLENGE_TTL_MS,
  type MadeChallenge,
  makeChallenge,
  type Selection,
  type VerifiedChallenge,
  verifyChallenge,
} from './challenge.ts'
export { ChallengeBook } from './challenge-book.ts'
export { type CredentialChallenge } from './credential-challenge.ts'
export { type EnrolledTpm, TpmEnroller, type TpmKeys } from './enrol-tpm.ts'
export { Enroller, type EnrolmentChallenge, type EnrolmentRecord } from './enrolment.ts'
export {
  EnrolmentFileError,
  type EnrolmentStore,
  fileEnrolments,
  memoryEnrolments,
} from './enrolment-store.ts'
export {
  parsePolicy,
  type PcrReference,
  type PeerRule,
  type Policy,
  type PolicyBank,
  policyDigest,
  PolicyError,
  policyFile,
  type ReferenceValue,
  selectionOf,
} from './policy.ts'
export { policySchema } from './policy.schema.ts'
export type {
  Appraisal,
  AppraisalInput,
  AppraisalStep,
  AppraisalStepName,
  Approved,
  ClockState,
  Delivery,
} from './appraisal.ts'
export { appraise } from './appraise.ts'
export { EVIDENCE_LIMITS } from './appraise-platform.ts'
export { appraisePeer } from './appraise-vms.ts'
export { appraiseTpm } from './appraise-tpm.ts'
export type {
  QuotedEvent,
  QuotedPcr,
  TpmAppraisal,
  TpmEvidence,
  TpmExpectations,
  TpmReference,
  TpmSigner,
} from './tpm-appraisal.ts'
export { explainPolicy } from './explain.ts'
export { type GoldenBoot, type Learned, learnPolicy } from './learn.ts'
export { Refusal, refuseAs, type RefusalCode, type RefusalDetail } from './refusal.ts'
