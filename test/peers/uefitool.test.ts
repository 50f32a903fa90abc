// Debian's uefitool-cli reads the built-in firmware image without a complaint, and complains of a damaged one.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, type TestContext } from 'vitest'
import { builtInFirmware } from '../../emulator/platform/firmware/index.ts'
import { folderWith, removeFolders, requireTool, run } from './tool.ts'

afterEach(removeFolders)

function report(context: TestContext, image: Uint8Array): { messages: string; rows: string[][] } {
  const tool = requireTool(context, 'uefitool-cli', 'UEFIExtract', 'uefiextract')
  const folder = folderWith({ 'firmware.fd': image })
  const { code, stdout, stderr } = run(folder, tool, 'firmware.fd', 'report')
  expect(code).toBe(0)
  const table = readFileSync(join(folder, 'firmware.fd.report.txt'), 'utf8').trim().split('\n').slice(1)
  return {
    messages: `${stdout}${stderr}`,
    rows: table.map((row) => row.split('|').map((cell) => cell.trim())),
  }
}

describe('uefitool-cli', () => {
  it('parses the built-in firmware volume: files, sections and volume top file, no message', (context) => {
    const { messages, rows } = report(context, builtInFirmware())
    expect(messages).toBe('')
    expect(rows.map(([type, subtype]) => `${type ?? ''}/${subtype ?? ''}`)).toEqual([
      'Image/UEFI',
      'Volume/FFSv2',
      'File/Freeform',
      'Section/Raw',
      'Section/UI',
      'Section/Version',
      'File/Pad',
      'File/Raw',
    ])
    expect(rows[2]?.[6]).toBe('PalimpsestFirmware')
    expect(rows[7]?.[6]).toBe('Volume Top File')
  })

  it.for([
    { what: 'the volume header', at: 50, message: /volume header checksum is invalid/ },
    { what: 'a file header', at: 72 + 19, message: /invalid header checksum|checksum/ },
    { what: 'file data', at: 72 + 24 + 40, message: /invalid data checksum/ },
  ])('complains when $what is damaged', ({ at, message }, context) => {
    const image = builtInFirmware()
    image[at] = (image[at] ?? 0) ^ 0x10
    expect(report(context, image).messages).toMatch(message)
  })
})
