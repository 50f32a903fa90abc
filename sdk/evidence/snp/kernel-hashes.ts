// Measured direct boot: QEMU hands kernel, initial RAM disk and command line to the firmware outside of the measured
// pages, and puts their hashes into a measured page; the firmware compares before it uses them.
// Source: the hash table as QEMU (target/i386/sev.c) writes it and EDK II's BlobVerifierSevHashes reads it.

import { concatBytes, fromHex, sha256, utf8 } from '../../crypto/index.ts'
import { littleEndian } from '../little-endian.ts'
import { PAGE_BYTES } from './page-chain.ts'

/** What QEMU boots directly: -kernel, -initrd and -append. */
export interface DirectBoot {
  readonly kernel: Uint8Array
  /** absent: none, which is measured as no bytes */
  readonly initrd?: Uint8Array | undefined
  /** default: empty */
  readonly commandLine?: string | undefined
}

/** GUIDs as they stand in memory. */
const TABLE = fromHex('06d63894224fc94cb479a793d411fd21') // 9438d606-4f22-4cc9-b479-a793d411fd21
const COMMAND_LINE = fromHex('d82dd09720bd944caa78e7714d36ab2a') // 97d02dd8-bd20-4c94-aa78-e7714d36ab2a
const INITRD = fromHex('31f7ba442f3ad74b9af141e29169781d') // 44baf731-3a2f-4bd7-9af1-41e29169781d
const KERNEL = fromHex('3794e74dd2ab7f42b835d5b172d2045b') // 4de79437-abd2-427f-b835-d5b172d2045b

const HEADER_BYTES = 16 + 2
const ENTRY_BYTES = HEADER_BYTES + 32
const TABLE_BYTES = HEADER_BYTES + 3 * ENTRY_BYTES
/** Bytes that the table takes: a multiple of 16. */
export const HASH_TABLE_BYTES = Math.ceil(TABLE_BYTES / 16) * 16

/** The page that holds the table at `offset`. */
export function kernelHashesPage({ kernel, initrd, commandLine }: DirectBoot, offset: number): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES)
  page.set(
    concatBytes(
      TABLE,
      littleEndian(2, TABLE_BYTES),
      // The command line is measured with the zero that ends it.
      entry(COMMAND_LINE, concatBytes(utf8(commandLine ?? ''), Uint8Array.of(0))),
      entry(INITRD, initrd ?? new Uint8Array()),
      entry(KERNEL, kernel),
    ),
    offset,
  )
  return page
}

function entry(guid: Uint8Array, content: Uint8Array): Uint8Array {
  return concatBytes(guid, littleEndian(2, ENTRY_BYTES), sha256(content))
}
