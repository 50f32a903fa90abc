// The reader of firmware volumes: what it finds, and that a damaged file is refused at the place of the damage.

import { describe, expect, it } from 'vitest'
import { builtInFirmware } from '../../../../../../emulator/platform/firmware/index.ts'
import { Area } from '../../../../../../emulator/platform/firmware/uefi/area.ts'
import {
  filesOf,
  readVolume,
  sectionsOf,
  unpackSection,
  volumesOf,
} from '../../../../../../emulator/platform/firmware/uefi/volumes.ts'
import { concatBytes, utf8 } from '../../../../../../sdk/crypto/index.ts'
import { le } from '../../../../sdk/evidence/logs.ts'
import {
  extendedSection,
  FFS3,
  file,
  FIRST_FILE,
  guidedSection,
  LZMA,
  section,
  sections,
  volume,
} from './flash.ts'
import { lzma } from './lzma-encoder.ts'
import { refusalOf } from './refusal.ts'

const area = (bytes: Uint8Array) => new Area(bytes, 'flash')
const A = '11111111-2222-3333-4444-555555555555'
const B = '66666666-7777-8888-9999-aaaaaaaaaaaa'
const body = section(0x19, utf8('body'))
const guidsOf = (bytes: Uint8Array) => filesOf(readVolume(area(bytes))).map(({ guid }) => guid)

describe('volumes', () => {
  it('reads what the built-in firmware is written as', () => {
    const [one, ...others] = volumesOf(area(builtInFirmware()))
    expect(others).toEqual([])
    const files = one === undefined ? [] : filesOf(one)
    expect(files.map(({ type }) => type)).toEqual([0x02, 0xf0, 0x01])
    const [first] = files
    expect(sectionsOf(first?.body ?? area(new Uint8Array())).map(({ type }) => type)).toEqual([
      0x19, 0x15, 0x14,
    ])
  })

  it('finds volumes at pages of the flash, and passes over what is none', () => {
    const one = volume([], { block: 4096 })
    const flash = concatBytes(new Uint8Array(8192).fill(0xff), one, new Uint8Array(4096), one)
    expect(volumesOf(area(flash)).map((found) => found.area.offset)).toEqual([8192, 16384])
    expect(volumesOf(area(new Uint8Array(10_000)))).toEqual([])
  })

  it.for([
    {
      what: 'a wrong length',
      at: 32,
      octet: 0xff,
      message: /flash, offset 0x0: expected 255 bytes of a firmware volume, found 64/,
    },
    {
      what: 'an impossible header length',
      at: 48,
      octet: 20,
      message: /offset 0x30: expected an even HeaderLength/,
    },
    { what: 'a wrong checksum', at: 50, octet: 0x12, message: /offset 0x32: .* words add up to zero/ },
    { what: 'no signature', at: 40, octet: 0x2d, message: /offset 0x28: expected the signature _FVH/ },
  ])('refuses a volume with $what', ({ at, octet, message }) => {
    const sound = volume([]).subarray(0, 128)
    expect(readVolume(area(sound)).headerLength).toBe(FIRST_FILE)
    expect(refusalOf(() => readVolume(area(sound.slice(0, at === 32 ? 64 : 128).with(at, octet))))).toMatch(
      message,
    )
  })
})

