// X.509 certificates (RFC 5280): issuing P-256 certificates and verifying a chain up to pinned roots.
// Issuing goes through @peculiar/x509; signatures, names and validity are checked by node:crypto (OpenSSL). The rules
// that OpenSSL's single-step API leaves to the caller are here: CA flag, path length, critical extensions, purpose.

import { webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import { assertBytes, equalBytes, plainView } from './bytes.ts'
import { CertificateError, FormatError } from './errors.ts'
import { type IdentityKey, PublicKey } from './identity.ts'

const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 86_400_000
/** Certificates start this long before now, so that a peer whose clock is a little behind accepts them. */
const CLOCK_SKEW_MS = 300_000
const MAX_CHAIN = 8
/** Intermediates of one name could be tried in very many orders; a real chain needs a handful of checks. */
const MAX_SIGNATURE_CHECKS = 64

const OID_BASIC_CONSTRAINTS = '2.5.29.19'
const OID_KEY_USAGE = '2.5.29.15'
const OID_SUBJECT_ALT_NAME = '2.5.29.17'
const OID_EXTENDED_KEY_USAGE = '2.5.29.37'
const UNDERSTOOD = [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, OID_SUBJECT_ALT_NAME, OID_EXTENDED_KEY_USAGE]

/** What a certificate's key is for: a TLS role, or the object identifier of another extended key usage. */
export type CertificateUsage = 'server' | 'client' | `${number}.${string}`

const USAGE_OID: Readonly<Record<string, string>> = {
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
}

/** A certificate in both encodings. */
export interface Certificate {
  readonly der: Uint8Array
  readonly pem: string
}

/** An extension that this room does not know: object identifier, criticality, and the DER of its value. */
export interface CertificateExtension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

/** What goes into a certificate, whoever signs it. */
export interface CertificateContent {
  /** Distinguished name in the form of RFC 4514, `CN=vm-7,O=Example`; a text without `=` is the common name; may be ''. */
  readonly subject: string
  /** Days from now until it expires, from 1 second (a fraction) up. */
  readonly days: number
  /** Start of validity; default five minutes ago. */
  readonly notBefore?: Date | undefined
  /** For a CA: how many CAs may follow below it. Default: any number. */
  readonly pathLength?: number | undefined
  /** DNS names and IP addresses of the subject alternative name. */
  readonly serverNames?: readonly string[] | undefined
  /** Extended key usages; none means no such extension. */
  readonly usages?: readonly CertificateUsage[] | undefined
  /** Whether the key signs (default) or agrees on keys, as a TPM's endorsement key does. */
  readonly keyUse?: 'sign' | 'agree' | undefined
  /** Further extensions, added as they are. */
  readonly extensions?: readonly CertificateExtension[] | undefined
}

/**
 * Issues a certificate for `publicKey`, signed by `issuer`; `ca: true` makes it an intermediate CA.
 * Throws TypeError or RangeError for wrong arguments.
 */
export async function issueCertificate(
  options: CertificateContent & {
    readonly issuer: { readonly certificate: Certificate; readonly key: IdentityKey }
    readonly publicKey: PublicKey
    readonly ca?: boolean | undefined
  },
): Promise<Certificate> {
  const issuer = new x509.X509Certificate(options.issuer.certificate.der)
  const issuerSpki = new Uint8Array(issuer.publicKey.rawData)
  if (!equalBytes(issuerSpki, options.issuer.key.publicKey.spki)) {
    throw new RangeError('"issuer" expected the key that the issuer certificate names, got another key')
  }
  return create(options, options.ca === true, options.publicKey, options.issuer.key, issuer.subjectName)
}

/** A self-signed CA certificate of `key`: a root to pin. */
export async function selfSignedRoot(
  options: CertificateContent & { readonly key: IdentityKey },
): Promise<Certificate> {
  return create(options, true, options.key.publicKey, options.key, distinguishedName(options.subject))
}

async function create(
  content: CertificateContent,
  ca: boolean,
  publicKey: PublicKey,
  signer: IdentityKey,
  issuer: x509.Name,
): Promise<Certificate> {
  const notBefore = content.notBefore ?? new Date(Date.now() - CLOCK_SKEW_MS)
  const notAfter = new Date(Math.max(Date.now(), notBefore.getTime()) + content.days * DAY_MS)
  if (!(content.days > 0) || Number.isNaN(notAfter.getTime())) {
    throw new RangeError(`"days" expected a positive number, got ${String(content.days)}`)
  }
  const subjectKey = new x509.PublicKey(new Uint8Array(publicKey.spki))
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: distinguishedName(content.subject),
      issuer,
      notBefore,
      notAfter,
      publicKey: subjectKey,
      signingKey: await webCryptoKey(signer),
      signingAlgorithm: ECDSA_P256,
      extensions: await extensionsOf(content, ca, subjectKey, signer.publicKey),
    },
    webcrypto,
  )
  return { der: new Uint8Array(certificate.rawData), pem: `${certificate.toString('pem')}\n` }
}

function distinguishedName(subject: string): x509.Name {
  return subject === '' || subject.includes('=') ? new x509.Name(subject) : new x509.Name([{ CN: [subject] }])
}

