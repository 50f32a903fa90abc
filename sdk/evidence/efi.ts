// What UEFI writes into event data: GUIDs, strings, and names for GUIDs that a reader of boot logs meets.
// Source: UEFI Specification 2.10, appendix A (GUID format), clauses 3.3, 4.6 and 32.4.1; shim and systemd name their own.

import { concatBytes, hex } from '../crypto/index.ts'

/** Names by GUID, in the words of those who define them. */
const GUID_NAMES = new Map([
  ['8be4df61-93ca-11d2-aa0d-00e098032b8c', 'EFI_GLOBAL_VARIABLE'],
  ['d719b2cb-3d3a-4596-a3bc-dad00e67656f', 'EFI_IMAGE_SECURITY_DATABASE'],
  ['605dab50-e046-4300-abb6-3dd810dd8b23', 'SHIM_LOCK'],
  ['4a67b082-0a4c-41cf-b6c7-440b29bb8c4f', 'systemd loader'],
  ['77fa9abd-0359-4d32-bd60-28f4e78f784b', 'Microsoft'],
  ['eb9d2d31-2d88-11d3-9a16-0090273fc14d', 'SMBIOS'],
  ['f2fd1544-9794-4a2c-992e-e5bbcf20e394', 'SMBIOS 3'],
  ['eb9d2d30-2d88-11d3-9a16-0090273fc14d', 'ACPI 1.0'],
  ['8868e871-e4f1-11d3-bc22-0080c73c8881', 'ACPI 2.0'],
  ['c12a7328-f81f-11d2-ba4b-00a0c93ec93b', 'EFI system partition'],
  ['21686148-6449-6e6f-744e-656564454649', 'BIOS boot partition'],
  ['0fc63daf-8483-4772-8e79-3d69d8477de4', 'Linux file system'],
  ['4f68bce3-e8cd-4db1-96e7-fbcaf984b709', 'Linux root (x86-64)'],
  ['0657fd6d-a4ab-43c4-84e5-0933c84b4f4f', 'Linux swap'],
  ['e6d6d379-f507-44c2-a23c-238f2a3df928', 'Linux LVM'],
  ['bc13c2ff-59e6-4262-a352-b275fd6f7172', 'extended boot loader'],
  ['ebd0a0a2-b9e5-4433-87c0-68b6b72699c7', 'Microsoft basic data'],
  ['e3c9e316-0b5c-4db8-817d-f92df00215ae', 'Microsoft reserved'],
  ['de94bba4-06d1-4d40-a16a-bfd50179d6ac', 'Windows recovery'],
  ['7c04a583-9e3e-4f1c-ad65-e05268d0b4d1', 'UEFI Shell'],
  ['462caa21-7614-4503-836e-8ab6f4662331', 'UiApp'],
])

/** The 16 octets of an EFI_GUID as text: the first three fields are little-endian. */
export function guidText(bytes: Uint8Array): string {
  const part = (...order: number[]) => hex(Uint8Array.from(order, (at) => bytes[at] ?? 0))
  const node = part(10, 11, 12, 13, 14, 15)
  return [part(3, 2, 1, 0), part(5, 4), part(7, 6), part(8, 9), node].join('-')
}

/** The 16 octets of an EFI_GUID from its text: guidText() the other way round. Throws RangeError for another text. */
export function guidBytes(guid: string): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(guid)) {
    throw new RangeError(`expected a GUID of 8-4-4-4-12 hexadecimal digits, got "${guid}"`)
  }
  const octets = new Uint8Array(Buffer.from(guid.replaceAll('-', ''), 'hex'))
  const reversed = (start: number, end: number) => octets.slice(start, end).reverse()
  return concatBytes(reversed(0, 4), reversed(4, 6), reversed(6, 8), octets.subarray(8))
}

/** The name of a well-known GUID. */
export function guidName(guid: string): string | undefined {
  return GUID_NAMES.get(guid)
}

/** Text that can be shown on a terminal: control characters as \xNN. Event data are written by whoever booted. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu, (character) => {
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    const code = character.codePointAt(0) ?? 0
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}

/** UTF-16, little-endian; an odd octet at the end is left out. */
export function utf16Text(bytes: Uint8Array): string {
  return new TextDecoder('utf-16le').decode(bytes.subarray(0, bytes.length & ~1))
}

/** UTF-16 up to its terminator, and how many octets that took with it; undefined without a terminator. */
export function terminatedUtf16(bytes: Uint8Array): { text: string; size: number } | undefined {
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    if (bytes[at] === 0 && bytes[at + 1] === 0)
      return { text: utf16Text(bytes.subarray(0, at)), size: at + 2 }
  }
  return undefined
}

const READABLE = /^[\P{C}\n\t]*$/u

/**
 * The text that `bytes` are, in UTF-16 or UTF-8, without its terminators; undefined when they are no text. UTF-16 is
 * recognised by its zero octets, so only for Latin letters: that is what firmware and boot loaders write.
 */
export function textOf(bytes: Uint8Array): string | undefined {
  const wide = bytes.length >= 2 && bytes.every((octet, at) => at % 2 === 0 || octet === 0)
  let text: string
  try {
    text = wide ? utf16Text(bytes) : new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
  text = text.replace(/\0+$/, '')
  return READABLE.test(text) ? text : undefined
}
