// Evidence as bytes: the formats that a platform writes and verifiers read. Writer and reader share this room, so that
// neither can drift from the other: event log, launch report and digest, firmware manifest, endorsement, share statement.
// Nothing here decides whether evidence is good enough: that is appraisal (sdk/attest).

export {
  type BootProfile,
  type BootProfileName,
  KNOWN_PCRS,
  PROFILE_PCRS,
  readBootProfile,
} from './boot-profile.ts'
export {
  CERTIFICATE_USAGE,
  type PlatformEndorsement,
  type PlatformKeys,
  platformKeys,
} from './endorsement.ts'
export { EvidenceError, type EvidenceErrorCode } from './errors.ts'
export {
  decodeEvent,
  decodeFirmwareBlob,
  decodeImageLoadEvent,
  decodeTaggedEvent,
  digestCoversData,
  encodeFirmwareBlob,
  encodeImageLoadEvent,
  encodeTaggedEvent,
  type EventDetails,
  filePathDevicePath,
  type FirmwareBlob,
  type ImageLoadEvent,
  type TaggedEvent,
  type VariableValue,
} from './event-data.ts'
export {
  encodeVariable,
  type HandoffTables,
  type LoadOption,
  type Partition,
  type PartitionTable,
  type Signature,
  type VariableData,
} from './efi-data.ts'
export { guidBytes, guidText } from './efi.ts'
export { eventText } from './event-text.ts'
export { eventProblem } from './event-check.ts'
export { type FirmwareLog, readFirmwareLog } from './firmware-log.ts'
export { diffEventLogs, type EventDifference, type LogComparison, type PcrComparison } from './log-diff.ts'
export { type DifferenceKind, pcrPurpose } from './log-meaning.ts'
export {
  digestsOf,
  type EventLog,
  EventLogWriter,
  type LogAlgorithm,
  type NewEvent,
  parseEventLog,
  type PcrEvent,
} from './event-log.ts'
export { EV, EVENT_TAG, eventTypeName } from './event-types.ts'
export {
  type FirmwareManifest,
  firmwareManifestDigest,
  signFirmwareManifest,
  verifyFirmwareManifest,
} from './firmware-manifest.ts'
export { snpFirmwareDigest, type SnpGuest, snpLaunchDigest, workerLaunchDigest } from './launch-digest.ts'
export {
  type LaunchKind,
  type LaunchReport,
  parseLaunchReport,
  signLaunchReport,
  verifyLaunchReport,
} from './launch-report.ts'
export { bankName, bankOf, pcrText, selectionsText } from './pcr-names.ts'
export { replay, replayBanks } from './replay.ts'
export { makeShareStatement, type ShareStatement, verifyShareStatement } from './share-statement.ts'
export { readSevFirmware, type SectionType, type SevFirmware, type SnpSection } from './snp/firmware.ts'
export type { DirectBoot } from './snp/kernel-hashes.ts'
export { LAUNCH_DIGEST_BYTES } from './snp/page-chain.ts'
export { cpuSignature } from './snp/vcpu.ts'
