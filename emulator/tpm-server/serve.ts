// A TPM on sockets: which protocol speaks at which address, and the life of the server.

import { Listener, openPair } from './listener.ts'
import type { Listen } from './listener.ts'
import { MemoryBudget } from './connection.ts'
import { MssimCommands, MssimPlatform, MssimSimulator } from './mssim.ts'
import type { PassingConnection } from './passed-descriptors.ts'
import { defaultLimits } from './protocol.ts'
import type { EndReason, Limits, Log, Protocol } from './protocol.ts'
import { SwtpmControl } from './swtpm-control.ts'
import type { TakeDescriptor } from './swtpm-control.ts'
import { SwtpmData } from './swtpm-data.ts'
import { defaultRules, memoryStore, SwtpmState } from './swtpm-state.ts'
import type { SwtpmRules, VolatileStore } from './swtpm-state.ts'
import type { TpmPort } from './tpm-port.ts'
import { reasonOf } from './wire.ts'

/** The two protocols that tpm2-tss speaks to a simulator. */
export type TpmProtocol = 'mssim' | 'swtpm'

/** Milliseconds that clients have at the end to read their last answers. */
const grace = 1000

/** What every server needs. */
interface CommonOptions {
  readonly port: TpmPort
  readonly protocol: TpmProtocol
  readonly limits?: Partial<Limits>
  readonly log?: Log
  /** swtpm only: what clients may do. */
  readonly rules?: Partial<SwtpmRules>
  /** swtpm only: where STORE_VOLATILE writes; memory when absent. */
  readonly volatileStore?: VolatileStore
  /** Turns the power on before any client; nothing when it is on. With swtpm a stored volatile state is resumed. */
  readonly powerOn?: boolean
  /** A command that the server sends before any client, e.g. TPM2_Startup; a response code is logged. */
  readonly firstCommand?: Uint8Array
  /** The server ends when the last data client goes. */
  readonly terminate?: boolean
}

/** Options of serveTpm(). */
export interface ServeTpmOptions extends CommonOptions {
  /** Address to listen on; 127.0.0.1 when absent. Whoever reaches it commands the TPM: there is no authentication. */
  readonly host?: string
  /** TCP port for commands, the next one is for control; 0 takes a free pair. 2321 when absent. */
  readonly tcpPort?: number
  /** Instead of TCP: a UNIX socket here for commands, and one at this path with ".ctrl" added for control. */
  readonly unixPath?: string
  /** Control somewhere else than beside the commands; null for none. */
  readonly control?: Listen | null
}

/** Options of serveAt(): each address by itself. */
export interface ServeAtOptions extends CommonOptions {
  readonly data: Listen | null
  readonly control: Listen | null
}

/** Options of serveQemu(). */
export interface ServeQemuOptions extends Omit<CommonOptions, 'protocol'> {
  /** The UNIX socket that the chardev of QEMU's `-tpmdev emulator` connects to. */
  readonly socketPath: string
  /** Also TCP ports like those of serveTpm() with 'swtpm', for tools beside the VM; none when absent. */
  readonly tcpPort?: number
  /** Address of the TCP ports; 127.0.0.1 when absent. */
  readonly host?: string
}

/** Where a server listens. */
export interface TpmAddresses {
  readonly data: Listen | null
  readonly control: Listen | null
  /** What tpm2-tools take for --tcti, when the addresses are those that it expects. */
  readonly tcti: string | null
}

/** A TPM on sockets. */
export interface TpmServer {
  readonly addresses: TpmAddresses
  /** Resolves once no socket is left, with the reason; rejects when the TPM's state could not be written. */
  readonly closed: Promise<EndReason>
  /** Answers what was asked, closes every socket and writes the TPM's state. The TPM's power stays as it is. */
  close(): Promise<void>
}

/**
 * Puts a TPM on a command address and a control address, the way the clients of the protocol expect them side by side.
 * With mssim the power is off until a client turns it on, unless it was on before; so it is with swtpm's INIT.
 */
export async function serveTpm(options: ServeTpmOptions): Promise<TpmServer> {
  const server = new Server(options)
  const host = options.host ?? '127.0.0.1'
  const port = checkedPort(options.tcpPort ?? 2321)
  if (options.unixPath !== undefined) {
    const control = options.control === undefined ? controlPath(options.unixPath) : options.control
    await server.open({ kind: 'unix', path: options.unixPath }, control)
  } else if (options.control === undefined) {
    await server.openPair(host, port)
  } else {
    await server.open({ kind: 'tcp', host, port }, options.control)
  }
  return server
}

