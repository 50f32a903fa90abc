// What a protocol is to the connection that speaks it: it looks at the bytes that wait, takes one message off their
// front and says what to answer. It never touches a socket, so fairness, limits and writing exist once.

import type { ByteQueue } from './byte-queue.ts'

/** Why a server came to its end. */
export type EndReason =
  /** close() was called. */
  | 'closed'
  /** A client of the mssim protocol sent STOP. */
  | 'stop'
  /** A client of swtpm's control channel sent SHUTDOWN. */
  | 'shutdown'
  /** The last client went and the server was told to end then. */
  | 'terminate'

/** What came of one look at the waiting bytes. */
export type Step =
  /** No whole message yet; nothing was taken. `resting` when what waits may be no message at all. */
  | { readonly kind: 'wait'; readonly resting?: boolean }
  /** A message was taken; these bytes answer it, in one write. */
  | { readonly kind: 'reply'; readonly bytes: Uint8Array; readonly close?: boolean; readonly end?: EndReason }
  /** The connection ends without an answer; `why` is for the log when the client is at fault. */
  | { readonly kind: 'close'; readonly why?: string; readonly end?: EndReason }

/** One side of a protocol on one connection. */
export interface Protocol {
  /**
   * Takes at most one message. With `ended`, the client will send no more: a message that waits for its rest must be
   * answered as it is, or given up with 'close'.
   */
  take(input: ByteQueue, ended: boolean): Step
}

/** Writes a line for the operator. Never given the contents of a command: they can hold secrets. */
export type Log = (level: 'error' | 'warning' | 'debug', message: string) => void

/** How much a client may cost. */
export interface Limits {
  /** Bytes of the largest message that is accepted. */
  readonly message: number
  /** Milliseconds a client may take to send the rest of a message, or to read an answer. */
  readonly patience: number
  /** Connections at once on one listening address. */
  readonly connections: number
  /** Bytes that all connections together may hold beyond 64 KiB each. */
  readonly memory: number
}

/** The reference simulator's 1 MiB per message, and room for many clients beside a few that misbehave. */
export const defaultLimits: Limits = {
  message: 1024 * 1024,
  patience: 30_000,
  connections: 512,
  memory: 64 * 1024 * 1024,
}
