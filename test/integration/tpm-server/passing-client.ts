// A client that passes descriptors with what it sends (SCM_RIGHTS of unix(7)), as QEMU does. Node's public API passes
// them to other Nodes only; what its own channel is made of passes them to anybody (emulator/tpm-server/passed-descriptors.ts).

import { connect, createServer, Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { bytes, Client } from './client.ts'
import { afterwards, temporaryFolder } from './setup.ts'

/** Something of this process that has a descriptor. */
export interface Handle {
  readonly fd: number
  close(): void
}

interface Pipe extends Handle {
  open(descriptor: number): number
  connect(request: object, path: string): number
  writeLatin1String(request: object, text: string, passed?: Handle): number
}

interface Udp extends Handle {
  bind(address: string, port: number, flags: number): number
}

interface Bindings {
  (name: 'pipe_wrap'): {
    readonly Pipe: new (type: number) => Pipe
    readonly PipeConnectWrap: new () => { oncomplete?: (status: number) => void }
    readonly constants: { readonly IPC: number; readonly SOCKET: number }
  }
  (name: 'stream_wrap'): { readonly WriteWrap: new () => { oncomplete?: () => void } }
  (name: 'udp_wrap'): { readonly UDP: new () => Udp }
}

const { binding } = process as unknown as { readonly binding: Bindings }
const { Pipe, PipeConnectWrap, constants } = binding('pipe_wrap')
const { WriteWrap } = binding('stream_wrap')
const { UDP } = binding('udp_wrap')

/** A connection that can pass descriptors. */
export class PassingClient {
  readonly client: Client
  readonly #pipe: Pipe

  private constructor(pipe: Pipe) {
    this.#pipe = pipe
    this.client = Client.over(new Socket({ handle: pipe } as ConstructorParameters<typeof Socket>[0]))
    afterwards(() => {
      this.client.end()
    })
  }

  static async to(path: string): Promise<PassingClient> {
    const pipe = new Pipe(constants.IPC)
    const request = new PipeConnectWrap()
    const status = await new Promise<number>((resolve) => {
      request.oncomplete = resolve
      pipe.connect(request, path)
    })
    if (status !== 0) throw new Error(`expected to connect to ${path}, found error ${String(status)}`)
    return new PassingClient(pipe)
  }

  /** Sends `request` and passes `handle` with it; it stays open here. */
  pass(handle: Handle, ...request: readonly (number | string)[]): void {
    const status = this.#pipe.writeLatin1String(new WriteWrap(), bytes(...request).toString('latin1'), handle)
    if (status !== 0) throw new Error(`expected to pass a descriptor, found error ${String(status)}`)
  }

  /** As Client.ask(). */
  async ask(count: number, ...request: readonly (number | string)[]): Promise<string> {
    return this.client.ask(count, ...request)
  }
}

/** The two ends of a connection: one to pass, and a client on the other. */
export interface Pair {
  readonly passed: Handle
  readonly client: Client
}

export async function pair(kind: 'tcp' | 'unix'): Promise<Pair> {
  const server = createServer()
  const path = join(temporaryFolder(), 'pair')
  server.listen(kind === 'tcp' ? { host: '127.0.0.1', port: 0 } : { path })
  await once(server, 'listening')
  const there = connect(kind === 'tcp' ? { port: (server.address() as AddressInfo).port } : { path })
  const [here] = (await once(server, 'connection')) as [Socket]
  server.close()
  const client = Client.over(here)
  afterwards(() => {
    client.end()
    there.destroy()
  })
  return { passed: handleOf(there), client }
}

/** What `descriptor` is, as something to pass; it takes the descriptor over. */
export function handleOn(descriptor: number): Handle {
  const pipe = new Pipe(constants.SOCKET)
  const status = pipe.open(descriptor)
  if (status !== 0)
    throw new Error(`expected to open descriptor ${descriptor}, found error ${String(status)}`)
  return pipe
}

export function datagramSocket(): Handle {
  const udp = new UDP()
  udp.bind('127.0.0.1', 0, 0)
  return udp
}

function handleOf(owner: Socket): Handle {
  const { _handle } = owner as unknown as { readonly _handle: Handle }
  return _handle
}
