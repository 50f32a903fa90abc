// PEIFV as it lies in memory: what the machine's shape writes into it, and when that can not be known.

import { describe, expect, it } from 'vitest'
import { uefiMeasurements } from '../../../../../../emulator/platform/firmware/index.ts'
import type { MachineShape, UefiBoot } from '../../../../../../emulator/platform/firmware/uefi/index.ts'
import { concatBytes } from '../../../../../../sdk/crypto/index.ts'
import { le } from '../../../../sdk/evidence/logs.ts'
import { variablesFlash } from './flash.ts'
import { ovmfImage, type OvmfOptions, peiVolume, PLACES } from './ovmf-image.ts'
import { refusalOf } from './refusal.ts'

const MIB = 1n << 20n
const GIB = 1n << 30n
const q35: MachineShape = { chipset: 'q35', memory: 256n * MIB, cpus: 1 }
const MEMORY_TYPES = '4c19049f-4137-4dd3-9c10-8b97a83ffdfa'

/** Offsets of fields in EFI_HOB_PLATFORM_INFO, and their sizes. */
const FIELDS = {
  HostBridgeDevId: [24, 2],
  S3Supported: [39, 1],
  SmmSmramRequire: [40, 1],
  Q35SmramAtDefaultSmbase: [41, 1],
  Q35TsegMbytes: [42, 2],
  FirstNonAddress: [44, 8],
  PhysMemAddressWidth: [52, 1],
  Uc32Base: [53, 4],
  Uc32Size: [57, 4],
  PcdPciMmio64Base: [70, 8],
  PcdPciMmio64Size: [78, 8],
  PcdPciMmio32Base: [86, 4],
  PcdPciMmio32Size: [90, 4],
  PcdPciIoBase: [94, 8],
  PcdPciIoSize: [102, 8],
  PcdCpuBootLogicalProcessorNumber: [118, 4],
  PcdCpuMaxLogicalProcessorNumber: [122, 4],
  DefaultMaxCpuNumber: [126, 4],
  S3AcpiReservedMemoryBase: [130, 4],
  S3AcpiReservedMemorySize: [134, 4],
} as const
type Field = keyof typeof FIELDS

/** PEIFV as it is measured: the second event. */
function peiOf(boot: UefiBoot): Uint8Array {
  return uefiMeasurements(boot).measurements[1]?.measured ?? new Uint8Array()
}

/** The fields of the structure that are not zero. */
function platformInfo(shape: MachineShape, options: OvmfOptions = {}): Partial<Record<Field, bigint>> {
  const pei = peiOf({ flash: ovmfImage(options), shape })
  const start = peiVolume(options).data + PLACES.info
  const all = Object.entries(FIELDS).map(([name, [offset, size]]) => {
    const octets = [...pei.slice(start + offset, start + offset + size)].reverse()
    return [name, octets.reduce((value, octet) => value * 256n + BigInt(octet), 0n)] as const
  })
  return Object.fromEntries(all.filter(([, value]) => value !== 0n))
}

