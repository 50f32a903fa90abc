// EFI_HOB_PLATFORM_INFO: what OVMF's PlatformPei finds out of its machine and writes down in its own .data, computed as
// PlatformPei does it.
// Source: EDK II edk2-stable202211, OvmfPkg: Include/Library/PlatformInitLib.h (the structure),
// Library/PlatformInitLib/MemDetect.c and Platform.c, PlatformPei/Platform.c and MemDetect.c (its values), OvmfPkgX64.dsc
// and OvmfPkgIa32X64.dsc (PCDs). Later releases keep it in a HOB, earlier ones compute the 64-bit window otherwise.

import { FirmwareError } from '../errors.ts'
import type { Machine, Processor } from './machine-shape.ts'

const GIB = 2 ** 30
/** EFI_HOB_GUID_TYPE, which PlatformPei leaves zero. */
const HEADER_LENGTH = 24
/** The structure's fields, packed: name and size in octets. */
const FIELDS = [
  ['HostBridgeDevId', 2],
  ['PcdConfidentialComputingGuestAttr', 8],
  ['SevEsIsEnabled', 1],
  ['BootMode', 4],
  ['S3Supported', 1],
  ['SmmSmramRequire', 1],
  ['Q35SmramAtDefaultSmbase', 1],
  ['Q35TsegMbytes', 2],
  ['FirstNonAddress', 8],
  ['PhysMemAddressWidth', 1],
  ['Uc32Base', 4],
  ['Uc32Size', 4],
  ['PcdSetNxForStack', 1],
  ['PcdTdxSharedBitMask', 8],
  ['PcdPciMmio64Base', 8],
  ['PcdPciMmio64Size', 8],
  ['PcdPciMmio32Base', 4],
  ['PcdPciMmio32Size', 4],
  ['PcdPciIoBase', 8],
  ['PcdPciIoSize', 8],
  ['PcdEmuVariableNvStoreReserved', 8],
  ['PcdCpuBootLogicalProcessorNumber', 4],
  ['PcdCpuMaxLogicalProcessorNumber', 4],
  ['DefaultMaxCpuNumber', 4],
  ['S3AcpiReservedMemoryBase', 4],
  ['S3AcpiReservedMemorySize', 4],
] as const

/** sizeof (EFI_HOB_PLATFORM_INFO). */
export const PLATFORM_INFO_LENGTH = FIELDS.reduce((sum, [, size]) => sum + size, HEADER_LENGTH)

type FieldName = (typeof FIELDS)[number][0]
/** Values of the fields that are not zero. */
type Values = Readonly<Partial<Record<FieldName, number>>>

/** A field's place in the structure. */
export interface PlatformInfoField {
  readonly name: FieldName
  readonly offset: number
  readonly length: number
}

/** Where each field is. */
export function platformInfoFields(): PlatformInfoField[] {
  let offset = HEADER_LENGTH
  return FIELDS.map(([name, length]) => {
    offset += length
    return { name, offset: offset - length, length }
  })
}

/** What the firmware was built for. */
export interface Build {
  /** needs System Management Mode (SMM_REQUIRE): variables are guarded by it */
  readonly smm: boolean
  /** processor mode of the PEI phase */
  readonly pei: 'ia32' | 'x64'
}

/** PCDs of OVMF's builds. */
const PCD = {
  PciExpressBaseAddress: 0xb0000000,
  PciMmio64Size: 32 * GIB,
  CpuMaxLogicalProcessorNumber: 64,
  CpuApStackSize: 0x8000,
} as const
/** What QEMU's q35 offers to firmware with SMM: extended TSEG, and SMRAM at the default SMBASE. */
const Q35_TSEG_MIB = 16

/** The structure's bytes. Throws FirmwareError SHAPE_UNKNOWN for a machine on which the firmware stops. */
export function platformInfo(machine: Machine, build: Build): Uint8Array {
  assertBoots(machine, build)
  const { chipset, cpus, maxCpus, s3 } = machine
  const values: Values = {
    HostBridgeDevId: chipset === 'q35' ? 0x29c0 : 0x1237,
    S3Supported: Number(s3),
    ...(build.smm ? { SmmSmramRequire: 1, Q35SmramAtDefaultSmbase: 1, Q35TsegMbytes: Q35_TSEG_MIB } : {}),
    ...addressSpace(machine),
    ...lowWindows(machine),
    PcdCpuBootLogicalProcessorNumber: cpus,
    PcdCpuMaxLogicalProcessorNumber: maxCpus,
    DefaultMaxCpuNumber: PCD.CpuMaxLogicalProcessorNumber,
    ...(s3 ? s3Memory(machine, build) : {}),
  }
  const bytes = new Uint8Array(PLATFORM_INFO_LENGTH)
  for (const { name, offset, length } of platformInfoFields()) {
    const eight = new DataView(new ArrayBuffer(8))
    eight.setBigUint64(0, BigInt(values[name] ?? 0), true)
    bytes.set(new Uint8Array(eight.buffer, 0, length), offset)
  }
  return bytes
}

