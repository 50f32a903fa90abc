// UEFI firmware as files: what it measures of itself, without booting it.

export { type MachineShape } from './machine-shape.ts'
export {
  type UefiBoot,
  type UefiMeasurement,
  uefiMeasurements,
  type UefiMeasurements,
} from './measurements.ts'
export { type UnknownBytes } from './pei-memory.ts'
