// The emulated TPM 2.0, for use in this process: `tpm.execute(command)` is its whole command interface, and sdk/tpm2 has
// the commands' structures and a client. Faults, time and random numbers can be given, for tests of programs that use a TPM.

export { Tpm, type TpmOptions } from './tpm.ts'
export { FileTpmStore, MemoryTpmStore, type StateKind, type TpmStore } from './state/store.ts'
export { type Milliseconds } from './state/clock.ts'
export { type Entropy, type EntropySource, fixedEntropy } from './keys/index.ts'
export { type Fault, type FaultInjector, type FaultKind } from './faults.ts'
export { DEFAULT_LIMITS, FIRMWARE_VERSION, HARDWARE_LIMITS, type Limits, RSA_KEY_BITS } from './profile.ts'
