/**
 * A record of every message that reaches this process: what callers ask of it and what the platform and the worker
 * answer. One JSON line each, with the raw bytes and the decoded message, to be searched for what must not be there.
 * Source: threats.md 10.3; row X-07 of features.md.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { Tap } from '../../sdk/rpc/index.ts'

/** A transcript file that is being written. */
export class Transcript {
  readonly #fd: number
  #isClosed = false

  /** Appends to a file, making it when there is none. */
  constructor(file: string) {
    this.#fd = openSync(file, 'a', 0o600)
  }

  /** A tap that records incoming messages under the name of the other side. */
  tap(peer: string): Tap {
    return ({ direction, method, bytes, decoded }) => {
      if (direction !== 'in' || this.#isClosed) return
      const line = {
        at: new Date().toISOString(),
        peer,
        method,
        direction,
        bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
        decoded,
      }
      writeSync(this.#fd, `${JSON.stringify(line, readable)}\n`)
    }
  }

  /** Ends the record; messages that are still on their way are not in it. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    closeSync(this.#fd)
  }
}

/** JSON has neither 64-bit integers nor bytes. */
function readable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return value
}
