// The operator's certificate authority, and identities made with it. A certificate authorises calls to the host's own
// services; for a VM, the key beside it is its identity, whose digest the platform binds at launch and peers name.
//
// A folder of an authority: authority.key, authority.pem. A folder of an identity: key.pem, certificate.pem, ca.pem.

import { X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Certificate,
  hex,
  IdentityKey,
  issueCertificate,
  parseCertificate,
  selfSignedRoot,
} from '../../sdk/crypto/index.ts'
import type { TlsIdentity } from '../../sdk/rpc/index.ts'

/** What an identity may do at the host: it stands in the certificate as organisational unit. */
export type IdentityRole = 'operator' | 'hypervisor' | 'vm' | 'worker'

export const identityRoles: readonly IdentityRole[] = ['operator', 'hypervisor', 'vm', 'worker']

/** Days that certificates of this authority are valid. */
const DAYS = 365

/** Names that every identity may serve under: all sockets of the project are local unless told otherwise. */
const SERVER_NAMES = ['localhost', '127.0.0.1', '::1']

/** An identity on disk. */
export interface Identity {
  readonly name: string
  readonly role: IdentityRole
  readonly directory: string
  readonly key: IdentityKey
  readonly tls: TlsIdentity
}

/** An operator's authority. */
export class Authority {
  readonly directory: string
  readonly #key: IdentityKey
  readonly #certificate: Certificate

  private constructor(directory: string, key: IdentityKey, certificate: Certificate) {
    this.directory = directory
    this.#key = key
    this.#certificate = certificate
  }

  /** Opens the authority in `directory`, or makes one. */
  static open(directory: string): Authority {
    const keyFile = join(directory, 'authority.key')
    const certificateFile = join(directory, 'authority.pem')
    if (existsSync(keyFile)) {
      const certificate = parseCertificate(readFileSync(certificateFile, 'utf8'))
      return new Authority(directory, IdentityKey.fromPem(readFileSync(keyFile, 'utf8')), certificate)
    }
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const key = IdentityKey.generate()
    const certificate = selfSignedRoot({
      subject: 'CN=palimpsest operator authority',
      days: DAYS * 10,
      key,
    })
    writeSecret(keyFile, key.toPem())
    writeFileSync(certificateFile, certificate.pem)
    return new Authority(directory, key, certificate)
  }

  /** The authority's certificate (PEM). */
  get caPem(): string {
    return this.#certificate.pem
  }

  /** The identity `name`, made if there is none. Its key never changes; {@link rotate} renews its certificate. */
  identity(name: string, role: IdentityRole): Identity {
    const directory = join(this.directory, name)
    if (existsSync(join(directory, 'key.pem'))) return readIdentity(directory)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const key = IdentityKey.generate()
    writeSecret(join(directory, 'key.pem'), key.toPem())
    return this.#certify(directory, name, role, key)
  }

  /** A new certificate for the same key. */
  rotate(name: string): Identity {
    const { directory, role, key } = readIdentity(join(this.directory, name))
    return this.#certify(directory, name, role, key)
  }

  #certify(directory: string, name: string, role: IdentityRole, key: IdentityKey): Identity {
    const certificate = issueCertificate({
      subject: `CN=${name},OU=${role}`,
      days: DAYS,
      issuer: { certificate: this.#certificate, key: this.#key },
      publicKey: key.publicKey,
      serverNames: [name, ...SERVER_NAMES],
      usages: ['client', 'server'],
    })
    replaceFile(join(directory, 'ca.pem'), this.caPem)
    replaceFile(join(directory, 'certificate.pem'), certificate.pem)
    return readIdentity(directory)
  }
}

/** Reads an identity's folder. Throws when a file is missing or no key or certificate. */
export function readIdentity(directory: string): Identity {
  const read = (file: string) => readFileSync(join(directory, file), 'utf8')
  const tls = { certificatePem: read('certificate.pem'), keyPem: read('key.pem'), caPem: read('ca.pem') }
  const subject = subjectOf(tls.certificatePem)
  return { ...subject, directory, key: IdentityKey.fromPem(tls.keyPem), tls }
}

/** What people are told of an identity: no key. */
export function describeIdentity({ name, role, key, directory }: Identity) {
  return { name, role, digest: hex(key.publicKey.digest), directory }
}

function subjectOf(certificatePem: string): { name: string; role: IdentityRole } {
  const { subject } = new X509Certificate(certificatePem)
  const part = (attribute: string) => new RegExp(`(?:^|\\n)${attribute}=([^\\n]*)`).exec(subject)?.[1] ?? ''
  const role = identityRoles.find((known) => known === part('OU'))
  if (role === undefined)
    throw new TypeError(`the certificate expected a role of ${identityRoles.join(', ')} as OU`)
  return { name: part('CN'), role }
}

/** Writes `text` beside `path` and puts it in its place, so that a reader never sees half of it. */
function replaceFile(path: string, text: string): void {
  const fresh = `${path}.new`
  writeFileSync(fresh, text)
  renameSync(fresh, path)
}

function writeSecret(path: string, pem: string): void {
  writeFileSync(path, pem, { mode: 0o600 })
  chmodSync(path, 0o600)
}
