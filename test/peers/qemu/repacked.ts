// OVMF with one byte changed in what it measures of itself. That lies in an LZMA section of the flash file, so it is
// unpacked and packed again by Debian's xz; everything around it stays as it is.
// Source: UEFI Platform Initialization Specification 1.8, Volume 3, clause 3.2.5.7 (EFI_SECTION_GUID_DEFINED).

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, type TestContext } from 'vitest'
import { guidBytes } from '../../../sdk/evidence/index.ts'
import { folderWith, requireFile, requireTool, run } from '../tool.ts'

const LZMA = 'ee4e5898-3914-4259-9d6e-dc7bd79403cf'
/** Of an .lzma stream: properties, and the size of the dictionary; then comes the size of the contents. */
const SIZE_AT = 5

export interface Repacked {
  /** the new flash file */
  readonly path: string
  /** what the section unpacks to, before and after */
  readonly before: Buffer
  readonly after: Buffer
}

/** Debian's OVMF, with the last byte of what it unpacks changed: DXEFV's free space, which is measured and never used. */
export function repacked(context: TestContext): Repacked {
  const xz = requireTool(context, 'xz-utils', 'xz')
  const flash = readFileSync(requireFile(context, 'ovmf', '/usr/share/OVMF/OVMF_CODE_4M.fd'))
  const section = flash.indexOf(guidBytes(LZMA)) - 4
  const start = section + flash.readUInt16LE(section + 20)
  const room = section + flash.readUIntLE(section, 3) - start
  const folder = folderWith({ 'before.lzma': flash.subarray(start, start + room) })

  expect(run(folder, xz, '--decompress', '--keep', '--format=lzma', 'before.lzma').code).toBe(0)
  const before = readFileSync(join(folder, 'before'))
  const after = Buffer.from(before)
  after.writeUInt8(after.readUInt8(after.length - 1) ^ 1, after.length - 1)
  writeFileSync(join(folder, 'after'), after)
  expect(run(folder, xz, '-9', '--keep', '--format=lzma', 'after').code).toBe(0)

  const packed = readFileSync(join(folder, 'after.lzma'))
  expect(packed.length).toBeLessThanOrEqual(room)
  // xz says that the size is unknown; UEFI wants it.
  packed.writeBigUInt64LE(BigInt(after.length), SIZE_AT)
  packed.copy(flash, start)
  const path = join(folder, 'changed.fd')
  writeFileSync(path, flash)
  return { path, before, after }
}