async function webCryptoKey(key: IdentityKey): Promise<webcrypto.CryptoKey> {
  const der = key.toPkcs8()
  try {
    return await webcrypto.subtle.importKey('pkcs8', der, ECDSA_P256, false, ['sign'])
  } finally {
    der.fill(0)
  }
}

async function extensionsOf(
  content: CertificateContent,
  ca: boolean,
  subjectKey: x509.PublicKey,
  issuerKey: PublicKey,
): Promise<x509.Extension[]> {
  const use =
    content.keyUse === 'agree' ? x509.KeyUsageFlags.keyAgreement : x509.KeyUsageFlags.digitalSignature
  const flags = ca
    ? ((x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign) as x509.KeyUsageFlags)
    : use
  const authority = new x509.PublicKey(new Uint8Array(issuerKey.spki))
  const list: x509.Extension[] = [
    new x509.BasicConstraintsExtension(ca, ca ? content.pathLength : undefined, true),
    new x509.KeyUsagesExtension(flags, true),
    await x509.SubjectKeyIdentifierExtension.create(subjectKey, false, webcrypto),
    await x509.AuthorityKeyIdentifierExtension.create(authority, false, webcrypto),
  ]
  const usages = (content.usages ?? []).map((usage) => USAGE_OID[usage] ?? usage)
  if (usages.length > 0) list.push(new x509.ExtendedKeyUsageExtension(usages))
  const names = (content.serverNames ?? []).map((value) => ({ type: nameType(value), value }))
  if (names.length > 0) list.push(new x509.SubjectAlternativeNameExtension(names))
  for (const { oid, critical, value } of content.extensions ?? []) {
    list.push(new x509.Extension(oid, critical, new Uint8Array(value)))
  }
  const repeated = list.find(
    (extension, index) => list.findIndex((other) => other.type === extension.type) !== index,
  )
  if (repeated) throw new RangeError(`"extensions" expected each once, got ${repeated.type} twice`)
  return list
}

function nameType(name: string): 'ip' | 'dns' {
  return isIP(name) === 0 ? 'dns' : 'ip'
}

/** Reads one certificate, DER or PEM. Throws {@link FormatError} `MALFORMED`. */
export function parseCertificate(encoded: Uint8Array | string): Certificate {
  return certificateOf(parseX509('certificate', encoded))
}

/** Every certificate of a PEM bundle, in order. Throws {@link FormatError}. */
export function parseCertificates(pem: string): Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => parseCertificate(block))
}

/** The P-256 key that a certificate names, without verifying the certificate. Throws {@link FormatError}. */
export function certificateKey(certificate: Certificate | Uint8Array | string): PublicKey {
  return PublicKey.fromKeyObject(parseX509('certificate', encodingOf(certificate)).publicKey)
}

/**
 * Verifies that `leaf` chains to one of `roots` and returns the leaf's key. Checks, on every step: signature, names and
 * key identifiers, validity at `at` (default now; the root's too), CA flag and right to sign certificates, path length,
 * no critical extension that nobody understands. The leaf must not be a CA, and must have the extended key usage
 * `usage` when given: without it, a key certified for one purpose could stand in for another of the same root.
 * Intermediates may come in any order; ones that are not needed are ignored.
 *
 * Throws {@link CertificateError} `BAD_CHAIN` with the reason, and {@link FormatError} `MALFORMED` for a certificate that
 * does not parse or whose leaf key is not on P-256.
 */
export function verifyChain(options: {
  readonly leaf: Certificate | Uint8Array | string
  readonly intermediates?: readonly (Certificate | Uint8Array | string)[] | undefined
  readonly roots: readonly (Certificate | Uint8Array | string)[]
  readonly at?: Date | undefined
  readonly usage?: CertificateUsage | undefined
  /** Object identifiers of critical extensions that the caller checks by itself. */
  readonly understood?: readonly string[] | undefined
}): PublicKey {
  const intermediates = options.intermediates ?? []
  if (intermediates.length > MAX_CHAIN) {
    throw new CertificateError(
      `expected at most ${String(MAX_CHAIN)} intermediates, found ${String(intermediates.length)}`,
    )
  }
  const search: Search = {
    roots: options.roots.map((root) => parseX509('root certificate', encodingOf(root))),
    intermediates: intermediates.map((entry) => parseX509('intermediate certificate', encodingOf(entry))),
    at: options.at ?? new Date(),
    understood: [...UNDERSTOOD, ...(options.understood ?? [])],
    checks: { left: MAX_SIGNATURE_CHECKS },
  }
  const leaf = parseX509('leaf certificate', encodingOf(options.leaf))
  checkLeaf(leaf, search, options.usage)
  const reason = findPath(leaf, 0, search)
  if (reason !== undefined) throw new CertificateError(reason)
  return PublicKey.fromKeyObject(leaf.publicKey)
}

interface Search {
  readonly roots: readonly X509Certificate[]
  readonly intermediates: readonly X509Certificate[]
  readonly at: Date
  readonly understood: readonly string[]
  /** Shared by all branches of the search. */
  readonly checks: { left: number }
}

