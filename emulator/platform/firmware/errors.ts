// Why the platform does not boot a firmware: each reason with a stable code.

/**
 * - IMAGE_UNREADABLE, IMAGE_SIZE: the firmware file
 * - IMAGE_MALFORMED: the image, or the store of variables with it, is no UEFI firmware or is damaged
 * - IMAGE_UNSUPPORTED: the image may be sound, but is of a kind whose measurements are not known
 * - SHAPE_UNKNOWN: what the image measures on this machine can not be known without booting it there
 * - MANIFEST_UNREADABLE: the manifest file
 * - MANIFEST_INVALID: the manifest is not signed by the key that it names, or is none
 * - MANIFEST_MISMATCH: the manifest is of another image
 */
export type FirmwareErrorCode =
  | 'IMAGE_UNREADABLE'
  | 'IMAGE_SIZE'
  | 'IMAGE_MALFORMED'
  | 'IMAGE_UNSUPPORTED'
  | 'SHAPE_UNKNOWN'
  | 'MANIFEST_UNREADABLE'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_MISMATCH'

/** A firmware that is not booted. */
export class FirmwareError extends Error {
  readonly code: FirmwareErrorCode

  constructor(code: FirmwareErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'FirmwareError'
    this.code = code
  }
}
