// Numbers of the two protocols: unsigned, most significant byte first.

/** Joins 32-bit numbers and byte strings into one message. */
export function message(...parts: readonly (number | Uint8Array)[]): Uint8Array {
  let length = 0
  for (const part of parts) length += typeof part === 'number' ? 4 : part.length
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const part of parts) {
    if (typeof part === 'number') {
      view.setUint32(at, part)
      at += 4
    } else {
      bytes.set(part, at)
      at += part.length
    }
  }
  return bytes
}

/** The message of anything that was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

const failureTag = Uint8Array.of(0x80, 0x01)

/** A TPM response that is only a response code (Part 1, clause 18.10): ten bytes. */
export function bareResponse(responseCode: number): Uint8Array {
  return message(failureTag, 10, responseCode)
}

/**
 * The locality that a platform passes on. Localities 5 to 31 do not exist (Part 1, clause 3.1); the reference
 * platform takes such a number for locality 0, which has no more rights than any other.
 */
export function existingLocality(locality: number): number {
  return locality > 4 && locality < 32 ? 0 : locality
}
