// What is measured: a TPM behind a socket in a process of its own, a TPM in this process, and a bare echo server, all
// through one seam. The client is the same for every socket: raw TPM commands on one connection, as swtpm's data port
// speaks them.

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect as connectTo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { nodeArguments } from '../../emulator/testbed/index.ts'

/** An opened target: one persistent connection, or none for what runs here. */
export interface Target {
  readonly name: string
  /** it answers every command with the command, so its answers mean nothing: the floor */
  readonly echo?: boolean
  send(command: Uint8Array): Promise<Uint8Array> | Uint8Array
  /** processor time that the TPM's process has used, in microseconds; undefined where that can not be known */
  cpu(): number | undefined
  close(): Promise<void>
}

/** A target, or why there is none. */
export type Opened = { readonly target: Target } | { readonly skipped: string }

type Child = ChildProcessByStdio<null, Readable, Readable>

const HEADER = 10
const START_MS = 10_000

/** One connection; one command at a time. */
class Connection {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  #waiting: { resolve: (response: Buffer) => void; reject: (error: Error) => void } | undefined
  #failed: Error | undefined

  constructor(socket: Socket) {
    this.#socket = socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
      this.#deliver()
    })
    socket.on('error', (error) => {
      this.#fail(error)
    })
    socket.on('close', () => {
      this.#fail(new Error('the TPM closed the connection'))
    })
  }

  send(command: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) {
        reject(this.#failed)
        return
      }
      this.#waiting = { resolve, reject }
      this.#socket.write(command)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #deliver(): void {
    if (this.#received.length < HEADER) return
    const size = this.#received.readUInt32BE(2)
    if (this.#received.length < size) return
    const response = this.#received.subarray(0, size)
    this.#received = this.#received.subarray(size)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve(response)
  }

  #fail(error: Error): void {
    this.#failed = error
    this.#waiting?.reject(error)
  }
}

/** Connects, and tries again while the server is still starting. */
async function connectionTo(port: number, child: Child): Promise<Connection> {
  const end = Date.now() + START_MS
  while (Date.now() < end && child.exitCode === null) {
    const socket = connectTo(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return new Connection(socket)
    } catch {
      socket.destroy()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  throw new Error(`expected a server at port ${String(port)}, found none within ${String(START_MS)} ms`)
}

/** Processor time of all threads of a process, from the scheduler (Linux), in microseconds. */
function cpuOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined
  const folder = `/proc/${String(pid)}/task`
  try {
    const nanoseconds = readdirSync(folder).map((task) =>
      Number(readFileSync(join(folder, task, 'schedstat'), 'utf8').split(' ')[0]),
    )
    return nanoseconds.reduce((sum, one) => sum + one, 0) / 1000
  } catch {
    return undefined
  }
}

/** Two ports next to each other that were free a moment ago. */
async function freePorts(): Promise<number> {
  const first = createServer()
  const second = createServer()
  const listening = (server: typeof first, port: number) =>
    new Promise<number | undefined>((resolve) => {
      server.once('error', () => {
        resolve(undefined)
      })
      server.listen(port, '127.0.0.1', () => {
        const address = server.address()
        resolve(typeof address === 'object' ? address?.port : undefined)
      })
    })
  try {
    const port = await listening(first, 0)
    return port !== undefined && (await listening(second, port + 1)) !== undefined ? port : await freePorts()
  } finally {
    first.close()
    second.close()
  }
}

async function served(
  name: string,
  child: Child,
  port: number,
  echo: boolean,
  clean: () => void,
): Promise<Target> {
  const close = async () => {
    const ended = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill()
    await ended
    clean()
  }
  try {
    const connection = await connectionTo(port, child)
    return {
      name,
      echo,
      send: (command) => connection.send(command),
      cpu: () => cpuOf(child.pid),
      close: async () => {
        connection.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** swtpm of the distribution, from PATH, with a state of its own. */
export async function openSwtpm(): Promise<Opened> {
  const version = spawnSync('swtpm', ['--version'], { encoding: 'utf8' }).stdout as string | null
  if (version === null) return { skipped: 'swtpm is not installed (Debian package swtpm)' }
  const folder = mkdtempSync(join(tmpdir(), 'bench-swtpm-'))
  const port = await freePorts()
  const sockets = ['--server', `port=${String(port)}`, '--ctrl', `type=tcp,port=${String(port + 1)}`]
  const state = ['--flags', 'not-need-init', '--tpmstate', `dir=${folder}`]
  const child = spawn('swtpm', ['socket', '--tpm2', ...sockets, ...state], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const name = `swtpm ${/\d+(\.\d+)+/.exec(version)?.[0] ?? ''}`.trim()
  const clean = () => {
    rmSync(folder, { recursive: true, force: true })
  }
  return { target: await served(name, child, port, false, clean) }
}

const ECHO = `
const server = require('net').createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('data', (bytes) => socket.write(bytes)).on('error', () => {})
})
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
`

/** A server that sends back what it gets: what Node and the loopback cost without a TPM. */
export async function openEcho(): Promise<Opened> {
  return started('Node echo server', ['-e', ECHO], true)
}

/** Our TPM as users start it: \`palimpsest tpm serve\`. */
export async function openServed(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-tpm-'))
  const command = ['tpm', 'serve', '--port', '0', '--protocol', 'swtpm', '--state', folder, '--json']
  return started('palimpsest tpm serve', [...nodeArguments(['cli', 'main']), ...command], false, () => {
    rmSync(folder, { recursive: true, force: true })
  })
}

/** Starts a Node program that prints {"port": N} as its first line. */
async function started(
  name: string,
  args: readonly string[],
  echo: boolean,
  clean: () => void = () => undefined,
): Promise<Opened> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  const line = once(createInterface({ input: child.stdout }), 'line') as Promise<[string]>
  const end = once(child, 'close').then(() => undefined)
  const first = await Promise.race([line, end])
  if (first === undefined) {
    clean()
    return { skipped: `${name} did not start: ${complaint.trim().split('\n')[0] ?? ''}` }
  }
  const { port } = JSON.parse(first[0]) as { port: number }
  return { target: await served(name, child, port, echo, clean) }
}

/** A TPM in this process. */
export function inProcess(
  name: string,
  execute: (command: Uint8Array, locality: number) => Uint8Array,
): Target {
  return {
    name,
    send: (command) => execute(command, 0),
    cpu: () => {
      const { user, system } = process.cpuUsage()
      return user + system
    },
    close: () => Promise.resolve(),
  }
}
