// A quote in files, as tpm2_quote writes them and tpm2_checkquote reads them: attestation and signature as the TPM gave
// them, the key as TPM2B_PUBLIC, PCRs in the memory layout of tpm2-tools ("serialized").
// Source: tpm2-tools 5.4, lib/pcr.c (pcr_fwrite_serialized), over the structures of tpm2-tss on a machine with
// little-endian numbers; TPM 2.0 Library, Part 2, clauses 10.9.5 (TPML_DIGEST) and 10.9.7 (TPML_PCR_SELECTION).

import { join } from 'node:path'
import {
  digestSize,
  isHash,
  readPublicArea,
  selectedPcrs,
  type TPMS_PCR_SELECTION,
  type TPMT_PUBLIC,
  Tpm2Error,
} from '../../../sdk/tpm2/index.ts'
import { parsePcrText } from '../commands/eventlog-pcrs.ts'
import { CommandFailure, EXIT } from '../output.ts'
import { type PcrValue } from './pcrs.ts'
import { readInput } from './values.ts'

/** Names of the files in a quote's folder. */
export const QUOTE_FILES = {
  message: 'quote.attest',
  signature: 'quote.signature',
  public: 'ak.public',
  pcrs: 'quote.pcrs',
} as const

/** The paths of a quote's files in `folder`. */
export function quotePaths(folder: string): Record<keyof typeof QUOTE_FILES, string> {
  const path = (name: keyof typeof QUOTE_FILES) => join(folder, QUOTE_FILES[name])
  return {
    message: path('message'),
    signature: path('signature'),
    public: path('public'),
    pcrs: path('pcrs'),
  }
}

// The layout in memory: TPML_PCR_SELECTION is a count and 16 entries of hash, size and four octets of bits, each padded
// to 8 bytes; then how many TPML_DIGEST follow, each a count and 8 entries of size and 64 bytes.
const MAX_SELECTIONS = 16
const SELECTION_BYTES = 8
const SELECT_BYTES = 4
const DIGESTS_IN_LIST = 8
const DIGEST_BYTES = 2 + 64
const LIST_BYTES = 4 + DIGESTS_IN_LIST * DIGEST_BYTES
const HEAD_BYTES = 4 + MAX_SELECTIONS * SELECTION_BYTES + 4

/** PCRs as tpm2_quote writes them. */
export function serializePcrs(
  selection: readonly TPMS_PCR_SELECTION[],
  values: readonly PcrValue[],
): Uint8Array {
  const lists = Math.ceil(values.length / DIGESTS_IN_LIST)
  const bytes = Buffer.alloc(HEAD_BYTES + lists * LIST_BYTES)
  bytes.writeUInt32LE(selection.length, 0)
  for (const [at, bank] of selection.entries()) {
    const place = 4 + at * SELECTION_BYTES
    bytes.writeUInt16LE(bank.hash, place)
    bytes.writeUInt8(bank.pcrSelect.length, place + 2)
    bytes.set(bank.pcrSelect, place + 3)
  }
  bytes.writeUInt32LE(lists, HEAD_BYTES - 4)
  for (const [at, { value }] of values.entries()) {
    const list = HEAD_BYTES + Math.floor(at / DIGESTS_IN_LIST) * LIST_BYTES
    const place = list + 4 + (at % DIGESTS_IN_LIST) * DIGEST_BYTES
    bytes.writeUInt32LE((at % DIGESTS_IN_LIST) + 1, list)
    bytes.writeUInt16LE(value.length, place)
    bytes.set(value, place + 2)
  }
  return new Uint8Array(bytes)
}

/** Undefined when the bytes are none of that layout. */
function deserializePcrs(bytes: Buffer): PcrValue[] | undefined {
  if (bytes.length < HEAD_BYTES) return undefined
  const [banks, lists] = [bytes.readUInt32LE(0), bytes.readUInt32LE(HEAD_BYTES - 4)]
  if (banks > MAX_SELECTIONS || bytes.length !== HEAD_BYTES + lists * LIST_BYTES) return undefined
  const places = Array.from({ length: banks }, (_, at) => 4 + at * SELECTION_BYTES).flatMap((place) => {
    const size = Math.min(bytes.readUInt8(place + 2), SELECT_BYTES)
    const pcrSelect = bytes.subarray(place + 3, place + 3 + size)
    const hash = bytes.readUInt16LE(place)
    return selectedPcrs({ hash, pcrSelect }).map((pcr) => ({ bank: hash, pcr }))
  })
  const digests = Array.from({ length: lists }, (_, at) => HEAD_BYTES + at * LIST_BYTES).flatMap((list) =>
    digestsOf(bytes, list),
  )
  if (places.length !== digests.length) return undefined
  return places.flatMap((place, at) => {
    const value = digests[at]
    return value === undefined ? [] : [{ ...place, value }]
  })
}

function digestsOf(bytes: Buffer, list: number): Uint8Array[] {
  const count = Math.min(bytes.readUInt32LE(list), DIGESTS_IN_LIST)
  return Array.from({ length: count }, (_, at) => {
    const place = list + 4 + at * DIGEST_BYTES
    const size = Math.min(bytes.readUInt16LE(place), DIGEST_BYTES - 2)
    return new Uint8Array(bytes.subarray(place + 2, place + 2 + size))
  })
}

/**
 * PCR values from a file: tpm2_quote's or our own, their plain concatenation in the order of `selection` (tpm2_quote -F
 * values), or what "tpm pcr read" and tpm2_pcrread print. Throws CommandFailure.
 */
export function readPcrValues(path: string, selection: readonly TPMS_PCR_SELECTION[]): PcrValue[] {
  const bytes = Buffer.from(readInput(path))
  const values =
    deserializePcrs(bytes) ?? plainPcrs(bytes, selection) ?? parsePcrText(bytes.toString('latin1'))
  if (values.length > 0) return values
  const expected = 'expected PCR values of tpm2_quote, tpm2_pcrread or "palimpsest tpm pcr read"'
  throw new CommandFailure(EXIT.usage, `${path}: ${expected}, found none`)
}

function plainPcrs(bytes: Buffer, selection: readonly TPMS_PCR_SELECTION[]): PcrValue[] | undefined {
  if (!selection.every(({ hash }) => isHash(hash))) return undefined
  const places = selection.flatMap((one) => selectedPcrs(one).map((pcr) => ({ bank: one.hash, pcr })))
  const total = places.reduce((sum, { bank }) => sum + digestSize(bank), 0)
  if (places.length === 0 || bytes.length !== total) return undefined
  let at = 0
  return places.map(({ bank, pcr }) => {
    const value = new Uint8Array(bytes.subarray(at, at + digestSize(bank)))
    at += value.length
    return { bank, pcr, value }
  })
}

/** A key's public area from a file, TPM2B_PUBLIC or TPMT_PUBLIC. Throws CommandFailure. */
export function readPublic(path: string): TPMT_PUBLIC {
  const bytes = readInput(path)
  try {
    return readPublicArea(bytes)
  } catch (cause) {
    if (!(cause instanceof Tpm2Error)) throw cause
    const advice =
      'a PEM does not tell whether the key signs only what a TPM made: use the file of tpm2_createak -u, or of ' +
      'tpm2_readpublic -o without -f'
    const message = `${path}: expected a public area (TPM2B_PUBLIC), found none; ${advice}`
    throw new CommandFailure(EXIT.usage, message, { cause })
  }
}
