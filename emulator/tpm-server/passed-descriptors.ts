// Connections whose client may pass a socket (SCM_RIGHTS of unix(7)), as QEMU does with SET_DATAFD.
//
// Node's public API takes a descriptor from no program but another Node. What takes it here is what Node's own channel
// between processes is made of: `Pipe` of process.binding('pipe_wrap'). Opened as IPC, it leaves the descriptor that came
// with what it read at `pendingHandle` (src/stream_wrap.cc; seen in Node 20 to 26). That code aborts the process when the
// descriptor is a file or a terminal, and keeps those that it has no class for.
//
// So each connection is first read by a process of its own. What a client passes can only harm its own connection, and
// is closed with that process. A stream socket comes from there through Node's channel, which is public API; from then
// on this process reads the connection itself, and the kernel closes whatever else is passed.

import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** process.binding() is a deprecated name for what has no other. */
const flags = ['--no-deprecation', '--eval']

const means = `
const { Pipe, constants } = process.binding('pipe_wrap')
const connection = new Pipe(constants.IPC)
`

/**
 * The reading process: descriptor 3 is the connection. For each message it reads once, and sends what it read, or null
 * at the end; it is done once it has sent a socket.
 */
const receiver = `
const { fstatSync } = require('node:fs')
const { Socket } = require('node:net')
${means}
const { TCP } = process.binding('tcp_wrap')
function socketOf(handle) {
  const stream = handle instanceof Pipe || handle instanceof TCP
  if (!stream || !fstatSync(handle.fd).isSocket()) return undefined
  return new Socket({ handle, readable: false, writable: false })
}
connection.onread = (buffer) => {
  connection.readStop()
  const socket = socketOf(connection.pendingHandle)
  connection.pendingHandle = undefined
  process.send(buffer === undefined ? null : new Uint8Array(buffer), socket, () => {
    if (socket !== undefined) process.disconnect()
  })
}
process.on('message', () => connection.readStart())
process.on('disconnect', () => process.exit())
connection.open(3)
`

/** Throws an Error when this Node has not the means described above. */
export function requireDescriptors(): void {
  const { status, error } = spawnSync(process.execPath, [...flags, means], { env, stdio: 'ignore' })
  if (status === 0) return
  throw new Error(
    `expected a Node that can receive descriptors (process.binding('pipe_wrap').Pipe), found none in Node ${process.version}` +
      `${error === undefined ? '' : ` (${error.message})`}; use Node 20 to 26, or a TCP port`,
  )
}

/** NODE_OPTIONS is for this program: what it preloads there would only be slow. */
const env = { ...process.env, NODE_OPTIONS: '' }

/** A connection's bytes, and the socket that its client passed. */
export class PassingConnection extends Duplex {
  readonly #socket: Socket
  #receiver: ChildProcess | undefined
  #passed: Socket | undefined

  /** `socket` was accepted with `pauseOnConnect`: nothing of it was read. */
  constructor(socket: Socket) {
    super()
    this.#socket = socket
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
    this.#receiver = spawn(process.execPath, [...flags, receiver], {
      env,
      stdio: ['ignore', 'ignore', 'ignore', socket, 'ipc'],
      serialization: 'advanced',
    })
    this.#receiver.on('message', (bytes: unknown, passed: unknown) => {
      if (passed instanceof Socket) this.#readOn(passed)
      this.push(bytes)
    })
    this.#receiver.on('error', (error) => this.destroy(error))
    this.#receiver.on('disconnect', () => {
      if (this.#receiver === undefined) return
      this.destroy(new Error('expected a descriptor of a socket, found one that Node cannot receive'))
    })
  }

  /** The socket that the client passed, once, and when it is still of use: whoever takes it closes it. */
  takeSocket(): Socket | undefined {
    const passed = this.#passed
    this.#passed = undefined
    return passed?.destroyed === true ? undefined : passed
  }

  override _read(): void {
    if (this.#receiver === undefined) this.#socket.resume()
    // What goes wrong here, 'error' and 'disconnect' tell.
    else this.#receiver.send('read', () => undefined)
  }

  override _write(chunk: Uint8Array, _encoding: unknown, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#receiver?.kill('SIGKILL')
    this.#receiver = undefined
    this.#passed?.destroy()
    this.#socket.destroy()
    done(error)
  }

  /** The receiver has read its last: from here on as any other connection. */
  #readOn(passed: Socket): void {
    this.#receiver = undefined
    this.#passed = passed
    passed.allowHalfOpen = true
    // Until somebody takes it, and listens.
    passed.on('error', () => undefined)
    this.#socket.on('data', (chunk) => {
      if (!this.push(chunk)) this.#socket.pause()
    })
    this.#socket.on('end', () => this.push(null))
  }
}
