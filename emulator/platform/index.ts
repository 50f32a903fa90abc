// The public entry of this room: the trusted platform as a program runs it. Everything else reaches it over its ports.

export { type Platform, type PlatformOptions, runPlatform } from './main.ts'
export { provisionEkCertificates } from './ek-certificates.ts'
export { Manufacturer } from './endorsement.ts'
export { loadFirmware, uefiMeasurements, type UefiMeasurements } from './firmware/index.ts'
export { type UefiBootOptions, type UefiMachineOptions } from './platform.ts'
