// What tpm2-tools write into files, read by our own library: public areas, names, credentials, PCRs.
// Source: TPM 2.0 Library, Part 2, clauses 12.2.5 (TPM2B_PUBLIC) and 10.5.3 (TPM2B_NAME), revision 1.59; tpm2-tools 5.4,
// lib/files.c (credential files).

import { createHash } from 'node:crypto'
import { hex, utf8 } from '../../../sdk/crypto/index.ts'
import { bankOf } from '../../../sdk/evidence/index.ts'
import {
  type Credential,
  marshal,
  objectName,
  type PcrBanks,
  struct,
  TPM2B_ENCRYPTED_SECRET,
  TPM2B_ID_OBJECT,
  TPMS_ATTEST,
  TPMT_PUBLIC,
  UINT32,
  unmarshal,
} from '../../../sdk/tpm2/index.ts'
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

const CREDENTIAL_FILE = struct<Credential & { readonly magic: number; readonly version: number }>(
  'credential file',
  { magic: UINT32, version: UINT32, credentialBlob: TPM2B_ID_OBJECT, secret: TPM2B_ENCRYPTED_SECRET },
)

/** A credential as the tools keep it in a file. */
export function credentialFile({ credentialBlob, secret }: Credential): Uint8Array {
  return marshal(CREDENTIAL_FILE, { magic: 0xbadcc0de, version: 1, credentialBlob, secret })
}

/** PCRs as tpm2_pcrread prints them. */
export function printedPcrs(text: string): PcrBanks {
  const banks = new Map<number, Map<number, Uint8Array>>()
  let pcrs = new Map<number, Uint8Array>()
  for (const line of text.split('\n')) {
    const [, bank] = /^ *(sha\d+):$/.exec(line) ?? []
    if (bank !== undefined) banks.set(bankOf(bank) ?? 0, (pcrs = new Map<number, Uint8Array>()))
    const [, pcr, value] = /^ *(\d+) *: 0x([0-9A-F]+)$/.exec(line) ?? []
    if (value !== undefined) pcrs.set(Number(pcr), unhex(value))
  }
  return banks
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