function assertBoots({ chipset, s3 }: Machine, build: Build): void {
  if (!build.smm) return
  if (chipset !== 'q35') throw stops('on chipset q35: it needs System Management RAM')
  if (s3 && build.pei === 'x64') throw stops('without ACPI S3: its PEI phase cannot resume with SMM')
}

function stops(where: string): FirmwareError {
  return new FirmwareError('SHAPE_UNKNOWN', `expected a machine on which this firmware boots, ${where}`)
}

const roundUp = (value: number, unit: number) => Math.ceil(value / unit) * unit
/** Number of the highest bit that is set. */
const highestBit = (value: number) => value.toString(2).length - 1
const powerOfTwo = (value: number) => 2 ** highestBit(value)

/** The 64-bit PCI window and the address width that it needs (PlatformAddressWidthInitialization). */
function addressSpace({ memory, lowMemory, processor }: Machine): Values {
  const highEnd = 4 * GIB + (memory - lowMemory)
  const size = PCD.PciMmio64Size
  const base = roundUp(roundUp(highEnd, GIB), powerOfTwo(size))
  const end = base + size
  const width = trustedWidth(processor)
  if (width === undefined) {
    return {
      FirstNonAddress: end,
      PhysMemAddressWidth: Math.max(36, Math.ceil(Math.log2(end))),
      PcdPciMmio64Base: base,
      PcdPciMmio64Size: size,
    }
  }
  // PlatformDynamicMmioWindow: an eighth of the address space, at its top.
  const [space, eighth] = [2 ** width, 2 ** (width - 3)]
  const dynamic = size < eighth && base + eighth < space
  return {
    FirstNonAddress: end,
    PhysMemAddressWidth: width,
    PcdPciMmio64Base: dynamic ? space - eighth : base,
    PcdPciMmio64Size: dynamic ? eighth : size,
  }
}

/** QEMU's default of 40 bits means nothing, but on AMD processors, which have 40 (PlatformAddressWidthFromCpuid). */
function trustedWidth({ vendor, physicalAddressBits, gigabytePages }: Processor): number | undefined {
  const usual: Record<string, number[]> = { GenuineIntel: [36, 39], AuthenticAMD: [40] }
  if (physicalAddressBits <= 40 && usual[vendor]?.includes(physicalAddressBits) !== true) return undefined
  return Math.min(physicalAddressBits, gigabytePages ? 47 : 40)
}

/** The uncached range and the PCI windows below 4 GiB (PlatformQemuUc32BaseInitialization, PlatformMemMapInitialization). */
function lowWindows({ chipset, lowMemory }: Machine): Values {
  const end = 0xfc000000
  if (chipset === 'q35') {
    const base = PCD.PciExpressBaseAddress + GIB / 4
    return {
      Uc32Base: lowMemory <= 2 * GIB ? 2 * GIB : PCD.PciExpressBaseAddress,
      PcdPciMmio32Base: base,
      PcdPciMmio32Size: end - base,
      PcdPciIoBase: 0x6000,
      PcdPciIoSize: 0xa000,
    }
  }
  const size = powerOfTwo(4 * GIB - lowMemory)
  const base = 4 * GIB - size
  return {
    Uc32Base: base,
    Uc32Size: size,
    PcdPciMmio32Base: base,
    PcdPciMmio32Size: end - base,
    PcdPciIoBase: 0xc000,
    PcdPciIoSize: 0x4000,
  }
}

/** RAM at the top for the resume from S3 (PublishPeiMemory). */
function s3Memory({ lowMemory, maxCpus }: Machine, { smm }: Build): Values {
  const size = 512 * 1024 + maxCpus * PCD.CpuApStackSize
  const top = lowMemory - (smm ? Q35_TSEG_MIB * 2 ** 20 : 0)
  return { S3AcpiReservedMemoryBase: top - size, S3AcpiReservedMemorySize: size }
}
