/**
 * The one error class of this room. Messages name volumes, layers and block numbers, never data (design.md section 10).
 */

/**
 * Stable codes:
 *
 * - `NO_SUCH_VOLUME`, `NO_SUCH_LAYER`: the id is unknown; list the volumes or resolve the block again.
 * - `VOLUME_EXISTS`: choose another id.
 * - `BAD_VOLUME_ID`: the id is not 1 to 128 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
 * - `BAD_SIZE`: a size is not a positive multiple of 4096, or above the largest volume.
 * - `MISALIGNED`: a guest write is not made of whole 512-byte sectors.
 * - `OUT_OF_RANGE`: the blocks or bytes lie past the end of the volume.
 * - `NOT_IN_LAYER`: a layer was asked for a block that it does not hold; resolve again.
 * - `VOLUME_IN_USE`: other volumes still read this volume's layers; `details.dependents` names them.
 * - `CHAIN_TOO_DEEP`: the volume has been cloned and written too many times in a row.
 * - `STORE_LOCKED`: another process has the directory open; `details.pid` names it.
 * - `STORE_CLOSED`: the store was closed.
 * - `UNSUPPORTED_FORMAT`: the directory was written by another version of this program.
 * - `LAYER_DAMAGED`: a layer's file lacks bytes that its map promises.
 * - `SYNC_FAILED`: the operating system could not make data durable; the layer takes no more writes until reopened.
 */
export type StorageErrorCode =
  | 'NO_SUCH_VOLUME'
  | 'NO_SUCH_LAYER'
  | 'VOLUME_EXISTS'
  | 'BAD_VOLUME_ID'
  | 'BAD_SIZE'
  | 'MISALIGNED'
  | 'OUT_OF_RANGE'
  | 'NOT_IN_LAYER'
  | 'VOLUME_IN_USE'
  | 'CHAIN_TOO_DEEP'
  | 'STORE_LOCKED'
  | 'STORE_CLOSED'
  | 'UNSUPPORTED_FORMAT'
  | 'LAYER_DAMAGED'
  | 'SYNC_FAILED'

/** Facts that belong to an error: ids and numbers, never data. */
export type StorageErrorDetails = Readonly<Record<string, string | number | readonly string[]>>

/**
 * A request that the store refuses, or a directory that it cannot use. A refusal changes no state.
 * Errors of the operating system (ENOSPC, EIO) pass through as they are.
 */
export class StorageError extends Error {
  readonly code: StorageErrorCode
  readonly details: StorageErrorDetails

  constructor(code: StorageErrorCode, message: string, details: StorageErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StorageError'
    this.code = code
    this.details = details
  }
}
