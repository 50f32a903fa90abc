// PEIFV as it lies in memory when it is measured: as in the file, with what PlatformPei has written into its variables.
// Source: EDK II edk2-stable202211, OvmfPkg/PlatformPei (Platform.c, MemTypeInfo.c) and MdePkg's UefiMultiPhase.h.

import { FILE_TYPE } from '../volume-format.ts'
import { machineOf, type MachineShape } from './machine-shape.ts'
import type { Ovmf } from './ovmf.ts'
import { platformInfo, platformInfoFields } from './platform-info.ts'
import { findPlatformPei, type PlatformVariables } from './platform-pei.ts'
import type { Variables } from './variables.ts'

/** Measured bytes that a real boot may write differently, measured here as they are in the file. */
export interface UnknownBytes {
  /** name of the firmware volume */
  readonly volume: string
  /** in the volume */
  readonly offset: number
  readonly length: number
  /** what the bytes are */
  readonly field: string
}

/** A volume as it is measured. */
export interface MeasuredVolume {
  readonly bytes: Uint8Array
  readonly unknown: readonly UnknownBytes[]
}

const VOLUME = 'PEIFV'
/** gEfiMemoryTypeInformationGuid. */
const MEMORY_TYPE_INFORMATION = '4c19049f-4137-4dd3-9c10-8b97a83ffdfa'
/** Entries of mMemoryTypeInformation before its end mark, and of the largest variable: one of each type, and the mark. */
const MEMORY_TYPES = 5
const MAX_MEMORY_TYPES = 17
/** EFI_MEMORY_TYPE_INFORMATION: type and number of pages. */
const ENTRY_LENGTH = 8

/**
 * PEIFV in the memory of a machine of this shape; without a shape as in the file, and all that a machine writes is
 * unknown. Throws FirmwareError IMAGE_UNSUPPORTED for a firmware without PlatformPei, SHAPE_UNKNOWN for a shape on which
 * it does not boot.
 */
export function peiInMemory(
  firmware: Ovmf,
  variables: Variables,
  shape: MachineShape | undefined,
): MeasuredVolume {
  const machine = shape && machineOf(shape)
  const { machine: pei, data, variables: places } = findPlatformPei(firmware.pei)
  const bytes = firmware.pei.volume.area.bytes.slice()
  if (places === undefined) {
    const field = '.data of PlatformPei: of a release, or from a compiler, whose variables are not known'
    return { bytes, unknown: [{ volume: VOLUME, ...data, field }] }
  }
  const build = { pei, smm: firmware.dxe.files.some(({ type }) => type === FILE_TYPE.SMM_CORE) }
  if (machine === undefined) return { bytes, unknown: allOf(places, build.smm) }
  bytes.set(platformInfo(machine, build), places.platformInfo)
  bytes[places.fwCfgSupported] = 1
  bytes[places.fwCfgDmaSupported] = 1
  if (build.smm) raiseMemoryTypes(bytes.subarray(places.memoryTypes), variables)
  return { bytes, unknown: [] }
}

function allOf(places: PlatformVariables, smm: boolean): UnknownBytes[] {
  const one = (field: string, offset: number, length: number) => ({ volume: VOLUME, offset, length, field })
  return [
    ...(smm ? [one('mMemoryTypeInformation', places.memoryTypes, MEMORY_TYPES * ENTRY_LENGTH)] : []),
    ...platformInfoFields().map(({ name, offset, length }) =>
      one(`EFI_HOB_PLATFORM_INFO.${name}`, places.platformInfo + offset, length),
    ),
    one('mQemuFwCfgSupported', places.fwCfgSupported, 1),
    one('mQemuFwCfgDmaSupported', places.fwCfgDmaSupported, 1),
  ]
}

/**
 * Builds with SMM can read variables this early: one from an earlier boot may ask for more pages of a type than the
 * default (RefreshMemTypeInfo).
 */
function raiseMemoryTypes(table: Uint8Array, variables: Variables): void {
  const value = variables.get(MEMORY_TYPE_INFORMATION, 'MemoryTypeInformation')
  if (
    value === undefined ||
    value.length % ENTRY_LENGTH !== 0 ||
    value.length > MAX_MEMORY_TYPES * ENTRY_LENGTH
  )
    return
  const wanted = entriesOf(value)
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  for (const [index, { type, pages }] of entriesOf(
    table.subarray(0, MEMORY_TYPES * ENTRY_LENGTH),
  ).entries()) {
    const found = wanted.find((entry) => entry.type === type)
    if (found !== undefined && found.pages > pages)
      view.setUint32(index * ENTRY_LENGTH + 4, found.pages, true)
  }
}

function entriesOf(bytes: Uint8Array): { type: number; pages: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: bytes.length / ENTRY_LENGTH }, (_, index) => ({
    type: view.getUint32(index * ENTRY_LENGTH, true),
    pages: view.getUint32(index * ENTRY_LENGTH + 4, true),
  }))
}
