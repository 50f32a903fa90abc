/**
 * Mutual TLS. Certificates come from the host's operator: they authorise calls to the host's own services and count
 * for nothing in appraisal. The server asks for a certificate and answers a call without one with UNAUTHENTICATED,
 * instead of dropping the connection, so that the caller learns what is missing.
 */
import { Buffer } from 'node:buffer'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { ChannelCredentials, ServerCredentials, experimental } from '@grpc/grpc-js'
import { PalimpsestError } from './errors.ts'

/** A certificate, its key and the authority that the other side's certificate must come from; all PEM. */
export interface TlsIdentity {
  readonly certificatePem: string
  readonly keyPem: string
  readonly caPem: string
}

/** Files of an identity folder. */
export const identityFiles = {
  certificatePem: 'certificate.pem',
  keyPem: 'key.pem',
  caPem: 'ca.pem',
} as const

/**
 * Reads an identity from a folder with certificate.pem, key.pem and ca.pem.
 * @throws PalimpsestError INVALID_ARGUMENT naming the file that is missing, broken or does not fit.
 */
export function loadTlsIdentity(folder: string): TlsIdentity {
  const read = (file: string): string => {
    try {
      return readFileSync(path.join(folder, file), 'utf8')
    } catch (cause) {
      throw unusable(folder, `expected a readable file ${file}`, cause)
    }
  }
  const identity = {
    certificatePem: read(identityFiles.certificatePem),
    keyPem: read(identityFiles.keyPem),
    caPem: read(identityFiles.caPem),
  }
  checkTlsIdentity(identity, folder)
  return identity
}

/**
 * Checks that the PEM texts parse and that the key is the certificate's.
 * @throws PalimpsestError INVALID_ARGUMENT saying which part does not fit.
 */
export function checkTlsIdentity(identity: TlsIdentity, name = 'identity'): void {
  const parse = <T>(what: string, run: () => T): T => {
    try {
      return run()
    } catch (cause) {
      throw unusable(name, `expected ${what} in PEM`, cause)
    }
  }
  const certificate = parse('a certificate', () => new X509Certificate(identity.certificatePem))
  const key = parse('a private key', () => createPrivateKey(identity.keyPem))
  parse("an authority's certificate", () => new X509Certificate(identity.caPem))
  if (!certificate.checkPrivateKey(key)) {
    throw unusable(name, 'expected the private key of the certificate, found another key')
  }
}

function unusable(name: string, problem: string, cause?: unknown): PalimpsestError {
  const advice = 'make one with "palimpsest identity create"'
  return new PalimpsestError('INVALID_ARGUMENT', `${name}: ${problem}; ${advice}`, { cause })
}

/** Credentials of a server; undefined gives plaintext, for UNIX sockets and loopback. */
export function serverCredentials(identity: TlsIdentity | undefined): ServerCredentials {
  if (!identity) return ServerCredentials.createInsecure()
  const provider = staticProvider(identity)
  // The last argument: a client without a certificate gets through the handshake and is refused by rpc/server.
  return experimental.createCertificateProviderServerCredentials(provider, provider, false)
}

/** What a client trusts and, for mutual TLS, shows. */
export interface ClientTls {
  readonly caPem: string
  readonly certificatePem?: string
  readonly keyPem?: string
  /** The name that the server's certificate must carry; default: the address's host, `localhost` for UNIX sockets. */
  readonly serverName?: string
}

/** Credentials of a client; undefined gives plaintext. */
export function clientCredentials(tls: ClientTls | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure()
  const { caPem, certificatePem, keyPem } = tls
  if (certificatePem === undefined || keyPem === undefined)
    return ChannelCredentials.createSsl(Buffer.from(caPem))
  return ChannelCredentials.createSsl(Buffer.from(caPem), Buffer.from(keyPem), Buffer.from(certificatePem))
}

/** Hands the same certificate to every listener; in a later tick, as grpc-js registers before it can receive. */
function staticProvider(identity: TlsIdentity): experimental.CertificateProvider {
  const caCertificate = Buffer.from(identity.caPem)
  const own = { certificate: Buffer.from(identity.certificatePem), privateKey: Buffer.from(identity.keyPem) }
  const nothing = () => {
    // No updates follow, so there is nothing to unsubscribe from.
  }
  return {
    addCaCertificateListener: (listener) => {
      process.nextTick(listener, { caCertificate })
    },
    addIdentityCertificateListener: (listener) => {
      process.nextTick(listener, own)
    },
    removeCaCertificateListener: nothing,
    removeIdentityCertificateListener: nothing,
  }
}
