/**
 * A tap on messages as they cross the wire, so that a process can record everything that reaches it and a test can
 * search the record for what must not be there.
 */

/** One message. `bytes` and `decoded` are the runtime's own: read them, do not keep or change them. */
export interface TapEvent {
  readonly direction: 'in' | 'out'
  /** Path of the rpc, `/package.Service/Method`. */
  readonly method: string
  /** The message as it stands on the wire, without gRPC's five-byte prefix. */
  readonly bytes: Uint8Array
  /** The message in TypeScript; undefined when it was refused as invalid. */
  readonly decoded: unknown
}

/** Receives every message of a client or server, in order. */
export type Tap = (event: TapEvent) => void
