// Event logs for tests: written by the writer of this house, or by hand in the format of TCG 1.2.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { concatBytes, fromHex, utf8 } from '../../../../sdk/crypto/index.ts'
import { bankOf, digestsOf, EV, EventLogWriter, type NewEvent } from '../../../../sdk/evidence/index.ts'
import { hash, type PcrBanks, TPM_ALG } from '../../../../sdk/tpm2/index.ts'

const ovmf = join(import.meta.dirname, '../../../fixtures/ovmf')

/** The log of a real boot of OVMF. */
export const ovmfLog = new Uint8Array(readFileSync(join(ovmf, 'eventlog.bin')))

/** What the TPM held after that boot: all PCRs of four banks. */
export const ovmfPcrs: PcrBanks = printedPcrs(readFileSync(join(ovmf, 'pcrs.txt'), 'utf8'))

/** PCRs as tpm2_pcrread prints them. */
function printedPcrs(text: string): PcrBanks {
  const banks = new Map<number, Map<number, Uint8Array>>()
  let pcrs = new Map<number, Uint8Array>()
  for (const line of text.split('\n')) {
    const [, bank] = /^\s*(sha\d+):$/.exec(line) ?? []
    if (bank !== undefined) banks.set(bankOf(bank) ?? 0, (pcrs = new Map<number, Uint8Array>()))
    const [, pcr, value] = /^\s*(\d+)\s*: 0x([0-9A-F]+)$/.exec(line) ?? []
    if (value !== undefined) pcrs.set(Number(pcr), fromHex(value.toLowerCase()))
  }
  return banks
}

/** An event to be written: its digest is that of its data unless `measured` says what else was measured. */
export interface Step {
  readonly pcr: number
  readonly type: number
  readonly data: Uint8Array
  readonly measured?: Uint8Array
}

const banks = [TPM_ALG.SHA1, TPM_ALG.SHA256]

/** A crypto-agile log with SHA-1 and SHA-256. */
export function agileLog(...steps: readonly Step[]): Uint8Array {
  const writer = new EventLogWriter(banks)
  for (const { pcr, type, data, measured } of steps) {
    const zeros = new Map(banks.map((bank) => [bank, new Uint8Array(bank === TPM_ALG.SHA1 ? 20 : 32)]))
    const digests = type === EV.NO_ACTION ? zeros : digestsOf(banks, measured ?? data)
    const event: NewEvent = { pcrIndex: pcr, eventType: type, data, digests }
    writer.append(event)
  }
  return writer.bytes()
}

/** `value` in `size` octets, little-endian. */
export function le(size: number, value: number | bigint): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => Number((BigInt(value) >> BigInt(8 * at)) & 0xffn))
}

/** A log in the format of TCG 1.2. */
export function sha1Log(...steps: readonly Step[]): Uint8Array {
  return concatBytes(
    ...steps.map(({ pcr, type, data, measured }) => {
      const digest = type === EV.NO_ACTION ? new Uint8Array(20) : hash(TPM_ALG.SHA1, measured ?? data)
      return concatBytes(le(4, pcr), le(4, type), digest, le(4, data.length), data)
    }),
  )
}

/** UTF-16, little-endian. */
export function utf16(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'utf16le'))
}

/** The octets of a GUID: the first three fields are little-endian. */
export function guid(text: string): Uint8Array {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return new Uint8Array(bytes)
}

/** Who owns the variables of Secure Boot and of booting. */
export const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
/** Who owns db and dbx. */
export const SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'

/** UEFI_VARIABLE_DATA. */
export function variable(owner: string, name: string, data: Uint8Array): Uint8Array {
  return concatBytes(guid(owner), le(8, name.length), le(8, data.length), utf16(name), data)
}

/** An EFI_SIGNATURE_LIST of one type; entries of one length. */
export function signatureList(type: string, ...entries: readonly Uint8Array[]): Uint8Array {
  const size = 16 + (entries[0]?.length ?? 0)
  const owner = guid('77fa9abd-0359-4d32-bd60-28f4e78f784b')
  const list = concatBytes(...entries.map((entry) => concatBytes(owner, entry)))
  return concatBytes(guid(type), le(4, 28 + list.length), le(4, 0), le(4, size), list)
}

/** EFI_LOAD_OPTION. */
export function loadOption(description: string, devicePath: Uint8Array): Uint8Array {
  return concatBytes(le(4, 1), le(2, devicePath.length), utf16(`${description}\0`), devicePath)
}

/** UEFI_IMAGE_LOAD_EVENT. */
export function image(devicePath: Uint8Array, length = 4096): Uint8Array {
  return concatBytes(le(8, 0x1000), le(8, length), le(8, 0), le(8, devicePath.length), devicePath)
}

/** UEFI_GPT_DATA with partitions of given names, one after the other. */
export function partitionTable(disk: string, ...names: readonly string[]): Uint8Array {
  const header = concatBytes(utf8('EFI PART'), new Uint8Array(48), guid(disk), new Uint8Array(20))
  const entries = names.map((name, at) => {
    const id = `00000000-0000-0000-0000-${String(at).padStart(12, '0')}`
    const place = concatBytes(le(8, 2048 * (at + 1)), le(8, 2048 * (at + 2) - 1), le(8, 0))
    const label = new Uint8Array(72)
    label.set(utf16(name))
    return concatBytes(guid('c12a7328-f81f-11d2-ba4b-00a0c93ec93b'), guid(id), place, label)
  })
  return concatBytes(header, le(8, names.length), ...entries)
}

/** What closes PCRs 0 to 7. */
export const separators: readonly Step[] = [0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => ({
  pcr,
  type: EV.SEPARATOR,
  data: new Uint8Array(4),
}))
