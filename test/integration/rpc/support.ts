/** Servers, clients and certificates for the rpc tests: real sockets in a folder of their own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { credentials } from '@grpc/grpc-js'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { type Certificate, IdentityKey, issueCertificate, selfSignedRoot } from '../../../sdk/crypto/index.ts'
import {
  type ConnectionOptions,
  type Handlers,
  type Limits,
  type RpcServer,
  type ServerOptions,
  type ServiceClient,
  type TlsIdentity,
  createClient,
  createServer,
  implement,
  PalimpsestError,
} from '../../../sdk/rpc/index.ts'
import { type Chunk, EchoService } from '../../vectors/rpc/contract/index.ts'
import { Reflected } from '../bare-client/reflection.ts'

/** The rpcs of the test contract. */
export type EchoMethods = NonNullable<(typeof EchoService)['methods']>

/** A folder that goes away with the test. */
export function scratchFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'rpc-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

/** A server with these handlers, listening; closed with the test. */
export async function startServer(
  handlers: Handlers<EchoMethods>,
  options: Omit<ServerOptions, 'services'> & { readonly address?: string } = {},
): Promise<{ readonly server: RpcServer; readonly address: string }> {
  const { address = `unix:${path.join(scratchFolder(), 's.sock')}`, ...rest } = options
  const server = createServer({ reflection: false, ...rest, services: [implement(EchoService, handlers)] })
  onTestFinished(() => server.close({ graceMs: 0 }))
  const [bound = ''] = await server.listen(address)
  return { server, address: bound }
}

/** A client of the test contract; closed with the test. */
export function startClient(
  address: string,
  options: Omit<ConnectionOptions, 'address'> = {},
): ServiceClient<EchoMethods> {
  const client = createClient(EchoService, { address, ...options })
  onTestFinished(() => {
    client.close()
  })
  return client
}

/** Server and client in one, over a UNIX socket. */
export async function startPair(
  handlers: Handlers<EchoMethods>,
  limits?: Limits,
): Promise<{ readonly server: RpcServer; readonly client: ServiceClient<EchoMethods> }> {
  const { server, address } = await startServer(handlers, { limits })
  return { server, client: startClient(address, { limits }) }
}

/** What a plaintext server says of itself by reflection; closed with the test. */
export async function reflect(address: string): Promise<Reflected> {
  const reflected = await Reflected.of(address, credentials.createInsecure())
  onTestFinished(() => {
    reflected.close()
  })
  return reflected
}

/** The error of a call that has to fail. */
export async function failure(call: Promise<unknown>): Promise<PalimpsestError> {
  try {
    await call
  } catch (error) {
    if (error instanceof PalimpsestError) return error
    throw error
  }
  throw new Error('expected the call to fail, it succeeded')
}

/** All items of a stream. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Chunks of `size` bytes. */
export async function* chunks(count: number, size: number): AsyncGenerator<Chunk> {
  for (let i = 0; i < count; i++) {
    yield await Promise.resolve({ sequence: BigInt(i), data: new Uint8Array(size).fill(i) })
  }
}

/** An authority that issues identities. */
export class TestAuthority {
  private readonly key = IdentityKey.generate()
  private readonly certificate: Certificate

  private constructor(name: string) {
    this.certificate = selfSignedRoot({ subject: `CN=${name}`, days: 1, key: this.key })
  }

  static create(name = 'test authority'): Promise<TestAuthority> {
    return Promise.resolve(new TestAuthority(name))
  }

  get caPem(): string {
    return this.certificate.pem
  }

  /** An identity for servers and clients alike, valid for `localhost` and `name`. */
  issue(name: string): Promise<TlsIdentity> {
    const key = IdentityKey.generate()
    const certificate = issueCertificate({
      subject: `CN=${name}`,
      days: 1,
      issuer: { certificate: this.certificate, key: this.key },
      publicKey: key.publicKey,
      serverNames: [name, 'localhost', '127.0.0.1'],
      usages: ['client', 'server'],
    })
    return Promise.resolve({ certificatePem: certificate.pem, keyPem: key.toPem(), caPem: this.caPem })
  }
}
