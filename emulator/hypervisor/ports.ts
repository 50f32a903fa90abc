/**
 * The platform and the worker as the hypervisor reaches them: clients of the contract, as types, so that a unit test
 * can put a stand-in in their place. Nothing here gives plaintext or keys.
 * Source: protos/palimpsest/platform/v1/host_port.proto, protos/palimpsest/worker/v1/worker.proto.
 */
import type { ClientOf, HostPortService, WorkerService } from '../../sdk/rpc/index.ts'

/** A client without its connection. */
type Port<S> = Omit<ClientOf<S>, 'close' | 'waitForReady'>

/** The platform as its host reaches it. */
export type PlatformPort = Port<typeof HostPortService>

/** A worker as the hypervisor reaches it. */
export type WorkerPort = Port<typeof WorkerService>
