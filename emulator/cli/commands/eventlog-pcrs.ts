// PCR values as others write them: what a log is to be compared with.

import { readFileSync } from 'node:fs'
import { InvalidArgumentError } from 'commander'
import { fromHex } from '../../../sdk/crypto/index.ts'
import { bankOf } from '../../../sdk/evidence/index.ts'
import { digestSize, PCR_COUNT } from '../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../output.ts'

/** The value of a PCR in a bank (TPM_ALG). */
export interface KnownPcr {
  readonly bank: number
  readonly pcr: number
  readonly value: Uint8Array
}

/** A bank by name, as on the command line. */
export function bankValue(text: string): number {
  const bank = bankOf(text.toLowerCase())
  if (bank === undefined) throw new InvalidArgumentError('expected sha1, sha256, sha384 or sha512')
  return bank
}

/** `sha256:0=HEX`, added to those before it: a PCR value on the command line. */
export function knownPcrValue(text: string, before: readonly KnownPcr[] = []): KnownPcr[] {
  const [, name = '', pcr = '', value = ''] = /^(\w+):(\d+)=(?:0x)?([0-9a-fA-F]+)$/.exec(text) ?? []
  const known = knownPcr(bankOf(name.toLowerCase()), pcr, value)
  if (known === undefined) throw new InvalidArgumentError('expected a PCR and its value, like sha256:0=HEX')
  return [...before, known]
}

function knownPcr(bank: number | undefined, number: string, hexadecimal: string): KnownPcr | undefined {
  const pcr = Number(number)
  if (bank === undefined || number === '' || !Number.isInteger(pcr) || pcr >= PCR_COUNT) return undefined
  if (hexadecimal.length !== digestSize(bank) * 2) return undefined
  return { bank, pcr, value: fromHex(hexadecimal.toLowerCase()) }
}

/**
 * PCR values from a file: what tpm2_pcrread or tpm2_eventlog printed, or `palimpsest pcr --json` or
 * `palimpsest eventlog replay --json`.
 * @throws CommandFailure when there are none in it
 */
export function readPcrFile(path: string): KnownPcr[] {
  const values = parsePcrText(readFileSync(path, 'utf8'))
  if (values.length > 0) return values
  const expected = 'expected PCR values as tpm2_pcrread or "palimpsest pcr --json" print them'
  throw new CommandFailure(EXIT.usage, `${expected}, found none in ${path}`)
}

/** As readPcrFile(), of what was read; empty when there are none in it. */
export function parsePcrText(text: string): KnownPcr[] {
  return text.trimStart().startsWith('{') ? fromJson(text) : fromText(text)
}

function fromText(text: string): KnownPcr[] {
  const values: KnownPcr[] = []
  let bank: number | undefined
  for (const line of text.split('\n')) {
    const heading = /^\s*(sha\d+)\s*:\s*$/.exec(line)
    if (heading !== null) bank = bankOf(heading[1] ?? '')
    const [, pcr = '', value = ''] = /^\s*(\d+)\s*:\s*0x([0-9a-fA-F]+)\s*$/.exec(line) ?? []
    const known = knownPcr(bank, pcr, value)
    if (known !== undefined) values.push(known)
  }
  return values
}

/** `values` or `pcrs`: a list of {bank?, pcr, value}. Without a bank, the value's length tells it. */
function fromJson(text: string): KnownPcr[] {
  const parsed = JSON.parse(text) as Record<string, unknown>
  const entries: readonly unknown[] = [parsed['values'], parsed['pcrs']].filter(Array.isArray).flat()
  return entries.flatMap((entry) => {
    const { bank, pcr, value } = entry as Record<string, unknown>
    if (typeof value !== 'string' || typeof pcr !== 'number' || !/^[0-9a-fA-F]+$/.test(value)) return []
    const name = typeof bank === 'string' ? bank : BANK_BY_LENGTH[value.length]
    return knownPcr(name === undefined ? undefined : bankOf(name), String(pcr), value) ?? []
  })
}

const BANK_BY_LENGTH: Readonly<Record<number, string>> = Object.fromEntries(
  ['sha1', 'sha256', 'sha384', 'sha512'].map((name) => [digestSize(bankOf(name) ?? 0) * 2, name]),
)
