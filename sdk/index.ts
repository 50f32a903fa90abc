// The package's front door: what a plugin author needs to define and serve a plugin. Everything else has a subpath of
// its own (palimpsest/attest, palimpsest/crypto, palimpsest/testing, …).

export { type Policy, parsePolicy, policyFile, Refusal, type RefusalCode } from './attest/index.ts'
export { type KeyMode, Secret } from './crypto/index.ts'
export { errorTable, PalimpsestError, type ErrorCode } from './rpc/index.ts'
export * from './plugin/index.ts'
