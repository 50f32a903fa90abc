/**
 * A tap on messages as they cross the wire, so that a process can record everything that reaches it and a test can
 * search the record for what must not be there.
 */
import { Buffer } from 'node:buffer'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

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

/** A message in a transcript file. */
export interface TranscriptEntry {
  readonly direction: 'in' | 'out'
  readonly method: string
  readonly bytes: Uint8Array
}

/** A tap that writes to a file. */
export interface FileTranscript {
  readonly tap: Tap
  close(): void
}

/**
 * Opens a transcript file, mode 0600: one line of JSON per message, its bytes in base64. Written before the message is
 * handled, so that the record is whole when the process is killed.
 */
export function openTranscript(file: string): FileTranscript {
  const descriptor = openSync(file, 'a', 0o600)
  return {
    tap: ({ direction, method, bytes }) => {
      const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
      writeSync(descriptor, `${JSON.stringify({ direction, method, bytes: base64 })}\n`)
    },
    close: () => {
      closeSync(descriptor)
    },
  }
}

/** Reads a transcript file; a last line that was cut off is left out. */
export function readTranscript(file: string): TranscriptEntry[] {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const entry = JSON.parse(line) as Omit<TranscriptEntry, 'bytes'> & { readonly bytes: string }
    return { ...entry, bytes: Uint8Array.from(Buffer.from(entry.bytes, 'base64')) }
  })
}
