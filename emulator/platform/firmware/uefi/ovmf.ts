// How OVMF lies in its flash file, read as its SEC phase reads it: the last volume holds SEC, the one before it a file
// that is a compressed image of two volumes, one with the PEI phase and one with the DXE phase. SEC unpacks them to RAM.
// Source: EDK II edk2-stable202211, OvmfPkg/Sec/SecMain.c and OvmfPkgX64.fdf.

import { FILE_TYPE, SECTION_TYPE } from '../volume-format.ts'
import type { Area } from './area.ts'
import { peImageOf } from './pe-image.ts'
import {
  type FirmwareFile,
  filesOf,
  readVolume,
  sectionsOf,
  unpackSection,
  type Volume,
  volumesOf,
} from './volumes.ts'

/** EFI_SYSTEM_NV_DATA_FV_GUID: the file system of a volume that stores variables. */
const VARIABLES_GUID = 'fff12b8d-7696-4c8b-a985-2747075b4f50'

const FOUR_GIB = 2 ** 32

/** A volume as SEC unpacks it. */
export interface PhaseVolume {
  readonly volume: Volume
  readonly files: readonly FirmwareFile[]
  /** where it lies in RAM */
  readonly base: number
}

/** OVMF, read. */
export interface Ovmf {
  /** PEIFV */
  readonly pei: PhaseVolume
  /** DXEFV */
  readonly dxe: PhaseVolume
  /** the volume with variables, when code and variables are one file (OVMF.fd) */
  readonly variables: Volume | undefined
}

/** The volume with variables of a flash file (OVMF_VARS.fd); undefined when it has none. */
export function variablesVolume(flash: Area): Volume | undefined {
  return volumesOf(flash).find(({ fileSystem }) => fileSystem === VARIABLES_GUID)
}

/**
 * Reads OVMF's flash file.
 * Throws FirmwareError IMAGE_MALFORMED for a damaged one, IMAGE_UNSUPPORTED for one that is built otherwise.
 */
export function readOvmf(flash: Area): Ovmf {
  const volumes = volumesOf(flash)
  if (volumes.length === 0) flash.malformed(0, 'expected UEFI firmware volumes, found none')
  const main = volumes.at(-2)
  if (main === undefined) return flash.unsupported(0, 'expected two firmware volumes, as OVMF has, found one')
  const unpacked = unpackSection(compressedSection(main))
  const images = sectionsOf(unpacked).filter(({ type }) => type === SECTION_TYPE.FIRMWARE_VOLUME_IMAGE)
  const [pei, dxe] = images.map(({ body }) => readVolume(body))
  if (pei === undefined || dxe === undefined) {
    return unpacked.malformed(0, `expected two images of firmware volumes, found ${String(images.length)}`)
  }
  const files = filesOf(pei)
  const base = baseOf(pei, files)
  return {
    pei: { volume: pei, files, base },
    // The FDF lays the two one behind the other (PcdOvmfPeiMemFvBase and -Size, PcdOvmfDxeMemFvBase).
    dxe: { volume: dxe, files: filesOf(dxe), base: base + pei.area.length },
    variables: variablesVolume(flash),
  }
}

function compressedSection(main: Volume) {
  const image = filesOf(main).find(({ type }) => type === FILE_TYPE.FIRMWARE_VOLUME_IMAGE)
  const section = image && sectionsOf(image.body).find(({ type }) => type === SECTION_TYPE.GUID_DEFINED)
  return (
    section ?? main.area.unsupported(0, 'expected a volume with a compressed image of volumes, as OVMF has')
  )
}

/** PEI code runs where it lies: the PEI core was linked to its own address, which says where its volume is. */
function baseOf(pei: Volume, files: readonly FirmwareFile[]): number {
  const core = files.find(({ type }) => type === FILE_TYPE.PEI_CORE)
  const image = core && peImageOf(core)
  if (image === undefined)
    return pei.area.unsupported(0, 'expected a PEI core with a PE32 section, as OVMF has')
  const base = image.base - (image.area.offset - pei.area.offset)
  if (base < 0 || base + pei.area.length > FOUR_GIB) {
    image.area.malformed(
      0,
      `expected a PEI core linked to below 4 GiB, found one at 0x${image.base.toString(16)}`,
    )
  }
  return base
}
