// One client's connection: bytes in, messages out of them by a Protocol, each answer in one write.
//
// A client can be wrong, slow, gone or hostile without others noticing: after each message the others have their turn,
// a client that does not read its answers is not read from, and what it may hold in memory is limited.

import type { Duplex } from 'node:stream'
import { stayAwake } from './awake.ts'
import { ByteQueue } from './byte-queue.ts'
import type { EndReason, Limits, Log, Protocol, Step } from './protocol.ts'
import { reasonOf } from './wire.ts'

/** Bytes that every connection may hold without asking. */
const allowance = 65_536

/** What connections hold beyond their allowance, all together. */
export class MemoryBudget {
  readonly limit: number
  #used = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Changes a holder's share from `before` to `after` bytes; false, with nothing changed, when that is too much. */
  change(before: number, after: number): boolean {
    const used = this.#used - Math.max(0, before - allowance) + Math.max(0, after - allowance)
    if (used > this.limit && after > before) return false
    this.#used = used
    return true
  }
}

/** What a connection needs of the server around it. */
export interface Surroundings {
  readonly limits: Limits
  readonly budget: MemoryBudget
  readonly log: Log
  /** The connection is gone. */
  left(connection: Connection): void
  /** The client asked the whole server to end. */
  end(reason: EndReason): void
}

/** A client's connection. */
export class Connection {
  readonly #socket: Duplex
  readonly #protocol: Protocol
  readonly #surroundings: Surroundings
  readonly #input = new ByteQueue()
  #held = 0
  #scheduled = false
  #blocked = false
  #closing = false
  #ended = false
  #answered = 0
  /** When the client began to owe us something: the rest of a message, or reading its answers. */
  #owingSince: number | undefined

  constructor(socket: Duplex, protocol: Protocol, surroundings: Surroundings) {
    this.#socket = socket
    this.#protocol = protocol
    this.#surroundings = surroundings
    socket.on('data', (chunk: Uint8Array) => {
      this.#receive(chunk)
    })
    socket.on('drain', () => {
      this.#drained()
    })
    socket.on('end', () => {
      this.#ended = true
      if (!this.#scheduled && !this.#blocked) this.#turn()
    })
    socket.on('error', (error) => {
      surroundings.log('debug', `a client's connection failed: ${error.message}`)
    })
    socket.on('close', () => {
      this.#closing = true
      this.#input.clear()
      this.#hold(0)
      surroundings.left(this)
    })
  }

  /** True once a message of this client was answered. */
  get useful(): boolean {
    return this.#answered > 0
  }

  /** Ends the connection once what was answered is sent. */
  close(): void {
    this.#closing = true
    this.#input.clear()
    this.#owingSince = performance.now()
    this.#socket.end(() => this.#socket.destroy())
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  /** Ends the connection if the client has owed us something since before `time`. */
  destroyIfOwingSince(time: number): void {
    if (this.#owingSince === undefined || this.#owingSince > time) return
    this.#refuse('it neither finished its message nor read its answer in time')
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closing) return
    if (!this.#hold(this.#input.capacityWith(chunk.length) + this.#socket.writableLength)) {
      this.#refuse('all clients together hold too much memory')
      return
    }
    this.#input.append(chunk)
    if (!this.#scheduled && !this.#blocked) this.#turn()
  }

  #drained(): void {
    this.#blocked = false
    this.#owingSince = undefined
    this.#hold(this.#input.capacity)
    if (!this.#closing && !this.#scheduled) this.#turn()
  }

  /** One message, then the others' turn. */
  #turn(): void {
    this.#scheduled = false
    if (this.#closing || this.#blocked) return
    const step = this.#take()
    switch (step.kind) {
      case 'wait':
        this.#await(step.resting === true)
        return
      case 'reply':
        this.#answer(step)
        return
      case 'close':
        if (step.why !== undefined) this.#surroundings.log('warning', `closing a client: ${step.why}`)
        this.close()
        if (step.end !== undefined) this.#surroundings.end(step.end)
        return
    }
  }

  #take(): Step {
    try {
      return this.#protocol.take(this.#input, this.#ended)
    } catch (error) {
      this.#surroundings.log('error', `a client's message could not be handled: ${reasonOf(error)}`)
      return { kind: 'close' }
    }
  }

  #await(resting: boolean): void {
    if (this.#ended) {
      this.close()
      return
    }
    this.#hold(this.#input.capacity)
    if (this.#input.length === 0 || resting) this.#owingSince = undefined
    else this.#owingSince ??= performance.now()
    if (this.#socket.isPaused()) this.#socket.resume()
  }

  #answer(step: Extract<Step, { kind: 'reply' }>): void {
    this.#answered += 1
    this.#owingSince = undefined
    if (!this.#hold(this.#input.capacity + this.#socket.writableLength + step.bytes.length)) {
      this.#refuse('all clients together hold too much memory')
      return
    }
    const taken = this.#socket.write(step.bytes)
    stayAwake()
    if (step.close === true) {
      this.close()
    } else if (!taken) {
      this.#blocked = true
      this.#owingSince = performance.now()
      this.#socket.pause()
    } else if (this.#input.length > 0 || this.#ended) {
      this.#scheduled = true
      this.#socket.pause()
      setImmediate(() => {
        this.#turn()
      })
    } else if (this.#socket.isPaused()) {
      this.#socket.resume()
    }
    if (step.end !== undefined) this.#surroundings.end(step.end)
  }

  #hold(bytes: number): boolean {
    if (!this.#surroundings.budget.change(this.#held, bytes)) return false
    this.#held = bytes
    return true
  }

  #refuse(why: string): void {
    this.#surroundings.log('warning', `closing a client: ${why}`)
    this.destroy()
  }
}
