/** Servers, clients and certificates for the rpc tests: real sockets in a folder of their own. */
import './reflect.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
  cryptoProvider,
} from '@peculiar/x509'
import { onTestFinished } from 'vitest'
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

cryptoProvider.set(webcrypto)

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

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** An authority that issues identities. */
export class TestAuthority {
  private readonly keys: CryptoKeyPair
  private readonly certificate: X509Certificate

  private constructor(keys: CryptoKeyPair, certificate: X509Certificate) {
    this.keys = keys
    this.certificate = certificate
  }

  static async create(name = 'test authority'): Promise<TestAuthority> {
    const keys = await makeKeys()
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: `CN=${name}`,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      signingAlgorithm: algorithm,
      keys,
      extensions: [new BasicConstraintsExtension(true, 1, true)],
    })
    return new TestAuthority(keys, certificate)
  }

  get caPem(): string {
    return this.certificate.toString('pem')
  }

  /** An identity for servers and clients alike, valid for `localhost` and `name`. */
  async issue(name: string): Promise<TlsIdentity> {
    const keys = await makeKeys()
    const certificate = await X509CertificateGenerator.create({
      serialNumber: '02',
      subject: `CN=${name}`,
      issuer: this.certificate.subject,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      extensions: [
        new SubjectAlternativeNameExtension([
          { type: 'dns', value: name },
          { type: 'ip', value: '127.0.0.1' },
        ]),
        new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']),
      ],
    })
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
    const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`
    return { certificatePem: certificate.toString('pem'), keyPem, caPem: this.caPem }
  }
}

function makeKeys(): Promise<CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}