/** Puts a TPM on exactly these addresses. A control address where clients may pass a socket needs no data address. */
export async function serveAt(options: ServeAtOptions): Promise<TpmServer> {
  const server = new Server(options)
  await server.open(options.data, options.control)
  return server
}

/**
 * Puts a TPM where QEMU's `-tpmdev emulator` looks for one: on swtpm's control channel, over which QEMU passes the
 * socket for commands. The TPM's power is off until QEMU turns it on, and the server ends when QEMU
 * shuts it down, as it does when it quits; a QEMU that was killed leaves it for the next one.
 */
export async function serveQemu(options: ServeQemuOptions): Promise<TpmServer> {
  const { socketPath, tcpPort, host = '127.0.0.1' } = options
  const server = new Server({ ...options, protocol: 'swtpm' })
  const port = tcpPort === undefined ? undefined : checkedPort(tcpPort)
  await server.open(null, { kind: 'unix', path: socketPath, descriptors: true })
  if (port !== undefined) await server.openPair(host, port)
  return server
}

function checkedPort(port: number): number {
  if (Number.isInteger(port) && port >= 0 && port <= 65_534) return port
  throw new RangeError(
    `"tcpPort" expected 0 or a port up to 65534, since control is on the next, got ${port}`,
  )
}

/** Closes the server when the process is told to end. Returns a function that stops listening to the signals. */
export function closeOnSignals(
  server: TpmServer,
  signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP'],
): () => void {
  const close = (): void => {
    // A failure to close is told by server.closed.
    server.close().catch(() => undefined)
  }
  for (const signal of signals) process.on(signal, close)
  return () => {
    for (const signal of signals) process.off(signal, close)
  }
}

/** An address as people write it. */
export function formatAddress(listen: Listen): string {
  switch (listen.kind) {
    case 'tcp':
      return `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`
    case 'unix':
      return listen.path
    case 'listening':
    case 'connected':
      return `descriptor ${listen.descriptor}`
  }
}

function controlPath(path: string): Listen {
  return { kind: 'unix', path: `${path}.ctrl` }
}

/** Makes the protocol's two sides for each new client. */
interface Sides {
  powerOn(): void
  data(): Protocol
  control(takeDescriptor?: TakeDescriptor): Protocol
}

function sidesOf(options: CommonOptions, limits: Limits, log: Log): Sides {
  if (options.protocol === 'mssim') {
    const simulator = new MssimSimulator(options.port, limits, log)
    return {
      powerOn: () => {
        options.port.powerOn()
      },
      data: () => new MssimCommands(simulator),
      control: () => new MssimPlatform(simulator),
    }
  }
  const rules = { ...defaultRules, ...options.rules }
  const state = new SwtpmState(options.port, rules, limits, log, options.volatileStore ?? memoryStore())
  return {
    powerOn: () => {
      if (!options.port.powered) state.initialize(false)
    },
    data: () => new SwtpmData(state),
    control: (takeDescriptor) => new SwtpmControl(state, takeDescriptor),
  }
}

interface Settle {
  readonly resolve: (reason: EndReason) => void
  readonly reject: (error: unknown) => void
}

class Server implements TpmServer {
  readonly closed: Promise<EndReason>
  readonly #options: CommonOptions
  readonly #limits: Limits
  readonly #log: Log
  readonly #budget: MemoryBudget
  readonly #sides: Sides
  readonly #settle: Settle
  /** For the sockets that clients pass. */
  readonly #passed: Listener
  readonly #listeners: Listener[]
  /** Of those, the ones whose addresses clients are told. */
  #data: Listener | null = null
  #control: Listener | null = null
  #sweeper: NodeJS.Timeout | undefined
  #ending = false

