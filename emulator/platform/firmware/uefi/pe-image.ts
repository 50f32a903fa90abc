// PE images in firmware files: where they were linked to, and where their sections are. PEI modules run where they lie,
// so their sections are laid out in the file as they are in memory.
// Source: Microsoft PE format (COFF header, optional header, section table); UEFI Platform Initialization Specification
// 1.8, Volume 1 (PEI modules execute in place).

import { SECTION_TYPE } from '../volume-format.ts'
import type { Area } from './area.ts'
import { type FirmwareFile, sectionsOf } from './volumes.ts'

const MACHINES = new Map<number, 'ia32' | 'x64'>([
  [0x014c, 'ia32'],
  [0x8664, 'x64'],
])
const PE32_PLUS = 0x20b
const SECTION_HEADER_LENGTH = 40

/** An image that executes in place. */
export interface PeImage {
  readonly area: Area
  readonly machine: 'ia32' | 'x64'
  /** address of its first byte */
  readonly base: number
  /** EFI_IMAGE_SECTION_HEADERs */
  readonly sections: Area
}

/** A range of the image. */
export interface PeSection {
  readonly offset: number
  readonly length: number
}

/** The PE32 section of a file as an image; undefined when the file has none. */
export function peImageOf(file: FirmwareFile): PeImage | undefined {
  const section = sectionsOf(file.body).find(({ type }) => type === SECTION_TYPE.PE32)
  return section && readPeImage(section.body)
}

function readPeImage(area: Area): PeImage {
  if (area.uint16(0, 'DOS header') !== 0x5a4d)
    area.malformed(0, 'expected the signature MZ of a PE image, found another')
  const header = area.uint32(0x3c, 'e_lfanew')
  if (area.uint32(header, 'PE signature') !== 0x4550)
    area.malformed(header, 'expected the signature PE, found another')
  const machine = MACHINES.get(area.uint16(header + 4, 'Machine'))
  if (machine === undefined)
    return area.unsupported(header + 4, 'expected an image for IA-32 or x64, found another')
  const optional = header + 24
  const plus = area.uint16(optional, 'Magic') === PE32_PLUS
  const base = plus ? area.uint64(optional + 24, 'ImageBase') : area.uint32(optional + 28, 'ImageBase')
  const sections = optional + area.uint16(header + 20, 'SizeOfOptionalHeader')
  const length = area.uint16(header + 6, 'NumberOfSections') * SECTION_HEADER_LENGTH
  return { area, machine, base, sections: area.part(sections, length, 'section table') }
}

/** Where a section is. Throws FirmwareError IMAGE_UNSUPPORTED for an image without. */
export function peSection({ area, sections }: PeImage, name: string): PeSection {
  for (let at = 0; at < sections.length; at += SECTION_HEADER_LENGTH) {
    const found = Buffer.from(sections.part(at, 8, 'section name').bytes).toString('latin1')
    if (found.replace(/\0+$/, '') !== name) continue
    const offset = sections.uint32(at + 12, 'VirtualAddress')
    if (sections.uint32(at + 20, 'PointerToRawData') !== offset) {
      sections.unsupported(at + 20, 'expected a section that lies in the file as in memory, found another')
    }
    const length = sections.uint32(at + 16, 'SizeOfRawData')
    area.part(offset, length, `the section ${name}`)
    return { offset, length }
  }
  return sections.unsupported(0, `expected a section ${name}, found none`)
}
