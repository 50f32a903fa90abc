// A bare socket client: sends exact bytes, and keeps what came and in how many pieces.

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { once } from 'node:events'
import type { Listen } from '../../../emulator/tpm-server/index.ts'

/** Joins numbers (32 bits, most significant byte first), hexadecimal strings and bytes. */
export function bytes(...parts: readonly (number | string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(part, 'hex')
      if (typeof part !== 'number') return part
      const word = Buffer.alloc(4)
      word.writeUInt32BE(part)
      return word
    }),
  )
}

/** A connection to one address. */
export class Client {
  readonly socket: Socket
  /** Sizes of what each read gave. */
  readonly pieces: number[] = []
  #chunks: Buffer[] = []
  #length = 0
  #ended = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.pieces.push(chunk.length)
      this.#chunks.push(chunk)
      this.#length += chunk.length
      this.#wake?.()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    socket.on('error', end)
    socket.on('end', end)
    socket.on('close', end)
  }

  static async to(address: Listen | null): Promise<Client> {
    if (address?.kind !== 'tcp' && address?.kind !== 'unix') throw new Error('expected an address')
    const socket = address.kind === 'tcp' ? connect(address.port, address.host) : connect(address.path)
    const client = new Client(socket)
    await once(socket, 'connect')
    return client
  }

  /** On a socket that is connected already. */
  static over(socket: Socket): Client {
    return new Client(socket)
  }

  send(...parts: readonly (number | string | Uint8Array)[]): void {
    this.socket.write(bytes(...parts))
  }

  /** The next `count` bytes, as hexadecimal. Fails when the server ends before. */
  async read(count: number): Promise<string> {
    const deadline = Date.now() + 10_000
    while (this.#length < count) {
      if (this.#ended) throw new Error(`the server ended after ${this.#length} of ${count} bytes`)
      if (Date.now() > deadline) {
        throw new Error(`only ${this.#length} of ${count} bytes came: ${this.#take(40)}`)
      }
      await this.#something(deadline - Date.now())
    }
    return this.#take(count)
  }

  /** Sends and reads. */
  async ask(count: number, ...parts: readonly (number | string | Uint8Array)[]): Promise<string> {
    this.send(...parts)
    return this.read(count)
  }

  /** What came until the server ended the connection, as hexadecimal. */
  async untilEnd(): Promise<string> {
    const deadline = Date.now() + 5000
    while (!this.#ended) {
      if (Date.now() > deadline) throw new Error('the server did not end the connection')
      await this.#something(deadline - Date.now())
    }
    return this.#take(this.#length)
  }

  /** Everything that comes within `milliseconds`, as hexadecimal. */
  async within(milliseconds: number): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds))
    return this.#take(this.#length)
  }

  end(): void {
    this.socket.destroy()
  }

  #take(count: number): string {
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all.subarray(count)]
    this.#length = this.#chunks[0]?.length ?? 0
    return all.subarray(0, count).toString('hex')
  }

  async #something(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, milliseconds))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
