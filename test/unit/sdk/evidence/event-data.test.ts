// Event data explained: each type as firmware, shim, GRUB, Linux and systemd write it, and bytes that are none of it.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, hex, utf8 } from '../../../../sdk/crypto/index.ts'
import {
  decodeEvent,
  digestCoversData,
  EV,
  eventText,
  filePathDevicePath,
  readFirmwareLog,
} from '../../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import {
  agileLog,
  GLOBAL,
  guid,
  image,
  le,
  loadOption,
  ovmfLog,
  partitionTable,
  SECURITY,
  signatureList,
  utf16,
  variable,
} from './logs.ts'

const SHA256_LIST = 'c1c41626-504c-4092-aca9-41f936934328'
const path = (...nodes: readonly string[]) => new Uint8Array(Buffer.from(nodes.join(''), 'hex'))
const END = '7fff0400'

const text = (eventType: number, data: Uint8Array) => eventText({ eventType, data })

describe('eventText', () => {
  it('explains every event of a real boot', () => {
    const { events } = readFirmwareLog(ovmfLog)
    expect(events.map((event) => `${String(event.pcrIndex)} ${eventText(event)}`)).toEqual([
      '0 version ""',
      '0 0xe0000 bytes at 0x820000',
      '0 0xc00000 bytes at 0x900000',
      '7 SecureBoot = off',
      '7 PK: empty',
      '7 KEK: empty',
      '7 db: empty',
      '7 dbx: empty',
      '7 00000000',
      '1 BootOrder = Boot0000, Boot0001, Boot0002',
      '1 Boot0000 "UiApp" Fv(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)',
      '1 Boot0001 "UEFI QEMU DVD-ROM QM00005 " PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0x2,0xffff,0x0)',
      '1 Boot0002 "EFI Internal Shell" Fv(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(7c04a583-9e3e-4f1c-ad65-e05268d0b4d1)',
      '4 "Calling EFI Application from Boot Option"',
      ...[0, 1, 2, 3, 4, 5, 6].map((pcr) => `${String(pcr)} 00000000`),
      '4 "Returning from EFI Application from Boot Option"',
      '4 "Calling EFI Application from Boot Option"',
      '4 Fv(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(7c04a583-9e3e-4f1c-ad65-e05268d0b4d1), 876672 bytes',
    ])
  })

  it.each([
    [
      'a version in UTF-16',
      EV.S_CRTM_VERSION,
      utf16('Virtual Firmware v1\0'),
      'version "Virtual Firmware v1"',
    ],
    [
      'a version as a GUID',
      EV.S_CRTM_VERSION,
      guid('546bfb1e-1d0c-4055-a4ad-4ef4bf17b83a'),
      'version "546bfb1e-1d0c-4055-a4ad-4ef4bf17b83a"',
    ],
    ['an error separator', EV.SEPARATOR, le(4, 1), 'error 01000000'],
    ['a separator of ones', EV.SEPARATOR, le(4, 0xffffffff), 'ffffffff'],
    [
      'a described blob',
      EV.EFI_PLATFORM_FIRMWARE_BLOB2,
      concatBytes(le(1, 4), utf8('DXE\0'), le(8, 0x1000), le(8, 0x20)),
      '"DXE" 0x20 bytes at 0x1000',
    ],
    ['a POST code as text', EV.POST_CODE, utf8('ACPI DATA'), '"ACPI DATA"'],
    [
      'a POST code as a blob',
      EV.POST_CODE,
      concatBytes(le(8, 0xff130000), le(8, 0xa7f000)),
      '0xa7f000 bytes at 0xff130000',
    ],
    ['a GRUB command', EV.IPL, utf8('grub_cmd: set timeout=0\0'), '"grub_cmd: set timeout=0"'],
    ['a command line in UTF-16', EV.IPL, utf16('console=ttyS0\0'), '"console=ttyS0"'],
    [
      'a command line in UTF-16 with an odd octet behind it',
      EV.IPL,
      concatBytes(utf16('quiet\0'), le(1, 0)),
      '"quiet"',
    ],
    [
      'the tag of an initrd',
      EV.EVENT_TAG,
      concatBytes(le(4, 0x8f3b22ec), le(4, 13), utf8('Linux initrd\0')),
      'Linux initrd',
    ],
    ['an unknown tag', EV.EVENT_TAG, concatBytes(le(4, 0x1234), le(4, 2), utf8('ab')), 'tag 0x1234: "ab"'],
    [
      'a GPT',
      EV.EFI_GPT_EVENT,
      partitionTable('0f0f0f0f-0000-0000-0000-000000000001', 'ESP'),
      'disk 0f0f0f0f-0000-0000-0000-000000000001: ESP 00000000-0000-0000-0000-000000000000',
    ],
    [
      'tables',
      EV.EFI_HANDOFF_TABLES,
      concatBytes(le(8, 1), guid('eb9d2d31-2d88-11d3-9a16-0090273fc14d'), le(8, 0)),
      'SMBIOS',
    ],
    ['described tables', EV.EFI_HANDOFF_TABLES2, concatBytes(le(1, 6), utf8('tables'), le(8, 0)), 'tables'],
    [
      'the locality of the startup',
      EV.NO_ACTION,
      concatBytes(utf8('StartupLocality\0'), le(1, 3)),
      'TPM2_Startup from locality 3',
    ],
    [
      'an image with a file',
      EV.EFI_BOOT_SERVICES_APPLICATION,
      image(filePathDevicePath('\\EFI\\BOOT\\BOOTX64.EFI')),
      '\\EFI\\BOOT\\BOOTX64.EFI, 4096 bytes',
    ],
    [
      'an image without a path, and octets behind it',
      EV.EFI_BOOT_SERVICES_APPLICATION,
      concatBytes(image(new Uint8Array()), le(8, 7)),
      'without a path, 4096 bytes',
    ],
    ['a flag', EV.EFI_VARIABLE_DRIVER_CONFIG, variable(GLOBAL, 'SecureBoot', le(1, 1)), 'SecureBoot = on'],
    [
      'an absent flag',
      EV.EFI_VARIABLE_DRIVER_CONFIG,
      variable(GLOBAL, 'SecureBoot', new Uint8Array()),
      'SecureBoot = absent',
    ],
    [
      'hashes',
      EV.EFI_VARIABLE_DRIVER_CONFIG,
      variable(SECURITY, 'dbx', signatureList(SHA256_LIST, new Uint8Array(32).fill(7))),
      `dbx: sha256 ${'07'.repeat(32)}`,
    ],
    [
      'a list that is none',
      EV.EFI_VARIABLE_DRIVER_CONFIG,
      variable(SECURITY, 'db', le(4, 5)),
      'db = 05000000',
    ],
    [
      'the revocations of shim',
      EV.EFI_VARIABLE_AUTHORITY,
      variable('605dab50-e046-4300-abb6-3dd810dd8b23', 'SbatLevel', utf8('sbat,1,2021030218\n')),
      'SbatLevel = "sbat,1,2021030218\\n"',
    ],
    [
      'a boot option',
      EV.EFI_VARIABLE_BOOT,
      variable(GLOBAL, 'Boot0001', loadOption('disk', filePathDevicePath('\\a.efi'))),
      'Boot0001 "disk" \\a.efi',
    ],
    [
      'a variable that is nothing known',
      EV.EFI_VARIABLE_BOOT,
      variable(GLOBAL, 'Lang', le(2, 0xfffe)),
      'Lang = feff',
    ],
    ['octets of no meaning', EV.TABLE_OF_DEVICES, le(4, 0xfffefdfc), 'fcfdfeff'],
    ['no data', EV.TABLE_OF_DEVICES, new Uint8Array(), '""'],
  ])('explains %s', (_, type, data, expected) => {
    expect(text(type, data)).toBe(expected)
  })

  it('puts no control character on a terminal, whoever wrote the log', () => {
    const hostile = '\u001b[2Jhidden\r\u202e'
    for (const data of [utf8(`grub_cmd: ${hostile}`), utf16(hostile)]) {
      const shown = text(EV.IPL, data)
      expect(shown).not.toMatch(/\p{C}/u)
    }
    expect(text(EV.EFI_VARIABLE_BOOT, variable(GLOBAL, hostile, le(1, 1)))).toBe(
      '\\x1b[2Jhidden\\x0d\\u{202e} = 01',
    )
    const option = loadOption(hostile, filePathDevicePath(hostile))
    expect(text(EV.EFI_VARIABLE_BOOT, variable(GLOBAL, 'Boot0001', option))).not.toMatch(/\p{C}/u)
  })

  it('never throws', () => {
    const types = fc.constantFrom(...Object.values(EV))
    fc.assert(
      fc.property(types, fc.uint8Array({ maxLength: 120 }), (eventType, data) => {
        expect(typeof eventText({ eventType, data })).toBe('string')
      }),
      { numRuns: 3000 },
    )
    const wellFormed = variable(SECURITY, 'db', signatureList(SHA256_LIST, new Uint8Array(32)))
    const other = concatBytes(partitionTable('0f0f0f0f-0000-0000-0000-000000000001', 'ESP', 'root'))
    for (const [eventType, bytes] of [
      [EV.EFI_VARIABLE_DRIVER_CONFIG, wellFormed],
      [EV.EFI_GPT_EVENT, other],
    ] as const) {
      for (let length = 0; length < bytes.length; length += 1) {
        expect(decodeEvent({ eventType, data: bytes.slice(0, length) }).kind).toBe('bytes')
      }
    }
  })
})

