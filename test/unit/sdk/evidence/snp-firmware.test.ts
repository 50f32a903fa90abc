// What OVMF images say of their launch: read as written, and refused with one kind of error when they are damaged.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EvidenceError, readSevFirmware } from '../../../../sdk/evidence/index.ts'
import {
  COMPLETE,
  firmwareImage,
  GUID,
  type ImageParts,
  METADATA_OFFSET,
  type Section,
  SECTIONS,
  words,
} from './snp-images.ts'

/** The image with `bytes` at `fromEnd` bytes before its end. */
function damaged(fromEnd: number, bytes: Uint8Array, parts: ImageParts = COMPLETE): Uint8Array {
  const image = firmwareImage(parts)
  image.set(bytes, image.length - fromEnd)
  return image
}

/** The message of the refusal; undefined when there is none. */
function refusal(image: Uint8Array): string | undefined {
  try {
    readSevFirmware(image)
    return undefined
  } catch (error) {
    if (error instanceof EvidenceError && error.code === 'FIRMWARE_MALFORMED') return error.message
    throw error
  }
}

const FOOTER_LENGTH = 32 + 18
/** Of the last entry before the footer, which is the reset block of 22 bytes. */
const ENTRY_LENGTH = FOOTER_LENGTH + 18
const withSections = (...sections: readonly Section[]) => firmwareImage({ ...COMPLETE, sections })

