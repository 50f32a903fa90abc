// The manufacturer of the emulated platform: one root of trust, which certifies the endorsement key, the key that signs
// launch reports, and the certificate of the platform's guest and worker ports. Policies pin the root (`trustAnchors`).
// A manufacturer may make several platforms, each with a folder of its own. Keys and certificates are made once, so
// that a restart changes none of them; the endorsement key's certificate lies in the TPM.
// Source: TCG EK Credential Profile, version 2.5, clause 3.2 (EK certificate); RFC 5280.

import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import {
  type Certificate,
  type CertificateContent,
  certificateKey,
  CryptoError,
  IdentityKey,
  issueCertificate,
  parseCertificate,
  type PublicKey,
  selfSignedRoot,
  utf8,
  verifyChain,
  verifyChainToAnyKey,
} from '../../sdk/crypto/index.ts'
import { CERTIFICATE_USAGE, type PlatformEndorsement } from '../../sdk/evidence/index.ts'
import { ECC_EK, type EkIssuer, provisionEkCertificates } from './ek-certificates.ts'
import { PRIVATE_MODE, PUBLIC_MODE, readFileIfPresent, replaceFile } from './files.ts'
import { type PlatformTpm } from './platform-tpm.ts'
import { AK_HANDLE, EK_HANDLE } from './templates.ts'

/** Days: a root outlives what it certifies. */
const ROOT_DAYS = 7300
const LEAF_DAYS = 3650
const ORGANISATION = 'O=Palimpsest emulated platform'
const DEFAULT_SERVER_NAMES: readonly string[] = ['localhost', '127.0.0.1', '::1']

/** Files of the manufacturer's folder. */
const ROOT_FILES = { key: 'root.key', certificate: 'root.pem' } as const

/** Files of a platform's folder. */
const FILES = {
  reportKey: 'report.key',
  reportCertificate: 'report.pem',
  portKey: 'port.key',
  portCertificate: 'port.pem',
} as const

/** A key and its certificate. */
export interface CertifiedKey {
  readonly key: IdentityKey
  readonly certificate: Certificate
}

type LeafContent = Omit<CertificateContent, 'days'>

/** What a platform needs to prove itself. */
export interface PlatformCredentials {
  /** what it publishes */
  readonly endorsement: PlatformEndorsement
  /** signs launch reports */
  readonly reportKey: IdentityKey
  /** TLS identity of the guest and worker ports; it counts for nothing in appraisal */
  readonly port: CertifiedKey
}

/** What endorse() takes. */
export interface EndorseOptions {
  /** started */
  readonly device: PlatformTpm
  /** where the platform's keys and certificates lie; may be the manufacturer's folder */
  readonly folder: string
  /** names of the platform's ports; default localhost and the loopback addresses */
  readonly serverNames?: readonly string[] | undefined
}

/** The manufacturer, whose root key lies in one folder. */
export class Manufacturer implements EkIssuer {
  /** The trust anchor: what policies pin. */
  readonly root: Certificate
  /** Where the trust anchor lies as PEM. */
  readonly rootPath: string
  readonly #key: IdentityKey

  private constructor(folder: string, root: Certificate, key: IdentityKey) {
    this.root = root
    this.rootPath = join(folder, ROOT_FILES.certificate)
    this.#key = key
  }

  /**
   * Opens the manufacturer in `folder`, making its root first when there is none.
   * Throws FormatError when a file there is damaged, RangeError when the root key and certificate do not belong together.
   */
  static open(folder: string): Manufacturer {
    const key = loadOrMakeKey(join(folder, ROOT_FILES.key))
    const stored = readText(join(folder, ROOT_FILES.certificate))
    const root =
      stored === undefined
        ? selfSignedRoot({
            key,
            subject: `CN=Palimpsest manufacturer root,${ORGANISATION}`,
            days: ROOT_DAYS,
          })
        : parseCertificate(stored)
    if (!certificateKey(root).equals(key.publicKey)) {
      const pair = `${ROOT_FILES.key} and ${ROOT_FILES.certificate}`
      throw new RangeError(`expected ${pair} in ${folder} to belong together; restore them, or remove both`)
    }
    if (stored === undefined) replaceFile(join(folder, ROOT_FILES.certificate), utf8(root.pem), PUBLIC_MODE)
    return new Manufacturer(folder, root, key)
  }

  /**
   * Certifies a started TPM's EK, a report key and a port key, or loads what an earlier call made. A certificate is
   * made anew when it has expired or names another key, as after the TPM's state was removed.
   */
  endorse({ device, folder, serverNames = DEFAULT_SERVER_NAMES }: EndorseOptions): PlatformCredentials {
    const ekPublic = device.readPublic(EK_HANDLE).outPublic
    const akPublic = device.readPublic(AK_HANDLE).outPublic
    const reportKey = loadOrMakeKey(join(folder, FILES.reportKey))
    const portKey = loadOrMakeKey(join(folder, FILES.portKey))
    const ekCertificates = provisionEkCertificates(device, this, [ECC_EK])
    const report = this.#certificate(join(folder, FILES.reportCertificate), reportKey.publicKey, {
      subject: `CN=Palimpsest launch report key,${ORGANISATION}`,
      usages: [CERTIFICATE_USAGE.reportKey],
    })
    const port = this.#certificate(join(folder, FILES.portCertificate), portKey.publicKey, {
      subject: `CN=Palimpsest platform ports,${ORGANISATION}`,
      usages: ['server'],
      serverNames,
    })
    return {
      endorsement: { ekPublic, ekCertificates, akPublic, reportKeyCertificates: [report.der] },
      reportKey,
      port: { key: portKey, certificate: port },
    }
  }

  certify(publicKey: PublicKey | Uint8Array, content: LeafContent): Certificate {
    const issuer = { certificate: this.root, key: this.#key }
    return issueCertificate({ issuer, publicKey, days: LEAF_DAYS, ...content })
  }

  certifiedEk(certificate: Uint8Array): Uint8Array | undefined {
    const usage = CERTIFICATE_USAGE.endorsementKey
    return unlessBad(() => verifyChainToAnyKey({ leaf: certificate, roots: [this.root], usage }))
  }

  /** The stored certificate of `publicKey` at `path`, or a new one. */
  #certificate(path: string, publicKey: PublicKey, content: LeafContent): Certificate {
    const stored = readText(path)
    if (stored !== undefined && this.#stillGood(stored, publicKey, content)) return parseCertificate(stored)
    const certificate = this.certify(publicKey, content)
    replaceFile(path, utf8(certificate.pem), PUBLIC_MODE)
    return certificate
  }

  #stillGood(pem: string, publicKey: PublicKey, { usages, serverNames = [] }: LeafContent): boolean {
    const key = unlessBad(() => verifyChain({ leaf: pem, roots: [this.root], usage: usages?.[0] }))
    return key?.equals(publicKey) === true && serverNames.every((name) => namesServer(pem, name))
  }
}

/** What `verify` returns; undefined for a certificate that it refuses. */
function unlessBad<T>(verify: () => T): T | undefined {
  try {
    return verify()
  } catch (error) {
    if (error instanceof CryptoError) return undefined
    throw error
  }
}

function readText(path: string): string | undefined {
  const bytes = readFileIfPresent(path)
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
}

function loadOrMakeKey(path: string): IdentityKey {
  const stored = readText(path)
  if (stored !== undefined) return IdentityKey.fromPem(stored)
  const key = IdentityKey.generate()
  replaceFile(path, utf8(key.toPem()), PRIVATE_MODE)
  return key
}

function namesServer(pem: string, name: string): boolean {
  const certificate = new X509Certificate(pem)
  return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined
}