describe('PEIFV in memory', () => {
  it.for(['ia32', 'x64'] as const)('differs from the file where PlatformPei for %s writes', (machine) => {
    const { bytes, data } = peiVolume({ machine })
    const pei = peiOf({ flash: ovmfImage({ machine }), shape: q35 })
    const changed = [...pei.keys()].filter((at) => pei[at] !== bytes[at]).map((at) => at - data)
    expect(changed.filter((at) => at < PLACES.info)).toEqual([])
    expect(changed.filter((at) => at >= PLACES.info + 138)).toEqual([PLACES.supported, PLACES.dma])
    expect(changed).toHaveLength(22)
  })

  const usual = {
    HostBridgeDevId: 0x29c0n,
    S3Supported: 1n,
    FirstNonAddress: 64n * GIB,
    PhysMemAddressWidth: 40n,
    Uc32Base: 2n * GIB,
    PcdPciMmio64Base: 896n * GIB,
    PcdPciMmio64Size: 128n * GIB,
    PcdPciMmio32Base: 0xc0000000n,
    PcdPciMmio32Size: 0x3c000000n,
    PcdPciIoBase: 0x6000n,
    PcdPciIoSize: 0xa000n,
    PcdCpuBootLogicalProcessorNumber: 1n,
    PcdCpuMaxLogicalProcessorNumber: 1n,
    DefaultMaxCpuNumber: 64n,
    S3AcpiReservedMemoryBase: 0xff78000n,
    S3AcpiReservedMemorySize: 0x88000n,
  }
  const pc = {
    HostBridgeDevId: 0x1237n,
    Uc32Size: 2n * GIB,
    PcdPciMmio32Base: 2n * GIB,
    PcdPciMmio32Size: 0x7c000000n,
    PcdPciIoBase: 0xc000n,
    PcdPciIoSize: 0x4000n,
  }
  const intel = { vendor: 'GenuineIntel', physicalAddressBits: 40, gigabytePages: false }
  const wide = { vendor: 'GenuineIntel', physicalAddressBits: 48, gigabytePages: true }

  it.for<{ what: string; shape: Partial<MachineShape>; differs: Partial<Record<Field, bigint>> }>([
    { what: 'a q35 of 256 MiB', shape: {}, differs: {} },
    { what: 'more RAM', shape: { memory: 512n * MIB }, differs: { S3AcpiReservedMemoryBase: 0x1ff78000n } },
    {
      what: 'RAM up to the PCI hole',
      shape: { memory: 2815n * MIB },
      differs: { Uc32Base: 0xb0000000n, S3AcpiReservedMemoryBase: 0xafe78000n },
    },
    {
      what: 'RAM from the PCI hole on',
      shape: { memory: 2816n * MIB },
      differs: { S3AcpiReservedMemoryBase: 0x7ff78000n },
    },
    {
      what: 'RAM that fills the first 32 GiB',
      shape: { memory: 64n * GIB },
      differs: { FirstNonAddress: 128n * GIB, S3AcpiReservedMemoryBase: 0x7ff78000n },
    },
    {
      what: 'RAM that leaves no eighth of the addresses',
      shape: {
        memory: 512n * GIB,
        processor: { vendor: 'GenuineIntel', physicalAddressBits: 39, gigabytePages: false },
      },
      differs: {
        FirstNonAddress: 576n * GIB,
        PhysMemAddressWidth: 39n,
        PcdPciMmio64Base: 544n * GIB,
        PcdPciMmio64Size: 32n * GIB,
        S3AcpiReservedMemoryBase: 0x7ff78000n,
      },
    },
    {
      what: 'more processors',
      shape: { cpus: 2, maxCpus: 5 },
      differs: {
        PcdCpuBootLogicalProcessorNumber: 2n,
        PcdCpuMaxLogicalProcessorNumber: 5n,
        S3AcpiReservedMemoryBase: 0xff58000n,
        S3AcpiReservedMemorySize: 0xa8000n,
      },
    },
    {
      what: 'an Intel processor with 40 bits, which is not believed',
      shape: { processor: intel },
      differs: { PhysMemAddressWidth: 36n, PcdPciMmio64Base: 32n * GIB, PcdPciMmio64Size: 32n * GIB },
    },
    {
      what: 'the same with RAM that needs more than 36 bits',
      shape: { processor: intel, memory: 40n * GIB },
      differs: {
        FirstNonAddress: 96n * GIB,
        PhysMemAddressWidth: 37n,
        PcdPciMmio64Base: 64n * GIB,
        PcdPciMmio64Size: 32n * GIB,
        S3AcpiReservedMemoryBase: 0x7ff78000n,
      },
    },
    {
      what: 'a processor with 48 bits',
      shape: { processor: wide },
      differs: { PhysMemAddressWidth: 47n, PcdPciMmio64Base: 7n << 44n, PcdPciMmio64Size: 1n << 44n },
    },
    {
      what: 'the same without pages of 1 GiB',
      shape: { processor: { ...wide, gigabytePages: false } },
      differs: {},
    },
    { what: 'a pc of 256 MiB', shape: { chipset: 'i440fx' }, differs: pc },
    {
      what: 'a pc with RAM beyond its PCI hole',
      shape: { chipset: 'i440fx', memory: 3600n * MIB },
      differs: {
        ...pc,
        Uc32Base: 3n * GIB,
        Uc32Size: GIB,
        PcdPciMmio32Base: 3n * GIB,
        PcdPciMmio32Size: 0x3c000000n,
        S3AcpiReservedMemoryBase: 0xbff78000n,
      },
    },
  ])('says $what', ({ shape, differs }) => {
    expect(platformInfo({ ...q35, ...shape })).toEqual({ ...usual, ...differs })
  })

  it('has nothing for S3 where the machine has none', () => {
    const without = ['S3Supported', 'S3AcpiReservedMemoryBase', 'S3AcpiReservedMemorySize']
    const expected = Object.entries(usual).filter(([name]) => !without.includes(name))
    expect(platformInfo({ ...q35, s3: false })).toEqual(Object.fromEntries(expected))
  })

  const smm = { SmmSmramRequire: 1n, Q35SmramAtDefaultSmbase: 1n, Q35TsegMbytes: 16n }

  it('leaves TSEG to firmware with SMM', () => {
    expect(platformInfo(q35, { smm: true })).toEqual({
      ...usual,
      ...smm,
      S3AcpiReservedMemoryBase: 0xef78000n,
    })
  })

  it('takes what an earlier boot noted of memory types, where it is more and variables can be read', () => {
    const noted = [
      [0x06, 0x246],
      [0x0a, 0x10],
      [0x0e, 0x999],
      [0x05, 0x101],
    ] as const
    const data = concatBytes(...noted.map(([type, pages]) => concatBytes(le(4, type), le(4, pages))))
    const table = (options: OvmfOptions, value: Uint8Array) => {
      const variables = variablesFlash([{ guid: MEMORY_TYPES, name: 'MemoryTypeInformation', data: value }])
      const pei = peiOf({ flash: ovmfImage(options), variables, shape: q35 })
      const start = peiVolume(options).data + PLACES.memoryTypes
      const view = new DataView(pei.slice(start, start + 48).buffer)
      return Array.from({ length: 6 }, (_, at) => view.getUint32(8 * at + 4, true))
    }
    const defaults = [0x80, 0x12, 0x80, 0x100, 0x100, 0]
    expect(table({ smm: true }, data)).toEqual([0x80, 0x12, 0x80, 0x101, 0x246, 0])
    expect(table({ smm: false }, data)).toEqual(defaults)
    expect(table({ smm: true }, data.subarray(1))).toEqual(defaults)
    expect(table({ smm: true }, concatBytes(data, new Uint8Array(8 * 14)))).toEqual(defaults)
  })
})

