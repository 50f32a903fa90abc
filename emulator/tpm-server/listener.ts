// Where clients come in: a TCP address, a UNIX socket, or a descriptor that the parent process opened. Each listener
// limits its connections; when there are too many, one that never asked anything makes room for the new one.

import { chmodSync, chownSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, Socket } from 'node:net'
import type { AddressInfo, ListenOptions, Server } from 'node:net'
import { Connection } from './connection.ts'
import type { MemoryBudget, Surroundings } from './connection.ts'
import { PassingConnection, requireDescriptors } from './passed-descriptors.ts'
import type { EndReason, Limits, Log, Protocol } from './protocol.ts'

/** sun_path of unix(7), without its final zero. */
const longestPath = 107

/** Where to take clients from. */
export type Listen =
  /** Port 0 is any free port. */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'unix'
      readonly path: string
      /** Permission bits of the socket file; 0o600 when absent. */
      readonly mode?: number
      readonly uid?: number
      readonly gid?: number
      /** Clients may pass a socket (passed-descriptors.ts); then fewer of them can be connected. */
      readonly descriptors?: boolean
    }
  /** A socket that listens already. */
  | { readonly kind: 'listening'; readonly descriptor: number }
  /** A socket with one client at its other end. */
  | { readonly kind: 'connected'; readonly descriptor: number }

/** Each connection that may pass a socket costs a process at first. */
const mostPassing = 16

/** What a listener needs of its server. */
export interface ListenerContext {
  readonly limits: Limits
  readonly budget: MemoryBudget
  readonly log: Log
  /** `passing` is the client's connection where it may pass a socket. */
  newProtocol(passing: PassingConnection | undefined): Protocol
  /** A client went; `remaining` clients are still here. */
  clientLeft(remaining: number): void
  end(reason: EndReason): void
}

/** Clients of one address, and how they get in. */
export class Listener {
  readonly #listen: Listen | null
  readonly #context: ListenerContext
  readonly #connections = new Set<Connection>()
  readonly #surroundings: Surroundings
  #server: Server | undefined
  #allGone: (() => void) | undefined
  #address: Listen | null

  /** Without an address the only clients are those of adopt(). */
  constructor(listen: Listen | null, context: ListenerContext) {
    this.#listen = listen
    this.#address = listen
    this.#context = context
    this.#surroundings = {
      limits: context.limits,
      budget: context.budget,
      log: context.log,
      left: (connection) => {
        this.#connections.delete(connection)
        this.#tellWhenGone()
        context.clientLeft(this.#connections.size)
      },
      end: (reason) => {
        context.end(reason)
      },
    }
  }

  /** The address with the port that was found for port 0. */
  get address(): Listen | null {
    return this.#address
  }

  /** True while a client is here. */
  get occupied(): boolean {
    return this.#connections.size > 0
  }

