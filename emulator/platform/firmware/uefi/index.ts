// UEFI firmware as files: what it measures of itself, without booting it.

export {
  type MachineShape,
  type UefiBoot,
  type UefiMeasurement,
  uefiMeasurements,
  type UefiMeasurements,
  type UnknownBytes,
} from './measurements.ts'
