/**
 * Typed services over gRPC: clients and servers, one error family, mutual TLS, health, shutdown, and the types of the
 * contract in protos/. Knows no domain. Other rooms import this file and nothing below it.
 */
export * from './contract/index.ts'
export {
  implement,
  type Handler,
  type Handlers,
  type HandlersOf,
  type ServiceImplementation,
} from './server/handlers.ts'
export { type CallContext, type Peer } from './server/context.ts'
export { guarded } from './server/guarded.ts'
export { createServer, type RpcServer, type ServerOptions } from './server/server.ts'
export {
  connect,
  createClient,
  type ClientOf,
  type Connection,
  type ConnectionOptions,
  type RpcFunction,
  type Rpcs,
  type ServiceClient,
} from './client/client.ts'
export { type CallOptions } from './client/calls.ts'
export {
  PalimpsestError,
  errorTable,
  grpcStatus,
  invalidField,
  isErrorCode,
  required,
  type ErrorCode,
  type ErrorDetails,
  type GrpcStatus,
} from './errors.ts'
export { type Violation } from './codec/violations.ts'
export { createRegistry, type MethodKind, type Registry } from './codec/schema.ts'
export { service, type MethodTypes, type ServiceDescriptor, type ServiceMethods } from './service.ts'
export { type Limits } from './limits.ts'
export {
  createLogger,
  silentLogger,
  type LogFunction,
  type Logger,
  type LoggerOptions,
  type LogLevel,
} from './log.ts'
export { checkTlsIdentity, identityFiles, loadTlsIdentity, type ClientTls, type TlsIdentity } from './tls.ts'
export {
  openTranscript,
  readTranscript,
  type FileTranscript,
  type Tap,
  type TapEvent,
  type TranscriptEntry,
} from './transcript.ts'
export { onShutdown, type Closer, type Shutdown, type ShutdownOptions } from './shutdown.ts'
