// What a reader of firmware says of a file that it refuses.

import { FirmwareError } from '../../../../../../emulator/platform/firmware/index.ts'

/** Code and message of the FirmwareError that `act` throws, or "accepted"; another exception is thrown on. */
export function refusalOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof FirmwareError) return `${error.code} ${error.message}`
    throw error
  }
  return 'accepted'
}