describe('what cannot be known', () => {
  const unknownOf = (options: OvmfOptions, shape: MachineShape | undefined) =>
    uefiMeasurements({ flash: ovmfImage(options), shape }).unknown

  it('is, without a shape, every field that a machine writes', () => {
    const { data } = peiVolume()
    const fields = unknownOf({}, undefined)
    expect(fields).toHaveLength(28)
    expect(fields[0]).toEqual({
      volume: 'PEIFV',
      offset: data + PLACES.info + 24,
      length: 2,
      field: 'EFI_HOB_PLATFORM_INFO.HostBridgeDevId',
    })
    expect(fields.at(-1)).toEqual({
      volume: 'PEIFV',
      offset: data + PLACES.dma,
      length: 1,
      field: 'mQemuFwCfgDmaSupported',
    })
    expect(unknownOf({ smm: true }, undefined)[0]?.field).toBe('mMemoryTypeInformation')
    expect(unknownOf({}, q35)).toEqual([])
  })

  it.for<{ what: string; options: OvmfOptions }>([
    { what: 'an earlier release', options: { vendors: 'no processor' } },
    { what: 'a later release', options: { infoSizes: [] } },
    { what: 'another size of the structure', options: { infoSizes: [146] } },
    { what: 'two calls, of which either may count', options: { infoSizes: [138, 138] } },
    { what: 'no initialisation of fw_cfg', options: { flagPairs: 0 } },
    { what: 'several of them', options: { flagPairs: 2 } },
  ])('is all that PlatformPei can write, for $what', ({ options }) => {
    const { data, bytes } = peiVolume(options)
    const expected = { volume: 'PEIFV', offset: data, length: 208 }
    const { unknown, measurements } = uefiMeasurements({ flash: ovmfImage(options), shape: q35 })
    expect(unknown).toMatchObject([expected])
    expect(measurements[1]?.measured).toEqual(bytes)
  })

  it('is the version, when Tcg2Pei holds text that may be one', () => {
    const version = 'edk2-202211'
    expect(unknownOf({ version }, q35)).toMatchObject([{ volume: 'PEIFV', length: 2 * version.length }])
    expect(unknownOf({ version: '2.0' }, q35)).toEqual([])
  })

  it.for<{ what: string; shape: Partial<MachineShape>; options?: OvmfOptions; message: RegExp }>([
    {
      what: 'too little RAM',
      shape: { memory: 63n * MIB },
      message: /64 MiB to 512 GiB .* got 66060288 bytes/,
    },
    { what: 'too much RAM', shape: { memory: 513n * GIB }, message: /64 MiB to 512 GiB/ },
    { what: 'half a MiB', shape: { memory: 256n * MIB + 4096n }, message: /whole MiB/ },
    { what: 'no processor', shape: { cpus: 0 }, message: /1 to 288 processors/ },
    { what: 'more processors than there can be', shape: { cpus: 2, maxCpus: 1 }, message: /got 2 and 1/ },
    {
      what: 'no address bits',
      shape: { processor: { vendor: '', physicalAddressBits: 20, gigabytePages: false } },
      message: /32 to 52/,
    },
    { what: 'SMM on a pc', shape: { chipset: 'i440fx' }, options: { smm: true }, message: /on chipset q35/ },
    {
      what: 'SMM and S3 with a 64-bit PEI phase',
      shape: {},
      options: { smm: true, machine: 'x64' },
      message: /without ACPI S3/,
    },
  ])('is a machine with $what', ({ shape, options = {}, message }) => {
    const flash = ovmfImage(options)
    const error = refusalOf(() => uefiMeasurements({ flash, shape: { ...q35, ...shape } }))
    expect(error).toMatch(/^SHAPE_UNKNOWN expected a machine /)
    expect(error).toMatch(message)
    expect(refusalOf(() => uefiMeasurements({ flash, shape: { ...q35, s3: false } }))).toBe('accepted')
  })
})