  /** Resolves when clients can connect; rejects with the system's error when they cannot. */
  async open(): Promise<void> {
    const listen = this.#listen
    if (listen === null) return
    if (listen.kind === 'connected') {
      this.adopt(new Socket({ fd: listen.descriptor, readable: true, writable: true, allowHalfOpen: true }))
      return
    }
    if (listen.kind === 'unix') await removeStaleSocket(listen.path)
    const pauseOnConnect = takesSockets(listen)
    if (pauseOnConnect) requireDescriptors()
    const server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect },
      (socket) => {
        this.adopt(socket)
      },
    )
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(listenOptions(listen), resolve)
      // listen() has made the file by now, with the rights that the process's umask leaves.
      if (listen.kind === 'unix' && server.listening) setOwnership(listen)
    }).catch((error: unknown) => {
      server.close()
      throw error
    })
    server.on('error', (error) => {
      this.#context.log('warning', `a client could not connect: ${error.message}`)
    })
    this.#server = server
    if (listen.kind === 'tcp') {
      this.#address = { kind: 'tcp', host: listen.host, port: (server.address() as AddressInfo).port }
    }
  }

  /** Takes no new clients, lets the present ones read what was answered, and ends them after `grace` milliseconds. */
  async close(grace: number): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      this.#allGone = resolve
      this.#tellWhenGone()
    })
    const server = this.#server
    const stopped = new Promise<void>((resolve) => {
      if (server === undefined) resolve()
      else {
        server.close(() => {
          resolve()
        })
      }
    })
    for (const connection of this.#connections) connection.close()
    const timer = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy()
    }, grace)
    await Promise.all([gone, stopped])
    clearTimeout(timer)
  }

  /** Ends the connections whose client owes us something for longer than the limit. */
  sweep(): void {
    const time = performance.now() - this.#context.limits.patience
    for (const connection of this.#connections) connection.destroyIfOwingSince(time)
  }

  /** Takes the client at the other end of `socket`, or ends the connection when there are too many. */
  adopt(socket: Socket): void {
    const passes = takesSockets(this.#listen)
    const most = this.#context.limits.connections
    if (this.#connections.size >= (passes ? Math.min(most, mostPassing) : most) && !this.#makeRoom()) {
      this.#context.log('warning', 'refusing a client: too many are connected')
      socket.destroy()
      return
    }
    const passing = passes ? new PassingConnection(socket) : undefined
    const protocol = this.#context.newProtocol(passing)
    this.#connections.add(new Connection(passing ?? socket, protocol, this.#surroundings))
  }

  #tellWhenGone(): void {
    if (this.#connections.size === 0) this.#allGone?.()
  }

  /** Ends the oldest connection that was never of use. */
  #makeRoom(): boolean {
    for (const connection of this.#connections) {
      if (connection.useful) continue
      this.#connections.delete(connection)
      connection.destroy()
      return true
    }
    return false
  }
}

/**
 * Opens data and control on neighbouring ports, as the clients of both protocols expect them: the port asked for and
 * the next one, or for port 0 a free pair.
 */
export async function openPair(
  host: string,
  port: number,
  create: (part: 'data' | 'control', listen: Listen) => Listener,
): Promise<readonly [Listener, Listener]> {
  // A first port whose neighbour is taken stays open while the next is tried, or the system would offer it again.
  const rejected: Listener[] = []
  try {
    for (let attempt = 0; attempt < 64; attempt += 1) {
      const data = create('data', { kind: 'tcp', host, port })
      await data.open()
      const { address } = data
      const next = address?.kind === 'tcp' ? address.port + 1 : 0
      try {
        const control = create('control', { kind: 'tcp', host, port: next })
        await control.open()
        return [data, control]
      } catch (error) {
        rejected.push(data)
        if (port !== 0) throw error
      }
    }
    throw new Error('expected two free neighbouring ports, found none in 64 attempts; name a port')
  } finally {
    await Promise.all(rejected.map(async (listener) => listener.close(0)))
  }
}

function takesSockets(listen: Listen | null): boolean {
  return listen?.kind === 'unix' && listen.descriptors === true
}

function listenOptions(listen: Exclude<Listen, { kind: 'connected' }>): ListenOptions & { fd?: number } {
  switch (listen.kind) {
    case 'tcp':
      return { host: listen.host, port: listen.port, exclusive: true }
    case 'unix':
      return { path: listen.path, exclusive: true }
    case 'listening':
      return { fd: listen.descriptor }
  }
}

function setOwnership(listen: Extract<Listen, { kind: 'unix' }>): void {
  chmodSync(listen.path, listen.mode ?? 0o600)
  if (listen.uid !== undefined || listen.gid !== undefined) {
    chownSync(listen.path, listen.uid ?? -1, listen.gid ?? -1)
  }
}

/** Removes a socket file that nobody listens on any more; leaves everything else, so that listening then fails. */
async function removeStaleSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > longestPath) {
    throw new Error(`expected the path of a UNIX socket of at most ${longestPath} bytes, got ${path}`)
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return
  const probe = connect(path)
  const alive = await new Promise<boolean>((resolve) => {
    probe.once('connect', () => {
      resolve(true)
    })
    probe.once('error', () => {
      resolve(false)
    })
  })
  probe.destroy()
  if (!alive) unlinkSync(path)
}
