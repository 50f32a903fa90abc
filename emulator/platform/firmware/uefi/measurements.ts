// What UEFI firmware measures of itself before it boots anything, computed from its flash file and the machine's shape
// instead of by a boot.

import { FirmwareError } from '../errors.ts'

/** What of a machine the firmware writes down in memory that it then measures. */
export interface MachineShape {
  /** QEMU's machine types `q35` and `pc` */
  readonly chipset: 'q35' | 'i440fx'
  /** RAM in bytes, as given to `-m` */
  readonly memory: bigint
  /** processors at power-on, as given to `-smp` */
  readonly cpus: number
  /** with those that can be added later (`maxcpus`); default `cpus` */
  readonly maxCpus?: number
  /** CPUID 0x80000008, EAX[7:0]; default 40, which QEMU's own processor models have */
  readonly physicalAddressBits?: number
  /** whether the machine offers ACPI S3; default true, as QEMU does */
  readonly s3?: boolean
}

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

/** Measurements in the order of a real log. Equal to a real boot's when nothing is unknown. */
export interface UefiMeasurements {
  readonly measurements: readonly UefiMeasurement[]
  readonly unknown: readonly UnknownBytes[]
}

/**
 * What the firmware measures of itself.
 * Throws FirmwareError IMAGE_MALFORMED, with the offset, for a flash file that is no sound UEFI firmware.
 */
export function uefiMeasurements(boot: UefiBoot): UefiMeasurements {
  throw new FirmwareError(
    'IMAGE_MALFORMED',
    `expected UEFI firmware, found ${String(boot.flash.length)} bytes that are not read yet`,
  )
}
