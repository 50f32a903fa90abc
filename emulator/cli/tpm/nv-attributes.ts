// NV index attributes in the words of tpm2-tools: "ownerwrite|authread|nt=counter".
// Source: TPM 2.0 Library, Part 2, clause 13.4 (TPMA_NV), revision 1.59; tpm2-tools, tpm2_nvdefine(1), the words.

import { InvalidArgumentError } from 'commander'
import { TPM_NT, TPMA_NV } from '../../../sdk/tpm2/index.ts'

const WORDS: Readonly<Record<string, number>> = {
  ppwrite: TPMA_NV.PPWRITE,
  ownerwrite: TPMA_NV.OWNERWRITE,
  authwrite: TPMA_NV.AUTHWRITE,
  policywrite: TPMA_NV.POLICYWRITE,
  policydelete: TPMA_NV.POLICY_DELETE,
  writelocked: TPMA_NV.WRITELOCKED,
  writeall: TPMA_NV.WRITEALL,
  writedefine: TPMA_NV.WRITEDEFINE,
  write_stclear: TPMA_NV.WRITE_STCLEAR,
  globallock: TPMA_NV.GLOBALLOCK,
  ppread: TPMA_NV.PPREAD,
  ownerread: TPMA_NV.OWNERREAD,
  authread: TPMA_NV.AUTHREAD,
  policyread: TPMA_NV.POLICYREAD,
  no_da: TPMA_NV.NO_DA,
  orderly: TPMA_NV.ORDERLY,
  clear_stclear: TPMA_NV.CLEAR_STCLEAR,
  readlocked: TPMA_NV.READLOCKED,
  written: TPMA_NV.WRITTEN,
  platformcreate: TPMA_NV.PLATFORMCREATE,
  read_stclear: TPMA_NV.READ_STCLEAR,
}

const TYPES: Readonly<Record<string, number>> = {
  ordinary: TPM_NT.ORDINARY,
  counter: TPM_NT.COUNTER,
  bits: TPM_NT.BITS,
  extend: TPM_NT.EXTEND,
  pinfail: TPM_NT.PIN_FAIL,
  pinpass: TPM_NT.PIN_PASS,
}

/** Bits of TPMA_NV from words with | between them. Throws InvalidArgumentError. */
export function nvAttributesValue(text: string): number {
  return text.split('|').reduce((bits, word) => (bits | wordBits(word.toLowerCase())) >>> 0, 0)
}

function wordBits(word: string): number {
  const [, type] = /^nt=(\w+)$/.exec(word) ?? []
  const kind = type === undefined ? undefined : (TYPES[type] ?? numberBelow16(type))
  const bits = kind === undefined ? WORDS[word] : kind << TPMA_NV.TPM_NT_SHIFT
  if (bits !== undefined) return bits
  const words = Object.keys(WORDS).join(', ')
  const types = Object.keys(TYPES).join(', ')
  throw new InvalidArgumentError(`expected words with | between them: ${words}; nt= with ${types}`)
}

function numberBelow16(text: string): number | undefined {
  const number = /^(0x[0-9a-f]|\d{1,2})$/.test(text) ? Number(text) : NaN
  return number < 16 ? number : undefined
}

/** The kind of an index, TPM_NT. */
export function nvType(attributes: number): number {
  return (attributes & TPMA_NV.TPM_NT_MASK) >>> TPMA_NV.TPM_NT_SHIFT
}

/** The kind of an index in a word. */
export function nvTypeWord(attributes: number): string {
  const type = nvType(attributes)
  const [word] = Object.entries(TYPES).find(([, kind]) => kind === type) ?? [`0x${type.toString(16)}`]
  return word
}

/** The attributes in words, without the kind. */
export function nvAttributeWords(attributes: number): string[] {
  return Object.entries(WORDS)
    .filter(([, bit]) => (attributes & bit) !== 0)
    .map(([word]) => word)
}