describe('device paths', () => {
  const shown = (...nodes: readonly string[]) => {
    const details = decodeEvent({ eventType: EV.EFI_BOOT_SERVICES_APPLICATION, data: image(path(...nodes)) })
    return details.kind === 'image' ? details.path : undefined
  }

  it.each([
    [
      'PciRoot(0x0)/Pci(0x3,0x0)/Scsi(0x1,0x0)',
      ['02010c00d041030a00000000', '010106000003', '0302080001000000', END],
    ],
    ['PcieRoot(0x1)', ['02010c00d041080a01000000', END]],
    ['Acpi(PNP0604,0x0)', ['02010c00d041040600000000', END]],
    [
      'HD(1,GPT,03020100-0504-0706-0809-0a0b0c0d0e0f,0x800,0x1000)',
      [
        '04012a00',
        '01000000',
        '0008000000000000',
        '0010000000000000',
        '000102030405060708090a0b0c0d0e0f',
        '0202',
        END,
      ],
    ],
    [
      'HD(2,MBR,0xdeadbeef,0x800,0x1000)',
      [
        '04012a00',
        '02000000',
        '0008000000000000',
        '0010000000000000',
        'efbeadde000000000000000000000000',
        '0101',
        END,
      ],
    ],
    ['NVMe(0x1,07-06-05-04-03-02-01-00)', ['03171000', '01000000', '0001020304050607', END]],
    ['MAC(0cc47aff601c,0x1)', ['030b2500', `0cc47aff601c${'00'.repeat(26)}`, '01', END]],
    ['Uri(http://boot/x)', [`03181100${Buffer.from('http://boot/x').toString('hex')}`, END]],
    ['Offset(0x10,0x20)', ['04081800', '00000000', '1000000000000000', '2000000000000000', END]],
    ['BBS(0x2,Disk)', ['05010d00', '02000000', '4469736b00', END]],
    ['Pci(0x1f,0x2),Pci(0x1,0x0)', ['01010600021f', '7f010400', '010106000001', END]],
    ['Pci(0x1f,0x2); Pci(0x1,0x0)', ['01010600021f', END, '010106000001', END]],
    ['Path(3,99,abcd)', ['03630600abcd', END]],
    ['Path(1,1,02)', ['0101050002', END]],
    ['Pci(0x1f,0x2)/?0101', ['01010600021f', '0101']],
    ['/?01010200', ['01010200']],
  ])('are shown as %s', (expected, nodes) => {
    expect(shown(...nodes)).toBe(expected)
  })
})

