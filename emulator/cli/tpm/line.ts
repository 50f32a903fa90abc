// One connection to a TPM's server: something is asked, and the answer read until it is as long as its own head says.

import { connect, type Socket } from 'node:net'

/** Milliseconds to connect: the servers are on this machine, or near. */
const CONNECT_LIMIT = 5000
/** Milliseconds for an answer: hardware takes a minute for a large RSA key. */
const ANSWER_LIMIT = 120_000
/** An answer that says it is longer than this is none of a TPM. */
const MOST = 1024 * 1024

/** A server's address. */
export type LineAddress = { readonly host: string; readonly port: number } | { readonly path: string }

/** The connection could not be made, or ended, or what came is no answer. */
export class LineError extends Error {
  override readonly name = 'LineError'
}

/** How long an answer is, of which the first bytes have come: at least as many as are needed to tell. */
export type AnswerLength = (soFar: Buffer) => number

/** A connection. One question at a time. */
export class Line {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  #failure: string | undefined
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('end', () => {
      this.#fail('it closed the connection without an answer')
    })
    socket.on('error', (error) => {
      this.#fail(error.message)
    })
  }

  /** Throws LineError when nothing listens there. */
  static async to(address: LineAddress): Promise<Line> {
    const socket = connect({ ...address, noDelay: true })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy()
        reject(new LineError(`no connection within ${String(CONNECT_LIMIT / 1000)} seconds`))
      }, CONNECT_LIMIT)
      socket.once('connect', () => {
        clearTimeout(timer)
        socket.removeAllListeners('error')
        resolve()
      })
      socket.once('error', (error) => {
        clearTimeout(timer)
        reject(new LineError(error.message, { cause: error }))
      })
    })
    return new Line(socket)
  }

  /** Sends a question and resolves to its answer. Throws LineError. */
  async ask(question: Uint8Array, lengthOf: AnswerLength): Promise<Buffer> {
    const timer = setTimeout(() => {
      this.#fail(`no answer within ${String(ANSWER_LIMIT / 1000)} seconds`)
    }, ANSWER_LIMIT)
    this.#socket.write(question)
    try {
      for (;;) {
        const length = lengthOf(this.#received)
        if (length > MOST) throw new LineError(`its answer would be ${String(length)} bytes long`)
        if (this.#received.length >= length) return this.#take(length)
        if (this.#failure !== undefined) throw new LineError(this.#failure)
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** Ends the connection, with a last word. */
  end(goodbye: Uint8Array = new Uint8Array(0)): void {
    if (goodbye.length > 0) this.#socket.write(goodbye)
    this.#socket.destroySoon()
  }

  #take(length: number): Buffer {
    const answer = this.#received.subarray(0, length)
    this.#received = this.#received.subarray(length)
    return answer
  }

  #fail(why: string): void {
    this.#failure ??= why
    this.#wake()
  }
}
