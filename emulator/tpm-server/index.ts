// The entry of this room: servers that put a TPM on sockets, for the clients of other projects. No TPM logic is here.

export { closeOnSignals, formatAddress, serveAt, serveQemu, serveTpm } from './serve.ts'
export type { ServeAtOptions, ServeTpmOptions, TpmAddresses, TpmProtocol, TpmServer } from './serve.ts'
export type { Listen } from './listener.ts'
export type { EndReason, Limits, Log } from './protocol.ts'
export type { SwtpmRules, VolatileStore } from './swtpm-state.ts'
export type { StateKind, TpmInformation, TpmPort } from './tpm-port.ts'
export { runSwtpm } from './swtpm-command.ts'
export type { OpenedTpm, SwtpmProgram } from './swtpm-command.ts'
export type { StatePlace } from './swtpm-settings.ts'
