/** Palimpsest's RPC runtime: typed services over gRPC, one error family, and the contract's types. */
export * from './contract/index.ts'
