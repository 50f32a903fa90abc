// Where OVMF's PlatformPei keeps what it writes. PEI modules run where they lie, so their variables are bytes of PEIFV,
// and PlatformPei has written some when PEIFV is measured. Their places depend on the compiler and are found in the code.
// Source: EDK II edk2-stable202211, OvmfPkg: PlatformPei/Platform.c (BuildPlatformInfoHob), PlatformPei/MemTypeInfo.c,
// Library/QemuFwCfgLib/QemuFwCfgPei.c (QemuFwCfgInitialize), OvmfPkg.dec; calling conventions of IA-32 and of UEFI on x64.

import { equalBytes, hex } from '../../../../sdk/crypto/index.ts'
import { guidBytes } from '../../../../sdk/evidence/index.ts'
import type { PhaseVolume } from './ovmf.ts'
import { type PeImage, peImageOf, type PeSection, peSection } from './pe-image.ts'
import { PLATFORM_INFO_LENGTH } from './platform-info.ts'

const PLATFORM_PEI = '222c386d-5abc-4fb4-b124-fbb82488acf4'
/** gUefiOvmfPkgPlatformInfoGuid. */
const PLATFORM_INFO_GUID = guidBytes('dec9b486-1f16-47c7-8f68-df1a41888ba5')
/** Larger ones are not searched: OVMF's has some 25 KB. */
const MAX_IMAGE = 1024 * 1024

/** Offsets in PEIFV of what PlatformPei writes. */
export interface PlatformVariables {
  /** mPlatformInfoHob */
  readonly platformInfo: number
  /** mQemuFwCfgSupported and mQemuFwCfgDmaSupported, a BOOLEAN each */
  readonly fwCfgSupported: number
  readonly fwCfgDmaSupported: number
  /** mMemoryTypeInformation; written by builds with SMM only */
  readonly memoryTypes: number
}

/** An image with the sections that are searched. */
type Module = PeImage & { readonly text: PeSection; readonly data: PeSection }

/** PlatformPei, as far as it matters here. */
export interface PlatformPei {
  readonly machine: 'ia32' | 'x64'
  /** its .data, in PEIFV: all that it can write */
  readonly data: { readonly offset: number; readonly length: number }
  /** undefined for a release whose variables are not known */
  readonly variables: PlatformVariables | undefined
}

/** Finds PlatformPei. Throws FirmwareError IMAGE_UNSUPPORTED for a firmware without. */
export function findPlatformPei({ volume, files }: PhaseVolume): PlatformPei {
  const file = files.find(({ guid }) => guid === PLATFORM_PEI)
  const image = file && peImageOf(file)
  if (image === undefined) {
    return volume.area.unsupported(
      0,
      `expected OVMF's PlatformPei (${PLATFORM_PEI}) as PE32 image, found none`,
    )
  }
  const start = image.area.offset - volume.area.offset
  const module = { ...image, text: peSection(image, '.text'), data: peSection(image, '.data') }
  return {
    machine: image.machine,
    data: { offset: start + module.data.offset, length: module.data.length },
    variables: variablesOf(module, start),
  }
}

function variablesOf(image: Module, start: number): PlatformVariables | undefined {
  if (image.area.length > MAX_IMAGE || !computesAddressWidth(image)) return undefined
  const platformInfo = findPlatformInfo(image)
  const flags = platformInfo === undefined ? undefined : findFwCfgFlags(image, platformInfo)
  const memoryTypes = findMemoryTypes(image)
  if (platformInfo === undefined || flags === undefined || memoryTypes === undefined) return undefined
  return {
    platformInfo: start + platformInfo,
    fwCfgSupported: start + flags.supported,
    fwCfgDmaSupported: start + flags.dma,
    memoryTypes: start + memoryTypes,
  }
}

/** Since edk2-stable202211 the processor's vendor decides whether its address width is believed: its name is there. */
function computesAddressWidth({ area }: PeImage): boolean {
  return Buffer.from(area.bytes).includes('AuthenticAMD\0')
}

/** Where `pattern` (hexadecimal digits, `.` for any) is found in a section: offsets in the image. */
function places({ area }: PeImage, { offset, length }: PeSection, pattern: string): number[] {
  const digits = hex(area.part(offset, length).bytes)
  return [...digits.matchAll(new RegExp(`(?=${pattern})`, 'g'))]
    .filter(({ index }) => index % 2 === 0)
    .map(({ index }) => offset + index / 2)
}

/** What an operand refers to: on IA-32 an address, on x64 a distance from the instruction's end, which may have an immediate. */
function reference({ area, machine, base }: PeImage, at: number, immediate = 0): number {
  const operand = area.uint32(at, 'an operand')
  return machine === 'ia32' ? operand - base : at + 4 + immediate + (operand | 0)
}

const inData = ({ data }: Module, offset: number, length: number) =>
  offset >= data.offset && offset + length <= data.offset + data.length

/** The only one there is; undefined for none and for several, which would be a guess. */
function only<T>(all: readonly T[]): T | undefined {
  return all.length === 1 ? all[0] : undefined
}

/** Calls with three arguments, and where in them the operands are. */
const CALLS = {
  // push size; push data; push guid
  ia32: { pattern: '68.{8}68.{8}68.{8}', size: 1, data: 6, guid: 11 },
  // mov r8d, size; lea rdx, data; lea rcx, guid
  x64: { pattern: '41b8.{8}488d15.{8}488d0d.{8}', size: 2, data: 9, guid: 16 },
} as const

/** BuildGuidDataHob (&gUefiOvmfPkgPlatformInfoGuid, &mPlatformInfoHob, sizeof (EFI_HOB_PLATFORM_INFO)). */
function findPlatformInfo(image: Module): number | undefined {
  const call = CALLS[image.machine]
  const found = places(image, image.text, call.pattern).filter((at) => {
    const guid = reference(image, at + call.guid)
    return (
      image.area.uint32(at + call.size, 'an operand') === PLATFORM_INFO_LENGTH &&
      inData(image, guid, PLATFORM_INFO_GUID.length) &&
      equalBytes(image.area.part(guid, PLATFORM_INFO_GUID.length).bytes, PLATFORM_INFO_GUID)
    )
  })
  const data = only(found.map((at) => reference(image, at + call.data)))
  return data !== undefined && inData(image, data, PLATFORM_INFO_LENGTH) ? data : undefined
}

/**
 * QemuFwCfgInitialize() starts: mQemuFwCfgSupported = TRUE; mQemuFwCfgDmaSupported = FALSE. No other code sets one flag
 * and clears another, but where fields of the structure follow.
 */
function findFwCfgFlags(image: Module, platformInfo: number): { supported: number; dma: number } | undefined {
  const isFlag = (at: number) =>
    inData(image, at, 1) && (at < platformInfo || at >= platformInfo + PLATFORM_INFO_LENGTH)
  const found = places(image, image.text, 'c605.{8}01c605.{8}00')
    .map((at) => ({ supported: reference(image, at + 2, 1), dma: reference(image, at + 9, 1) }))
    .filter(({ supported, dma }) => isFlag(supported) && isFlag(dma))
  return only(found)
}

/** mMemoryTypeInformation: pairs of EFI_MEMORY_TYPE and a number of pages, to the end mark EfiMaxMemoryType. */
function findMemoryTypes(image: Module): number | undefined {
  const entries = ['0a', '09', '00', '05', '06'].map((type) => `${type}000000.{4}0000`)
  return only(places(image, image.data, `${entries.join('')}1000000000000000`))
}