describe('digestCoversData', () => {
  const of = (type: number, data: Uint8Array, measured = data) => {
    const [event] = readFirmwareLog(agileLog({ pcr: 1, type, data, measured })).events
    return event === undefined ? undefined : digestCoversData(event)
  }

  it('tells data that were measured from data that only describe, and from data that lie', () => {
    const flag = variable(GLOBAL, 'SecureBoot', le(1, 1))
    expect(of(EV.EFI_VARIABLE_DRIVER_CONFIG, flag)).toBe(true)
    expect(of(EV.EFI_VARIABLE_BOOT, flag, le(1, 1))).toBe(true)
    expect(of(EV.EFI_VARIABLE_DRIVER_CONFIG, flag, variable(GLOBAL, 'SecureBoot', le(1, 0)))).toBe(false)
    expect(of(EV.EFI_BOOT_SERVICES_APPLICATION, image(new Uint8Array()), utf8('the image'))).toBe(undefined)
    expect(of(EV.NO_ACTION, utf8('x'))).toBe(undefined)
  })

  it('holds for every event of a real boot that is measured by its data', () => {
    const covered = readFirmwareLog(ovmfLog).events.map((event) => digestCoversData(event) ?? 'other')
    expect(covered.filter((one) => one === false)).toEqual([])
    expect(covered.filter((one) => one === 'other')).toHaveLength(3)
    expect(
      hex(readFirmwareLog(ovmfLog).events[0]?.digests.get(TPM_ALG.SHA256) ?? new Uint8Array()),
    ).toHaveLength(64)
  })
})