  constructor(options: CommonOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#log = options.log ?? (() => undefined)
    this.#budget = new MemoryBudget(this.#limits.memory)
    this.#sides = sidesOf(options, this.#limits, this.#log)
    this.#passed = this.#newListener('data', null)
    this.#listeners = [this.#passed]
    let settle: Settle | undefined
    this.closed = new Promise((resolve, reject) => {
      settle = { resolve, reject }
    })
    if (settle === undefined) throw new TypeError('expected a promise to run its executor at once')
    this.#settle = settle
    // Whoever does not look at `closed` has not asked to be told of a failed write.
    this.closed.catch(() => undefined)
    if (options.powerOn === true) this.#sides.powerOn()
    if (options.firstCommand !== undefined) this.#sendFirst(options.firstCommand)
  }

  get addresses(): TpmAddresses {
    const data = this.#data?.address ?? null
    const control = this.#control?.address ?? null
    return { data, control, tcti: tctiOf(this.#options.protocol, data, control) }
  }

  async open(data: Listen | null, control: Listen | null): Promise<void> {
    try {
      // The control channel first, as a client that finds the data port looks for it at once.
      if (control !== null) this.#control = await this.#listener('control', control)
      if (data !== null) this.#data = await this.#listener('data', data)
    } catch (error) {
      await this.#closeListeners(0)
      throw error
    }
    this.#startSweeping()
  }

  async openPair(host: string, port: number): Promise<void> {
    try {
      const pair = await openPair(host, port, (part, listen) => this.#newListener(part, listen))
      this.#listeners.push(...pair)
      const [data, control] = pair
      this.#data = data
      this.#control = control
    } catch (error) {
      await this.#closeListeners(0)
      throw error
    }
    this.#startSweeping()
  }

  async close(): Promise<void> {
    this.#end('closed')
    await this.closed
  }

  async #listener(part: 'data' | 'control', listen: Listen): Promise<Listener> {
    const listener = this.#newListener(part, listen)
    await listener.open()
    this.#listeners.push(listener)
    return listener
  }

  #newListener(part: 'data' | 'control', listen: Listen | null): Listener {
    return new Listener(listen, {
      limits: this.#limits,
      budget: this.#budget,
      log: this.#log,
      newProtocol: (passing) =>
        passing === undefined ? this.#sides[part]() : this.#sides.control(() => this.#takeSocket(passing)),
      clientLeft: (remaining) => {
        if (part === 'data' && remaining === 0 && this.#options.terminate === true) this.#end('terminate')
      },
      end: (reason) => {
        this.#end(reason)
      },
    })
  }

  /** As swtpm, which has one data connection. */
  #takeSocket(client: PassingConnection): ReturnType<TakeDescriptor> {
    const socket = client.takeSocket()
    if (this.#passed.occupied) {
      socket?.destroy()
      return 'connected'
    }
    if (socket === undefined) return 'none'
    this.#passed.adopt(socket)
    return 'taken'
  }

  #sendFirst(command: Uint8Array): void {
    const response = this.#options.port.execute(command, 0)
    const code =
      response.length < 10
        ? undefined
        : new DataView(response.buffer, response.byteOffset, response.length).getUint32(6)
    if (code === 0) return
    this.#log('error', `Error: the first command got ${code === undefined ? 'no response' : hex(code)}`)
  }

  #startSweeping(): void {
    const interval = Math.min(1000, Math.max(10, this.#limits.patience / 4))
    this.#sweeper ??= setInterval(() => {
      for (const listener of this.#listeners) listener.sweep()
    }, interval).unref()
  }

  #end(reason: EndReason): void {
    if (this.#ending) return
    this.#ending = true
    clearInterval(this.#sweeper)
    this.#closeListeners(grace)
      .then(() => {
        this.#options.port.flush()
        this.#settle.resolve(reason)
      })
      .catch((error: unknown) => {
        this.#log('error', `Error: ${reasonOf(error)}`)
        this.#settle.reject(error)
      })
  }

  async #closeListeners(patience: number): Promise<void> {
    await Promise.all(this.#listeners.map(async (listener) => listener.close(patience)))
  }
}

function hex(code: number): string {
  return `response code 0x${code.toString(16)}`
}

function tctiOf(protocol: TpmProtocol, data: Listen | null, control: Listen | null): string | null {
  if (data?.kind === 'tcp' && control?.kind === 'tcp' && control.port === data.port + 1) {
    return `${protocol}:host=${data.host},port=${data.port}`
  }
  if (data?.kind === 'unix' && control?.kind === 'unix' && control.path === `${data.path}.ctrl`) {
    return `${protocol}:path=${data.path}`
  }
  return null
}
