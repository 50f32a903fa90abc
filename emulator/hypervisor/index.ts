/** The untrusted host software. Run it with `runHypervisor`, or as an image through main.ts. */
export type { HypervisorSettings } from './configuration.ts'
export { runHypervisorImage } from './main.ts'
export type { RelayTampering } from './plugin-relay.ts'
export { type RunningHypervisor, runHypervisor } from './run.ts'
