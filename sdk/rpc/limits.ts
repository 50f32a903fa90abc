/** Defaults and options of gRPC channels and servers. Source: @grpc/grpc-js, "Supported Channel Options". */

import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js'

/** Bounds of a client or server. */
export interface Limits {
  /** Largest message sent or received; default 64 MiB. */
  readonly maxMessageBytes?: number
  /** HTTP/2 receive window of a client's streams; default 8 MiB. */
  readonly flowControlWindow?: number
  /** An idle connection is probed after this time; default 20 s. */
  readonly keepaliveMs?: number
  /** A probe not answered within this time ends the connection; default 5 s. */
  readonly keepaliveTimeoutMs?: number
}

/** Limits with every default filled in. */
export type ResolvedLimits = Required<Limits>

/** Fills in the defaults. */
export function resolveLimits(limits: Limits = {}): ResolvedLimits {
  return {
    maxMessageBytes: limits.maxMessageBytes ?? 64 * 1024 * 1024,
    flowControlWindow: limits.flowControlWindow ?? 8 * 1024 * 1024,
    keepaliveMs: limits.keepaliveMs ?? 20_000,
    keepaliveTimeoutMs: limits.keepaliveTimeoutMs ?? 5_000,
  }
}

/** The options that clients and servers share. Own messages are bounded by the codec, before gRPC sees them. */
export function channelOptions(limits: ResolvedLimits): Record<string, number> {
  // grpc-js prints failures to stderr by itself; here they reach the caller as errors, and the log.
  if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE)
  return {
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_send_message_length': -1,
    'grpc-node.flow_control_window': limits.flowControlWindow,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
    'grpc.enable_channelz': 0,
  }
}
