// The emulated TPM 2.0: one device, its non-volatile state, its keys. What it takes and returns are the structures of
// sdk/tpm2, attestations and signatures as the bytes that the specification defines.

export { type QuoteRequest, type QuoteResponse } from './attestation.ts'
export { type Milliseconds } from './clock.ts'
export { readPcrs, type ReadPcrs, TpmDevice, type TpmOptions } from './device.ts'
export { TpmError } from './errors.ts'
export { type ActivateCredentialRequest, type ReadPublicResponse } from './object-commands.ts'
export { type PcrReadResponse } from './pcr-commands.ts'
export { BANKS } from './pcr-banks.ts'
export { FileTpmStore, MemoryTpmStore, type TpmState, type TpmStore } from './state.ts'
export { AK_HANDLE, EK_HANDLE } from './templates.ts'
