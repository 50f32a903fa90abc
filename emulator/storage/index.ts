/**
 * Volumes as stacks of ciphertext layers with copy-on-write (design.md sections 6 and 8; disks.md).
 * Untrusted host code: it holds no key and sees no plaintext. Use `VolumeStore.open`.
 */
export { BLOCK_SIZE, SECTOR_SIZE } from './bitmap.ts'
export type { NewVolume } from './catalog.ts'
export { StorageError } from './errors.ts'
export type { StorageErrorCode, StorageErrorDetails } from './errors.ts'
export { VolumeStore } from './store.ts'
export type {
  BlockRun,
  ForeignPlacement,
  ForeignRun,
  HolePlacement,
  OwnPlacement,
  Placement,
  PutResult,
  ReadResult,
  Resolution,
  ResolvedRun,
  SharedOwnPlacement,
  StorageLog,
  VolumeInfo,
  WriteResult,
} from './types.ts'