describe('files', () => {
  it('reads files with and without checksum of their data, and large ones', () => {
    const files = [
      file({ guid: A, body }),
      file({ guid: B, body, checksum: true }),
      file({ guid: A, body, checksum: true, large: true }),
    ]
    const found = filesOf(readVolume(area(volume(files, { fileSystem: FFS3 }))))
    expect(found.map(({ guid }) => guid)).toEqual([A, B, A])
    expect(found.map((one) => Buffer.from(one.body.bytes).toString('latin1', 4))).toEqual([
      'body',
      'body',
      'body',
    ])
  })

  it('leaves out what is deleted or was never finished', () => {
    const states = [0xf8, 0xf0, 0xe8, 0xfc, 0xf8]
    expect(guidsOf(volume(states.map((state, at) => file({ guid: at === 0 ? A : B, body, state }))))).toEqual(
      [A, B, B],
    )
  })

  it('refuses another file system, and says which', () => {
    const other = volume([], { fileSystem: A })
    expect(refusalOf(() => filesOf(readVolume(area(other))))).toMatch(
      /^IMAGE_UNSUPPORTED flash, offset 0x10: .* 11111111-2222/,
    )
  })

  it('refuses more files than firmware has', () => {
    const many = (count: number) =>
      volume(Array.from({ length: count }, () => file({ guid: A, body: new Uint8Array() })))
    expect(guidsOf(many(4096))).toHaveLength(4096)
    expect(refusalOf(() => guidsOf(many(4097)))).toMatch(/expected at most 4096 files/)
  })

  it.for([
    { what: 'the header', at: 0, message: /offset 0x58: expected a file header whose octets add up to zero/ },
    { what: 'the data', at: 30, message: /offset 0x59: expected the checksum 0x.. of the file's data/ },
    {
      what: 'the length, to too much',
      at: 22,
      message: /offset 0x48: expected 65572 bytes of a file, found 56/,
    },
    {
      what: 'the length, to too little',
      at: 20,
      octet: 5,
      message: /offset 0x5c: expected a file of at least 24 bytes, found 5/,
    },
  ])('refuses a file damaged in $what', ({ at, octet = 1, message }) => {
    const damaged = volume([
      file({ guid: A, body: concatBytes(body, le(4, 0)), checksum: true }).with(at, octet),
    ])
    expect(refusalOf(() => guidsOf(damaged))).toMatch(message)
  })
})

describe('sections', () => {
  it('reads sections, extended ones too, each aligned to 4', () => {
    const found = sectionsOf(
      area(sections(section(0x19, utf8('one')), extendedSection(0x19, utf8('two!!')), body)),
    )
    expect(found.map((one) => Buffer.from(one.body.bytes).toString('latin1'))).toEqual([
      'one',
      'two!!',
      'body',
    ])
  })

  it('unpacks an LZMA section', () => {
    const content = sections(body, body)
    const [packed] = sectionsOf(area(guidedSection(LZMA, lzma(content))))
    expect(packed && unpackSection(packed).bytes).toEqual(content)
  })

  it.for([
    {
      what: 'of no length',
      bytes: new Uint8Array(8),
      message: /offset 0x0: expected a section of at least 4 bytes, found 0/,
    },
    {
      what: 'longer than the file',
      bytes: section(0x19, body).with(0, 99),
      message: /expected 99 bytes of a section, found 12/,
    },
    {
      what: 'cut off in its header',
      bytes: Uint8Array.of(1, 2),
      message: /expected 3 bytes of section size, found 2/,
    },
    {
      what: 'of more sections than firmware has',
      bytes: sections(...Array.from({ length: 4097 }, () => section(0x19, new Uint8Array()))),
      message: /expected at most 4096 sections/,
    },
  ])('refuses sections $what', ({ bytes, message }) => {
    expect(refusalOf(() => sectionsOf(area(bytes)))).toMatch(message)
  })

  it('refuses another compression, and a bomb', () => {
    const open = (bytes: Uint8Array) => sectionsOf(area(bytes)).map(unpackSection)
    expect(refusalOf(() => open(guidedSection(A, lzma(body))))).toMatch(
      /^IMAGE_UNSUPPORTED .* compressed with LZMA .* found 11111111/,
    )
    const bomb = lzma(body, { size: 64 * 1024 * 1024 + 1 })
    expect(refusalOf(() => open(guidedSection(LZMA, bomb)))).toMatch(
      /offset 0x1d: .* at most 67108864 bytes, found 67108865/,
    )
    expect(open(guidedSection(LZMA, lzma(body)))).toHaveLength(1)
  })

  it('says where in an unpacked section something is wrong', () => {
    const [packed] = sectionsOf(area(guidedSection(LZMA, lzma(concatBytes(body, new Uint8Array(4))))))
    const unpacked = packed && unpackSection(packed)
    expect(refusalOf(() => sectionsOf(unpacked ?? area(new Uint8Array())))).toMatch(
      /flash, offset 0x0, unpacked, offset 0x8:/,
    )
  })
})
