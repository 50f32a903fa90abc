// Firmware of the emulated platform: the image (any file, or the built-in volume), its signed manifest, and the boot
// that measures both into the TPM and the event log.

export { type UefiMachine } from './boot-events.ts'
export { builtInFirmware } from './built-in.ts'
export { FirmwareError, type FirmwareErrorCode } from './errors.ts'
export { type Firmware, loadFirmware, signManifest } from './image.ts'
export { type MachineShape, uefiMeasurements, type UefiMeasurements } from './uefi/index.ts'
export { measureBoot, type MeasuredBoot, type MeasuredBootOptions, measureEvent } from './measured-boot.ts'
