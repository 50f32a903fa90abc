// What UEFI firmware measures of itself before it boots anything, computed from its flash file and the machine's shape
// instead of by a boot. Of PCRs 1 and 4 that is not all: boot options (PCR 1) depend on the devices that are found, and
// what is started (PCR 4) on where it comes from.
// Source: EDK II edk2-stable202211, SecurityPkg/Tcg/Tcg2Pei/Tcg2Pei.c and Tcg2Dxe/Tcg2Dxe.c; TCG PC Client Platform
// Firmware Profile, version 1.05 revision 23, clauses 3.3.4 (PCR usage) and 10.4.1 (event types).

import { utf8 } from '../../../../sdk/crypto/index.ts'
import { encodeFirmwareBlob, encodeVariable, EV } from '../../../../sdk/evidence/index.ts'
import { Area } from './area.ts'
import type { MachineShape } from './machine-shape.ts'
import { type Ovmf, type PhaseVolume, readOvmf, variablesVolume } from './ovmf.ts'
import { peImageOf } from './pe-image.ts'
import { peiInMemory, type UnknownBytes } from './pei-memory.ts'
import { secureBootVariables } from './secure-boot.ts'
import { readVariables, Variables } from './variables.ts'
import type { FirmwareFile } from './volumes.ts'

const TCG2_PEI = 'a0c98b77-cba5-4bb8-993b-4af6ce33ece4'
const TCG2_DXE = 'fdff263d-5f68-4591-87ba-b768f445a9af'
/** Part of builds with Secure Boot (SECURE_BOOT_ENABLE). */
const SECURE_BOOT_CONFIG_DXE = 'f0e6a44f-7195-41c3-ac64-54f202cd0a21'
/** PcdFirmwareVersionString, which OVMF leaves empty: UTF-16 with its end. */
const NO_VERSION = new Uint8Array(2)
const SEPARATOR = new Uint8Array(4)

/** What is needed to know what a firmware measures. */
export interface UefiBoot {
  /** the flash file with the code (OVMF_CODE.fd), or with variables and code (OVMF.fd) */
  readonly flash: Uint8Array
  /** the flash file with the variables (OVMF_VARS.fd); default that of `flash`, or an empty store */
  readonly variables?: Uint8Array | undefined
  /** without a shape, all is measured as it is in the file: no real machine gives that value */
  readonly shape?: MachineShape | undefined
}

/** A measurement: the hash of `measured` extends the PCR; the log says `data` about it. */
export interface UefiMeasurement {
  readonly pcr: number
  /** a value of EV */
  readonly eventType: number
  readonly measured: Uint8Array
  readonly data: Uint8Array
}

/**
 * Measurements in the order of a real log. Equal to a real boot's when nothing is unknown, for OVMF with the PCDs of its
 * own DSC files.
 */
export interface UefiMeasurements {
  readonly measurements: readonly UefiMeasurement[]
  readonly unknown: readonly UnknownBytes[]
}

/**
 * What the firmware measures of itself. Throws FirmwareError: IMAGE_MALFORMED, with the offset, for damaged files;
 * IMAGE_UNSUPPORTED for firmware that is not OVMF, or measures nothing; SHAPE_UNKNOWN for a machine that it does not
 * boot on.
 */
export function uefiMeasurements({ flash, variables, shape }: UefiBoot): UefiMeasurements {
  const firmware = readOvmf(new Area(flash, 'firmware image'))
  const version = versionUnknown(fileOf(firmware.pei, TCG2_PEI), firmware.pei)
  fileOf(firmware.dxe, TCG2_DXE)
  const stored = storedVariables(firmware, variables)
  const pei = peiInMemory(firmware, stored, shape)
  const secureBoot = firmware.dxe.files.some(({ guid }) => guid === SECURE_BOOT_CONFIG_DXE)
  return {
    measurements: [
      said(0, EV.S_CRTM_VERSION, NO_VERSION),
      blob(firmware.pei.base, pei.bytes),
      blob(firmware.dxe.base, firmware.dxe.volume.area.bytes),
      ...secureBootVariables(stored, secureBoot).map((variable) =>
        said(7, EV.EFI_VARIABLE_DRIVER_CONFIG, encodeVariable(variable)),
      ),
      said(7, EV.SEPARATOR, SEPARATOR),
      said(4, EV.EFI_ACTION, utf8('Calling EFI Application from Boot Option')),
      ...[0, 1, 2, 3, 4, 5, 6].map((pcr) => said(pcr, EV.SEPARATOR, SEPARATOR)),
    ],
    unknown: [...version, ...pei.unknown],
  }
}

/** An event whose data are what is measured. */
function said(pcr: number, eventType: number, data: Uint8Array): UefiMeasurement {
  return { pcr, eventType, measured: data, data }
}

function blob(base: number, measured: Uint8Array): UefiMeasurement {
  const data = encodeFirmwareBlob({ base: BigInt(base), length: BigInt(measured.length) })
  return { pcr: 0, eventType: EV.EFI_PLATFORM_FIRMWARE_BLOB, measured, data }
}

function fileOf({ volume, files }: PhaseVolume, guid: string): FirmwareFile {
  const file = files.find((one) => one.guid === guid)
  return (
    file ?? volume.area.unsupported(0, `expected the module ${guid}, which measures into a TPM, found none`)
  )
}

/** Tcg2Pei's image holds no UTF-16, unless whoever built it gave it a version: that would be measured. */
function versionUnknown(module: FirmwareFile, { volume }: PhaseVolume): UnknownBytes[] {
  const image = peImageOf(module)?.area ?? module.body
  const found = /(?:[\x20-\x7e]\0){4,}/.exec(Buffer.from(image.bytes).toString('latin1'))
  if (found === null) return []
  const offset = image.offset - volume.area.offset + found.index
  return [
    {
      volume: 'PEIFV',
      offset,
      length: found[0].length,
      field: 'text in Tcg2Pei, perhaps PcdFirmwareVersionString',
    },
  ]
}

function storedVariables(firmware: Ovmf, given: Uint8Array | undefined): Variables {
  if (given === undefined) {
    return firmware.variables === undefined ? new Variables(new Map()) : readVariables(firmware.variables)
  }
  const flash = new Area(given, 'store of variables')
  const volume = variablesVolume(flash)
  return volume === undefined
    ? flash.malformed(0, 'expected a firmware volume that stores variables, found none')
    : readVariables(volume)
}
