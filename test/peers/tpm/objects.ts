// What tpm2-tools write into files, read by our own library: public areas and names.
// Source: TPM 2.0 Library, Part 2, clauses 12.2.5 (TPM2B_PUBLIC) and 10.5.3 (TPM2B_NAME), revision 1.59.

import { createHash } from 'node:crypto'
import { hex, utf8 } from '../../../sdk/crypto/index.ts'
import { objectName, TPMS_ATTEST, TPMT_PUBLIC, unmarshal } from '../../../sdk/tpm2/index.ts'
import type { Tools } from './tools.ts'

/** The public area in a file that a tool wrote with `-u` or `-o` (format tss). */
export function publicIn(t: Tools, file: string): TPMT_PUBLIC {
  return unmarshal(TPMT_PUBLIC, t.read(file).slice(2))
}

/** The name of the object whose public area is in that file, computed here. */
export function nameOf(t: Tools, file: string): string {
  return hex(objectName(publicIn(t, file)))
}

/** The attestation that a tool wrote into `file`. */
export function attestIn(t: Tools, file: string): TPMS_ATTEST {
  return unmarshal(TPMS_ATTEST, t.read(file))
}

/** SHA-256, in hexadecimal. */
export function sha256(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(typeof part === 'string' ? utf8(part) : part)
  return hash.digest('hex')
}

/** The bytes that `text` stands for in hexadecimal; spaces are ignored. */
export function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))
}

/** Flips one bit of the byte at `at` (from the end where negative; by default the last) of a file, into another file. */
export function tamper(t: Tools, file: string, into: string, at = -1): void {
  const content = t.read(file)
  const where = at < 0 ? content.length + at : at
  t.write(
    into,
    content.map((octet, index) => (index === where ? octet ^ 1 : octet)),
  )
}
