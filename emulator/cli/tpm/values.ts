// Values on the command lines of `palimpsest tpm`: secrets, handles, PCR selections. Each says what it expected, and none
// repeats a secret.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { InvalidArgumentError } from 'commander'
import { fromHex } from '../../../sdk/crypto/index.ts'
import { bankOf } from '../../../sdk/evidence/index.ts'
import {
  isHash,
  PCR_COUNT,
  selectedPcrs,
  selectPcrs,
  TPM_HC,
  type TPMS_PCR_SELECTION,
} from '../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../output.ts'

const NEWLINE = 10
/** The largest authValue: a digest of the largest hash. */
const MAX_AUTH = 64

/** Help for options that take an authorization value. */
export const AUTH_HELP = 'file:PATH ("file:-": standard input), hex:DIGITS, or the text itself'
/** Help for arguments that take data. */
export const DATA_HELP = 'file:PATH ("file:-": standard input), hex:DIGITS or str:TEXT'

/**
 * An authorization value as tpm2-tools take it; one newline at the end of standard input does not count. Empty where the
 * option was not given. Throws CommandFailure: a parser of options would have its error repeat the value.
 */
export function authValue(text: string | undefined): Uint8Array {
  if (text === undefined) return new Uint8Array(0)
  const bytes = prefixed(text) ?? new TextEncoder().encode(text)
  const auth = text === 'file:-' && bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes
  if (auth.length <= MAX_AUTH) return auth
  throw wrong(
    `expected an authorization value of at most ${String(MAX_AUTH)} bytes, found ${String(auth.length)}`,
  )
}

/** Data, which may be secret. Throws CommandFailure. */
export function dataValue(text: string): Uint8Array {
  const bytes = prefixed(text)
  if (bytes !== undefined) return bytes
  throw wrong(`expected ${DATA_HELP} as data, found another beginning`)
}

function prefixed(text: string): Uint8Array | undefined {
  const [, kind, rest = ''] = /^(file|hex|str):(.*)$/s.exec(text) ?? []
  if (kind === 'file') return readInput(rest)
  if (kind === 'str') return new TextEncoder().encode(rest)
  if (kind !== 'hex') return undefined
  if (/^([0-9a-fA-F]{2})*$/.test(rest)) return fromHex(rest.toLowerCase())
  throw wrong('expected pairs of hexadecimal digits after "hex:", found something else')
}

/** A file's bytes, or those of standard input. Throws CommandFailure. */
export function readInput(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path === '-' ? 0 : path))
  } catch (cause) {
    throw new CommandFailure(
      EXIT.usage,
      cause instanceof Error ? cause.message : `expected a file, found ${path}`,
      {
        cause,
      },
    )
  }
}

function wrong(message: string): CommandFailure {
  return new CommandFailure(EXIT.usage, message)
}

/** A handle, `0x81010001`. */
export function handleValue(text: string): number {
  const handle = /^(0x[0-9a-fA-F]{1,8}|\d{1,10})$/.test(text) ? Number(text) : NaN
  if (handle <= 0xffffffff) return handle
  throw new InvalidArgumentError('expected a handle like 0x81010001')
}

/** An NV index, `0x1500016`; a number below 0x1000000 counts from the first one. */
export function nvIndexValue(text: string): number {
  const number = handleValue(text)
  const index = number < TPM_HC.NV_INDEX_FIRST ? TPM_HC.NV_INDEX_FIRST + number : number
  if (index <= TPM_HC.NV_INDEX_LAST) return index
  throw new InvalidArgumentError('expected an NV index like 0x1500016, from 0x1000000 to 0x1ffffff')
}

/** A handle as people and --json read it. */
export function handleText(handle: number): string {
  return `0x${handle.toString(16).padStart(8, '0')}`
}

/** A PCR's number. */
export function pcrValue(text: string): number {
  const pcr = /^\d{1,2}$/.test(text) ? Number(text) : NaN
  if (pcr < PCR_COUNT) return pcr
  throw new InvalidArgumentError(`expected a PCR from 0 to ${String(PCR_COUNT - 1)}`)
}

/** A bank by name, as in `sha256`. */
export function bankWord(text: string): number {
  const bank = bankOf(text.toLowerCase())
  if (bank !== undefined && isHash(bank)) return bank
  throw new InvalidArgumentError('expected sha1, sha256, sha384 or sha512')
}

/** PCRs of one bank and more: `sha256:0,7`, `sha1:all`, `sha256:0+sha384:0`; added to those before. */
export function selectionsValue(
  text: string,
  before: readonly TPMS_PCR_SELECTION[] = [],
): TPMS_PCR_SELECTION[] {
  return text.split('+').reduce<TPMS_PCR_SELECTION[]>((all, part) => {
    const [bank = '', list = 'all', ...more] = part.split(':')
    if (more.length > 0) throw new InvalidArgumentError('expected PCRs like sha256:0,7')
    return added(all, bankWord(bank), list === 'all' ? ALL_PCRS : list.split(',').map(pcrValue))
  }, before.slice())
}

const ALL_PCRS: readonly number[] = Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)

function added(
  all: readonly TPMS_PCR_SELECTION[],
  hash: number,
  pcrs: readonly number[],
): TPMS_PCR_SELECTION[] {
  if (all.every((one) => one.hash !== hash)) return [...all, selectPcrs(hash, pcrs)]
  return all.map((one) => (one.hash === hash ? selectPcrs(hash, [...selectedPcrs(one), ...pcrs]) : one))
}

/** Writes what may be secret: only the owner may read it, whatever the file was before. */
export function writePrivate(path: string, bytes: Uint8Array | string): void {
  writeFileSync(path, '', { flag: 'a', mode: 0o600 })
  chmodSync(path, 0o600)
  writeFileSync(path, bytes)
}