function checkLeaf(leaf: X509Certificate, search: Search, usage: CertificateUsage | undefined): void {
  const problem = checkAlone(leaf, search)
  if (problem !== undefined) throw new CertificateError(problem)
  if (leaf.ca) throw new CertificateError(`expected an end entity, found that ${named(leaf)} is a CA`)
  if (usage === undefined) return
  const oid = USAGE_OID[usage] ?? usage
  // X509Certificate.keyUsage is, in spite of its name, the extended key usage; undefined when there is none.
  const usages = (leaf.keyUsage as string[] | undefined) ?? []
  if (!usages.includes(oid)) {
    throw new CertificateError(
      `expected ${named(leaf)} to have the usage ${oid}, found ${usages.length === 0 ? 'none' : usages.join(', ')}`,
    )
  }
}

/**
 * Looks for a path from `certificate`, which has `casBelow` CAs under it, to a root. Depth first over all issuers that
 * fit, because several certificates may share a name. Returns undefined when found, else why the last try failed.
 */
function findPath(certificate: X509Certificate, casBelow: number, search: Search): string | undefined {
  if (casBelow > MAX_CHAIN) return `expected at most ${String(MAX_CHAIN)} CAs in the chain, found more`
  let reason = `no issuer of ${named(certificate)} among ${String(search.roots.length)} roots and ${String(
    search.intermediates.length,
  )} intermediates; its issuer is "${oneLine(certificate.issuer)}"`
  for (const root of search.roots) {
    if (certificate.issuer !== root.subject) continue
    const problem = checkAlone(root, search) ?? checkIssuer(certificate, root, casBelow, search)
    if (problem === undefined) return undefined
    reason = problem
  }
  for (const issuer of search.intermediates) {
    if (certificate.issuer !== issuer.subject) continue
    const rest = { ...search, intermediates: search.intermediates.filter((other) => other !== issuer) }
    const problem =
      checkAlone(issuer, search) ??
      checkIssuer(certificate, issuer, casBelow, search) ??
      findPath(issuer, casBelow + 1, rest)
    if (problem === undefined) return undefined
    reason = problem
  }
  return reason
}

/** Rules of one certificate by itself. Returns why it is refused, or undefined. */
function checkAlone(certificate: X509Certificate, search: Search): string | undefined {
  const time = search.at.getTime()
  if (time < Date.parse(certificate.validFrom)) {
    return `${named(certificate)} is not valid before ${certificate.validFrom}; the time is ${search.at.toUTCString()}`
  }
  if (time > Date.parse(certificate.validTo)) {
    return `${named(certificate)} expired at ${certificate.validTo}; the time is ${search.at.toUTCString()}`
  }
  const unknown = peculiar(certificate).extensions.find(
    ({ critical, type }) => critical && !search.understood.includes(type),
  )
  return unknown && `${named(certificate)} has a critical extension ${unknown.type} that is not understood`
}

/** Rules between a certificate and its issuer. Returns why the step is refused, or undefined. */
function checkIssuer(
  certificate: X509Certificate,
  issuer: X509Certificate,
  casBelow: number,
  search: Search,
): string | undefined {
  if (!issuer.ca) return `${named(issuer)} signed ${named(certificate)} but is no CA`
  if (!certificate.checkIssued(issuer)) {
    return `${named(issuer)} does not fit as issuer of ${named(certificate)} (name, key identifier or key usage)`
  }
  if (search.checks.left-- <= 0) {
    return `expected a chain found within ${String(MAX_SIGNATURE_CHECKS)} signature checks, found none`
  }
  if (!certificate.verify(issuer.publicKey)) {
    return `the signature of ${named(certificate)} does not verify with the key of ${named(issuer)}`
  }
  const { pathLength } = peculiar(issuer).getExtension(x509.BasicConstraintsExtension) ?? {}
  if (pathLength !== undefined && casBelow > pathLength) {
    return `${named(issuer)} allows ${String(pathLength)} CAs below it, found ${String(casBelow)}`
  }
  return undefined
}

function peculiar(certificate: X509Certificate): x509.X509Certificate {
  return new x509.X509Certificate(new Uint8Array(certificate.raw))
}

function named(certificate: X509Certificate): string {
  return `"${oneLine(certificate.subject)}"`
}

/** node gives names one attribute a line, and undefined for an empty name. */
function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ')
}

function parseX509(what: string, encoded: Uint8Array | string): X509Certificate {
  if (typeof encoded !== 'string') assertBytes('certificate', encoded)
  try {
    return new X509Certificate(encoded)
  } catch (cause) {
    throw new FormatError(
      what,
      'expected an X.509 certificate in DER or PEM, found bytes that do not parse',
      { cause },
    )
  }
}

function certificateOf(certificate: X509Certificate): Certificate {
  return { der: new Uint8Array(plainView(certificate.raw)), pem: certificate.toString() }
}

function encodingOf(certificate: Certificate | Uint8Array | string): Uint8Array | string {
  return typeof certificate === 'string' || certificate instanceof Uint8Array ? certificate : certificate.der
}