describe('the tables of an image', () => {
  it('are read as they were written, sections in their order', () => {
    expect(readSevFirmware(firmwareImage(COMPLETE))).toEqual({
      sections: [
        { type: 'SNP_SEC_MEM', address: 0x80_0000, length: 0x9000 },
        { type: 'SNP_SECRETS', address: 0x80_d000, length: 0x1000 },
        { type: 'CPUID', address: 0x80_e000, length: 0x1000 },
        { type: 'SVSM_CAA', address: 0x80_f000, length: 0x1000 },
        { type: 'KERNEL_HASHES', address: 0x81_0000, length: 0x1000 },
        { type: 'SNP_SEC_MEM', address: 0x81_1000, length: 0x2000 },
      ],
      apResetAddress: 0x80_b004,
      hashTable: { address: 0x81_0c00, length: 0x400 },
    })
  })

  it('say nothing when there are none, or when their entries are zeros', () => {
    const nothing = { sections: undefined, apResetAddress: undefined, hashTable: undefined }
    expect(readSevFirmware(new Uint8Array(4096))).toEqual(nothing)
    expect(readSevFirmware(firmwareImage({}))).toEqual(nothing)
    expect(readSevFirmware(firmwareImage({ resetAddress: 0, hashTable: [0, 0] }))).toEqual(nothing)
    // Without its GUID it is no table, whatever stands there.
    expect(readSevFirmware(damaged(32 + 16, new Uint8Array(16)))).toEqual(nothing)
  })

  it('may have entries that nobody here knows', () => {
    const more: ImageParts['more'] = [['11'.repeat(16), new Uint8Array(100)]]
    expect(readSevFirmware(firmwareImage({ ...COMPLETE, more })).sections).toHaveLength(SECTIONS.length)
  })

  const [secrets, cpuid]: readonly [Section, Section] = [
    [0x80_d000, 0x1000, 2],
    [0x80_e000, 0x1000, 3],
  ]
  const u16 = (value: number) => Uint8Array.of(value & 0xff, value >> 8)
  const duplicate: ImageParts = { ...COMPLETE, more: [[GUID.resetBlock, words(1)]] }
  const longEntry = (guid: string, ...values: number[]) => firmwareImage({ more: [[guid, words(...values)]] })

  /** Metadata of one section, for which the image has no room after the 16 bytes of their header. */
  const shortMetadata = () => {
    const image = longEntry(GUID.metadata, 16)
    image.set(Buffer.concat([Buffer.from('ASEV'), words(16 + 12, 1, 1)]), image.length - 16)
    return image
  }

  it.each<[what: string, image: Uint8Array, reason: RegExp]>([
    ['an empty image', new Uint8Array(), /whole pages of firmware, found 0 bytes/],
    ['a part of a page', new Uint8Array(4097), /whole pages of firmware, found 4097 bytes/],
    ['an image of 65 MiB', new Uint8Array(65 << 20), /expected 1 to 16384 whole pages/],
    ['a table of no bytes', damaged(FOOTER_LENGTH, u16(0)), /table of 18 to 8160 bytes, found 0/],
    ['a table shorter than its footer', damaged(FOOTER_LENGTH, u16(17)), /table of 18 .* found 17/],
    ['a table longer than the image', damaged(FOOTER_LENGTH, u16(0xffff)), /found 65535/],
    [
      'a table that cuts an entry',
      damaged(FOOTER_LENGTH, u16(18 + 21)),
      /table entry of 18 to 21 bytes, found 22/,
    ],
    [
      'a table that cuts a header',
      damaged(FOOTER_LENGTH, u16(18 + 7)),
      /whole entries in the table, found 7 bytes/,
    ],
    [
      'an entry of no bytes',
      damaged(ENTRY_LENGTH, u16(0)),
      /table entry of 18 .* found 0 at 00f771de-1a7e-4fcb-/,
    ],
    ['an entry longer than the table', damaged(ENTRY_LENGTH, u16(0x7fff)), /found 32767/],
    ['an entry that is there twice', firmwareImage(duplicate), /one table entry 00f771de-.*, found two/],
    ['a reset block of 8 bytes', longEntry(GUID.resetBlock, 1, 2), /4 bytes of SEV-ES reset block.* found 8/],
    ['a hash table entry of 4 bytes', longEntry(GUID.hashTable, 1), /8 bytes of SEV hash table.* found 4/],
    ['a metadata entry of no bytes', longEntry(GUID.metadata), /4 bytes of SEV metadata.* found 0/],
    ['metadata before the image', longEntry(GUID.metadata, 8193), /inside the image, found them 8193 bytes/],
    ['metadata behind the image', longEntry(GUID.metadata, 15), /inside the image, found them 15 bytes/],
    [
      'metadata of another kind',
      damaged(METADATA_OFFSET, Buffer.from('TDVF')),
      /"ASEV" version 1, found "TDVF"/,
    ],
    ['metadata of version 2', damaged(METADATA_OFFSET - 8, words(2)), /version 1, found "ASEV" version 2/],
    ['more sections than bytes', damaged(METADATA_OFFSET - 12, words(7)), /found 7 in 88 bytes/],
    ['more bytes than sections', damaged(METADATA_OFFSET - 4, words(100)), /found 6 in 100 bytes/],
    [
      'billions of sections',
      damaged(METADATA_OFFSET - 4, words(0xffff_fff0, 1, 0xffff_ffff)),
      /up to 256 SEV metadata sections/,
    ],
    ['sections that go on behind the image', shortMetadata(), /expected 4 bytes of base, found 0/],
    [
      'a section of an unknown type',
      withSections([0x80_0000, 0x1000, 5]),
      /known SEV metadata section, found 0x5/,
    ],
    [
      'a section of no bytes',
      withSections([0x80_0000, 0, 1]),
      /whole pages in section SNP_SEC_MEM, found 0x0/,
    ],
    [
      'a part of a page',
      withSections([0x80_0000, 0x1800, 1]),
      /whole pages in section SNP_SEC_MEM, found 0x1800/,
    ],
    ['a section between pages', withSections([0x80_0800, 0x1000, 1]), /at 0x800800/],
    ['two pages of secrets', withSections([0x80_0000, 0x2000, 2]), /one page in section SNP_SECRETS/],
    ['two pages of CPUID', withSections([0x80_0000, 0x2000, 3]), /one page in section CPUID/],
    ['two pages of hashes', withSections([0x80_0000, 0x2000, 0x10]), /one page in section KERNEL_HASHES/],
    [
      'a page that is added twice',
      withSections(secrets, cpuid, [0x80_c000, 0x2000, 1]),
      /free memory, 0x80e000 to/,
    ],
    [
      'a section in the firmware',
      withSections([0xffff_e000, 0x1000, 1]),
      /to 0xffffe000, found 0x1000 bytes/,
    ],
    ['a section over 4 GiB', withSections([0xffff_d000, 0x2000, 1]), /free memory/],
    [
      'sections of gigabytes',
      withSections([0, 0x8000_0000, 1]),
      /at most 0x4000000 bytes in sections, found 0x80000000/,
    ],
  ])('are refused with %s', (_what, image, reason) => {
    expect(refusal(image)).toMatch(reason)
  })

  it('are never read as anything but firmware or a refusal, whatever stands in them', () => {
    const area = 2 * METADATA_OFFSET
    const changes = fc.array(fc.tuple(fc.nat(area - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(changes, (bytes) => {
        const image = firmwareImage(COMPLETE)
        for (const [fromEnd, value] of bytes) image[image.length - 1 - fromEnd] = value
        expect(() => refusal(image)).not.toThrow()
      }),
    )
  })

  it('are read of any bytes that end in a table', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 300 }), fc.nat(0xffff), (tail, length) => {
        const image = damaged(32 + 18 + tail.length, tail)
        image.set(u16(length), image.length - FOOTER_LENGTH)
        expect(() => refusal(image)).not.toThrow()
      }),
    )
  })
})
